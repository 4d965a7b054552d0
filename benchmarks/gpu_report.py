"""Everything about training on a GPU, in one command of under nine minutes: `python -m benchmarks.gpu_report`.

First whether the device computes what the CPU does, then how fast, and where the time goes (`benchmarks/gpu/parts.py`);
then trainings, in the order of the sweeps that are given, until the time is up. The folder gets

report.json    all of it; written anew after each item
report.md      the same as tables
<sweep>/       the run folders of the trainings, with curves and checkpoints

Called again with the same folder, it goes on: what was measured is not measured again, and trainings go on where they
were saved. An item that fails, or takes too long, is told of and does not keep the others from being measured. Nothing
is needed from a network. Without a GPU all of it runs on the CPU, tiny, which shows only that it runs.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch

from agents.cli import INTERRUPTED, UsageError, run_command, signals_set_a_flag, usage_errors
from agents.environments import check_device
from agents.runs import write_json, write_text
from agents.sweeps.plan import Plan, check_folders, read_plan
from agents.sweeps.work import result_of
from babyaipp.engine.compile import writable_cache_folder
from benchmarks.gpu import trainings
from benchmarks.gpu.parts import Part, Scale, cpu_scale, cuda_scale, parts
from benchmarks.gpu.tables import goal_text, part_text, report_text, trainings_text
from benchmarks.gpu.worker import Failed, OutOfTime, Worker
from benchmarks.measurement import machine

ROOT = Path(__file__).parent.parent
TRAININGS = "trainings"
PARTS = (*parts(cpu_scale(2)), TRAININGS)
_FORMAT = 1
_SAVING_SECONDS = 20.0
_SPARE_SECONDS = 5.0
_MOST = 0.9
_AT_ONCE = 3
_NOT_SHOWN = "cannot be shown"


@dataclass(frozen=True)
class GpuReportConfig:
    """Measure training on a GPU, then train."""

    folder: Path = Path("runs/gpu")
    """Where everything is kept; what is there is gone on with."""
    minutes: float = 8.5
    """Time of this call."""
    parts: tuple[str, ...] = PARTS
    """What to do; always in this order."""
    trainings: tuple[Path, ...] = (ROOT / "sweeps" / "gpu.toml", ROOT / "sweeps" / "gpu_long.toml")
    """Sweeps, in their order."""
    training_minutes: float = 2.0
    """Kept for the trainings, as long as some are left."""
    at_once: int | None = None
    """Trainings at a time, on the same GPU: 3, or 1 without one; but the first of a sweep is alone."""
    num_envs: int | None = None
    """Environments of the trainings that are timed: 2048, or 8 without a GPU."""
    retry: bool = False
    """Measure again what failed."""
    device: Literal["cuda", "cpu"] | None = None
    """By default cuda where torch finds a GPU."""

    @property
    def scale(self) -> Scale:
        """How large everything is."""
        name = self.device or ("cuda" if torch.cuda.device_count() else "cpu")
        return cuda_scale(self.num_envs or 2048) if name == "cuda" else cpu_scale(self.num_envs or 8)

    def check(self) -> None:
        """Raise ValueError, naming argument, value and what is allowed, if a setting makes no sense."""
        for name in self.parts:
            if name not in PARTS:
                raise ValueError(f"unknown part {name!r}; allowed: {', '.join(PARTS)}")
        if not self.minutes > 0:
            raise ValueError(f"minutes={self.minutes:g} must be more than 0")
        if not self.training_minutes >= 0:
            raise ValueError(f"training_minutes={self.training_minutes:g} must not be negative")
        for name in ("at_once", "num_envs"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name}={value} must be at least 1")
        names = [path.stem for path in self.trainings]
        if len(set(names)) < len(names):
            raise ValueError(f"trainings: each must have a name of its own; got {', '.join(names)}")
        check_device(self.scale.device)
        self.scale.ppo.check()


class Clock:
    """The time of a call.

    Args:
        minutes: how long it may take.
    """

    def __init__(self, minutes: float) -> None:
        self._began = time.monotonic()
        self._seconds = 60 * minutes

    def passed(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self._began

    def left(self) -> float:
        """Seconds until the end."""
        return self._seconds - self.passed()


class Report:
    """What is known so far, and the files that keep it.

    Args:
        folder: where they are, or will be.
        scale: of what is measured.

    Raises:
        ValueError: there is a report of another scale, or a damaged one.
    """

    def __init__(self, folder: Path, scale: Scale) -> None:
        self._folder = folder
        self._titles = {name: part.title for name, part in parts(scale).items()}
        now: dict[str, Any] = json.loads(json.dumps(asdict(scale)))
        self.content: dict[str, Any] = {
            **{"format": _FORMAT, "scale": now, "machine": machine(), "device": {}},
            **{"calls": [], "parts": {}, "trainings": {}},
        }
        if self.file.exists():
            self.content = self._read(now)

    @property
    def file(self) -> Path:
        """The JSON."""
        return self._folder / "report.json"

    def entries(self, part: str) -> dict[str, Any]:
        """The items of a part: `state`, which is done, failed or skipped; `seconds`; `row`, or `why` there is none."""
        return self.content["parts"].setdefault(part, {})

    def write(self) -> None:
        """Write all of it."""
        write_json(self.file, self.content)
        write_text(self._folder / "report.md", shown(report_text, self.content, self._titles))

    def part(self, name: str) -> str:
        """A part for people."""
        card = self.content["parts"].get("card", {})
        return shown(part_text, name, self._titles[name], self.entries(name), card)

    def _read(self, scale: Mapping[str, Any]) -> dict[str, Any]:
        try:
            content = json.loads(self.file.read_text(encoding="utf-8"))
        except json.JSONDecodeError as error:
            raise ValueError(f"{self.file} is not JSON: {error}") from None
        before = content.get("scale", {})
        if content.get("format") != _FORMAT:
            raise ValueError(f"{self.file} has format {content.get('format')!r}; this version reads {_FORMAT}")
        for name, value in scale.items():
            if before.get(name) != value:
                raise ValueError(
                    f"{self.file} is of {name}={before.get(name)!r}, and {name}={value!r} is asked for; "
                    "choose another --folder"
                )
        return content


def problems(content: Mapping[str, Any]) -> list[str]:
    """What failed, and what is not as it must be: a line each."""
    found = []
    for part, entries in content["parts"].items():
        for item, entry in entries.items():
            row = entry.get("row", {})
            if entry["state"] == "failed":
                found.append(f"{part}: {item} failed: {entry['why'].splitlines()[0]}")
            elif not row.get("same", True):
                found.append(f"{part}: {item}: the device computes other bits than the CPU")
            for kind, errors in row.get("kinds", {}).items():
                if not errors["within"]:
                    found.append(f"{part}: {item}, {kind}: errors are larger than {errors['limit']:g}")
    for sweep, entry in content["trainings"].items():
        if "why" in entry:
            found.append(f"{TRAININGS}: {sweep}: {entry['why'].splitlines()[0]}")
        found += [f"{TRAININGS}: {run}: {why.splitlines()[0]}" for run, why in entry.get("failures", {}).items()]
    return found


def measure(
    name: str, part: Part, report: Report, worker: Worker, clock: Clock, kept_seconds: float, retry: bool
) -> None:
    """Measure what is left of a part, as far as the time goes, and tell of each item.

    Args:
        name: of the part.
        part: what to measure.
        report: gets the items.
        worker: measures.
        clock: of the call.
        kept_seconds: of the call, for what follows.
        retry: also what failed before.
    """
    entries = report.entries(name)
    until = time.monotonic() + part.limit_seconds
    for item in part.items:
        if _is_settled(entries.get(item), retry):
            continue
        entries[item] = entry = _entry(
            name, item, part, worker, min(until - time.monotonic(), part.longest_seconds, clock.left() - kept_seconds)
        )
        report.write()
        took = f"{entry['seconds']:.1f} s" if entry["state"] == "done" else f"{entry['state']}: {entry['why']}"
        _say(clock, f"{name}: {item}: {took}")


def train(config: GpuReportConfig, plans: Sequence[Plan], report: Report, clock: Clock) -> bool:
    """Do what is left of the sweeps, until the time is up; returns whether it was interrupted."""
    at_once = config.at_once or (_AT_ONCE if config.scale.device == "cuda" else 1)
    with signals_set_a_flag() as interrupted:

        def left() -> float:
            return min(clock.left(), _SAVING_SECONDS) if interrupted() else clock.left()

        for plan in plans:
            tell = partial(report.content["trainings"].__setitem__, plan.name)
            if left() <= _SAVING_SECONDS:
                break
            _say(clock, f"{TRAININGS}: {plan.name}, {len(plan.jobs)} runs")
            try:
                trainings.train(plan, at_once, left, _SAVING_SECONDS, _then(tell, report.write))
            except Exception as error:
                tell({"why": f"{type(error).__name__}: {error}"})
            report.write()
        return interrupted()


def run_report(config: GpuReportConfig) -> int:
    """Do what is left and print the tables; returns the exit status, 1 if there are problems."""
    clock = Clock(config.minutes)
    with usage_errors():
        config.check()
        scale = config.scale
        report = Report(config.folder, scale)
        plans = _plans(config, scale) if TRAININGS in config.parts else []
    _keep_compiled_code(config.folder)
    report.content["calls"].append({"minutes": config.minutes, "parts": list(config.parts), "machine": machine()})
    report.write()
    asked = {name: part for name, part in parts(scale).items() if name in config.parts}
    waiting = any(
        not _is_settled(report.entries(name).get(item), config.retry) for name in asked for item in asked[name].items
    )
    worker = Worker(scale)
    try:
        usable = waiting and _describe(worker, report, clock)
        kept = min(60 * config.training_minutes, 30 * config.minutes) if _unfinished(plans) else 0.0
        for name, part in asked.items():
            if usable:
                measure(name, part, report, worker, clock, kept + _SPARE_SECONDS, config.retry)
            print(f"\n{report.part(name)}\n", flush=True)
    except KeyboardInterrupt:
        print(f"\ninterrupted; what was measured is in {report.file}; the same command goes on", flush=True)
        return INTERRUPTED
    finally:
        worker.close()
    interrupted = train(config, plans, report, clock)
    if plans:
        print(f"\n{shown(trainings_text, report.content[TRAININGS])}\n")
    report.content["calls"][-1]["seconds"] = round(clock.passed(), 1)
    report.write()
    found = problems(report.content)
    print(shown(goal_text, report.content), "\n".join(["", *found]), sep="\n")
    print(f"{clock.passed():.0f} s; all of it is in {report.file}; the same command goes on")
    return INTERRUPTED if interrupted else 1 if found else 0


def shown(render: Callable[..., str], *values: Any) -> str:
    """What is rendered; a mistake in a table costs the table, and not what was measured."""
    try:
        return render(*values)
    except Exception as error:
        return f"{_NOT_SHOWN}: {type(error).__name__}: {error}"


def _plans(config: GpuReportConfig, scale: Scale) -> list[Plan]:
    """The sweeps; tiny on the CPU."""
    plans = []
    for path in config.trainings:
        plan = read_plan(path, config.folder / path.stem, here=scale.device == "cuda")
        plan = plan if scale.device == "cuda" else trainings.tiny(plan, scale.ppo)
        check_folders(plan.jobs)
        plans.append(plan)
    return plans


def _keep_compiled_code(folder: Path) -> None:
    """In the report's folder, where it cannot be kept in the usual one: else each training would compile the engine."""
    if writable_cache_folder() is None:
        os.environ["NUMBA_CACHE_DIR"] = str(folder.absolute() / "cache")


