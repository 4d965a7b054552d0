"""How things are timed: in turns, so that a busy moment of the machine hits all alike, and as medians; and where."""

from __future__ import annotations

import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

_PACKAGES = ("babyaipp", "gymnasium", "minigrid", "numpy", "numba", "torch")

_AHEAD = 8

DISTURBED = 0.97
"""Below this share of the processor a one-threaded measurement was kept waiting by something else."""


@dataclass(frozen=True)
class Sample:
    """How long it took to do something some times."""

    count: int
    seconds: float
    """By the clock on the wall."""
    cpu_seconds: float
    """Processor time of this process, all threads together."""

    @property
    def rate(self) -> float:
        """How many a second."""
        return self.count / self.seconds


def sample(call: Callable[[], int], seconds: float) -> Sample:
    """Repeat a call, which returns how many it did, for about so long; at least once."""
    count = 0
    cpu_begin, begin = time.process_time(), time.perf_counter()
    until = begin + seconds
    while True:
        count += call()
        end = time.perf_counter()
        if end >= until:
            return Sample(count, end - begin, time.process_time() - cpu_begin)


def in_turns(calls: Mapping[str, Callable[[], int]], rounds: int, seconds: float) -> dict[str, list[Sample]]:
    """Sample every call once a round, round after round; every other round in the opposite order."""
    samples: dict[str, list[Sample]] = {name: [] for name in calls}
    for number in range(rounds):
        order = list(calls) if number % 2 == 0 else list(calls)[::-1]
        for name in order:
            samples[name].append(sample(calls[name], seconds))
    return samples


def median_seconds(call: Callable[[], object], seconds: float, wait: Callable[[], object], rounds: int = 5) -> float:
    """How long a call takes whose work may go on after it, as a GPU's does, when it is made again and again.

    Args:
        call: makes the work; the first one does not count.
        seconds: how long to measure, in each round.
        wait: returns when all work is done.
        rounds: the median of so many is taken.
    """
    call()
    wait()
    begin = time.perf_counter()
    call()
    wait()
    ahead = max(1, min(_AHEAD, int(seconds / max(time.perf_counter() - begin, 1e-9))))
    found = []
    for _ in range(rounds):
        wait()
        begin = time.perf_counter()
        count = 0
        while time.perf_counter() - begin < seconds or not count:
            call()
            count += 1
            if count % ahead == 0:  # not too far ahead of the GPU
                wait()
        wait()
        found.append((time.perf_counter() - begin) / count)
    return statistics.median(found)


def summary(values: Sequence[float]) -> dict[str, float]:
    """Median, and what the middle half lies between."""
    low, _, high = statistics.quantiles(values, method="inclusive") if len(values) > 1 else [values[0]] * 3
    return {"median": statistics.median(values), "quartile_low": low, "quartile_high": high}


def rates(samples: Sequence[Sample]) -> dict[str, float]:
    """Summary of how many a second; and, for busy machines, how many a second of processor time, and its share."""
    return summary([each.rate for each in samples]) | {
        "per_processor_second": statistics.median(each.count / each.cpu_seconds for each in samples),
        "processor_share": sum(each.cpu_seconds for each in samples) / sum(each.seconds for each in samples),
    }


def ratio(over: Sequence[Sample], under: Sequence[Sample]) -> dict[str, float]:
    """Summary of the ratios of rates, round by round."""
    return summary([a.rate / b.rate for a, b in zip(over, under, strict=True)])


def machine() -> dict[str, Any]:
    """Processor, cores, versions, and how busy the machine is."""
    versions = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "system": f"{platform.system()} {platform.release()}",
        "load_average": load_average(),
        "versions": versions,
    }


def load_average() -> float:
    """Processes that ran or waited, mean of the last minute."""
    return round(os.getloadavg()[0], 2)


def _processor() -> str:
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table with aligned columns, so that it reads well in a terminal and can be pasted into a page."""
    lines = [list(header), *map(list, rows)]
    widths = [max(3, *(len(line[i]) for line in lines)) for i in range(len(header))]
    rule = ["-" * width for width in widths]
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |"
        for line in (lines[0], rule, *lines[1:])
    )


def count_text(number: float) -> str:
    """A number with three digits and its unit: 3.51 M."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return f"{number:.3g}"
