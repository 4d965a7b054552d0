"""Plays evaluation episodes on the engine, each from a seed of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from agents.environments import Task, evaluation_seed
from agents.policy import Policy
from babyaipp.engine.state import CAUSES

_BATCH_SIZE = 256
_DRAWN = 64  # random numbers of an episode at once


@dataclass(frozen=True)
class Episode:
    """How an episode went."""

    seed: int
    success: bool
    cause: str
    total_reward: float
    steps: int
    actions: tuple[int, ...]


class Actor(Protocol):
    """What plays: it is told which environments begin an episode, and gives the probabilities of the actions."""

    def reset(self, num_envs: int) -> None:
        """All environments begin anew."""

    def act(self, observations: Mapping[str, Tensor], begins: Tensor) -> Tensor:
        """(n, actions) float32 probabilities; `begins`: (n,) bool, the memory of the others is kept."""


class PolicyActor:
    """Plays by a policy.

    Args:
        policy: what to play by.
    """

    def __init__(self, policy: Policy) -> None:
        self.policy = policy

    def reset(self, num_envs: int) -> None:
        """Forget everything."""
        self._state = self.policy.initial_state(num_envs)

    @torch.no_grad()
    def act(self, observations: Mapping[str, Tensor], begins: Tensor) -> Tensor:
        """(n, actions) float32."""
        logits, _, self._state = self.policy.step(observations, self._state, begins)
        return logits.softmax(1)


class RandomActor:
    """Every action alike."""

    def reset(self, num_envs: int) -> None:
        """Nothing to forget."""

    def act(self, observations: Mapping[str, Tensor], begins: Tensor) -> Tensor:
        """(n, 7) float32."""
        return torch.full((len(begins), 7), 1 / 7, device=begins.device)


class _Slot:
    """An environment of the batch: the episode that it plays, and the random numbers that this one draws."""

    def begin(self, seed: int, counts: bool) -> None:
        """Begin an episode; `counts`: it is asked for, and does not just fill the batch."""
        self.seed = seed
        self.counts = counts
        self.actions: list[int] = []
        self._generator = np.random.default_rng(seed)
        self._numbers: list[float] = []

    def roll(self) -> float:
        """A uniform random number; which ones come depends on the seed only."""
        if not self._numbers:
            self._numbers = self._generator.random(_DRAWN).tolist()[::-1]
        return self._numbers.pop()


def play(
    task: Task,
    actor: Actor,
    episodes: int,
    seed: int = 0,
    greedy: bool = True,
    done: Callable[[int], Any] = int,
    device: Any = "cpu",
    swapped: bool = False,
) -> list[Episode]:
    """Play episodes and return them in the order of their seeds.

    The batch always has the same size, whatever the number of episodes, and an episode draws its actions from a random
    stream of its own.

    Args:
        task: the environment.
        actor: what acts.
        episodes: how many.
        seed: which block of evaluation seeds.
        greedy: take the likeliest action instead of drawing one.
        done: called with the number of episodes that have ended, as they end.
        device: where the engine and the actor run.
        swapped: tell each episode the description of the next one, instead of its own.
    """
    envs = task.make_vec(_BATCH_SIZE, device=device, output="torch", autoreset_mode="Disabled")
    others = task.make_vec(_BATCH_SIZE, device=device, output="torch", autoreset_mode="Disabled") if swapped else None
    try:
        return _play(envs, others, actor, episodes, seed, greedy, done)
    finally:
        envs.close()
        if others is not None:
            others.close()


def _play(
    envs: Any, others: Any, actor: Actor, episodes: int, seed: int, greedy: bool, done: Callable[[int], Any]
) -> list[Episode]:
    slots = [_Slot() for _ in range(envs.num_envs)]
    for index, slot in enumerate(slots):
        slot.begin(evaluation_seed(seed, index), counts=index < episodes)
    begun = len(slots)
    finished: list[Episode] = []
    observations, _ = envs.reset(seed=[slot.seed for slot in slots])
    told = None if others is None else others.reset(seed=[slot.seed + 1 for slot in slots])[0]["description"]
    actor.reset(len(slots))
    begins = torch.ones(len(slots), dtype=torch.bool, device=envs.device)
    while len(finished) < episodes:
        if told is not None:
            observations = observations | {"description": told}
        probabilities = actor.act(observations, begins)
        actions = probabilities.argmax(1) if greedy else drawn_actions(probabilities, [slot.roll() for slot in slots])
        for slot, action in zip(slots, actions.tolist(), strict=True):
            slot.actions.append(action)
        observations, rewards, terminated, truncated, infos = envs.step(actions)
        begins = terminated | truncated
        rows = begins.nonzero().flatten().tolist()
        if not rows:
            continue
        finished_before = len(finished)
        seeds: list[int | None] = [None] * len(slots)
        for row in rows:
            slot = slots[row]
            if slot.counts:
                finished.append(_episode(slot, row, rewards, infos))
            slot.begin(evaluation_seed(seed, begun), counts=begun < episodes)
            begun += 1
            seeds[row] = slot.seed
        done(len(finished) - finished_before)
        options = {"reset_mask": begins.cpu().numpy()}
        observations, _ = envs.reset(seed=seeds, options=options)
        if others is not None:
            next_seeds = [None if each is None else each + 1 for each in seeds]
            told = others.reset(seed=next_seeds, options=options)[0]["description"]
    return sorted(finished, key=lambda episode: episode.seed)


def drawn_actions(probabilities: Tensor, numbers: list[float]) -> Tensor:
    """(n,) int64: actions by (n, actions) probabilities and a uniform random number each."""
    sums = probabilities.double().cumsum(1)
    drawn = torch.tensor(numbers, dtype=torch.float64, device=sums.device) * sums[:, -1]
    return (sums <= drawn.unsqueeze(1)).sum(1).clamp(max=probabilities.shape[1] - 1)


def _episode(slot: _Slot, row: int, rewards: Tensor, infos: Mapping[str, Any]) -> Episode:
    return Episode(
        slot.seed,
        bool(infos["success"][row]),
        CAUSES[int(infos["cause"][row])],
        float(rewards[row]),
        int(infos["episode"]["l"][row]),
        tuple(slot.actions),
    )
