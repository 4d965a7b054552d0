"""Measure the engine's speed: `python -m benchmarks.throughput`, one thread unless it says otherwise.

Prints the machine and tables; `--json FILE` keeps everything. Ratios are medians of rounds in which both were timed one
after the other. A figure taken while something else ran is marked; take it again when the machine is quiet.
`docs/performance.md` says what the figures mean and where the time goes.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from agents.cli import run_command, usage_errors
from agents.runs import write_json
from babyaipp.levels import LEVELS, get_level
from benchmarks import peers, sections
from benchmarks.measurement import DISTURBED, count_text, load_average, machine, table
from benchmarks.sections import FULL, QUICK, Effort

_ALL = "all"
SECTIONS = ("speed", "batches", "threads", "latency", "memory", "start")


@dataclass(frozen=True)
class ThroughputConfig:
    """Measure the engine's speed, beside the reference and other projects."""

    json: Path | None = None
    """Also write all figures to this file."""
    levels: tuple[str, ...] = ("GoToRedBall", "GoToHard", "GoToSeq")
    """Levels of the speed table, or `all`."""
    sections: tuple[str, ...] = SECTIONS
    """What to measure."""
    num_envs: int = 1024
    """Worlds in a batch."""
    quick: bool = False
    """Tiny measurements, to see that everything runs; the figures mean little."""
    peers: bool = False
    """Also time stock Minigrid, XLand-MiniGrid and NAVIX, each in a process of its own; takes minutes."""
    peers_python: Path = Path(sys.executable)
    """Interpreter that has XLand-MiniGrid and NAVIX (`pip install -e ".[bench]"`), if not this one."""

    @property
    def level_names(self) -> tuple[str, ...]:
        """The levels of the speed table."""
        return tuple(LEVELS) if _ALL in self.levels else self.levels

    @property
    def effort(self) -> Effort:
        """How long to measure."""
        return QUICK if self.quick else FULL

    def check(self) -> None:
        """Raise ValueError, naming argument, value and what is allowed, if a setting makes no sense."""
        for name in self.level_names:
            get_level(name)
        for name in self.sections:
            if name not in SECTIONS:
                raise ValueError(f"unknown section {name!r}; allowed: {', '.join(SECTIONS)}")
        if self.num_envs < 1:
            raise ValueError(f"num_envs={self.num_envs} must be at least 1")


def measure(config: ThroughputConfig) -> dict[str, Any]:
    """Measure everything that was asked for, and print each table when it is complete."""
    tell = partial(print, flush=True)
    effort = config.effort
    report: dict[str, Any] = {"machine": machine(), "quick": config.quick}
    tell(_machine_line(report["machine"]))
    if config.quick:
        tell("quick: the figures only show that everything runs")
    if "speed" in config.sections:
        report["speed"] = []
        for name in config.level_names:
            _progress(f"speed of {name}")
            report["speed"].append(sections.speed(name, config.num_envs, effort))
        tell("\n" + speed_table(report["speed"]) + "\n\n" + cost_table(report["speed"]))
    if "batches" in config.sections:
        _progress("sizes of the batch")
        report["batches"] = sections.batches(config.level_names[0], effort)
        tell("\n" + batch_table(report["batches"]))
    if "threads" in config.sections:
        _progress("threads")
        report["threads"] = sections.threads(config.level_names[0], effort)
    if "latency" in config.sections:
        _progress("latency")
        report["latency"] = sections.latency(config.level_names[0], effort)
    if "memory" in config.sections:
        report["memory"] = [sections.memory(name) for name in config.level_names]
    if "start" in config.sections:
        _progress("first step in a fresh process, compiling")
        report["start"] = sections.start(config.level_names[0], config.num_envs, effort)
    rest = other_rows(report)
    if rest:
        tell("\n" + table(("what", "measured", "goal", "reached"), rest))
    if config.peers:
        report["peers"] = []
        for result in peers.measure_all(config.num_envs, effort.peer_seconds, str(config.peers_python)):
            _progress(f"{result['package']} {result['environment']}")
            report["peers"].append(result)
        tell("\n" + peer_table(report["peers"]))
    report["load_average_at_end"] = load_average()
    tell(f"\nload average {report['machine']['load_average']} at the start, {report['load_average_at_end']} at the end")
    return report


def speed_table(rows: Sequence[dict[str, Any]]) -> str:
    """Steps a second by level, with the ratio to the reference."""
    header = ("level", "engine, steps/s", "kernel alone", "reference", "engine / reference", "goal", "reached")
    lines = []
    for row in rows:
        engine, ratio = row["engine"], row["engine_over_reference"]
        goal = sections.SPEED_GOALS.get(row["level"])
        lines.append(
            (
                row["level"],
                f"{count_text(engine['median'])} ({_spread(engine)}){_mark(engine)}",
                count_text(row["kernel"]["median"]) + _mark(row["kernel"]),
                count_text(row["reference"]["median"]) + _mark(row["reference"]),
                f"{ratio['median']:.0f} ({ratio['quartile_low']:.0f} to {ratio['quartile_high']:.0f})",
                f"{count_text(goal[0])}, {goal[1]}" if goal else "",
                _reached(engine["median"] >= goal[0] and ratio["median"] >= goal[1]) if goal else "",
            )
        )
    return table(header, lines)


