"""Run a sweep: `python -m agents.sweep sweeps/baselines.toml --processes 2`: level x agent x seed.

Each run is a training of its own (`agents.train`), in a folder of its own, then an evaluation (`agents.evaluate`).
`sweeps/plan.py` says what a file can hold. A call does what is left: finished runs are passed over, others go on where
they were saved. Ctrl-C lets the running ones save. A run that fails is tried again, and told of at the end if that does
not help. `summary-<sweep>.json` has the results so far: of each run, and for each level and agent over the seeds.
"""

from __future__ import annotations

import importlib.util
import signal
import statistics
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from tqdm import tqdm  # type: ignore[import-untyped]

from agents.cli import INTERRUPTED, run_command, usage_errors
from agents.runs import write_json
from agents.sweeps.launchers import Handle, Launcher, LocalLauncher, SubmititLauncher, executors
from agents.sweeps.plan import Job, Plan, check_folders, read_plan
from agents.sweeps.work import frames_of, result_of

_POLL_SECONDS = 0.2
_FAILED = 1


@dataclass(frozen=True)
class SweepConfig:
    """Train and evaluate level x agent x seed."""

    sweep: Annotated[Path, tyro.conf.Positional]
    """A .toml file."""
    launcher: Literal["local", "submitit"] = "local"
    """Processes of this machine, or jobs of a cluster."""
    processes: int | None = None
    """Runs at a time; by default 1 on this machine, all of them on a cluster."""
    folder: Path | None = None
    """Where the run folders and summary-<sweep>.json lie; runs/<name of the file> by default."""


@dataclass
class Tally:
    """How a sweep stands."""

    done: list[Job] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)
    """Run -> error."""
    tries: dict[str, int] = field(default_factory=dict)
    """Run -> how often it was started in this call."""


def sweep(plan: Plan, launcher: Launcher, at_once: int, folder: Path, stops: Callable[[], int]) -> Tally:
    """Do what is left of a sweep, until all is done or stopped.

    Args:
        plan: what to run.
        launcher: where.
        at_once: how many runs.
        folder: where the summary is written.
        stops: how often it has been asked to stop; from the second time on, nothing is saved any more.
    """
    tally = Tally(done=[job for job in plan.jobs if result_of(job) is not None])
    waiting = deque(job for job in plan.jobs if job not in tally.done)
    running: dict[str, tuple[Job, Handle]] = {}
    write_summary(plan, tally, folder)
    told = 0
    with tqdm(
        total=sum(job.config.frames for job in plan.jobs), unit="", unit_scale=True, desc="frames", mininterval=1.0
    ) as bar:
        frames = {job.name: min(frames_of(job), job.config.frames) for job in plan.jobs}
        bar.update(sum(frames.values()))
        bar.unpause()
        try:
            while running or (waiting and not stops()):
                while waiting and len(running) < at_once and not stops():
                    job = waiting.popleft()
                    tally.tries[job.name] = tally.tries.get(job.name, 0) + 1
                    running[job.name] = job, launcher.start(job)
                if stops() > told:
                    told = stops()
                    (launcher.stop if told == 1 else launcher.kill)()
                for job, handle in list(running.values()):
                    frames[job.name] = min(frames_of(job), job.config.frames)
                    if not handle.done():
                        continue
                    del running[job.name]
                    ended = handle.result()
                    if ended.status == "done":
                        tally.done.append(job)
                        tally.failures.pop(job.name, None)
                    elif not stops():
                        tally.failures[job.name] = ended.error or "it was interrupted"
                        if tally.tries[job.name] <= plan.retries:
                            waiting.append(job)
                    write_summary(plan, tally, folder)
                bar.set_postfix_str(
                    f"{len(tally.done)}/{len(plan.jobs)} runs, {len(running)} running, {len(tally.failures)} failed",
                    refresh=False,
                )
                bar.update(max(0, sum(frames.values()) - bar.n))
                time.sleep(_POLL_SECONDS)
        finally:
            if running:  # an error of this program
                launcher.stop()
            launcher.close()
    return tally


