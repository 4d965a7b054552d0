"""Plays episodes of a level with a planner on the engine, each from a seed of its own.

Episode k of a run with seed s starts from the environment seed s + k, whatever else is played beside it: so every
episode can be had again alone, by `reset(seed=s + k)` on the engine or on the reference environment.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

import numpy as np

from babyaipp.engine.state import CAUSES, SUCCESS
from babyaipp.engine.vector import make_vec
from babyaipp.levels import Level, Split
from babyaipp.planners.protocol import Planner
from babyaipp.tiles import HALF_STEPS_PER_STEP

MAX_SEED = 2**63 - 1
"""The largest seed of an episode."""

BATCH = 256
_NOT_PLAYING = -1


@dataclass(frozen=True)
class Episodes:
    """How n episodes went, in the order of their seeds, and what was done in them."""

    seeds: np.ndarray
    """(n,) int64, seed of the environment."""
    half_steps: np.ndarray
    """(n,) int32, time at the end."""
    returns: np.ndarray
    """(n,) float64."""
    cause: np.ndarray
    """(n,) uint8, how it ended: index in `babyaipp.engine.state.CAUSES`."""
    actions: np.ndarray
    """(a,) uint8, the actions of all episodes, one after the other."""
    offsets: np.ndarray
    """(n + 1,) int64: those of episode k are `actions[offsets[k] : offsets[k + 1]]`."""

    def __len__(self) -> int:
        return len(self.seeds)

    @property
    def success(self) -> np.ndarray:
        """(n,) bool."""
        return self.cause == SUCCESS

    @property
    def steps(self) -> np.ndarray:
        """(n,) float64, time at the end in steps."""
        return self.half_steps / HALF_STEPS_PER_STEP

    @property
    def lengths(self) -> np.ndarray:
        """(n,) int64, actions taken."""
        return np.diff(self.offsets)

    def actions_of(self, index: int) -> np.ndarray:
        """(length,) uint8, the actions of an episode."""
        return self.actions[self.offsets[index] : self.offsets[index + 1]]

    def head(self, count: int) -> Episodes:
        """The first episodes."""
        arrays = {field.name: getattr(self, field.name)[:count] for field in fields(self)}
        offsets = self.offsets[: count + 1]
        return Episodes(**arrays | {"offsets": offsets, "actions": self.actions[: offsets[-1]]})

    def causes(self) -> dict[str, int]:
        """How often episodes ended how, the most frequent first."""
        counts = np.bincount(self.cause, minlength=len(CAUSES)).tolist()
        return {CAUSES[i]: counts[i] for i in sorted(range(len(CAUSES)), key=lambda i: -counts[i]) if counts[i]}

    @classmethod
    def joined(cls, parts: Sequence[Episodes]) -> Episodes:
        """The episodes of all parts, one part after the other."""
        arrays = {
            field.name: np.concatenate([getattr(part, field.name) for part in parts])
            for field in fields(cls)
            if field.name != "offsets"
        }
        lengths = np.concatenate([part.lengths for part in parts])
        return cls(**arrays, offsets=np.concatenate([[0], np.cumsum(lengths)]))


def play(
    planner: Planner,
    level: Level,
    split: Split,
    episodes: int,
    seed: int = 0,
    first: int = 0,
    batch: int = BATCH,
) -> Iterator[Episodes]:
    """Play the episodes `first` to `episodes` - 1 of a run, a batch after the other.

    Args:
        planner: made for this level and split.
        level: the level.
        split: one that it has.
        episodes: how many the whole run has.
        seed: of the run's first episode.
        first: number of the first episode to play.
        batch: how many are played at once, which makes no difference to them.

    Yields:
        The episodes of a batch, in the order of their seeds.
    """
    check_run(episodes, seed)
    for start in range(first, episodes, batch):
        yield play_seeds(planner, level, split, range(seed + start, seed + min(start + batch, episodes)))


def check_run(episodes: int, seed: int) -> None:
    """Raise ValueError unless there are so many seeds."""
    if episodes < 1:
        raise ValueError(f"episodes={episodes} must be at least 1")
    if not 0 <= seed <= MAX_SEED - episodes:
        raise ValueError(f"seed={seed} must be 0 to {MAX_SEED - episodes} for {episodes} episodes")


def play_seeds(planner: Planner, level: Level, split: Split, seeds: Sequence[int]) -> Episodes:
    """Play an episode from each seed, all at once.

    After its end, the record of an episode stays as it is, marked so (`ended`), until all have ended; what the planner
    does there is passed over.
    """
    envs = make_vec(level, split, len(seeds), autoreset_mode="NextStep", copy=False, episode_statistics=False)
    envs.reset(seed=list(seeds))
    worlds = envs.state()
    planner.reset(worlds)
    returns = np.zeros(len(seeds))
    half_steps = np.zeros(len(seeds), np.int32)
    cause = np.zeros(len(seeds), np.uint8)
    taken: list[np.ndarray] = []
    playing = np.ones(len(seeds), np.bool_)
    while playing.any():
        actions = np.where(playing, planner.act(worlds), _NOT_PLAYING).astype(np.int8)
        taken.append(actions)
        _, rewards, _, _, infos = envs.step(np.maximum(actions, 0))
        _rows(worlds)[playing] = _rows(envs.state())[playing]
        ended = playing & worlds["ended"]
        for row in np.flatnonzero(ended).tolist():
            cause[row] = CAUSES.index(infos["cause"][row])
        returns += np.where(playing, rewards, 0)
        half_steps[ended] = worlds["half_steps"][ended]
        playing &= ~ended
    envs.close()
    by_episode = np.stack(taken, axis=1)
    was_playing = by_episode != _NOT_PLAYING
    return Episodes(
        seeds=np.array(seeds, np.int64),
        half_steps=half_steps,
        returns=returns,
        cause=cause,
        actions=by_episode[was_playing].astype(np.uint8),
        offsets=np.concatenate([[0], np.cumsum(was_playing.sum(1))]),
    )


def _rows(worlds: np.ndarray) -> np.ndarray:
    """(n, bytes) uint8: the memory of records, which NumPy would copy field by field."""
    return worlds.view(np.uint8).reshape(len(worlds), -1)
