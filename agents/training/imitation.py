"""Teacher and pupil: worlds that both step, what the teacher would do in them, and the loss of learning it.

What can be asked of it, and the command, are in `agents/imitate.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from agents.environments import EVALUATION_SEEDS, Task
from agents.policy import Policy
from babyaipp.planners.demos import Demonstrations
from babyaipp.planners.oracle import Oracle
from babyaipp.tiles import DONE

_UNKNOWN = -1


def drawn_episodes(seed: int) -> Iterator[tuple[int, np.ndarray | None]]:
    """Environment seeds for training, without end, and no actions."""
    generator = np.random.default_rng(seed)
    while True:
        yield int(generator.integers(EVALUATION_SEEDS)), None


def recorded_episodes(demos: Demonstrations, seed: int) -> Iterator[tuple[int, np.ndarray | None]]:
    """Environment seeds and actions of the successful episodes, all in a drawn order, and so again without end."""
    generator = np.random.default_rng(seed)
    rows = np.flatnonzero(demos.episodes.success)
    while True:
        for row in generator.permutation(rows).tolist():
            yield int(demos.episodes.seeds[row]), demos.episodes.actions_of(row).astype(np.int64)


class Teacher:
    """Says what to do in n worlds that play episode after episode.

    It has a plan for each world, and makes one by the oracle where there is none yet or the world left the old one.

    Args:
        level: name of the level.
        episodes: environment seeds and, where they are known, the actions.
        num_envs: n.
    """

    def __init__(self, level: str, episodes: Iterator[tuple[int, np.ndarray | None]], num_envs: int) -> None:
        self._oracle = Oracle(level)
        self._episodes = episodes
        self._plans: list[np.ndarray | None] = [None] * num_envs
        self._places = [0] * num_envs

    def begin(self, row: int) -> int:
        """The seed of the episode that a world is to begin."""
        seed, self._plans[row] = next(self._episodes)
        self._places[row] = 0
        return seed

    def labels(self, envs: Any) -> np.ndarray:
        """What to do now.

        Args:
            envs: n worlds on the CPU, none of them ended.

        Returns:
            (n,) int64 actions, -1 where the teacher knows no way to succeed.
        """
        without = [row for row, plan in enumerate(self._plans) if plan is None]
        if without:
            worlds = envs.state()
            for row in without:
                self._plans[row] = self._oracle.plan(worlds, row).actions
                self._places[row] = 0
        return np.array(
            [
                plan[place] if plan is not None and place < len(plan) else _UNKNOWN
                for plan, place in zip(self._plans, self._places, strict=True)
            ],
            np.int64,
        )

    def follow(self, labels: np.ndarray, actions: np.ndarray) -> None:
        """What `labels` said, and what was done: (n,) int64 each."""
        for row, as_told in enumerate((labels == actions).tolist()):
            if as_told:
                self._places[row] += 1
            else:
                self._plans[row] = None


@dataclass
class Lesson:
    """T steps of B environments, with the teacher's actions."""

    observations: dict[str, Tensor]
    """Each (T, B, ...)."""
    begins: Tensor
    """(T, B) bool: an episode begins with the step."""
    state: Tensor
    """(B, state_size), before the first step."""
    labels: Tensor
    """(T, B) int64; -1 where the teacher knows none."""
    figures: dict[str, float]
    """Sums: of `episodes` that ended, their `successes`, worlds `left`, `agreed` of `labels` steps."""


class Classroom:
    """Steps worlds by agent and teacher.

    Args:
        task: what is played.
        teacher: for as many worlds.
        policy: what learns.
        num_envs: how many worlds.
        generator: whose turn it is and the agent's actions are drawn from it; on the CPU.
        threads: of the engine.
    """

    def __init__(
        self, task: Task, teacher: Teacher, policy: Policy, num_envs: int, generator: torch.Generator, threads: int
    ) -> None:
        self.envs = task.make_vec(
            num_envs,
            output="torch",
            autoreset_mode="Disabled",
            copy=False,
            episode_statistics=False,
            num_threads=threads,
        )
        self._teacher = teacher
        self._policy = policy
        self._generator = generator
        self._state = policy.initial_state(num_envs)
        self._begins = torch.ones(num_envs, dtype=torch.bool)
        self._observation, _ = self.envs.reset(seed=[teacher.begin(row) for row in range(num_envs)])

    @torch.no_grad()
    def lesson(self, steps: int, agent_share: float) -> Lesson:
        """Play on.

        Args:
            steps: T.
            agent_share: probability that the agent acts, at each step and in each world anew.
        """
        device = self._state.device
        begin_state = self._state
        kept: dict[str, list[Tensor]] = {name: [] for name in (*self._observation, "begins", "labels")}
        figures = dict.fromkeys(("episodes", "successes", "left", "agreed", "labels"), 0.0)
        for _ in range(steps):
            observation = {name: each.to(device, copy=True) for name, each in self._observation.items()}
            begins = self._begins.to(device)
            logits, _, self._state = self._policy.step(observation, self._state, begins)
            logits = logits.cpu()
            labels = self._teacher.labels(self.envs)
            told = torch.from_numpy(labels)
            known = told != _UNKNOWN
            for name, each in {**observation, "begins": begins, "labels": told.to(device)}.items():
                kept[name].append(each)
            actions = torch.where(known, told, DONE)
            if agent_share > 0:
                drawn = torch.multinomial(logits.softmax(1), 1, generator=self._generator).squeeze(1)
                agents_turn = torch.rand(len(drawn), generator=self._generator) < agent_share
                actions = torch.where(known & agents_turn, drawn, actions)
            self._teacher.follow(labels, actions.numpy())
            self._observation, _, terminated, truncated, infos = self.envs.step(actions)
            ended = terminated | truncated
            self._begins = ended | ~known
            figures["episodes"] += float(ended[known].sum())
            figures["successes"] += float((infos["success"] & ended)[known].sum())
            figures["left"] += float((~known).sum())
            figures["labels"] += float(known.sum())
            figures["agreed"] += float((logits.argmax(1) == told).sum())
            self._begin_anew()
        stacked = {name: torch.stack(each) for name, each in kept.items()}
        labels_kept, begins_kept = stacked.pop("labels"), stacked.pop("begins")
        return Lesson(stacked, begins_kept, begin_state, labels_kept, figures)

    def _begin_anew(self) -> None:
        if not self._begins.any():
            return
        seeds: list[int | None] = [
            self._teacher.begin(row) if begins else None for row, begins in enumerate(self._begins.tolist())
        ]
        self._observation, _ = self.envs.reset(seed=seeds, options={"reset_mask": self._begins.numpy()})


def loss_of(policy: Policy, lesson: Lesson, rows: Tensor) -> Tensor:
    """Cross entropy of the agent's decisions with the teacher's actions, in some of the environments, `rows` (b,)."""
    observations = {name: each[:, rows] for name, each in lesson.observations.items()}
    logits = policy(observations, lesson.state[rows], lesson.begins[:, rows]).logits.flatten(0, 1)
    labels = lesson.labels[:, rows].flatten()
    total = functional.cross_entropy(logits, labels, ignore_index=_UNKNOWN, reduction="sum")
    return total / (labels != _UNKNOWN).sum().clamp(min=1)