def summary_file(plan: Plan, folder: Path) -> Path:
    """Of a sweep; another one may use the same folder."""
    return folder / f"summary-{plan.name}.json"


def write_summary(plan: Plan, tally: Tally, folder: Path) -> None:
    """Write `summary-<sweep>.json`: means over seeds, results of the runs, and failures."""
    results = [result for job in plan.jobs if job in tally.done and (result := result_of(job)) is not None]
    write_json(
        summary_file(plan, folder),
        {
            "runs": len(plan.jobs),
            "done": len(results),
            "means": means(results),
            "results": results,
            "failures": [
                {"run": name, "tries": tally.tries[name], "error": error} for name, error in tally.failures.items()
            ],
        },
    )


def means(results: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """For each level and agent, success on each split over the seeds: mean and least."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for result in results:
        groups.setdefault((result["level"], result["agent"]), []).append(result)
    rows = []
    for (level, agent), group in groups.items():
        row: dict[str, Any] = {"level": level, "agent": agent, "seeds": [result["seed"] for result in group]}
        row["seconds"] = round(statistics.mean(result["seconds"] for result in group), 1)
        row["success"] = {}
        for split in group[0]["splits"]:
            rates = [result["splits"][split]["success"] for result in group]
            row["success"][split] = {"mean": round(statistics.mean(rates), 5), "least": min(rates)}
        rows.append(row)
    return rows


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Means for people."""
    splits = list(rows[0]["success"])
    head = ["level", "agent", "seeds", "seconds a run", *(f"{split}: mean, least" for split in splits)]
    lines = [head]
    for row in rows:
        rates = [f"{row['success'][split]['mean']:.3f}, {row['success'][split]['least']:.3f}" for split in splits]
        lines.append([row["level"], row["agent"], str(len(row["seeds"])), f"{row['seconds']:.0f}", *rates])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


@contextmanager
def _counting_signals() -> Iterator[Callable[[], int]]:
    """While inside, SIGINT and SIGTERM only count."""
    received: list[int] = []
    before = {
        number: signal.signal(number, lambda number, frame: received.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield lambda: len(received)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run_sweep(config: SweepConfig) -> int:
    """Run what is left and say what came of it; returns the exit status."""
    local = config.launcher == "local"
    folder = config.folder or Path("runs") / config.sweep.stem
    with usage_errors():
        plan = read_plan(config.sweep, folder, here=local)
        if config.processes is not None and config.processes < 1:
            raise ValueError(f"processes={config.processes} must be at least 1")
        if not local:
            if importlib.util.find_spec("submitit") is None:
                raise ValueError("launcher='submitit' needs submitit: pip install -e '.[sweep]' from a clone")
            if plan.cluster.name not in executors():
                raise ValueError(f"cluster.name={plan.cluster.name!r}; allowed: {', '.join(executors())}")
        check_folders(plan.jobs)
    at_once = config.processes or (1 if local else len(plan.jobs))
    with _counting_signals() as stops:
        launcher: Launcher = (
            LocalLauncher(at_once) if local else SubmititLauncher(plan.cluster, folder.absolute() / "submitit")
        )
        tally = sweep(plan, launcher, at_once, folder, stops)
        stopped = stops() > 0
    rows = means([result for job in plan.jobs if (result := result_of(job)) is not None])
    if rows:
        print(f"\n{table(rows)}\n")
    print(f"{len(tally.done)} of {len(plan.jobs)} runs are done; results in {summary_file(plan, folder)}")
    for name, error in tally.failures.items():
        print(f"\nfailed: {name}, tried {tally.tries[name]} times; {folder / name / 'log.txt'}\n{error}")
    if stopped:
        print("interrupted; the same command goes on")
        return INTERRUPTED
    return _FAILED if tally.failures else 0


if __name__ == "__main__":
    sys.exit(run_command(SweepConfig, run_sweep))
