"""The board: a Markdown table and a static site, made from verified entries.

What entries say of themselves comes from strangers. It is shown as text, whatever it holds: on the site Jinja2 escapes
it and a policy in each page forbids scripts but the page's own; in Markdown every sign that could mean something is
written as its number. The same entries give the same bytes.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from markupsafe import Markup

from babyaipp.evaluation import charts
from babyaipp.evaluation.aggregate import performance_profile_intervals
from babyaipp.evaluation.films import reel
from babyaipp.evaluation.html import (
    MEANINGS,
    PLAYER,
    chart_parts,
    environment,
    interval,
    page_parts,
    part_name,
    score_name,
    success_rates,
)
from babyaipp.evaluation.protocol import PROTOCOL, RANKED_SEEDS, SUITES, Suite, get_suite, track_of
from babyaipp.evaluation.records import Records
from babyaipp.evaluation.scores import SCORES
from babyaipp.files import write_whole

BADGES: Mapping[str, str] = {
    "replayed": "every episode was played again from its actions, and every score recomputed",
    "reproduced": "the maintainers ran the agent on new seeds and found what is claimed",
}
"""What each badge says."""

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")
_SAFE_IN_MARKDOWN = frozenset(" ,-()/+%")
_LONGEST_IN_TABLE = 120
_LONGEST_LINK = 500
_MISSING = "\N{EN DASH}"
_PROFILE_STEPS = 50
_BOOTSTRAP_SEED = 0
_TOP_SCORES = ("gap", "reading_gain", "reading_score")
_MARKER = '<meta name="generator" content="babyaipp">'

_FACTS: tuple[tuple[str, str], ...] = (
    ("authors", "authors"),
    ("date", "date"),
    ("paper", "paper"),
    ("code", "code"),
    ("commit", "commit"),
    ("agent", "agent"),
    ("parameters", "parameters"),
    ("frames", "frames of training"),
    ("training_seeds", "training seeds"),
    ("hardware", "hardware"),
    ("greedy", "likeliest actions"),
)
_SHOWN_ELSEWHERE = (
    *("title", "name", "suite", "levels", "augmentation", "privileged"),
    *("summary", "protocol", "format_version"),  # the recomputed report stands for these
)
_LINKS = ("paper", "code")


@dataclass(frozen=True)
class Shown:
    """An entry, as the board shows it.

    Attributes:
        name: of its folder: small letters, digits and ".", "_", "-".
        info: what it says of itself; any text.
        report: its scores, recomputed: `babyaipp.evaluation.scores.score`.
        records: its episodes, replayed.
        ranked: whether it takes part in the ranking.
        badges: some of `BADGES`.
    """

    name: str
    info: Mapping[str, Any]
    report: Mapping[str, Any]
    records: Records
    ranked: bool
    badges: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Raise ValueError for a name or a badge that is not allowed."""
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"name={self.name!r} must be 1 to 100 of a-z, 0-9, '.', '_', '-', and begin with a-z, 0-9")
        unknown = [badge for badge in self.badges if badge not in BADGES]
        if unknown:
            raise ValueError(f"badges: {unknown[0]!r} is unknown; allowed: {', '.join(BADGES)}")

    @property
    def title(self) -> str:
        """What it calls itself; else its name."""
        return plain(self.info.get("title") or self.name) or self.name

    @property
    def authors(self) -> str:
        """Whose it is; empty if it does not say."""
        return plain(self.info.get("authors"))

    @property
    def suite(self) -> str:
        """Name of its suite."""
        return str(self.report["suite"])

    @property
    def success(self) -> float:
        """What ranks."""
        return float(self.report["scores"]["success"]["iqm"])

    @property
    def standing(self) -> tuple[float, float]:
        """What ranks, and what breaks ties: the mean, in which every level and run counts."""
        return self.success, float(self.report["scores"]["success"]["mean"])

    @property
    def incomplete(self) -> str:
        """Says so, if levels of the suite are missing."""
        some, all_levels = len(self.report["levels"]), len(get_suite(self.suite).levels)
        return "" if some == all_levels else f"{some} of {all_levels} levels"


@dataclass(frozen=True)
class Row:
    """A row of a suite's table."""

    entry: Shown
    rank: int | None
    """From 1 on; those of the same success share one."""

    def score(self, name: str) -> Mapping[str, Any] | None:
        """What the report has of a score."""
        found: Mapping[str, Any] | None = self.entry.report["scores"].get(name)
        return found

    @property
    def seeds(self) -> int:
        """How many agents were trained."""
        return len(self.entry.report["runs"])

    @property
    def frames(self) -> int | None:
        """Of training, if the entry says a number."""
        frames = self.entry.info.get("frames")
        return frames if isinstance(frames, int) and not isinstance(frames, bool) else None

    @property
    def track(self) -> str:
        """Of training budget; nothing if the entry says no number."""
        return _MISSING if self.frames is None else track_of(self.frames)


