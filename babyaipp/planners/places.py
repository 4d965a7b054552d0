"""Where an agent is, as one number: its cell, direction, and the counters of its tile as far as they matter.

Which counters matter is found by asking the tiles' rules, so that it is written nowhere again.
"""

from __future__ import annotations

from babyaipp.engine.compile import device_function, unsigned
from babyaipp.engine.generate import direction_x, direction_y
from babyaipp.engine.shared import from_minigrid
from babyaipp.engine.state import COLOR_MASK, COLOR_SHIFT, FIRST_DEADLY, FLOOR, TYPE_MASK
from babyaipp.tiles import DEADLY, DONE, NONE, PROPERTIES, effective_action, falls

_PROBED = range(16)
_PROPS, _ACTIONS = range(len(PROPERTIES)), range(DONE + 1)

CELL_TIMED: int = sum(
    1 << prop
    for prop in _PROPS
    if any(effective_action(prop, a, n) != effective_action(prop, a, 0) for a in _ACTIONS for n in _PROBED)
)
"""Bit mask of the properties that look at how long the agent has been on its cell."""

COLOR_TIMED: int = sum(1 << prop for prop in _PROPS if any(falls(prop, n) != falls(prop, 0) for n in _PROBED))
"""Bit mask of those that look at how long it has been on its colour; what makes the agent leave a cell in passing."""

CELL_STEPS: int = 2 + max(
    n
    for n in _PROBED
    if any(effective_action(prop, a, n) != effective_action(prop, a, n + 1) for prop in _PROPS for a in _ACTIONS)
)
"""So many counts of steps on a cell differ; the last one stands for all that are higher."""

COLOR_STEPS: int = next(
    n for n in range(1, len(_PROBED)) if all(falls(prop, i) == falls(prop, i + n) for prop in _PROPS for i in _PROBED)
)
"""Counts of steps on a colour differ modulo this."""

PLACES_A_CELL: int = 4 * CELL_STEPS * COLOR_STEPS


@device_function
def timed_props(w):
    """Bit masks, of properties in a world: those that look at a counter, and those that look at steps on the colour.

    Steps on the cell matter on tiles of either kind: who falls from one onto the other keeps them.
    """
    props = 0
    for color in range(len(w.rules)):
        if int(w.rules[color]) != NONE:
            props |= 1 << int(w.rules[color])
    by_color = props & COLOR_TIMED
    by_cell = props & CELL_TIMED
    return (by_cell | by_color if by_cell else 0), by_color


@device_function
def tile_color(seen):
    """Colour of the tile that an agent in such a cell stands on, or `NONE`."""
    return from_minigrid((seen >> COLOR_SHIFT) & COLOR_MASK) if seen & TYPE_MASK == FLOOR else NONE


@device_function
def tile_prop(w, cell):
    """Property of the tile that an agent in a cell stands on, or `NONE`."""
    color = tile_color(int(w.seen[unsigned(cell)]))
    return NONE if color == NONE else int(w.rules[unsigned(color)])


@device_function
def place_of(w, p):
    """Number of the agent's place."""
    cell = int(w.agent_y) * p.width + int(w.agent_x)
    cell_steps = 0
    color_steps = 0
    prop = tile_prop(w, cell)
    if prop != NONE:
        by_cell, by_color = timed_props(w)
        if (by_cell >> prop) & 1:
            cell_steps = min(int(w.cell_steps), CELL_STEPS - 1)
        if (by_color >> prop) & 1:
            color_steps = int(w.color_steps) % COLOR_STEPS
    return ((cell * 4 + int(w.agent_dir)) * CELL_STEPS + cell_steps) * COLOR_STEPS + color_steps


@device_function
def put(w, p, place):
    """Put the agent into a place, at the beginning of time."""
    cell = place // PLACES_A_CELL
    w.agent_x = cell % p.width
    w.agent_y = cell // p.width
    w.agent_dir = (place // (CELL_STEPS * COLOR_STEPS)) & 3
    w.cell_steps = (place // COLOR_STEPS) % CELL_STEPS
    w.color_steps = place % COLOR_STEPS
    w.half_steps = 0
    w.steps = 0


@device_function
def cell_of(place):
    """Number of the cell of a place."""
    return place // PLACES_A_CELL


@device_function
def faced_from(p, place):
    """Number of the cell that the agent faces in a place."""
    direction = (place // (CELL_STEPS * COLOR_STEPS)) & 3
    return place // PLACES_A_CELL + direction_y(direction) * p.width + direction_x(direction)


@device_function
def survives(w, p, ended, forbidden):
    """Whether the agent may end an action where it is now: nothing that is deadly is there, nor a forbidden colour.

    `ended`: what `step` has returned; `forbidden`: bit mask of the colours.
    """
    color = tile_color(int(w.seen[unsigned(int(w.agent_y) * p.width + int(w.agent_x))]))
    if ended >= FIRST_DEADLY:
        return False
    if color == NONE:
        return True
    prop = int(w.rules[unsigned(color)])
    return not (forbidden >> color) & 1 and (prop == NONE or int(p.hazards[unsigned(prop)]) != DEADLY)
