"""Pages that need nothing but themselves: style, script, charts and films are all in one file, and nothing is fetched.

A policy in each page forbids scripts and styles but its own, by their hashes. Jinja2 escapes all that is put in.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from babyaipp.evaluation import charts
from babyaipp.evaluation.films import reel
from babyaipp.evaluation.protocol import EPISODES, PROTOCOL, Suite, get_suite
from babyaipp.evaluation.records import Records
from babyaipp.evaluation.scores import SCORES
from babyaipp.levels import is_deadly_name
from babyaipp.tiles import PROPERTIES

FAILURES = ("timeout", "failure", *filter(is_deadly_name, PROPERTIES))
"""How an episode can end but by success."""
MEANINGS: Mapping[str, str] = {
    "success": "share of episodes in which the instruction was fulfilled, in the part that ranks",
    "gap": "success on rules met in training, minus success on held-out ones",
    "reading_gain": "success with the true text, minus success with words that mean nothing",
    "trust": "success with the true text, minus success with false rules: what a lie costs",
    "reading_score": "success, counted from the blind planner (0) to the oracle (1)",
}
"""Of each score."""
_HERE = "babyaipp.evaluation"


def environment(*packages: str) -> Environment:
    """Jinja2 with the templates of this package and of others, and with what pages are made of."""
    found = Environment(
        loader=ChoiceLoader([PackageLoader(package) for package in (*packages, _HERE)]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    found.policies["json.dumps_kwargs"] = {"sort_keys": True, "separators": (",", ":"), "allow_nan": False}
    found.filters |= {"score_name": score_name, "number": charts.number, "interval": interval}
    return found


def page_parts(*scripts: tuple[str, str]) -> dict[str, Any]:
    """What the base template asks for: `style`, `script`, and `policy`, which allows these and no others.

    Args:
        scripts: package and file name of each.
    """
    style = _file(_HERE, "page.css")
    script = "".join(_file(package, name) for package, name in scripts)
    policy = ["default-src 'none'", "img-src data:", f"style-src {_hash(style)}", "base-uri 'none'"]
    policy += ["form-action 'none'", f"script-src {_hash(script)}" if script else "script-src 'none'"]
    return {"style": Markup(style), "script": Markup(script), "policy": "; ".join(policy)}


PLAYER = (_HERE, "player.js")
"""Of films."""


def score_name(name: str) -> str:
    """A score's name for people."""
    return {"success": "success", "gap": "generalisation gap"}.get(name, name.replace("_", " "))


def interval(bounds: Sequence[float]) -> str:
    """Both bounds of a score."""
    low, high = bounds
    return f"{charts.number(low)} to {charts.number(high)}"


def scores_chart(report: Mapping[str, Any]) -> Markup:
    """Each score with its interval, and each seed's point."""
    rows = [
        charts.Estimate(score_name(name), charts.Mark(each["iqm"], *each["interval"]), tuple(each["runs"]))
        for name, each in _scores(report).items()
    ]
    return Markup(charts.estimates("scores with 95% intervals, and each training seed", rows))


def success_chart(report: Mapping[str, Any]) -> Markup:
    """Success by level, and by split and text."""
    suite = get_suite(report["suite"])
    groups = [
        charts.Group(level, tuple(_marks(report, level, part) for part in suite.parts)) for level in report["levels"]
    ]
    return Markup(charts.bars("success by level, split and text", [part_name(part) for part in suite.parts], groups))


def differences_chart(report: Mapping[str, Any]) -> Markup | None:
    """Generalisation gap, reading gain and trust by level, means over seeds; None where a suite has none."""
    names = [name for name in ("gap", "reading_gain", "trust") if name in report["scores"]]
    if not names:
        return None
    groups = []
    for level in report["levels"]:
        values = [report["scores"][name]["levels"].get(level) for name in names]
        rows = tuple(() if value is None else (charts.Mark(value),) for value in values)
        groups.append(charts.Group(level, rows))
    return Markup(
        charts.bars("differences of success by level", [score_name(name) for name in names], groups, whole=None)
    )