def ranking(entries: Sequence[Shown]) -> list[tuple[Suite, list[Row]]]:
    """The table of each suite that has entries: ranked ones by success, then the others.

    Raises:
        ValueError: two entries of one name, or an unknown suite.
    """
    names = [entry.name for entry in entries]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"entries: {twice[0]!r} is there more than once; each name is one entry's")
    tables: dict[str, list[Shown]] = {name: [] for name in SUITES}
    for entry in sorted(entries, key=lambda entry: (not entry.ranked, *(-x for x in entry.standing), entry.name)):
        tables[get_suite(entry.suite).name].append(entry)
    return [
        (
            SUITES[suite],
            [
                Row(entry, 1 + sum(o.standing > entry.standing for o in group if o.ranked) if entry.ranked else None)
                for entry in group
            ],
        )
        for suite, group in tables.items()
        if group
    ]


def markdown(entries: Sequence[Shown]) -> str:
    """The tables as Markdown, a heading for each suite.

    Raises:
        ValueError: as `ranking`.
    """
    lines = []
    for suite, rows in ranking(entries):
        header = ["rank", "entry", "success (IQM)", "95% interval", *map(score_name, SCORES[1:])]
        header += ["seeds", "frames", "track", "checked"]
        lines += [f"## {suite.name}", "", f"Ranked by success on {part_name(suite.main)}: {suite.about}.", ""]
        lines += [_line(header), _line(["---"] * len(header))]
        for row in rows:
            cells = [_MISSING if row.rank is None else str(row.rank), _markdown_link(row.entry)]
            bounds = row.entry.report["scores"]["success"]["interval"]
            cells += [charts.number(row.entry.success), interval(bounds) if row.seeds > 1 else _MISSING]
            for name in SCORES[1:]:
                score = row.score(name)
                cells.append(_MISSING if score is None else charts.number(score["iqm"]))
            cells += [str(row.seeds), _MISSING if row.frames is None else f"{row.frames:,}", row.track]
            cells.append(", ".join(row.entry.badges) or _MISSING)
            lines.append(_line(cells))
        lines.append("")
        if any(row.rank is None for row in rows):
            lines += ["Entries without a rank are shown for comparison.", ""]
    return "\n".join(lines)


def top(entries: Sequence[Shown], most: int = 10) -> str:
    """The best ranked entries of each suite, in short.

    Args:
        entries: all of the board.
        most: so many of a suite.

    Raises:
        ValueError: as `ranking`.
    """
    header = ["suite", "rank", "entry", "success", "95% interval", *map(score_name, _TOP_SCORES)]
    lines = [_line(header), _line(["---"] * len(header))]
    for suite, rows in ranking(entries):
        for row in [row for row in rows if row.rank is not None][:most]:
            cells = [suite.name, str(row.rank), escaped(row.entry.title), charts.number(row.entry.success)]
            cells.append(interval(row.entry.report["scores"]["success"]["interval"]))
            found = map(row.score, _TOP_SCORES)
            lines.append(_line([*cells, *(_MISSING if each is None else charts.number(each["iqm"]) for each in found)]))
    return "\n".join(lines) + "\n"


def pages(entries: Sequence[Shown]) -> dict[str, str]:
    """The site: names of files, relative to its folder, and what they hold.

    Raises:
        ValueError: as `ranking`.
        RecordError: an episode that is to be shown does not go as its records tell.
    """
    jinja = environment("babyaipp.leaderboard")
    jinja.filters.update(plain=plain, link=link)
    tables = ranking(entries)
    told = {"missing": _MISSING, "badges": BADGES, "protocol": PROTOCOL}
    index = jinja.get_template("index.html.jinja").render(
        page_parts(("babyaipp.leaderboard", "table.js")),
        tables=[(suite, part_name(suite.main), rows) for suite, rows in tables],
        scores=SCORES,
        meanings=MEANINGS,
        ranked_seeds=RANKED_SEEDS,
        **told,
    )
    found = {"index.html": index}
    for suite, rows in tables:
        for row in rows:
            report = row.entry.report
            found[f"entries/{row.entry.name}.html"] = jinja.get_template("entry.html.jinja").render(
                page_parts(PLAYER),
                row=row,
                entry=row.entry,
                report=report,
                suite=suite,
                main=part_name(suite.main),
                declared=[(title, plain(row.entry.info.get(key))) for key, title in _DECLARED],
                facts=_facts(row.entry.info),
                ranked=sum(each.rank is not None for each in rows),
                profile=profile_chart(row.entry, [each.entry for each in rows]),
                reel=reel(row.entry.records),
                **chart_parts(report),
                **told,
            )
    return found


