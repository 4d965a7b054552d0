"""Evaluates an agent by the protocol, from its name to a folder with its episodes and what came of them.

The folder gets `episodes.npz` (see `records.py`), `report.json` (see `scores.py`; besides who played), `report.md` and
`report.html` (see `html.py`).
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from babyaipp.evaluation.agents import BLIND, ORACLE, Agent, check_agent, load_agent
from babyaipp.evaluation.anchors import load_anchors
from babyaipp.evaluation.charts import number
from babyaipp.evaluation.html import report_html
from babyaipp.evaluation.learning import read_curves
from babyaipp.evaluation.protocol import EPISODES, PROTOCOL, Cell, Suite, check_training_seed, get_suite
from babyaipp.evaluation.records import MOST_RUNS, save_records
from babyaipp.evaluation.replay import replay
from babyaipp.evaluation.run import Played, evaluate
from babyaipp.evaluation.scores import SCORES, Results, score
from babyaipp.files import write_whole

EPISODES_FILE, REPORT_FILE, TEXT_FILE, PAGE_FILE = "episodes.npz", "report.json", "report.md", "report.html"
_UNFINISHED = "unfinished"
PARAMETER_SUFFIXES = (
    ".safetensors",
    ".pt",
    ".pth",
    ".ckpt",
    ".zip",
    ".npz",
    ".bin",
    ".onnx",
    ".pkl",
    ".msgpack",
    ".h5",
)
"""Of files that usually hold an agent's parameters."""


@dataclass(frozen=True)
class Evaluation:
    """What is to be evaluated.

    Attributes:
        agent: "random", "oracle", "blind", or "module:callable".
        suite: name of a suite.
        levels: of the suite; None: all.
        checkpoint: given to the callable.
        seeds: training seeds, a run each.
        greedy: whether the agent is asked for its likeliest actions.
        episodes: of a cell; another number than the protocol's is for trying things out.
    """

    agent: str
    suite: str = "reading"
    levels: tuple[str, ...] | None = None
    checkpoint: str | None = None
    seeds: tuple[int, ...] = (0,)
    greedy: bool = True
    episodes: int = EPISODES

    def check(self) -> tuple[Suite, tuple[Cell, ...]]:
        """The suite and the cells that are played.

        Raises:
            ValueError: a value that is not allowed; names it.
        """
        suite = get_suite(self.suite)
        cells = suite.cells(self.levels)
        if not cells:
            raise ValueError(f"levels must name some of {', '.join(suite.levels)}")
        if not 1 <= len(self.seeds) <= MOST_RUNS or len(set(self.seeds)) != len(self.seeds):
            raise ValueError(f"seeds={list(self.seeds)} must be 1 to {MOST_RUNS} different training seeds")
        for seed in self.seeds:
            check_training_seed(seed)
        if not 1 <= self.episodes <= EPISODES:
            raise ValueError(f"episodes={self.episodes} must be 1 to {EPISODES}")
        return suite, cells

    def told(self) -> dict[str, Any]:
        """Who plays, as reports say it."""
        return {"agent": self.agent, "checkpoint": self.checkpoint, "greedy": self.greedy}


