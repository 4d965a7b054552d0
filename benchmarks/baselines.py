"""The tables and curves of docs/baselines.md, from a sweep: `python -m benchmarks.baselines runs/baselines`.

Each trained agent is evaluated in the conditions of `CONDITIONS`, with the likeliest actions and with drawn ones; what
came of it stands in `conditions.json` of its run folder, so that a call that is cut off goes on where it was. Then all
of it is gathered in `docs/results/baselines.json`, from which `--render` alone makes the page's tables and curves anew.
"""

from __future__ import annotations

import importlib.util
import json
import multiprocessing
import os
import signal
import statistics
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
import tyro
from tqdm import tqdm  # type: ignore[import-untyped]

from agents.cli import run_command, usage_errors
from agents.evaluate import evaluate, load_subject
from agents.runs import Run, write_json, write_text
from babyaipp.levels import get_level
from benchmarks.measurement import machine, table

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "docs" / "results" / "baselines.json"
PAGE = ROOT / "docs" / "baselines.md"
README = ROOT / "README.md"
IMAGES = ROOT / "docs" / "images"
OTHER_ORDER = "other order"
SWAPPED = "swapped"
CONDITIONS: dict[str, dict[str, Any]] = {
    "true": {"splits": ("Train", "HeldOut")},
    OTHER_ORDER: {"splits": ("HeldOut",)},
    "none": {"splits": ("HeldOut",), "text": "none"},
    "lorem": {"splits": ("HeldOut",), "text": "lorem"},
    "contradict": {"splits": ("HeldOut",), "text": "contradict"},
    SWAPPED: {"splits": ("HeldOut",)},
}
"""What is told, and the splits that are played. `OTHER_ORDER`: the true sentences, shuffled where the level has them
sorted, and sorted where it has them shuffled. `SWAPPED`: the true sentences of another episode."""
_POINTS = 60
"""Of a curve."""
_FIGURES = ("episodes", "success", "interval", "death", "timeout", "return", "steps")


@dataclass(frozen=True)
class BaselinesConfig:
    """Evaluate the agents of a sweep in several conditions, and write the tables and curves of docs/baselines.md."""

    sweep: Annotated[Path | None, tyro.conf.Positional] = None
    """The sweep's folder."""
    episodes: int = 1000
    """Of an evaluation, a split."""
    processes: int = 2
    """Run folders that are evaluated at a time."""
    render: bool = False
    """Write tables and curves from docs/results/baselines.json, evaluate nothing."""

    def check(self) -> None:
        """Raise ValueError, naming argument, value and what is allowed, if a setting makes no sense."""
        for name in ("episodes", "processes"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} must be at least 1")
        if self.render == (self.sweep is not None):
            raise ValueError("give either the folder of a sweep, or --render")
        if self.sweep is not None and not runs_of(self.sweep):
            raise ValueError(f"sweep={str(self.sweep)!r} holds no finished run")
        if importlib.util.find_spec("matplotlib") is None:
            raise ValueError("the curves need matplotlib: pip install -e '.[plots]' from a clone")


def runs_of(sweep: Path) -> list[Path]:
    """The folders of the runs that are finished, in the order of their names."""
    return sorted(file.parent for file in sweep.glob("*/result.json"))


def evaluate_run(folder: Path, episodes: int) -> None:
    """Write `conditions.json` in a run folder, unless it is there already."""
    file = folder / "conditions.json"
    training = Run(folder).agent_file().stat().st_mtime_ns
    asked = {"episodes": episodes, "agent": training, "conditions": list(CONDITIONS)}
    if file.exists() and json.loads(file.read_text(encoding="utf-8"))["asked"] == asked:
        return
    rows = []
    for name, condition in CONDITIONS.items():
        order = None
        if name == OTHER_ORDER:
            level = get_level(Run(folder).read_config()["level"])
            order = "canonical" if level.sentence_order == "shuffled" else "shuffled"
        subject = load_subject(str(folder), text=condition.get("text"), order=order)
        for greedy in (True, False):
            report = evaluate(subject, episodes, condition["splits"], greedy=greedy, swapped=name == SWAPPED)
            for split, entry in report["splits"].items():
                figures = {figure: entry[figure] for figure in _FIGURES}
                rows.append({"condition": name, "greedy": greedy, "split": split} | figures)
    write_json(file, {"asked": asked, "evaluations": rows})