_DECLARED = (("privileged", "Privileged information"), ("augmentation", "Augmentation of data"))


def build(entries: Sequence[Shown], out: Path) -> tuple[Path, ...]:
    """Write the site; pages of entries that are no more are removed.

    Args:
        entries: all that are shown.
        out: its folder, made if there is none.

    Returns:
        The files.

    Raises:
        ValueError, RecordError: as `pages`, or there are links in the folder; nothing has been written then.
        OSError: a file cannot be written.
    """
    written = []
    found = pages(entries)
    for path in (out, *out.rglob("*")):
        if path.is_symlink():
            raise ValueError(f"{path} is a link: what it leads to would be written over")
    for name, text in found.items():
        path = out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, text.encode())
        written.append(path)
    for path in sorted((out / "entries").glob("*.html")):
        if path not in written and _MARKER in path.read_text(encoding="utf-8", errors="replace"):
            path.unlink()
    return tuple(written)


def profile_chart(entry: Shown, others: Sequence[Shown]) -> Markup:
    """Performance profiles of an entry and of the best others that played the same levels.

    For each success rate, the share of runs (a training seed on a level) that reach more; the band is the 95% interval.
    """
    thresholds = np.linspace(0, 1, _PROFILE_STEPS + 1)
    same = [other for other in others if other.name != entry.name and other.report["levels"] == entry.report["levels"]]
    lines = []
    for each in (entry, *same[: charts.COLORS - 1]):
        rates = np.array(success_rates(each.report))
        found = performance_profile_intervals(rates, thresholds, seed=_BOOTSTRAP_SEED)
        points = tuple((float(x), estimate.value) for x, estimate in zip(thresholds, found, strict=True))
        band = tuple((float(x), estimate.low, estimate.high) for x, estimate in zip(thresholds, found, strict=True))
        lines.append(charts.Curve(each.title, points, band if each is entry else ()))
    chart = charts.curves("performance profiles", lines, "success rate", "share of runs above")
    return Markup(chart + charts.legend([_short(line.label) for line in lines]))


def plain(value: Any) -> str:
    """Anything that an entry says, as one line of text, without signs that control how others are shown."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (int, float)):
        return f"{value:,}"
    if isinstance(value, Mapping):
        return "; ".join(f"{plain(key)}: {plain(each)}" for key, each in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(str(each) if type(each) is int else plain(each) for each in value)
    text = "".join(char if char.isprintable() else " " for char in unicodedata.normalize("NFC", str(value)))
    return " ".join(text.split())


def link(value: Any) -> str | Markup:
    """A link, if it is the address of a page on the web; else the text."""
    text = plain(value)
    if not (isinstance(value, str) and text == value and " " not in text and len(text) <= _LONGEST_LINK):
        return text
    try:
        parts = urlsplit(text)
        sound = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.username is None
    except ValueError:
        sound = False
    if not sound:
        return text
    return Markup('<a href="{}" rel="noopener nofollow">{}</a>').format(text, text)


def escaped(value: Any) -> str:
    """Anything, as text in a cell of a Markdown table: signs that could mean something are written as their numbers."""
    signs = (
        char if char.isalnum() or char in _SAFE_IN_MARKDOWN or ord(char) > 127 else f"&#{ord(char)};"
        for char in _short(plain(value))
    )
    return "".join(signs) or _MISSING


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST_IN_TABLE else text[: _LONGEST_IN_TABLE - 1] + "\N{HORIZONTAL ELLIPSIS}"


def _markdown_link(entry: Shown) -> str:
    also = f" ({entry.incomplete})" if entry.incomplete else ""
    return f"[{escaped(entry.title)}](v1/{entry.name}/){also}"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _facts(info: Mapping[str, Any]) -> list[tuple[str, str | Markup]]:
    """All that an entry says of itself and that is not shown elsewhere: names and values."""
    named = dict(_FACTS)
    keys = [*named, *sorted(str(key) for key in info if key not in named and key not in _SHOWN_ELSEWHERE)]
    found = ((key, link(info.get(key)) if key in _LINKS else plain(info.get(key))) for key in keys)
    return [(named.get(key, plain(key.replace("_", " "))), value) for key, value in found if value]
