"""The functions that engine and reference share, compiled: tiles, floors and texts on the engine's own grid and stream.

Nothing is written again here but how to look at a cell.
"""

from __future__ import annotations

from babyaipp import bits, floors, reading, texts, tiles
from babyaipp.engine.compile import device_function, inlined_function, rebound, unsigned
from babyaipp.engine.rng import integers, uniform
from babyaipp.engine.state import (
    COLOR_SHIFT,
    DOOR,
    EMPTY,
    FLOOR,
    MINIGRID_COLORS,
    TYPE_MASK,
)

_TILE_EMPTY, _TILE_DOOR, _TILE_OCCUPIED = floors.EMPTY, floors.DOOR, floors.OCCUPIED
_NO_TILE = tiles.NONE

# Three bits a colour: Minigrid's number by ours, and ours by Minigrid's.
_TO_MINIGRID = sum(MINIGRID_COLORS.index(color) << 3 * i for i, color in enumerate(tiles.COLORS))
_FROM_MINIGRID = sum(tiles.COLORS.index(color) << 3 * i for i, color in enumerate(MINIGRID_COLORS))


@inlined_function
def to_minigrid(color):
    """Minigrid's number of a colour of `tiles.COLORS`."""
    return (_TO_MINIGRID >> (3 * color)) & 7


@inlined_function
def from_minigrid(color):
    """Number in `tiles.COLORS` of a colour of Minigrid's."""
    return (_FROM_MINIGRID >> (3 * color)) & 7


@device_function
def _cell_at(grid, x, y):
    """As `floors.cell_at`; `grid`: world and parameters."""
    w, p = grid
    kind = int(w.seen[unsigned(y * p.width + x)]) & TYPE_MASK
    if kind == EMPTY or kind == FLOOR:
        return _TILE_EMPTY
    return _TILE_DOOR if kind == DOOR else _TILE_OCCUPIED


@device_function
def _tile_at(grid, x, y):
    w, p = grid
    seen = int(w.seen[unsigned(y * p.width + x)])
    return from_minigrid(seen >> COLOR_SHIFT) if (seen & TYPE_MASK) == FLOOR else _NO_TILE


@device_function
def _lay_tile(grid, x, y, color):
    w, p = grid
    w.seen[unsigned(y * p.width + x)] = FLOOR | (to_minigrid(color) << COLOR_SHIFT)


_NAMES = (
    "bit_count",
    "nth_bit",
    "is_deadly",
    "is_terminal",
    "half_steps_after",
    "step_half_steps",
    "falls",
    "turns_around",
    "effective_action",
    "action_on_held",
    "next_color_steps",
    "next_cell_steps",
    "success_reward",
    "hazard_colors",
    "hazard_load",
    "find_cell",
    "draw_rules",
    "place_floors",
    "_draw_object",
    "draw_crossing",
    "_draw_distant",
    "draw_field",
    "_draw_color",
    "_draw_property",
    "draw_balanced_rules",
    "harmless_colors",
    "lay_gates",
    "_is_free",
    "_step",
    "fewest_steps",
    "_entered",
    "_has_tile",
    "_is_connected",
    "_nearest",
    "_lay_patches",
    "_lay_room",
    "_find",
    "lay_patches",
    "text_draw",
    "_select",
    "draw_described",
    "draw_false_property",
    "write_description",
)

_compiled = rebound(
    (bits, tiles, floors, reading, texts),
    _NAMES,
    {
        "integers": integers,
        "uniform": uniform,
        "cell_at": _cell_at,
        "tile_at": _tile_at,
        "lay_tile": _lay_tile,
    },
)

action_on_held = _compiled["action_on_held"]
draw_balanced_rules = _compiled["draw_balanced_rules"]
draw_crossing = _compiled["draw_crossing"]
draw_described = _compiled["draw_described"]
draw_field = _compiled["draw_field"]
draw_rules = _compiled["draw_rules"]
effective_action = _compiled["effective_action"]
falls = _compiled["falls"]
half_steps_after = _compiled["half_steps_after"]
is_deadly = _compiled["is_deadly"]
is_terminal = _compiled["is_terminal"]
lay_gates = _compiled["lay_gates"]
lay_patches = _compiled["lay_patches"]
next_cell_steps = _compiled["next_cell_steps"]
next_color_steps = _compiled["next_color_steps"]
nth_bit = _compiled["nth_bit"]
place_floors = _compiled["place_floors"]
step_half_steps = _compiled["step_half_steps"]
success_reward = _compiled["success_reward"]
turns_around = _compiled["turns_around"]
write_description = _compiled["write_description"]
