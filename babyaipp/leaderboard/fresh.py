"""The maintainers' tier: lets an entry's agent play in worlds that nobody has seen, and compares with what it claims.

Replaying shows that an entry's episodes are real, but not that an agent plays like that: actions can also be searched
for. From seeds that are drawn anew each time, they cannot.
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from babyaipp.engine.state import SUCCESS
from babyaipp.evaluation.agents import BLIND, ORACLE, load_agent
from babyaipp.evaluation.aggregate import two_proportion_test
from babyaipp.evaluation.protocol import FRESH_SEEDS, Cell
from babyaipp.evaluation.records import Records
from babyaipp.evaluation.run import play_cell, play_cell_by_planner
from babyaipp.leaderboard.entry import ENTRY_FILE, Entry, EntryError, short
from babyaipp.leaderboard.verify import sha256_of
from babyaipp.planners.rollout import MAX_SEED

SIGNIFICANCE = 0.01
"""An agent that plays as claimed is found not to, in any cell of any run, with a probability of at most this."""
LEAST_EPISODES = 200
"""Of each cell and run, for a badge: with fewer, much could be claimed."""


@dataclass(frozen=True)
class Compared:
    """The claimed successes of a run in a cell, and those in fresh worlds."""

    cell: Cell
    seed: int
    """Training seed of the run."""
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


@contextmanager
def checkpoint_of(entry: Entry, path: Path | None) -> Iterator[str | None]:
    """What an entry's agent is given: the file, or a folder that has copies of the files that the entry names only.

    Args:
        entry: names the files, with their hashes.
        path: a file, or a folder that has them in it or in folders below.

    Raises:
        EntryError: files that the entry names are not there, or are others; names them.
        ValueError: there is no such file or folder.
        OSError: they cannot be read.
    """
    if path is None or not entry.checkpoint_sha256:
        if path is None and not entry.checkpoint_sha256:
            yield None
            return
        needs = "names checkpoints, but none is given" if path is None else "names no checkpoint, but one is given"
        raise EntryError(f"{ENTRY_FILE}: checkpoint_sha256 {needs}")
    if not path.exists():
        raise ValueError(f"checkpoint={str(path)!r} does not exist")
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    named = [file for file in files if file.name in entry.checkpoint_sha256]
    missing = [name for name in entry.checkpoint_sha256 if name not in {file.name for file in named}]
    found = [f"{ENTRY_FILE}: checkpoint_sha256.{name}: there is no such file in {path}" for name in missing]
    found += [
        f"{ENTRY_FILE}: checkpoint_sha256.{file.name}: {file} is another one"
        for file in named
        if sha256_of(file) != entry.checkpoint_sha256[file.name]
    ]
    if found:
        raise EntryError(*found)
    if path.is_file():
        yield str(path)
        return
    with TemporaryDirectory(prefix="babyaipp-") as folder:
        for file in named:
            copy = Path(folder) / file.relative_to(path)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, copy)
        yield folder


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
    """Let an agent play fresh episodes of each cell.

    Args:
        entry: which claims.
        records: its episodes, verified.
        agent: "random", "oracle", "blind", or "module:callable".
        checkpoint: given to the callable.
        count: of episodes, of each cell and run.
        num_threads: of the engine.
        draw: gives environment seeds, so many different ones.
        on_episodes: told how many episodes have been played, now and then.

    Returns:
        Each cell of each run.

    Raises:
        ValueError: `count` is below 1, there is no such checkpoint, or an agent cannot be loaded or gave no actions.
        EntryError: agent or checkpoint are not those of the entry.
    """
    if count < 1:
        raise ValueError(f"fresh={count} must be at least 1")
    planner = agent if agent in (ORACLE, BLIND) else None
    loader = None if planner else load_agent(agent)
    if agent != entry.agent:
        raise EntryError(f"{ENTRY_FILE}: agent={short(entry.agent)}, but {short(agent)} is to play")
    found, done = [], 0
    with checkpoint_of(entry, checkpoint) as given:
        for index, cell in enumerate(records.cells):
            for run, seed in enumerate(records.runs):
                seeds = draw(count)
                if loader is None:
                    assert planner is not None
                    played = play_cell_by_planner(planner, cell, seeds=seeds)
                else:
                    player = loader(given, suite=entry.suite, level=cell.level, seed=seed, greedy=entry.greedy)
                    played = play_cell(player, cell, num_threads=num_threads, seeds=seeds)
                claimed, fresh = records.cause[run, index] == SUCCESS, played.cause == SUCCESS
                found.append(Compared(cell, seed, int(claimed.sum()), claimed.size, int(fresh.sum()), count))
                done += count
                on_episodes(done)
    return tuple(found)


def differing(compared: Sequence[Compared]) -> tuple[Compared, ...]:
    """Those whose fresh success is not that claimed: together wrong with a probability of `SIGNIFICANCE` at most."""
    return tuple(each for each in compared if each.p <= SIGNIFICANCE / len(compared))
