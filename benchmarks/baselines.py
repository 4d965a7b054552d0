"""The tables and curves of docs/baselines.md and docs/findings.md: `python -m benchmarks.baselines runs/baselines`.

Success comes from the entries on the leaderboard, whose episodes are played again (`benchmarks/boards.py`). Of a sweep
come the curves of training, and what its agents do in the conditions of `CONDITIONS`, with the likeliest actions and
with drawn ones; that stands in `conditions.json` of a run folder, so that a call that is cut off goes on where it was.
Then all of the sweep is gathered in `docs/results/<name of its folder>.json`. A page asks for a table by its name,
between `<!-- table: name -->` and `<!-- end of name -->`; `--render` alone makes all of them anew.
"""

from __future__ import annotations

import importlib.util
import json
import multiprocessing
import os
import signal
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import torch
import tyro
from tqdm import tqdm  # type: ignore[import-untyped]

from agents.cli import run_command, usage_errors
from agents.evaluate import evaluate, load_subject
from agents.runs import Run, write_json, write_text
from babyaipp.levels import LEVELS, get_level
from benchmarks import boards
from benchmarks.boards import Scored, load_board
from benchmarks.measurement import machine, table

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "docs" / "results"
PAGES = (ROOT / "docs" / "baselines.md", ROOT / "docs" / "findings.md", ROOT / "README.md")
IMAGES = ROOT / "docs" / "images"
MAIN, FIXED = "baselines", "fixed"
"""Sweeps that tables are named after, or need."""
PAIRS = (
    ("attention_fusion", "film"),
    ("film", "concat_fusion"),
    ("concat_fusion", "image_only"),
    ("attention_fusion", "image_only"),
)
"""What the paper puts in that order."""
SMALL = "PPO, small"
DEADLY_RULES = ("GoToRedBall", "GoToRedBallHard", "GoToLocal")
"""Levels of which some worlds have no deadly floor."""
OTHER_ORDER = "other order"
SWAPPED = "swapped"
FIXED_RULES = "fixed rules"
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
FIXED_CONDITION: dict[str, Any] = {FIXED_RULES: {"splits": ("Fixed", "All")}}
"""Of levels that have rules which never change, beside rules that do."""
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
    """Write tables and curves from docs/results/ and the leaderboard, evaluate nothing."""

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


def conditions_of(level: str, split: str) -> dict[str, dict[str, Any]]:
    """What is played with an agent that was trained on a split of a level."""
    if split == "Fixed":
        return FIXED_CONDITION
    return CONDITIONS | (FIXED_CONDITION if "Fixed" in get_level(level).splits else {})


def evaluate_run(folder: Path, episodes: int) -> None:
    """Write `conditions.json` in a run folder, unless it is there already."""
    file = folder / "conditions.json"
    config = Run(folder).read_config()
    conditions = conditions_of(config["level"], config["split"])
    training = Run(folder).agent_file().stat().st_mtime_ns
    asked = {"episodes": episodes, "agent": training, "conditions": list(conditions)}
    if file.exists() and json.loads(file.read_text(encoding="utf-8"))["asked"] == asked:
        return
    rows = []
    for name, condition in conditions.items():
        order = None
        if name == OTHER_ORDER:
            order = "canonical" if get_level(config["level"]).sentence_order == "shuffled" else "shuffled"
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


Tables = Mapping[str, Callable[[], str]]
"""Name -> what makes it."""


def fill(page: str, tables: Tables) -> str:
    """A page with the tables that it asks for in their places.

    Raises:
        ValueError: it asks for something that is not there, or does not say where it ends.
    """
    filled, rest = "", page
    while True:
        before, begin, after = rest.partition("<!-- table: ")
        filled += before
        if not begin:
            return filled
        name, _, after = after.partition(" -->\n")
        _, end, rest = after.partition(f"<!-- end of {name} -->")
        if not end:
            raise ValueError(f"table {name!r} has no end: <!-- end of {name} -->")
        if name not in tables:
            raise ValueError(f"there is no table {name!r}; allowed: {', '.join(sorted(tables))}")
        filled += f"{begin}{name} -->\n\n{tables[name]()}\n\n{end}"


