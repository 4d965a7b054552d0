"""What steps show of the floor colours' properties, and what a plan risks where they are not as was assumed."""

from __future__ import annotations

from typing import Any

import numpy as np

from babyaipp.engine.compile import compile_kernel, device_function, kernel, unsigned, viewed
from babyaipp.engine.shared import from_minigrid
from babyaipp.engine.state import COLOR_SHIFT, FLOOR, NOT_ENDED, TYPE_MASK, WORLD
from babyaipp.engine.step import step
from babyaipp.tiles import COLORS, NONE, PROPERTIES


@device_function
def _color_under(w, p):
    """Colour of the tile that the agent stands on, or `NONE`."""
    seen = int(w.seen[unsigned(int(w.agent_y) * p.width + int(w.agent_x))])
    return from_minigrid(seen >> COLOR_SHIFT) if seen & TYPE_MASK == FLOOR else NONE


@device_function
def _same(w, v, p):
    """Whether two worlds are in the same state, as far as one can see."""
    if w.agent_x != v.agent_x or w.agent_y != v.agent_y or w.agent_dir != v.agent_dir:
        return False
    if w.half_steps != v.half_steps or w.carried != v.carried or w.fulfilled != v.fulfilled:
        return False
    for cell in range(p.width * p.height):  # noqa: SIM110 - compiled
        if w.seen[unsigned(cell)] != v.seen[unsigned(cell)]:
            return False
    return True


@device_function
def _goes_so(trial, before, after, p, action, first, prop, last, last_prop):
    """Whether a step goes as it went, if the colours where it began and ended have these properties."""
    trial[0] = before
    w = trial[0]
    if first != NONE:
        w.rules[unsigned(first)] = prop
    if last != NONE:
        w.rules[unsigned(last)] = last_prop
    return step(w, p, action) == NOT_ENDED and _same(w, after, p)


@kernel
def _explain(before, after, parameters, actions, rows, possible, assumed, colors, fits, foreseen, trial):
    """See `Learner.explain`.

    Args:
        before: (n,) `WORLD`.
        after: (n,) `WORLD`.
        parameters: (1,) `PARAMETERS`.
        actions: (n,) int64.
        rows: (n,) bool.
        possible: (n, 6) int64.
        assumed: (n, 6) int8.
        colors: (n, 2) int64, all `NONE`; filled.
        fits: (n, 2, properties) bool, all False; filled.
        foreseen: (n,) bool; filled.
        trial: (1,) `WORLD`, room for a world.
    """
    p = parameters[0]
    for e in range(len(before)):
        if not rows[e]:
            continue
        action = int(actions[e])
        first = _color_under(before[e], p)
        last = _color_under(after[e], p)
        if last == first:
            last = NONE
        prop = int(assumed[e, first]) if first != NONE else NONE
        last_prop = int(assumed[e, last]) if last != NONE else NONE
        foreseen[e] = _goes_so(trial, before[e], after[e], p, action, first, prop, last, last_prop)
        props = int(possible[e, first]) if first != NONE else 1
        last_props = int(possible[e, last]) if last != NONE else 1
        if props & (props - 1) == 0 and last_props & (last_props - 1) == 0:
            continue
        colors[e, 0] = first
        colors[e, 1] = last
        for prop in range(fits.shape[2]):
            if (props >> prop) & 1 == 0:
                continue
            for last_prop in range(fits.shape[2]):
                if (last_props >> last_prop) & 1 == 0:
                    continue
                if _goes_so(trial, before[e], after[e], p, action, first, prop, last, last_prop):
                    fits[e, 0, prop] = True
                    fits[e, 1, last_prop] = True


@kernel
def _danger(worlds, row, parameters, actions, assumed, chances, forbidden, trials):
    """See `Learner.danger`.

    Args:
        worlds: (n,) `WORLD`.
        row: int.
        parameters: (1,) `PARAMETERS`.
        actions: (steps,) int64.
        assumed: (6,) int8.
        chances: (6, properties) float64; what is noticed is set to 0.
        forbidden: bit mask.
        trials: (3,) `WORLD`, room for worlds.
    """
    p = parameters[0]
    safe = 1.0
    trials[0] = worlds[row]
    for color in range(len(assumed)):
        trials[0].rules[unsigned(color)] = assumed[color]
    for i in range(len(actions)):
        action = int(actions[i])
        trials[1] = trials[0]
        color = _color_under(trials[0], p)
        ended = step(trials[0], p, action) != NOT_ENDED
        deadly = 0.0
        for prop in range(chances.shape[1] if color != NONE else 0):
            if chances[color, prop] == 0 or prop == int(assumed[color]):
                continue
            trials[2] = trials[1]
            trials[2].rules[unsigned(color)] = prop
            step(trials[2], p, action)
            if _same(trials[2], trials[0], p):
                continue
            last = _color_under(trials[2], p)
            if last != NONE and (forbidden >> last) & 1:
                deadly += chances[color, prop]
            chances[color, prop] = 0
        safe *= 1 - deadly
        if ended:
            break
    return 1 - safe


