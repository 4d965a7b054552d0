"""The engine against the reference, exactly: starts of episodes, and what every call returns and leaves.

`make parity`, or `python tests/parity.py [LEVEL or ID ...] [--scale 0.1] [--workers 2]`, runs the plan below, prints
how far it is, and what was compared; the exit status is 1 after a mismatch. `test_parity.py` runs small parts of it.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from random import Random
from typing import Any

from comparison import Run, compare

from babyaipp import LEVELS
from babyaipp.levels import Level, is_deadly_name, parse_env_id
from babyaipp.texts import TEXT_CONDITIONS

POLICIES = ("uniform", "forward", "expert")
CONDITIONS = (*TEXT_CONDITIONS, "withheld=1", "withheld=2")
_SPLIT_SEEDS = 1_000_000  # a split's seeds begin so much after those of the split before it: more different mazes


def plan(ids: list[str], seeds: tuple[int, int] = (2000, 300), scale: float = 1.0, device: str = "cpu") -> list[Run]:
    """All runs.

    Args:
        ids: the environments.
        seeds: for the starts: of single rooms, of mazes.
        scale: share of the seeds.
        device: where the engine runs.
    """
    runs = []
    for env_id in ids:
        level, split = parse_env_id(env_id)
        base = Run(env_id, 2, range(0), device=device)
        first = level.splits.index(split) * _SPLIT_SEEDS
        single = level.num_rows * level.num_cols == 1

        def add(count: float, calls: int, base: Run = base, first: int = first, **changes: Any) -> None:
            total = max(1, round(count * scale))
            size = max(1, min(total, round(5 / replace(base, seeds=range(1), calls=calls, **changes).cost)))
            for begin in range(first, first + total, size):
                part = range(begin, min(begin + size, first + total))
                runs.append(replace(base, calls=calls, seeds=part, **changes))

        add(seeds[0] if single else seeds[1], 2, starts=True)
        for policy in POLICIES:
            weight = 2 if policy == "expert" else 1
            add((60 if single else 30) * weight, 200, policy=policy)
            add(20 * weight, 100, policy=policy, max_steps=30, next_step=True)
            add(20 * weight, 60, policy=policy, max_steps=7, next_step=policy == "forward")
        add(20, 200, policy="expert", next_step=True)
        if not single:
            add(2, 1300, policy="forward")  # longer than the time limit
        add(10, 20, max_steps=1)
        add(60, 2, starts=True, options="rules")
        add(20, 60, policy="expert", options="rules")
        add(80, 2, starts=True, options="world")
        add(120 if single else 250, 80, policy="expert", options="world")
        add(20, 80, options="world", max_steps=15, next_step=True)
        for options in ("", "rules"):  # what false rules there are depends on the split
            add(10, 2, starts=True, options=options, text="contradict", sentence_order="shuffled")
        if split == "All":
            for text in CONDITIONS:
                for order in ("canonical", "shuffled"):
                    add(20, 2, starts=True, text=text, sentence_order=order)
                    add(3, 30, max_steps=10, text=text, sentence_order=order)
                    add(5, 1, starts=True, options="world", text=text, sentence_order=order)
                    add(5, 1, starts=True, options="rules", text=text, sentence_order=order)
    Random(0).shuffle(runs)  # so that the time left can be told, and a part tells of all levels
    return runs


def expected_events(level: Level) -> set[str]:
    """What must have happened in the full plan of a level, over all its splits."""
    properties = {name for split in level.splits for _, name in level.drawable_rules(split)}
    events = {"cause success", "cause timeout", *(f"effect {name}" for name in properties)}
    events |= {f"cause {name}" for name in properties if is_deadly_name(name)}
    if level.grammar.kinds != ("goto",) or (level.num_objects or 0) > 1:
        events |= {"pickup", "drop", "pickup from a tile", "drop on a tile", "box destroyed"}
    if level.num_rows * level.num_cols > 1:
        events |= {"open", "close"}
    if "open" in level.grammar.kinds:
        events.add("unlock")
    if level.grammar.locations:
        events.add("success with a location")
    if level.grammar.sequences:
        events |= {f"success of {kind}" for kind in ("one", "and", "before", "after")} | {"faces where a goal was"}
    return events


RARE_EVENTS = ("success and timeout at once", "deadly although fulfilled", "box on a tile not toggled")
"""What must have happened in the full plan of all levels."""


def run_all(runs: list[Run], workers: int) -> Iterator[tuple[Run, Counter[str], str | None]]:
    """Compare all, in processes of their own if there is more than one."""
    if workers == 1:
        for run in runs:
            yield run, *compare(run)
        return
    with ProcessPoolExecutor(workers) as pool:
        pending = {pool.submit(compare, run): run for run in runs}
        for future in as_completed(pending):
            yield pending[future], *future.result()
            if future.result()[1]:
                for other in pending:
                    other.cancel()
                return


def ids_of(names: list[str]) -> list[str]:
    """Ids from ids and names of levels; all, if there are none."""
    ids = []
    for name in names or LEVELS:
        ids += [LEVELS[name].env_id(split) for split in LEVELS[name].splits] if name in LEVELS else [name]
        parse_env_id(ids[-1])
    return ids


def main() -> int:
    """Run the plan; 1 after a mismatch."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("ids", nargs="*", metavar="LEVEL or ID", help="default: all")
    parser.add_argument("--seeds", type=int, help="of the starts; default: 2000 for single rooms, 300 for mazes")
    parser.add_argument("--scale", type=float, default=1.0, help="share of all seeds")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    seeds = (2000, 300) if arguments.seeds is None else (arguments.seeds, arguments.seeds)
    ids = ids_of(arguments.ids)
    runs = plan(ids, seeds, arguments.scale, arguments.device)
    calls = sum((run.calls + 1) * len(run.seeds) for run in runs if not run.starts)
    starts = sum((run.calls + 1) * len(run.seeds) for run in runs if run.starts)
    print(f"{len(ids)} ids: {starts:,} starts and {calls:,} calls to compare in {len(runs)} runs", flush=True)
    if arguments.device == "cpu":
        compare(Run(ids[0], 1, range(1)))  # compiles, once for all processes
    total, done, began, shown = sum(run.cost for run in runs), 0.0, time.monotonic(), 0.0
    by_level: dict[str, Counter[str]] = {parse_env_id(env_id)[0].name: Counter() for env_id in ids}
    status = 0
    for run, counts, problem in run_all(runs, arguments.workers):
        by_level[parse_env_id(run.env_id)[0].name] += counts
        done += run.cost
        if problem:
            print(f"MISMATCH in {problem}", flush=True)
            status = 1
            break
        spent = time.monotonic() - began
        if spent - shown > 10:
            shown = spent
            so_far = sum((counts for counts in by_level.values()), Counter())
            print(
                f"{done / total:4.0%}  {so_far['compared starts']:,} starts, {so_far['compared calls']:,} calls, "
                f"{(so_far['compared starts'] + so_far['compared calls']) / spent:,.0f} a second, "
                f"{spent / 60:.0f} min spent, {spent / done * (total - done) / 60:.0f} min left",
                flush=True,
            )
    missing: list[str] = []
    for name, counts in by_level.items():
        parts = ", ".join(f"{event} {counts[event]:,}" for event in sorted(counts))
        print(f"{name}: {parts}")
        if arguments.scale >= 1 and status == 0 and not set(arguments.ids) - set(LEVELS):
            missing += [f"{event} in {name}" for event in expected_events(LEVELS[name]) if not counts[event]]
    if arguments.scale >= 1 and status == 0 and not arguments.ids:
        missing += [event for event in RARE_EVENTS if not any(counts[event] for counts in by_level.values())]
    if missing:
        print(f"NOT SEEN: {', '.join(sorted(missing))}")
        status = 1
    minutes = (time.monotonic() - began) / 60
    print(f"{'no mismatch' if status == 0 else 'FAILED'} in {minutes:.1f} minutes")
    return status


if __name__ == "__main__":
    sys.exit(main())