def tables(sweeps: Mapping[str, Mapping[str, Any]], board: Sequence[Scored]) -> dict[str, Callable[[], str]]:
    """All tables that a page can ask for.

    Args:
        sweeps: what was gathered, by the name of the sweep.
        board: the entries.
    """
    made: dict[str, Callable[[], str]] = {
        "overview": partial(boards.overview_table, board),
        "causes": partial(boards.causes_table, board),
        "order": partial(boards.order_table, board, PAIRS),
        "deadly": partial(boards.deadly_table, board, DEADLY_RULES, SMALL),
    }
    for level in LEVELS:
        made[level] = partial(boards.level_table, board, level)
    if {MAIN, FIXED} <= set(sweeps):
        made[FIXED_RULES] = partial(_fixed_table, sweeps[FIXED], sweeps[MAIN])
    for sweep, results in sweeps.items():
        for level in _levels(results) if sweep != FIXED else ():
            for greedy in (True, False):
                name = f"{sweep}, {level}, {'greedy' if greedy else 'sampled'}"
                made[name] = partial(_splits_table, results, level, greedy)
                made[f"{name}, other texts"] = partial(_texts_table, results, level, greedy)
    return made


def _splits_table(results: Mapping[str, Any], level: str, greedy: bool) -> str:
    header = ["agent", "Train", "HeldOut", "95% interval", "each seed", "gap", "died", "late", "finished"]
    rows = []
    for agent, runs in _by_agent(results, level).items():
        train, held_out = ([_evaluation(run, "true", split, greedy) for run in runs] for split in ("Train", "HeldOut"))
        figures = [
            *(f"{_mean(train, 'success'):.3f}", f"{_mean(held_out, 'success'):.3f}"),
            boards.shown_interval(boards.over_seeds(held_out)),
            ", ".join(f"{each['success']:.3f}" for each in held_out),
            f"{_mean(train, 'success') - _mean(held_out, 'success'):.3f}",
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


def _fixed_table(fixed: Mapping[str, Any], main: Mapping[str, Any]) -> str:
    """Agents that were trained on rules that never change, and on rules that do, on both."""
    rows = []
    for level in _levels(fixed):
        for agent in _runs(fixed, level):
            for split, results in (("Fixed", fixed), ("Train", main)):
                runs = _runs(results, level).get(agent, [])
                on_fixed, on_all = (
                    [_evaluation(run, FIXED_RULES, each, False) for run in runs] for each in ("Fixed", "All")
                )
                apart = _mean(on_fixed, "success") - _mean(on_all, "success")
                cells = [
                    f"{_mean(entries, 'success'):.3f} [{boards.shown_interval(boards.over_seeds(entries))}]"
                    for entries in (on_fixed, on_all)
                ]
                rows.append([level, f"`{agent}`", split, *cells, f"{apart:.3f}"])
    return table(["level", "agent", "trained on", "on Fixed", "on All", "difference"], rows)


def _levels(results: Mapping[str, Any]) -> list[str]:
    """Of a sweep, in the order of the level table."""
    there = {run["level"] for run in results["runs"]}
    return [level for level in LEVELS if level in there]


def _runs(results: Mapping[str, Any], level: str) -> dict[str, list[Any]]:
    """Runs of a level, agent by agent, in the order of names and seeds."""
    agents: dict[str, list[Any]] = {}
    for run in sorted(results["runs"], key=lambda each: (each["agent"], each["seed"])):
        if run["level"] == level:
            agents.setdefault(run["agent"], []).append(run)
    return agents


def _by_agent(results: Mapping[str, Any], level: str) -> dict[str, list[Any]]:
    """Runs of a level, the agents with the highest success on held-out rules first."""
    agents = _runs(results, level)
    order = sorted(
        agents, key=lambda each: -_mean([_evaluation(run, "true", "HeldOut", False) for run in agents[each]], "success")
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
        for color, (agent, runs) in zip(colors, _runs(results, level).items(), strict=False):
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


def read_results() -> dict[str, dict[str, Any]]:
    """What was gathered, by the names of the sweeps."""
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(RESULTS.glob("*.json"))}


def render(sweeps: Mapping[str, Mapping[str, Any]], board: Sequence[Scored]) -> None:
    """Write the curves and the generated parts of the pages.

    Raises:
        ValueError: a page asks for a table that there is not.
    """
    made = tables(sweeps, board)
    pages = {page: fill(page.read_text(encoding="utf-8"), made) for page in PAGES}
    for sweep, results in sweeps.items():
        for level in _levels(results):
            draw_curves(results, level, IMAGES / curves_file(sweep, level))
    for page, text in pages.items():
        write_text(page, text)


def curves_file(sweep: str, level: str) -> str:
    """Name of the picture of the trainings on a level."""
    return f"curves-{level}.svg" if sweep == MAIN else f"curves-{sweep}-{level}.svg"


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
    if config.sweep is not None:
        _evaluate_all(runs_of(config.sweep), config)
        write_json(RESULTS / f"{config.sweep.resolve().name}.json", gather(config.sweep, config.episodes))
    with usage_errors():
        render(read_results(), load_board())
    print(f"written: {', '.join(str(page) for page in PAGES)}")
    return 0


if __name__ == "__main__":
    sys.exit(run_command(BaselinesConfig, run_baselines))