class Learner:
    """Explains what the steps of a batch of worlds have done.

    Args:
        parameters: (1,) `PARAMETERS` of the level.
    """

    def __init__(self, parameters: np.ndarray) -> None:
        self._parameters = viewed(parameters)
        self._trial = viewed(np.zeros(1, WORLD))
        self._trials = viewed(np.zeros(3, WORLD))
        worlds, actions = viewed(np.zeros(0, WORLD)), np.zeros(0, np.int64)
        possible, assumed = np.zeros((0, len(COLORS)), np.int64), np.zeros((0, len(COLORS)), np.int8)
        chances = np.zeros((len(COLORS), len(PROPERTIES)))
        compile_kernel(_explain, self._explained(worlds, worlds, actions, actions == 0, possible, assumed))
        compile_kernel(_danger, self._endangered(worlds, 0, actions, np.zeros(len(COLORS), np.int8), chances, 0))

    def explain(
        self,
        before: np.ndarray,
        after: np.ndarray,
        actions: np.ndarray,
        rows: np.ndarray,
        possible: np.ndarray,
        assumed: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Which properties of the colour that a step began on, and of the one that it ended on, go with how it went.

        What they have to do with each other is left out: each property goes with some possible one of the other colour.

        Args:
            before: (n,) `WORLD`.
            after: (n,) `WORLD`, a step later; the episodes have not ended.
            actions: (n,) int64, chosen in that step.
            rows: (n,) bool, which worlds it is about.
            possible: (n, 6) int64, bit mask of the properties that each colour may have.
            assumed: (n, 6) int8, the property that each colour was thought to have, or `NONE`.

        Returns:
            colors: (n, 2) int64, where the step began, and where it ended if on another colour; `NONE` for no tile,
                and both where nothing can be learned.
            fits: (n, 2, properties) bool.
            foreseen: (n,) bool, the step went as it does under what was assumed.
        """
        arguments = self._explained(before, after, actions, rows, possible, assumed)
        _explain(*arguments)
        colors, fits, foreseen, _ = arguments[-4:]
        return colors, fits, foreseen

    def _explained(
        self,
        before: np.ndarray,
        after: np.ndarray,
        actions: np.ndarray,
        rows: np.ndarray,
        possible: np.ndarray,
        assumed: np.ndarray,
    ) -> tuple[Any, ...]:
        count = len(before)
        results = np.full((count, 2), NONE, np.int64), np.zeros((count, 2, len(PROPERTIES)), np.bool_), rows.copy()
        return (
            viewed(before),
            viewed(after),
            self._parameters,
            actions,
            rows,
            possible,
            assumed,
            *results,
            self._trial,
        )

    def danger(
        self,
        worlds: np.ndarray,
        row: int,
        actions: np.ndarray,
        assumed: np.ndarray,
        chances: np.ndarray,
        forbidden: int,
    ) -> float:
        """How likely a plan leads where it should not, because a colour has another property than was assumed.

        Only the first surprise by each colour is looked at, as one can plan anew after it.

        Args:
            worlds: (n,) `WORLD`.
            row: which of them.
            actions: (steps,) int64, the plan.
            assumed: (6,) int8, the property of each colour for which it was made, or `NONE`.
            chances: (6, properties) float64, probability of each property of each colour.
            forbidden: bit mask of colours on which no action should end.
        """
        return float(_danger(*self._endangered(worlds, row, actions, assumed, chances, forbidden)))

    def _endangered(
        self,
        worlds: np.ndarray,
        row: int,
        actions: np.ndarray,
        assumed: np.ndarray,
        chances: np.ndarray,
        forbidden: int,
    ) -> tuple[Any, ...]:
        left = chances.copy()
        return (viewed(worlds), row, self._parameters, actions, assumed, left, forbidden, self._trials)
