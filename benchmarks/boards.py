"""Tables of what stands on the leaderboard, for docs: every figure follows from episodes that are played again here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import ttest_ind

from babyaipp import make_vec
from babyaipp.engine.state import CAUSES, SUCCESS
from babyaipp.evaluation.protocol import CONTRADICT, LOREM, TRUE, Cell, get_suite
from babyaipp.evaluation.records import Records, episode_seeds
from babyaipp.leaderboard.entry import BOARD, ENTRY_FILE, Entry, parse_entry
from babyaipp.leaderboard.verify import find_entries, verify_entry
from babyaipp.statistics import CONFIDENCE, Estimate, mean_interval
from babyaipp.tiles import TILES
from benchmarks.entries import AUTHORS
from benchmarks.measurement import table

ROOT = Path(__file__).parent.parent / "leaderboards"
_NOT_DEATHS = ("success", "failure", "timeout")
_DEADLY = [number for number, tile in enumerate(TILES) if tile.hazard == "deadly"]
_THREADS = 2


@dataclass(frozen=True)
class Scored:
    """An entry that was found to be sound."""

    entry: Entry
    report: dict[str, Any]
    records: Records

    @property
    def how(self) -> str:
        """How it was trained, as its title tells: "PPO, small"; "" if it was not."""
        return self.title.partition(" (")[2].rstrip(")") if self.entry.checkpoint_sha256 else ""

    @property
    def title(self) -> str:
        """For people."""
        return self.entry.title

    def has(self, level: str) -> bool:
        """Whether it plays a level with the true text on Train and on HeldOut."""
        return self.entry.suite in ("reading", "classic") and level in self.report["levels"]

    def cells(self, level: str, split: str, text: str = TRUE) -> list[dict[str, Any]]:
        """What each training seed did there."""
        return [run["cells"][f"{level}/{split}/{text}"] for run in self.report["runs"]]

    def rates(self, level: str, split: str, text: str = TRUE) -> list[float]:
        """Success of each training seed."""
        return [cell["success"] for cell in self.cells(level, split, text)]

    def success(self, level: str, split: str, text: str = TRUE) -> Estimate:
        """Success over the training seeds; of one, over its episodes."""
        return over_seeds(self.cells(level, split, text))

    def causes(self, level: str, split: str, text: str = TRUE) -> dict[str, float]:
        """Share of the episodes that ended so, over the training seeds, the most frequent first."""
        counts: dict[str, int] = {}
        for cell in self.cells(level, split, text):
            for cause, count in cell["causes"].items():
                counts[cause] = counts.get(cause, 0) + count
        total = sum(counts.values())
        return {cause: counts[cause] / total for cause in sorted(counts, key=lambda each: (-counts[each], each))}


def entries_of(authors: str = AUTHORS, root: Path = ROOT) -> tuple[Path, ...]:
    """The folders of these authors' entries on a board: docs tell of no others."""
    return tuple(
        path
        for path in find_entries(root / BOARD)
        if parse_entry((path / ENTRY_FILE).read_bytes()).authors == (authors,)
    )


def load_board() -> list[Scored]:
    """This repository's own entries, played again.

    Raises:
        ValueError: one is refused.
    """
    return [load_entry(path) for path in entries_of()]


def load_entry(path: Path) -> Scored:
    """An entry, played again.

    Raises:
        ValueError: it is refused.
    """
    verdict = verify_entry(path, num_threads=_THREADS)
    if not verdict.sound or verdict.entry is None or verdict.report is None or verdict.records is None:
        raise ValueError(f"{path} is refused: {verdict.refusals[0]}")
    return Scored(verdict.entry, verdict.report, verdict.records)


def playing(board: Iterable[Scored], level: str) -> list[Scored]:
    """The entries that have a level: trained ones before others, then by success on HeldOut."""
    return sorted(
        (each for each in board if each.has(level)),
        key=lambda each: (not each.entry.checkpoint_sha256, -each.success(level, "HeldOut").value, each.entry.name),
    )


def level_table(board: Iterable[Scored], level: str) -> str:
    """Success on a level, and what it comes to with other texts."""
    header = [
        "entry",
        "Train",
        "HeldOut",
        "95% interval",
        "each seed",
        "gap",
        "`lorem`",
        "`contradict`",
        "died",
        "late",
    ]
    rows = []
    for each in playing(board, level):
        held_out, train = each.success(level, "HeldOut"), each.success(level, "Train")
        causes = each.causes(level, "HeldOut")
        seeds = each.rates(level, "HeldOut")
        figures = [
            *(f"{train.value:.3f}", f"{held_out.value:.3f}", shown_interval(held_out)),
            ", ".join(f"{rate:.3f}" for rate in seeds) if len(seeds) > 1 else "-",
            f"{train.value - held_out.value:.3f}",
            *(f"{each.success(level, 'HeldOut', text).value:.3f}" for text in (LOREM, CONTRADICT)),
            f"{deaths(causes):.3f}",
            f"{causes.get('timeout', 0.0):.3f}",
        ]
        rows.append([each.title, *figures])
    return table(header, rows)


def overview_table(board: Sequence[Scored]) -> str:
    """Success on Train and HeldOut of all entries, a column a level that some trained one has, a row a title."""
    trained = [each for each in board if each.how]
    levels = [level for level in _levels(trained) if any(each.has(level) for each in trained)]
    titles = sorted({(not each.how, each.title) for each in board})
    rows = []
    for _, title in titles:
        cells = []
        for level in levels:
            there = [each for each in board if each.title == title and each.has(level)]
            cells.append(
                " / ".join(f"{there[0].success(level, split).value:.3f}" for split in ("Train", "HeldOut"))
                if there
                else "-"
            )
        rows.append([title, *cells])
    return table(["entry", *levels], rows)