def curve(progress: Sequence[Mapping[str, Any]]) -> list[list[float]]:
    """Frames, seconds of training, and success of the episodes that ended since the last point."""
    size = max(1, -(-len(progress) // _POINTS))
    points = []
    for start in range(0, len(progress), size):
        lines = [line for line in progress[start : start + size] if line["episodes"]]
        if lines:
            episodes = sum(line["episodes"] for line in lines)
            success = sum(line["success"] * line["episodes"] for line in lines) / episodes
            points.append([lines[-1]["frames"], lines[-1]["seconds"], round(success, 4)])
    return points


def gather(sweep: Path, episodes: int) -> dict[str, Any]:
    """What the page is made from."""
    runs = []
    for folder in runs_of(sweep):
        result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
        conditions = json.loads((folder / "conditions.json").read_text(encoding="utf-8"))
        kept = {name: result[name] for name in ("level", "agent", "seed", "frames", "seconds", "command")}
        runs.append(
            kept | {"curve": curve(Run(folder).read_progress()), "evaluations": conditions["evaluations"]},
        )
    return {"episodes": episodes, "machine": machine(), "runs": runs}


@dataclass(frozen=True)
class Table:
    """A generated part of the page."""

    name: str
    text: str

    def put(self, page: str) -> str:
        """The page with this part in place of the former one.

        Raises:
            ValueError: the page has no place for it.
        """
        begin, end = f"<!-- {self.name} -->\n", f"<!-- end of {self.name} -->"
        if begin not in page or end not in page:
            raise ValueError(f"there is no place for {self.name!r}: {begin.strip()} ... {end}")
        before, _, rest = page.partition(begin)
        return f"{before}{begin}\n{self.text}\n\n{end}{rest.partition(end)[2]}"


def tables(results: Mapping[str, Any]) -> list[Table]:
    """For each level: success on what was trained and on what was not, and success when something else is told."""
    made = []
    for level in sorted({run["level"] for run in results["runs"]}):
        for greedy in (True, False):
            mode = "greedy" if greedy else "sampled"
            made.append(Table(f"{level}, {mode}", _splits_table(results, level, greedy)))
            made.append(Table(f"{level}, other texts, {mode}", _texts_table(results, level, greedy)))
    return made


def overview(results: Mapping[str, Any]) -> Table:
    """Success of all agents on all levels, for the README."""
    levels = sorted({run["level"] for run in results["runs"]})
    by_level = {level: _by_agent(results, level) for level in levels}
    rows = []
    for agent in by_level[levels[0]]:
        cells = []
        for level in levels:
            for split in ("Train", "HeldOut"):
                entries = [_evaluation(run, "true", split, False) for run in by_level[level].get(agent, [])]
                cells.append(f"{_mean(entries, 'success'):.3f}" if entries else "-")
        rows.append([f"`{agent}`", *cells])
    return Table(
        "baselines",
        table(["agent", *(f"{level}, {split}" for level in levels for split in ("Train", "HeldOut"))], rows),
    )


def _splits_table(results: Mapping[str, Any], level: str, greedy: bool) -> str:
    header = ["agent", "Train", "HeldOut", "HeldOut, each seed", "gap", "death", "timeout", "finished"]
    rows = []
    for agent, runs in _by_agent(results, level).items():
        train = [_evaluation(run, "true", "Train", greedy) for run in runs]
        held_out = [_evaluation(run, "true", "HeldOut", greedy) for run in runs]
        seeds = ", ".join(f"{each['success']:.3f}" for each in held_out)
        gap = _mean(train, "success") - _mean(held_out, "success")
        figures = [
            *(f"{_mean(train, 'success'):.3f}", f"{_mean(held_out, 'success'):.3f}", seeds, f"{gap:.3f}"),
            *(f"{_mean(held_out, 'death'):.3f}", f"{_mean(held_out, 'timeout'):.3f}", _finished(held_out)),
        ]
        rows.append([f"`{agent}`", *figures])
    return table(header, rows)


def _texts_table(results: Mapping[str, Any], level: str, greedy: bool) -> str:
    rows = []
    for agent, runs in _by_agent(results, level).items():
        cells = []
        for condition in CONDITIONS:
            entries = [_evaluation(run, condition, "HeldOut", greedy) for run in runs]
            cells.append(f"{_mean(entries, 'success'):.3f} / {_finished(entries)}")
        rows.append([f"`{agent}`", *cells])
    names = [name if name in (OTHER_ORDER, SWAPPED) else f"`{name}`" for name in CONDITIONS]
    return table(["agent", *names], rows)


def _by_agent(results: Mapping[str, Any], level: str) -> dict[str, list[Any]]:
    """Runs of a level, the agents with the highest success on held-out rules first."""
    agents: dict[str, list[Any]] = {}
    for run in sorted(results["runs"], key=lambda each: each["seed"]):
        if run["level"] == level:
            agents.setdefault(run["agent"], []).append(run)
    order = sorted(
        agents, key=lambda each: -_mean([_evaluation(run, "true", "HeldOut", True) for run in agents[each]], "success")
    )
    return {agent: agents[agent] for agent in order}


def _evaluation(run: Mapping[str, Any], condition: str, split: str, greedy: bool) -> Mapping[str, Any]:
    wanted = (condition, split, greedy)
    return next(each for each in run["evaluations"] if (each["condition"], each["split"], each["greedy"]) == wanted)


def _mean(entries: Sequence[Mapping[str, Any]], figure: str) -> float:
    return statistics.fmean(each[figure] for each in entries)


def _finished(entries: Sequence[Mapping[str, Any]]) -> str:
    """Success among the episodes of all seeds that did not time out, if these are a tenth at least."""
    timeout = _mean(entries, "timeout")
    return f"{_mean(entries, 'success') / (1 - timeout):.3f}" if timeout <= 0.9 else "-"


def draw_curves(results: Mapping[str, Any], level: str, path: Path) -> None:
    """Write an SVG of success in training, a line a seed."""
    import matplotlib as mpl

    mpl.use("svg")
    import matplotlib.pyplot as plt

    settings: Any = {"svg.hashsalt": "babyaipp", "svg.fonttype": "none", "font.size": 9, "font.family": "sans-serif"}
    with mpl.rc_context(settings):
        figure, axes = plt.subplots(figsize=(6.4, 3.4), layout="constrained")
        colors = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")
        agents = dict(sorted(_by_agent(results, level).items()))
        for color, (agent, runs) in zip(colors, agents.items(), strict=False):
            for number, run in enumerate(runs):
                frames, _, success = zip(*run["curve"], strict=True)
                millions = [each / 1e6 for each in frames]
                axes.plot(millions, success, color=color, lw=1.1, alpha=0.85, label=agent if number == 0 else None)
        axes.set(xlabel="million frames", ylabel="success in training", ylim=(0, 1.02), title=level)
        axes.set_xlim(left=0)
        axes.grid(alpha=0.25)
        axes.legend(frameon=False, ncols=2)
        temporary = path.with_name(f".{path.name}")
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(temporary, format="svg", metadata={"Date": None, "Creator": "benchmarks.baselines"})
        plt.close(figure)
        temporary.replace(path)


def render(results: Mapping[str, Any]) -> None:
    """Write the curves and the generated parts of the page."""
    page = PAGE.read_text(encoding="utf-8")
    for part in tables(results):
        page = part.put(page)
    for level in sorted({run["level"] for run in results["runs"]}):
        draw_curves(results, level, IMAGES / f"curves-{level}.svg")
    write_text(PAGE, page)
    write_text(README, overview(results).put(README.read_text(encoding="utf-8")))


def _evaluate_all(folders: Sequence[Path], config: BaselinesConfig) -> None:
    """Evaluate runs in processes of their own; Ctrl-C lets those that are being evaluated end."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(config.processes, spawn, _begin_process) as pool:
        work = [pool.submit(evaluate_run, folder, config.episodes) for folder in folders]
        try:
            for each in tqdm(as_completed(work), total=len(work), desc="evaluating", unit="run"):
                each.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _begin_process() -> None:
    # There is one bar for all; errors reach the first process.
    sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)


def run_baselines(config: BaselinesConfig) -> int:
    """Evaluate, gather and render; returns the exit status."""
    with usage_errors():
        config.check()
        if config.sweep is None and not RESULTS.exists():
            raise ValueError(f"render=True: there is no {RESULTS}")
    if config.sweep is None:
        results = json.loads(RESULTS.read_text(encoding="utf-8"))
    else:
        _evaluate_all(runs_of(config.sweep), config)
        results = gather(config.sweep, config.episodes)
        write_json(RESULTS, results)
    with usage_errors():
        render(results)
    for part in tables(results):
        print(f"{part.name}\n\n{part.text}\n")
    return 0


if __name__ == "__main__":
    sys.exit(run_command(BaselinesConfig, run_baselines))
