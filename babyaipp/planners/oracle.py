"""The planner that knows the rules: how well a level can be played."""

from __future__ import annotations

import numpy as np

from babyaipp.levels import Level
from babyaipp.planners.plan import Plan, find_plan
from babyaipp.planners.search import Search
from babyaipp.tiles import DONE


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
