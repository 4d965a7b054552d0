"""The planner that knows the rules: how well a level can be played."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from babyaipp.engine.vector import make_vec
from babyaipp.levels import Level, Split
from babyaipp.planners.plan import Plan, find_plan
from babyaipp.planners.search import Search
from babyaipp.tiles import DONE

_BATCH = 256


@dataclass(frozen=True)
class Survey:
    """How many of n episodes can be solved.

    Attributes:
        episodes: n.
        solved: for so many there is a plan.
        proven_unsolvable: seeds of those that nobody can solve.
        open: seeds of those of which neither is known.
        optimal: of so many the plan is the fastest that there is.
    """

    episodes: int
    solved: int
    proven_unsolvable: tuple[int, ...]
    open: tuple[int, ...]
    optimal: int


def survey(level: Level, split: Split, episodes: int, seed: int = 0) -> Survey:
    """Plan the episodes that begin from the seeds `seed` to `seed + episodes - 1`.

    Args:
        level: the level.
        split: one that it has.
        episodes: how many.
        seed: of the first.
    """
    oracle = Oracle(level)
    plans: list[Plan] = []
    for first in range(seed, seed + episodes, _BATCH):
        envs = make_vec(level, split, min(_BATCH, seed + episodes - first))
        envs.reset(seed=first)
        plans += oracle.plans(envs.state())
        envs.close()
    seeds = range(seed, seed + episodes)
    unsolved = [(seed, plan) for seed, plan in zip(seeds, plans, strict=True) if not plan.solved]
    return Survey(
        episodes,
        episodes - len(unsolved),
        tuple(seed for seed, plan in unsolved if plan.proven_unsolvable),
        tuple(seed for seed, plan in unsolved if not plan.proven_unsolvable),
        sum(plan.optimal for plan in plans),
    )


class Oracle:
    """Plays with full knowledge; see `babyaipp.planners.protocol.Planner`.

    It plans an episode when it begins, and again only if the world is not where the plan has it. Where it has found no
    plan it does nothing.

    Args:
        level: name of a row of the level table, or a row.
        split: not looked at, as the rules are seen.
    """

    def __init__(self, level: str | Level, split: str = "Train") -> None:
        self._search = Search(level)
        self.reset(np.zeros(0))

    def plan(self, worlds: np.ndarray, row: int = 0) -> Plan:
        """The plan for a world from where its agent is: whether it can be solved, how fast.

        Args:
            worlds: (n,) records `babyaipp.engine.state.WORLD`.
            row: which of them.
        """
        return find_plan(self._search, worlds, row)

    def plans(self, worlds: np.ndarray) -> list[Plan]:
        """The plans for (n,) worlds."""
        return [self.plan(worlds, row) for row in range(len(worlds))]

    def reset(self, worlds: np.ndarray) -> None:
        """Forget everything."""
        count = len(worlds)
        self._plans = np.full((count, 1), DONE, np.int64)
        self._next = np.zeros(count, np.int64)  # place in the plan
        self._steps = np.full(count, -1, np.int64)  # `steps` of the world where the plan is at that place

    def act(self, worlds: np.ndarray) -> np.ndarray:
        """(n,) int64."""
        steps = worlds["steps"]
        for row in np.flatnonzero(((steps == 0) | (steps != self._steps)) & ~worlds["ended"]).tolist():
            self._begin(row, self.plan(worlds, row).actions)
        rows = np.arange(len(worlds))
        actions = self._plans[rows, np.minimum(self._next, self._plans.shape[1] - 1)]
        self._next += 1
        self._steps = steps + 1
        return actions

    def _begin(self, row: int, actions: np.ndarray) -> None:
        longer = len(actions) + 1 - self._plans.shape[1]
        if longer > 0:
            self._plans = np.pad(self._plans, ((0, 0), (0, longer)), constant_values=DONE)
        self._plans[row] = DONE
        self._plans[row, : len(actions)] = actions
        self._next[row] = 0
