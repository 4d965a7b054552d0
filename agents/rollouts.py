"""Plays evaluation episodes, each from a seed of its own, so that results do not depend on how many run at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from agents.environments import EVALUATION_SEEDS, Task

_BATCH_SIZE = 64
_SEEDS_APART = 1_000_000

Policy = Callable[[Mapping[str, np.ndarray]], np.ndarray]
"""Maps a batch of observations to action probabilities (batch, actions)."""


@dataclass(frozen=True)
class Episode:
    """How an episode went."""

    seed: int
    success: bool
    cause: str
    total_reward: float
    steps: int


def random_policy(observation: Mapping[str, np.ndarray]) -> np.ndarray:
    """Every action alike."""
    return np.full((len(observation["image"]), 7), 1 / 7)


def evaluation_seed(seed: int, index: int) -> int:
    """The environment seed of the `index`-th episode of the evaluation `seed`; training never uses it."""
    return EVALUATION_SEEDS + _SEEDS_APART * seed + index


def choose(probabilities: np.ndarray, generator: np.random.Generator | None) -> int:
    """The likeliest action, or with a generator one drawn from (actions,) probabilities."""
    if generator is None:
        return int(probabilities.argmax())
    return int(np.searchsorted(np.cumsum(probabilities), generator.random() * probabilities.sum(), side="right"))


def play(
    task: Task, policy: Policy, episodes: int, seed: int = 0, greedy: bool = True, done: Callable[[], Any] = int
) -> list[Episode]:
    """Play episodes and return them in the order of their seeds.

    The batch always has the same size, and an episode draws its actions from a random stream of its own: so an
    episode comes out the same however many are played.

    Args:
        task: the environment.
        policy: what acts.
        episodes: how many.
        seed: which block of evaluation seeds.
        greedy: take the likeliest action instead of drawing one.
        done: called after each episode.
    """
    slots = [_Slot(task, greedy) for _ in range(min(_BATCH_SIZE, episodes))]
    seeds: Iterator[int] = (evaluation_seed(seed, index) for index in range(episodes))
    finished: list[Episode] = []
    for slot in slots:
        slot.start(next(seeds, None))
    while any(slot.active for slot in slots):
        observations = [slot.observation for slot in slots]
        observations += observations[:1] * (_BATCH_SIZE - len(slots))
        batch = {key: np.stack([observation[key] for observation in observations]) for key in observations[0]}
        for slot, probabilities in zip(slots, policy(batch), strict=False):
            episode = slot.step(probabilities)
            if episode is not None:
                finished.append(episode)
                done()
                slot.start(next(seeds, None))
    for slot in slots:
        slot.env.close()
    return sorted(finished, key=lambda episode: episode.seed)


class _Slot:
    """An environment that plays one episode after the other; after the last one, its last view stays in the batch."""

    def __init__(self, task: Task, greedy: bool) -> None:
        self.env = task.make()
        self._greedy = greedy
        self.active = False
        self.observation: dict[str, Any] = {}

    def start(self, seed: int | None) -> None:
        self.active = seed is not None
        if seed is None:
            return
        self.observation, _ = self.env.reset(seed=seed)
        self._seed = seed
        self._generator = None if self._greedy else np.random.default_rng(seed)
        self._total_reward, self._steps = 0.0, 0

    def step(self, probabilities: np.ndarray) -> Episode | None:
        if not self.active:
            return None
        action = choose(probabilities, self._generator)
        self.observation, reward, terminated, truncated, info = self.env.step(action)
        self._total_reward += float(reward)
        self._steps += 1
        if not (terminated or truncated):
            return None
        return Episode(self._seed, info["success"], info["cause"], self._total_reward, self._steps)
