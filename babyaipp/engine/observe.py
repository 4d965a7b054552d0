"""What an agent sees: Minigrid's view of 7 x 7 cells, with what walls and closed doors hide left out.

Visibility is Minigrid's `process_vis`, one row of the view at a time, as masks of seven bits.
"""

from __future__ import annotations

from babyaipp.engine.compile import device_function
from babyaipp.engine.generate import direction_x, direction_y
from babyaipp.engine.state import BOX, COLOR_MASK, COLOR_SHIFT, DOOR, EMPTY, FLOOR, KEY, STATE_SHIFT, TYPE_MASK, WALL, WALL_CELL
from babyaipp.engine.step import can_enter
from babyaipp.tiles import DONE, DROP, FORWARD, LEFT, PICKUP, RIGHT, TOGGLE

VIEW = 7
_AGENT_COLUMN = VIEW // 2
_ALL = (1 << VIEW) - 1
_RIGHTMOST = 1 << (VIEW - 1)


@device_function
def observe(w, p, image):
    """Write the agent's view; `image`: (7, 7, 3) uint8, by column and row."""
    direction = int(w.agent_dir)
    ahead_x = direction_x(direction)
    ahead_y = direction_y(direction)
    right_x = -ahead_y
    right_y = ahead_x
    agent_x = int(w.agent_x)
    agent_y = int(w.agent_y)
    visible = 1 << _AGENT_COLUMN
    for distance in range(VIEW):
        row = VIEW - 1 - distance
        x = agent_x + distance * ahead_x - _AGENT_COLUMN * right_x
        y = agent_y + distance * ahead_y - _AGENT_COLUMN * right_y
        see_through = 0
        cells = 0
        for column in range(VIEW):
            cell = WALL_CELL
            if 0 <= x < p.width and 0 <= y < p.height:
                cell = int(w.seen[y * p.width + x])
            cells |= cell << (8 * column)
            # Only doors have a state, and only an open one, 0, can be seen through.
            if (cell & TYPE_MASK) != WALL and cell >> STATE_SHIFT == 0:
                see_through |= 1 << column
            x += right_x
            y += right_y
        # To the right as far as it can be seen, and from there to the next row; then to the left.
        for _ in range(VIEW - 1):
            visible |= ((visible & see_through) << 1) & _ALL
        lit = visible & see_through & ~_RIGHTMOST
        next_visible = lit | (lit << 1)
        for _ in range(VIEW - 1):
            visible |= (visible & see_through) >> 1
        lit = visible & see_through & ~1
        next_visible |= lit | (lit >> 1)
        if distance == 0:
            carried = int(w.carried)
            cells &= ~(0xFF << (8 * _AGENT_COLUMN))
            cells |= (carried if carried else EMPTY) << (8 * _AGENT_COLUMN)
        for column in range(VIEW):
            cell = ((cells >> (8 * column)) & 0xFF) if (visible >> column) & 1 else 0
            image[column, row, 0] = cell & TYPE_MASK
            image[column, row, 1] = (cell >> COLOR_SHIFT) & COLOR_MASK
            image[column, row, 2] = cell >> STATE_SHIFT
        visible = next_visible


@device_function
def write_action_mask(w, p, mask):
    """Write which actions may do something, judged by what can be seen.

    `mask`: (7,) int8, 0 only where the action changes nothing but the clock, whatever the rules are. On a tile every
    action may do something; elsewhere it depends on the cell ahead.
    """
    x = int(w.agent_x)
    y = int(w.agent_y)
    direction = int(w.agent_dir)
    on_tile = int(w.seen[y * p.width + x]) & TYPE_MASK == FLOOR
    ahead = int(w.seen[(y + direction_y(direction)) * p.width + x + direction_x(direction)])
    kind = ahead & TYPE_MASK
    carries = int(w.carried) != 0
    mask[LEFT] = 1
    mask[RIGHT] = 1
    mask[DONE] = 1
    mask[FORWARD] = on_tile or can_enter(ahead)
    mask[PICKUP] = on_tile or (kind >= KEY and not carries)
    mask[DROP] = on_tile or (carries and (kind == EMPTY or kind == FLOOR))
    mask[TOGGLE] = on_tile or kind == DOOR or kind == BOX