def _unfinished(plans: Sequence[Plan]) -> bool:
    return any(result_of(job) is None for plan in plans for job in plan.jobs)


def _describe(worker: Worker, report: Report, clock: Clock) -> bool:
    """Note what the device is; returns whether anything can be measured on it.

    Raises:
        UsageError: the folder is of another device.
    """
    before = report.content["device"].get("name")
    try:
        found = worker.describe(clock.left())
    except Failed as error:
        report.content["device"] |= {"why": str(error)}
        _say(clock, f"nothing can be measured: {error}")
        return False
    if before not in (None, found["name"]):
        raise UsageError(
            f"{report.file} is of {before}, and this is {found['name']}; "
            f"choose another --folder, or --parts {TRAININGS}"
        )
    report.content["device"] = found
    return True


def _is_settled(entry: Mapping[str, Any] | None, retry: bool) -> bool:
    """Whether an item is not to be measured any more."""
    return entry is not None and (entry["state"] == "done" or (entry["state"] == "failed" and not retry))


def _entry(name: str, item: str, part: Part, worker: Worker, seconds: float) -> dict[str, Any]:
    """What becomes of an item; one that had little time, and not enough, is not taken for one that hangs."""
    if seconds < part.item_seconds:
        return {"state": "skipped", "why": f"{max(0.0, seconds):.0f} s were left"}
    began = time.monotonic()
    try:
        entry = {"state": "done", "row": worker.measure(name, item, seconds)}
    except OutOfTime as error:
        entry = {"state": "failed" if seconds > _MOST * part.longest_seconds else "skipped", "why": str(error)}
    except Failed as error:
        entry = {"state": "failed", "why": str(error)}
    return entry | {"seconds": round(time.monotonic() - began, 3)}


def _then(first: Callable[[Any], None], second: Callable[[], None]) -> Callable[[Any], None]:
    def both(value: Any) -> None:
        first(value)
        second()

    return both


def _say(clock: Clock, text: str) -> None:
    print(f"{clock.passed():4.0f} s, {clock.left():4.0f} s left: {text}", flush=True)


if __name__ == "__main__":
    sys.exit(run_command(GpuReportConfig, run_report))