def causes_table(board: Sequence[Scored]) -> str:
    """How the episodes on held-out rules ended, for trained agents."""
    rows = []
    for level in _levels(board):
        for each in playing(board, level):
            causes = each.causes(level, "HeldOut")
            if each.how:
                told = ", ".join(f"{cause} {share:.3f}" for cause, share in causes.items() if cause != "success")
                rows.append([level, each.title, f"{causes.get('success', 0.0):.3f}", told or "-"])
    return table(["level", "entry", "success", "other ends"], rows)


def deadly_table(board: Sequence[Scored], levels: Sequence[str], how: str) -> str:
    """Success and deaths in worlds whose rules have a deadly floor; their share differs from split to split.

    Args:
        board: the entries.
        levels: to tell of.
        how: entries that were trained so.
    """
    header = ["level", "entry", "such worlds, Train", "HeldOut", "success, Train", "HeldOut", "died, Train", "HeldOut"]
    rows = []
    for level in levels:
        for each in (each for each in playing(board, level) if each.how == how):
            found = [_in_deadly_worlds(each, level, split) for split in ("Train", "HeldOut")]
            rows.append([level, each.title, *(f"{split[number]:.3f}" for number in range(3) for split in found)])
    return table(header, rows)


def _in_deadly_worlds(scored: Scored, level: str, split: str) -> tuple[float, float, float]:
    """Share of the worlds that have such rules; success and deaths in these, over all training seeds."""
    number = scored.records.cells.index(Cell(level, split))
    cause = scored.records.cause[:, number]
    such = _deadly_worlds(level, split, cause.shape[1])
    ends = cause[:, such]
    alive = np.isin(ends, [CAUSES.index(name) for name in _NOT_DEATHS])
    return float(such.mean()), float((ends == SUCCESS).mean()), float(1 - alive.mean())


@cache
def _deadly_worlds(level: str, split: str, episodes: int) -> np.ndarray:
    """(episodes,) bool: whether the rules of the protocol's worlds have a deadly floor."""
    envs = make_vec(level, split, num_envs=episodes)
    try:
        _, infos = envs.reset(seed=episode_seeds(episodes).tolist())
        deadly: np.ndarray = np.isin(infos["rules"], _DEADLY)
        return deadly.max(1)
    finally:
        envs.close()


def order_table(board: Sequence[Scored], pairs: Sequence[tuple[str, str]]) -> str:
    """Differences of success on held-out rules, agent by agent, with Welch's intervals over training seeds.

    Args:
        board: the entries; those that were trained alike are compared.
        pairs: names of agents: the first minus the second.
    """
    rows = []
    for how in sorted({each.how for each in board if each.how}, reverse=True):
        for level in _levels(board):
            agents = {each.entry.agent: each for each in board if each.how == how and each.has(level)}
            cells = []
            for pair in pairs:
                those = [agents.get(f"agents.{agent}:load") for agent in pair]
                if all(each is not None and len(each.report["runs"]) > 1 for each in those):
                    one, other = (each.rates(level, "HeldOut") for each in those if each is not None)
                    found = difference(one, other)
                    cells.append(f"{found.value:+.3f} [{found.low:+.3f}, {found.high:+.3f}]")
            if len(cells) == len(pairs):
                rows.append([level, how, *cells])
    return table(["level", "trained by", *(f"{one} - {other}" for one, other in pairs)], rows)


def difference(one: Sequence[float], other: Sequence[float]) -> Estimate:
    """Mean of one minus mean of the other, with Welch's interval, which takes them as independent samples."""
    value = sum(one) / len(one) - sum(other) / len(other)
    if len(set(one)) == len(set(other)) == 1:  # nothing varies
        return Estimate(value, value, value)
    interval = ttest_ind(one, other, equal_var=False).confidence_interval(CONFIDENCE)
    return Estimate(value, float(interval.low), float(interval.high))


def over_seeds(evaluations: Sequence[Mapping[str, Any]]) -> Estimate:
    """Mean success with Student's interval over training seeds, cut off at 0 and 1.

    Of one seed, and where seeds do not differ at all, the interval is Wilson's, over the episodes of one.

    Args:
        evaluations: `success` and its `interval`, one a seed.
    """
    rates = [each["success"] for each in evaluations]
    if len(set(rates)) == 1:
        return Estimate(rates[0], *evaluations[0]["interval"])
    found = mean_interval(rates)
    return Estimate(found.value, max(found.low, 0.0), min(found.high, 1.0))


def deaths(causes: dict[str, float]) -> float:
    """Share of the episodes that a deadly floor ended."""
    return sum(share for cause, share in causes.items() if cause not in _NOT_DEATHS)


def shown_interval(estimate: Estimate) -> str:
    """Such as "0.123 to 0.456"."""
    return f"{estimate.low:.3f} to {estimate.high:.3f}"


def _levels(board: Iterable[Scored]) -> list[str]:
    """Of the suites `reading` and `classic`, those that some entry has."""
    there = {level for each in board for level in each.report["levels"]}
    return [level for suite in ("reading", "classic") for level in get_suite(suite).levels if level in there]
