"""What a step shows: which properties of the floor colours go with how it went, and whether it was foreseen."""

from __future__ import annotations

import numpy as np

from babyaipp.engine.compile import compile_kernel, device_function, kernel, unsigned, viewed
from babyaipp.engine.shared import from_minigrid
from babyaipp.engine.state import COLOR_SHIFT, FLOOR, NOT_ENDED, TYPE_MASK, WORLD
from babyaipp.engine.step import step
from babyaipp.tiles import NONE, PROPERTIES


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


class Learner:
    """Explains what the steps of a batch of worlds have done.

    Args:
        parameters: (1,) `PARAMETERS` of the level.
    """

    def __init__(self, parameters: np.ndarray) -> None:
        self._parameters = viewed(parameters)
        self._trial = viewed(np.zeros(1, WORLD))

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
        count = len(before)
        colors = np.full((count, 2), NONE, np.int64)
        fits = np.zeros((count, 2, len(PROPERTIES)), np.bool_)
        foreseen = np.zeros(count, np.bool_)
        given = (viewed(before), viewed(after), self._parameters, actions, rows, possible, assumed)
        arguments = (*given, colors, fits, foreseen, self._trial)
        compile_kernel(_explain, arguments)
        _explain(*arguments)
        return colors, fits, foreseen