def cost_table(rows: Sequence[dict[str, Any]]) -> str:
    """What a step is made of, in nanoseconds, and how far the sum is from what was measured."""
    header = (
        "level",
        "act",
        "observe",
        "new worlds",
        "interface",
        "sum",
        "measured",
        "a new world, us",
        "steps a world",
    )
    lines = []
    for row in rows:
        cost = row["cost_nanoseconds"]
        parts = [cost[name] for name in ("act", "observe", "new_worlds", "interface")]
        lines.append(
            (
                row["level"],
                *(f"{part:.0f}" for part in (*parts, sum(parts), cost["measured"])),
                f"{cost['a_new_world'] / 1e3:.2f}",
                f"{1 / row['ends_a_step']:.0f}" if row["ends_a_step"] else "",
            )
        )
    return "Nanoseconds of processor time a step by part:\n\n" + table(header, lines)


def batch_table(rows: Sequence[dict[str, Any]]) -> str:
    """What a step costs by the size of the batch."""
    lines = [
        (f"{row['num_envs']:,}", f"{row['record_bytes'] / 1024:,.0f}", f"{row['engine']:.0f}", f"{row['kernel']:.0f}")
        for row in rows
    ]
    title = f"Nanoseconds of processor time a step by size of the batch, {rows[0]['level']}:\n\n"
    return title + table(("batch", "records, KiB", "engine", "kernel alone"), lines)


def other_rows(report: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    """What is measured beside speed, one row each."""
    rows = []
    if "threads" in report:
        threads = report["threads"]
        for name, ratio in threads["two_over_one"].items():
            text = f"{ratio['median']:.2f} ({ratio['quartile_low']:.2f} to {ratio['quartile_high']:.2f})"
            goal, reached = (
                (">= 1.8", _reached(ratio["median"] >= sections.THREADS_GOAL)) if name == "engine" else ("", "")
            )
            what = f"two threads over one, {threads['level']}, batch {threads['num_envs']}, {name}"
            rows.append((what, text, goal, reached))
    if "latency" in report:
        latency = report["latency"]
        text = f"median {latency['median']:.1f} us, 9 of 10 within {latency['nine_of_ten']:.1f} us"
        reached = _reached(latency["median"] < sections.LATENCY_GOAL_MICROSECONDS)
        rows.append((f"a step at batch 1, {latency['level']}", text, "< 15 us", reached))
    for memory in report.get("memory", []):
        text = f"record {memory['record_bytes']} bytes; all that a batch holds {memory['batch_bytes_a_world']:.0f}"
        reached = _reached(memory["record_bytes"] < sections.RECORD_GOAL_BYTES)
        rows.append((f"memory a world, {memory['level']}", text, "record < 2,048 bytes", reached))
    if "start" in report:
        cold, warm = report["start"]["cold"], report["start"]["warm"]
        reached = _reached(warm["seconds"]["median"] < sections.WARM_GOAL_SECONDS)
        rows.append(
            ("first step of a process, compiled before", f"{warm['seconds']['median']:.2f} s", "< 2 s", reached)
        )
        notice = "nothing" if cold["notice"] is None else f"{cold['notice']!r} after {cold['notice_seconds']:.1f} s"
        reached = _reached(cold["seconds"] < sections.COLD_GOAL_SECONDS and cold["notice"] is not None)
        rows.append(
            ("first step of a process, compiling", f"{cold['seconds']:.1f} s; told {notice}", "< 30 s", reached)
        )
    return rows


def peer_table(rows: Sequence[dict[str, Any]]) -> str:
    """Steps a second of other projects."""
    header = ("package", "environment", "observation", "batch", "cores", "steps/s", "counted")
    lines = []
    for row in rows:
        rate = row["missing"] if "missing" in row else count_text(row["steps_per_second"])
        versions = row.get("versions", {})
        name = f"{row['package']} {versions.get(row['package'], '')}".strip()
        what = (name, row["environment"], row["observation"], f"{row['num_envs']:,}", str(row["cores"]))
        lines.append((*what, rate, row["counted"]))
    return table(header, lines)


def _machine_line(found: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {number}" for name, number in found["versions"].items())
    return f"{found['processor']}, {found['cores']} cores, {found['system']}; {versions}; load {found['load_average']}"


def _spread(rate: dict[str, float]) -> str:
    return f"{count_text(rate['quartile_low'])} to {count_text(rate['quartile_high'])}"


def _mark(rate: dict[str, float]) -> str:
    if rate["processor_share"] >= DISTURBED:
        return ""
    return f" disturbed; {count_text(rate['per_processor_second'])} of processor time"


def _reached(yes: bool) -> str:
    return "yes" if yes else "no"


def _progress(what: str) -> None:
    print(f"measuring: {what}", file=sys.stderr, flush=True)


def _run(config: ThroughputConfig) -> int:
    with usage_errors():
        config.check()
    report = measure(config)
    if config.json is not None:
        write_json(config.json, report)
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    return run_command(ThroughputConfig, _run, arguments)


if __name__ == "__main__":
    sys.exit(main())
