"""The maintainers' tier: lets an entry's agent play in worlds that nobody has seen, and compares with what it claims.

Replaying shows that an entry's episodes are real, but not that an agent plays like that: actions can also be searched
for. From seeds that are drawn anew each time, they cannot.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from babyaipp.engine.state import SUCCESS
from babyaipp.evaluation.agents import BLIND, ORACLE, load_agent
from babyaipp.evaluation.aggregate import two_proportion_test
from babyaipp.evaluation.protocol import FRESH_SEEDS, Cell
from babyaipp.evaluation.records import Records
from babyaipp.evaluation.run import play_cell, play_cell_by_planner
from babyaipp.leaderboard.entry import ENTRY_FILE, Entry, EntryError
from babyaipp.leaderboard.verify import sha256_of
from babyaipp.planners.rollout import MAX_SEED

SIGNIFICANCE = 0.01
"""An agent that plays as claimed is found not to, on any level, with a probability of at most this."""


@dataclass(frozen=True)
class Compared:
    """A level's claimed successes, and those in fresh worlds, of all runs together."""

    level: str
    successes: int
    episodes: int
    fresh_successes: int
    fresh_episodes: int

    @property
    def claimed(self) -> float:
        """Claimed success."""
        return self.successes / self.episodes

    @property
    def fresh(self) -> float:
        """Success in fresh worlds."""
        return self.fresh_successes / self.fresh_episodes

    @property
    def p(self) -> float:
        """Of Fisher's exact test that the two are the same."""
        return two_proportion_test(self.successes, self.episodes, self.fresh_successes, self.fresh_episodes)


def fresh_seeds(count: int) -> list[int]:
    """So many different environment seeds that nobody can know before."""
    drawn: dict[int, None] = {}
    while len(drawn) < count:
        drawn[FRESH_SEEDS + secrets.randbelow(MAX_SEED - FRESH_SEEDS + 1)] = None
    return list(drawn)


def check_checkpoint(entry: Entry, path: Path | None) -> None:
    """Raise EntryError unless a checkpoint, a file or a folder of them, is the one that the entry names.

    Raises:
        EntryError: files that the entry names are not there, or are others; names them.
        OSError: they cannot be read.
    """
    if path is None or not entry.checkpoint_sha256:
        if path is None and not entry.checkpoint_sha256:
            return
        needs = "names checkpoints, but none is given" if path is None else "names no checkpoint, but one is given"
        raise EntryError(f"{ENTRY_FILE}: checkpoint_sha256 {needs}")
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    found = []
    for name, digest in entry.checkpoint_sha256.items():
        same = [file for file in files if file.name == name]
        if not same:
            found.append(f"{ENTRY_FILE}: checkpoint_sha256.{name}: there is no such file in {path}")
        found += [
            f"{ENTRY_FILE}: checkpoint_sha256.{name}: {file} is another one"
            for file in same
            if sha256_of(file) != digest
        ]
    if found:
        raise EntryError(*found)


def play_fresh(
    entry: Entry,
    records: Records,
    agent: str,
    checkpoint: Path | None,
    count: int,
    *,
    num_threads: int = 1,
    draw: Callable[[int], Sequence[int]] = fresh_seeds,
    on_episodes: Callable[[int], Any] = int,
) -> tuple[Compared, ...]:
    """Let an agent play fresh episodes of the suite's main part.

    Args:
        entry: which claims.
        records: its episodes, verified.
        agent: "random", "oracle", "blind", or "module:callable".
        checkpoint: given to the callable.
        count: of episodes, of each level and run.
        num_threads: of the engine.
        draw: gives environment seeds, so many different ones.
        on_episodes: told how many episodes have been played, now and then.

    Returns:
        The levels, in the suite's order.

    Raises:
        ValueError: `count` is below 1, or an agent that cannot be loaded, or gave something that are no actions.
        EntryError: the checkpoint is not that of the entry.
    """
    if count < 1:
        raise ValueError(f"fresh={count} must be at least 1")
    check_checkpoint(entry, checkpoint)
    planner = agent if agent in (ORACLE, BLIND) else None
    loader = None if planner else load_agent(agent)
    given = None if checkpoint is None else str(checkpoint)
    found, done = [], 0
    for index, cell in enumerate(records.cells):
        if (cell.split, cell.text) != records.suite.main:
            continue
        fresh = 0
        for seed in records.runs:
            seeds = draw(count)
            if loader is None:
                assert planner is not None
                played = play_cell_by_planner(planner, cell, seeds=seeds)
            else:
                player = loader(given, suite=entry.suite, level=cell.level, seed=seed, greedy=entry.greedy)
                played = play_cell(player, cell, num_threads=num_threads, seeds=seeds)
            fresh += int((played.cause == SUCCESS).sum())
            done += count
            on_episodes(done)
        found.append(_compared(records, index, cell, fresh, count))
    return tuple(found)


def _compared(records: Records, index: int, cell: Cell, fresh: int, count: int) -> Compared:
    claimed = records.cause[:, index] == SUCCESS
    return Compared(cell.level, int(claimed.sum()), claimed.size, fresh, count * len(records.runs))


def differing(compared: Sequence[Compared]) -> tuple[Compared, ...]:
    """Levels whose fresh success is not that claimed: together wrong with a probability of `SIGNIFICANCE` at most."""
    return tuple(level for level in compared if level.p <= SIGNIFICANCE / len(compared))
