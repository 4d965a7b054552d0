"""Tables of what stands on the leaderboard, for docs: every figure follows from episodes that are played again here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scipy.stats import ttest_ind

from babyaipp.evaluation.protocol import CONTRADICT, LOREM, TRUE, get_suite
from babyaipp.leaderboard.entry import BOARD, Entry
from babyaipp.leaderboard.verify import find_entries, verify_entry
from babyaipp.statistics import CONFIDENCE, Estimate, mean_interval
from benchmarks.measurement import table

ROOT = Path(__file__).parent.parent / "leaderboards"
_NOT_DEATHS = ("success", "failure", "timeout")
_THREADS = 2


@dataclass(frozen=True)
class Scored:
    """An entry that was found to be sound."""

    entry: Entry
    report: dict[str, Any]

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
        cells = self.cells(level, split, text)
        if len(cells) == 1:
            return Estimate(cells[0]["success"], *cells[0]["interval"])
        return over_seeds([cell["success"] for cell in cells])

    def causes(self, level: str, split: str, text: str = TRUE) -> dict[str, float]:
        """Share of the episodes that ended so, over the training seeds, the most frequent first."""
        counts: dict[str, int] = {}
        for cell in self.cells(level, split, text):
            for cause, count in cell["causes"].items():
                counts[cause] = counts.get(cause, 0) + count
        total = sum(counts.values())
        return {cause: counts[cause] / total for cause in sorted(counts, key=lambda each: (-counts[each], each))}


def load_board(root: Path = ROOT) -> list[Scored]:
    """All entries of a board, played again.

    Raises:
        ValueError: one is refused.
    """
    found = []
    for path in find_entries(root / BOARD):
        verdict = verify_entry(path, num_threads=_THREADS)
        if not verdict.sound or verdict.entry is None or verdict.report is None:
            raise ValueError(f"{path} is refused: {verdict.refusals[0]}")
        found.append(Scored(verdict.entry, verdict.report))
    return found


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


def overview_table(board: Sequence[Scored], levels: Sequence[str]) -> str:
    """Success on Train and HeldOut of all entries, a column a level."""
    rows = []
    for level in levels:
        for each in playing(board, level):
            if each not in rows:
                rows.append(each)
    rows.sort(key=lambda each: (not each.entry.checkpoint_sha256, each.title))
    cells = [
        [
            each.title,
            *(
                " / ".join(f"{each.success(level, split).value:.3f}" for split in ("Train", "HeldOut"))
                if each.has(level)
                else "-"
                for level in levels
            ),
        ]
        for each in rows
    ]
    return table(["entry", *levels], cells)


def causes_table(board: Iterable[Scored], levels: Sequence[str]) -> str:
    """How the episodes on held-out rules ended, for trained agents that fail in some."""
    rows = []
    for level in levels:
        for each in playing(board, level):
            causes = each.causes(level, "HeldOut")
            if each.entry.checkpoint_sha256:
                told = ", ".join(f"{cause} {share:.3f}" for cause, share in causes.items() if cause != "success")
                rows.append([level, each.title, f"{causes.get('success', 0.0):.3f}", told or "-"])
    return table(["level", "entry", "success", "other ends"], rows)


def order_table(board: Sequence[Scored], tags: Sequence[str], pairs: Sequence[tuple[str, str]]) -> str:
    """Differences of success on held-out rules, agent by agent, with Welch's intervals over training seeds.

    Args:
        board: all entries.
        tags: what the names of the entries end with that are compared with one another; "" for none.
        pairs: names of agents: the first minus the second.
    """
    names = {each.entry.name: each for each in board}
    rows = []
    for tag in tags:
        for level in _levels(board):
            cells = []
            for pair in pairs:
                those = [names.get(f"{agent.replace('_', '-')}{tag}") for agent in pair]
                if all(each is not None and each.has(level) for each in those):
                    one, other = (each.rates(level, "HeldOut") for each in those if each is not None)
                    found = difference(one, other)
                    cells.append(f"{found.value:+.3f} [{found.low:+.3f}, {found.high:+.3f}]")
            if len(cells) == len(pairs):
                rows.append([level, "PPO" if tag.startswith("-ppo") else "oracle", *cells])
    return table(["level", "taught by", *(f"{one} - {other}" for one, other in pairs)], rows)


def difference(one: Sequence[float], other: Sequence[float]) -> Estimate:
    """Mean of one minus mean of the other, with Welch's interval, which takes them as independent samples."""
    value = sum(one) / len(one) - sum(other) / len(other)
    if len(set(one)) == len(set(other)) == 1:  # nothing varies
        return Estimate(value, value, value)
    interval = ttest_ind(one, other, equal_var=False).confidence_interval(CONFIDENCE)
    return Estimate(value, float(interval.low), float(interval.high))


def over_seeds(rates: Sequence[float]) -> Estimate:
    """Mean of rates with Student's interval, which is cut off at 0 and 1."""
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
