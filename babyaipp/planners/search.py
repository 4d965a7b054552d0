"""The search that planners use: the cheapest way to fulfil an instruction, or to face a cell, in a world."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from babyaipp.engine.compile import compile_kernel, viewed
from babyaipp.engine.state import WORLD, parameters
from babyaipp.levels import Level, get_level
from babyaipp.planners.best_first import EXHAUSTED, FOUND, SOURCES, search
from babyaipp.planners.goals import Goals
from babyaipp.planners.relaxed import MOVES_ALL, MOVES_NOTHING, MOVES_REST, Relaxed
from babyaipp.planners.tree import BOUND, LENGTH, NUM_NODES, SINGLE, SPENT, WEIGHT_UNIT, Task, Tree
from babyaipp.texts import SENTENCE_ORDERS, parse_text_condition
from babyaipp.tiles import COLORS, DROP, PICKUP, TOGGLE

_LONGEST = 1 << 14  # actions of a plan
_ANY = -1


@dataclass(frozen=True, eq=False)  # as arrays have no one equality
class Found:
    """What a search has come to.

    Attributes:
        actions: (steps,) int64, what to do; None if nothing was found.
        half_steps: how long it takes.
        bound: half-steps that it takes at least, as far as can be told before the search; never too many if `single`.
        exhausted: nothing was found, and everything has been looked at that the search may do.
        single: what is to be done is one thing that needs nothing to be carried, not even keys of locked doors. Then
            what was found with a weight of 1 is the cheapest, and what `exhausted` tells holds whatever is moved.
        nodes: how much was looked at.
    """

    actions: np.ndarray | None
    half_steps: int
    bound: int
    exhausted: bool
    single: bool
    nodes: int


class Search:
    """Searches worlds of a level.

    Args:
        level: name of a row of the level table, or a row.
        max_nodes: how many places of the agent in worlds may be looked at.
        max_worlds: how many worlds may differ in more than the agent's place.
    """

    def __init__(self, level: str | Level, max_nodes: int = 60_000, max_worlds: int = 4_000) -> None:
        self.level = level if isinstance(level, Level) else get_level(level)
        self.max_nodes = max_nodes
        condition, order = parse_text_condition("true"), SENTENCE_ORDERS[0]  # which make no difference
        self._cells = self.level.width * self.level.height
        self._world = viewed(np.zeros(1, WORLD))
        self._props = np.zeros(len(COLORS), np.int8)
        self._parameters = viewed(parameters(self.level, self.level.splits[0], condition, order, None))
        self._memory = Relaxed.make(self._cells), Goals.make(self._cells)
        self._tree = Tree.make(max_nodes, max_worlds)
        self._actions = np.zeros(_LONGEST, np.int64)
        self._instruction = np.zeros(0, np.bool_)
        example = self._arguments(self._instruction, (0,) * len(Task._fields))
        compile_kernel(search, example, seconds=30, what="the search of the planners", more=SOURCES)

    def instruction(
        self,
        worlds: np.ndarray,
        row: int = 0,
        *,
        props: np.ndarray | None = None,
        forbidden: int = 0,
        carries: bool = False,
        weight: float = 1.0,
        max_nodes: int | None = None,
    ) -> Found:
        """How to fulfil the instruction of a world from where its agent is.

        Args:
            worlds: (n,) `WORLD`.
            row: which of them.
            props: (6,) int8, the property of each floor colour that is assumed, -1: it does nothing; None: the
                true ones.
            forbidden: bit mask of floor colours on which no action may end; deadly ones never do.
            carries: look at it, too, that things are carried elsewhere that actions go to or put something next to.
            weight: how much more what is left counts than what is spent; above 1 faster, and not the cheapest.
            max_nodes: fewer than at most.

        Raises:
            ValueError: not such worlds.
        """
        moves = MOVES_ALL if carries else MOVES_REST
        numbers = (forbidden, _ANY, moves, round(WEIGHT_UNIT * weight), self._limit(max_nodes))
        return self._run(worlds, row, self._instruction, props, numbers)

    def way(
        self,
        worlds: np.ndarray,
        row: int,
        targets: np.ndarray,
        action: int | None = None,
        *,
        props: np.ndarray | None = None,
        forbidden: int = 0,
    ) -> Found:
        """How to come to face one of a set of cells, or to act on one; doors are opened on the way, nothing is moved.

        Args:
            worlds: (n,) `WORLD`.
            row: which of them.
            targets: (cells,) bool, the cells, numbered row by row.
            action: PICKUP, DROP or TOGGLE, which comes last; None: facing one is enough, at least one step from now.
            props: as `instruction`.
            forbidden: as `instruction`.

        Raises:
            ValueError: not such worlds, targets, or action.
        """
        targets = np.asarray(targets)
        if targets.dtype != np.bool_ or targets.shape != (self._cells,):
            raise ValueError(f"targets must be bool of shape ({self._cells},); got {targets.dtype} of {targets.shape}")
        if action not in (None, PICKUP, DROP, TOGGLE):
            raise ValueError(f"action={action!r} must be None, {PICKUP} (pickup), {DROP} (drop) or {TOGGLE} (toggle)")
        numbers = (forbidden, _ANY if action is None else action, MOVES_NOTHING, WEIGHT_UNIT, self.max_nodes)
        return self._run(worlds, row, np.array(targets), props, numbers)

    def _limit(self, max_nodes: int | None) -> int:
        return self.max_nodes if max_nodes is None else min(max_nodes, self.max_nodes)

    def _run(
        self, worlds: np.ndarray, row: int, targets: np.ndarray, props: np.ndarray | None, numbers: tuple[int, ...]
    ) -> Found:
        if worlds.dtype != WORLD or worlds.ndim != 1:
            raise ValueError(f"worlds must be (n,) records of the engine; got {worlds.dtype} of shape {worlds.shape}")
        self._world[0] = worlds[row]
        self._props[:] = worlds["rules"][row] if props is None else props
        result = search(*self._arguments(targets, numbers))
        totals = self._tree.totals
        found = result == FOUND
        return Found(
            self._actions[: totals[LENGTH]].copy() if found else None,
            int(totals[SPENT]) if found else 0,
            int(totals[BOUND]),
            result == EXHAUSTED,
            bool(totals[SINGLE]),
            int(totals[NUM_NODES]),
        )

    def _arguments(self, targets: np.ndarray, numbers: tuple[int, ...]) -> tuple[object, ...]:
        task = Task(self._props, targets, np.array(numbers, np.int64))
        return (self._world, self._parameters, task, *self._memory, self._tree, self._actions)