def run_evaluation(
    asked: Evaluation,
    out: Path,
    *,
    num_threads: int = 1,
    overwrite: bool = False,
    curves: Sequence[Path] = (),
    on_cell: Callable[[int, Cell, Played | None], Any] = lambda run, cell, played: None,
) -> dict[str, Any]:
    """Play all that is asked for, or go on where that was cut off, and write the folder.

    Args:
        asked: what to play.
        out: the folder.
        num_threads: of the engine; the result does not depend on it.
        overwrite: write over a report that is there.
        curves: files with learning curves for the page, see `learning.py`.
        on_cell: told of each run and cell, before it is played (None) and with what came of it.

    Returns:
        The report.

    Raises:
        ValueError: a value that is not allowed, an agent that cannot be loaded, or `out` holds another evaluation.
        OSError: something cannot be written.
    """
    suite, cells = asked.check()
    if (out / REPORT_FILE).exists() and not overwrite:
        raise ValueError(f"{out} holds a report already; overwrite it, or choose another folder")
    learning = read_curves(curves)
    planner = asked.agent if asked.agent in (ORACLE, BLIND) else None
    loader = None if planner else load_agent(asked.agent)

    def make_agent(level: str, seed: int) -> Agent:
        assert loader is not None
        return loader(asked.checkpoint, suite=suite.name, level=level, seed=seed, greedy=asked.greedy)

    if loader is not None:
        for seed in asked.seeds:  # so that nothing is played in vain
            for level in dict.fromkeys(cell.level for cell in cells):
                check_agent(make_agent(level, seed), asked.agent)
    unfinished = out / _UNFINISHED
    records = evaluate(
        make_agent,
        planner,
        suite,
        cells,
        asked.seeds,
        unfinished,
        asked.told() | {"suite": suite.name, "checkpoint_contents": fingerprint(asked.checkpoint)},
        episodes=asked.episodes,
        num_threads=num_threads,
        on_cell=on_cell,
    )
    returns = replay(records, num_threads)  # what anyone who verifies will do
    report = asked.told() | score(Results(records, returns), load_anchors())
    save_records(out / EPISODES_FILE, records)
    write_whole(out / TEXT_FILE, markdown(report).encode())
    write_whole(out / PAGE_FILE, report_html(report, records, learning).encode())
    write_whole(out / REPORT_FILE, (json.dumps(report, indent=1) + "\n").encode())
    shutil.rmtree(unfinished)
    return report


def fingerprint(checkpoint: str | None) -> str | None:
    """Tells one checkpoint from another of the same name; None without one.

    Of a file its contents; of a folder the names, sizes and times of the files below that hold parameters, by their
    suffix, or of all, if there are none.
    """
    if checkpoint is None or not Path(checkpoint).exists():
        return None
    path = Path(checkpoint)
    if path.is_file():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    files = sorted(file for file in path.rglob("*") if file.is_file())
    files = [file for file in files if file.suffix in PARAMETER_SUFFIXES] or files
    told = [(str(file.relative_to(path)), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()


def markdown(report: Mapping[str, Any]) -> str:
    """The report for people, as Markdown."""
    runs = report["runs"]
    mode = "likeliest actions" if report["greedy"] else "drawn actions"
    lines = [
        f"# {report['agent']}: {report['suite']}",
        "",
        f"Protocol {report['protocol']}, {report['episodes']} episodes a cell, {len(runs)} training "
        f"{'seed' if len(runs) == 1 else 'seeds'} ({', '.join(str(run['seed']) for run in runs)}), {mode}.",
        "",
    ]
    if report["protocol"] != PROTOCOL or not report["complete"] or report["episodes"] != EPISODES:
        lines += ["Not the whole suite: this is no result of the protocol.", ""]
    rows: list[tuple[str, ...]] = [("score", "IQM", "95% interval", "each seed", "each level")]
    for name in SCORES:
        if name in report["scores"]:
            each = report["scores"][name]
            low, high = each["interval"]
            rows.append(
                (
                    *(name.replace("_", " "), number(each["iqm"]), f"{number(low)} to {number(high)}"),
                    ", ".join(map(number, each["runs"])),
                    ", ".join(f"{level} {number(value)}" for level, value in each["levels"].items()),
                )
            )
    lines += [*_table(rows), ""]
    header = ("level", "split", "text", "success", "95% interval", "return", "steps / oracle's", "causes of failure")
    for run in runs:
        lines += [f"## Seed {run['seed']}", ""]
        rows = [header]
        for name, cell in run["cells"].items():
            low, high = cell["interval"]
            relative = "-" if cell["relative_steps"] is None else f"{cell['relative_steps']:.2f}"
            causes = ", ".join(f"{cause} {count}" for cause, count in cell["causes"].items() if cause != "success")
            numbers = (f"{cell['success']:.3f}", f"{low:.3f} to {high:.3f}", f"{cell['return']:.3f}", relative)
            rows.append((*name.split("/"), *numbers, causes or "-"))
        lines += [*_table(rows), ""]
    return "\n".join(lines)


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in (rows[0], ["---"] * len(rows[0]), *rows[1:])]