def failures_chart(report: Mapping[str, Any]) -> Markup:
    """By level, the share of episodes that ended in each way but success, in the part that ranks, over all seeds."""
    suite = get_suite(report["suite"])
    rows = []
    for level in report["levels"]:
        counts = [run["cells"][_cell(level, suite.main)]["causes"] for run in report["runs"]]
        total = len(counts) * report["episodes"]
        rows.append((level, [sum(count.get(cause, 0) for count in counts) / total for cause in FAILURES]))
    chart = charts.shares("share of episodes that failed, by level and cause", FAILURES, rows)
    return Markup(chart + charts.legend(FAILURES))


def part_name(part: tuple[str, str]) -> str:
    """A split and what the text tells, for people."""
    split, text = part
    return f"{split}, {text} text" if text == "true" else f"{split}, {text}"


def score_rows(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The table of scores: name, meaning, and what the report has of each."""
    return [{"name": name, "meaning": MEANINGS[name], **each} for name, each in _scores(report).items()]


def cell_rows(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The table of all cells: level, split, text and seed, and what the report has of each."""
    return [
        dict(zip(("level", "split", "text"), name.split("/"), strict=True)) | {"seed": run["seed"]} | cell
        for run in report["runs"]
        for name, cell in run["cells"].items()
    ]


def learning_chart(learning: Sequence[charts.Curve]) -> Markup | None:
    """Success in training over millions of frames; None without curves."""
    if not learning:
        return None
    longest = max(x for curve in learning for x, _ in curve.points) or 1.0
    chart = charts.curves("learning curves", learning, "million frames", "success in training", longest)
    return Markup(chart + charts.legend([curve.label for curve in learning]))


def report_html(report: Mapping[str, Any], records: Records, learning: Sequence[charts.Curve] = ()) -> str:
    """The page of an evaluation, complete in itself.

    Args:
        report: as `scores.score` gives it, with `agent` and `greedy` of who played.
        records: of the episodes that it tells of.
        learning: curves of the training, over millions of frames.

    Raises:
        RecordError: an episode does not go as the records tell.
    """
    suite: Suite = get_suite(report["suite"])
    return (
        environment()
        .get_template("report.html.jinja")
        .render(
            page_parts(PLAYER),
            report=report,
            suite=suite,
            main=part_name(suite.main),
            whole=report["complete"] and report["episodes"] == EPISODES and report["protocol"] == PROTOCOL,
            **chart_parts(report),
            learning=learning_chart(learning),
            reel=reel(records),
        )
    )


def chart_parts(report: Mapping[str, Any]) -> dict[str, Any]:
    """What the templates of charts and tables ask for."""
    return {
        "scores": scores_chart(report),
        "success": success_chart(report),
        "differences": differences_chart(report),
        "failures": failures_chart(report),
        "score_rows": score_rows(report),
        "cell_rows": cell_rows(report),
    }


def success_rates(report: Mapping[str, Any]) -> list[list[float]]:
    """Success in the part that ranks: a row for each seed, a column for each level."""
    main = get_suite(report["suite"]).main
    return [[run["cells"][_cell(level, main)]["success"] for level in report["levels"]] for run in report["runs"]]


def _marks(report: Mapping[str, Any], level: str, part: tuple[str, str]) -> tuple[charts.Mark, ...]:
    cells: Sequence[Mapping[str, Any]] = [run["cells"][_cell(level, part)] for run in report["runs"]]
    return tuple(charts.Mark(cell["success"], *cell["interval"]) for cell in cells)


def _cell(level: str, part: tuple[str, str]) -> str:
    return "/".join((level, *part))


def _scores(report: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {name: report["scores"][name] for name in SCORES if name in report["scores"]}


def _file(package: str, name: str) -> str:
    return resources.files(package).joinpath("templates", name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
