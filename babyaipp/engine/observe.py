"""What an agent sees: Minigrid's view of 7 x 7 cells, with what walls and closed doors hide left out.

Cells are handled seven at a time, as the bytes of one integer, and sets of cells as its bits: this is where most of
the time of a step goes. What lies outside of the grid is never seen, since the outer cells are walls.
"""

from __future__ import annotations

from babyaipp.engine.compile import device_function, inlined_function, unsigned
from babyaipp.engine.generate import direction_x, direction_y
from babyaipp.engine.state import (
    BOX,
    COLOR_MASK,
    COLOR_SHIFT,
    DOOR,
    EMPTY,
    FLOOR,
    KEY,
    STATE_MASK,
    STATE_SHIFT,
    TYPE_MASK,
)
from babyaipp.engine.step import can_enter
from babyaipp.tiles import DONE, DROP, FORWARD, LEFT, PICKUP, RIGHT, TOGGLE

VIEW = 7
_AGENT_COLUMN, _AGENT_ROW = VIEW // 2, VIEW - 1
_ROW = (1 << VIEW) - 1
_BYTE = 0xFF
_ONES = sum(1 << 8 * row for row in range(VIEW))  # the lowest bit of every byte
CHANNELS = 3
_COLUMN = VIEW * CHANNELS  # bytes of a column of the image
IMAGE_BYTES = VIEW * _COLUMN
# Type, colour and state of two cells, three bytes each.
_TWO = 1 | 1 << (8 * CHANNELS)
_TWO_TYPES, _TWO_COLORS, _TWO_STATES = TYPE_MASK * _TWO, COLOR_MASK * _TWO << 8, STATE_MASK * _TWO << 16
_COLOR_TO_BYTE, _STATE_TO_BYTE = 8 - COLOR_SHIFT, 16 - STATE_SHIFT


@inlined_function
def _clamped(at, size):
    return min(max(at, 0), size - 1)


@inlined_function
def _column(w, ahead, sign, size, stride, side):
    """The cells of a column of the view, a byte each, the farthest first.

    `ahead`: where the agent is along the direction that it looks in; `sign`: whether that grows; `size`: of the grid,
    `stride`: between the numbers of its cells; `side`: what the column adds to them.
    """
    cells = 0
    for row in range(VIEW):
        at = _clamped(ahead + sign * (_AGENT_ROW - row), size) * stride
        cells |= int(w.seen[unsigned(side + at)]) << (8 * row)
    return cells


@inlined_function
def _see_through(cells):
    """Which bytes are cells that can be seen through, as their lowest bits."""
    wall = ~cells & (cells >> 1) & ~(cells >> 2)  # type 2
    closed = (cells >> STATE_SHIFT) | (cells >> (STATE_SHIFT + 1))  # only doors have a state; open is 0
    return ~(wall | closed) & _ONES


@inlined_function
def _visible(see_through):
    """Minigrid's `process_vis`: which cells of the view are seen.

    Sets of cells have a byte a row, the farthest first, and in it a bit a column.
    """
    lit = 1 << _AGENT_COLUMN
    visible = 0
    for distance in range(VIEW):
        row = _AGENT_ROW - distance
        through = (see_through >> (8 * row)) & _ROW
        # To the right along cells that can be seen through, and one farther: as a carry runs through an addition.
        lit |= (((lit & through) + through) ^ through) & _ROW
        # To the left likewise, in steps of 1, 2 and 4.
        spread = lit & through
        spread |= through & (spread >> 1)
        through_2 = through & (through >> 1)
        spread |= through_2 & (spread >> 2)
        spread |= through_2 & (through_2 >> 2) & (spread >> 4)
        lit |= spread | (spread >> 1)
        visible |= lit << (8 * row)
        lit &= through
        lit = (lit | (lit << 1) | (lit >> 1)) & _ROW
    return visible


@inlined_function
def _write_column(image, at, cells, visible):
    """Write type, colour and state of the cells of a column, 0 where they are not seen.

    `visible`: the lowest bit of each byte.
    """
    cells &= (visible & _ONES) * _BYTE
    for row in range(0, VIEW, 2):
        first = (cells >> (8 * row)) & _BYTE
        second = (cells >> (8 * row + 8)) & _BYTE
        two = first | second << (8 * CHANNELS)
        two = (two & _TWO_TYPES) | ((two << _COLOR_TO_BYTE) & _TWO_COLORS) | ((two << _STATE_TO_BYTE) & _TWO_STATES)
        for i in range(2 * CHANNELS if row + 1 < VIEW else CHANNELS):
            image[unsigned(at + CHANNELS * row + i)] = (two >> (8 * i)) & _BYTE


@device_function
def observe(w, p, image, at):
    """Write the agent's view; `image`: flat uint8, of which 7 x 7 x 3 from `at` on are column, row and channel."""
    direction = int(w.agent_dir)
    sign = 1 if direction < 2 else -1
    if direction & 1:  # down or up
        ahead, size, stride = int(w.agent_y), int(p.height), int(p.width)
        side, side_size, side_stride, side_sign = int(w.agent_x), int(p.width), 1, -sign
    else:
        ahead, size, stride = int(w.agent_x), int(p.width), 1
        side, side_size, side_stride, side_sign = int(w.agent_y), int(p.height), int(p.width), sign
    side_0 = _clamped(side - 3 * side_sign, side_size) * side_stride
    side_1 = _clamped(side - 2 * side_sign, side_size) * side_stride
    side_2 = _clamped(side - side_sign, side_size) * side_stride
    side_3 = side * side_stride
    side_4 = _clamped(side + side_sign, side_size) * side_stride
    side_5 = _clamped(side + 2 * side_sign, side_size) * side_stride
    side_6 = _clamped(side + 3 * side_sign, side_size) * side_stride
    cells_0 = _column(w, ahead, sign, size, stride, side_0)
    cells_1 = _column(w, ahead, sign, size, stride, side_1)
    cells_2 = _column(w, ahead, sign, size, stride, side_2)
    cells_3 = _column(w, ahead, sign, size, stride, side_3)
    cells_4 = _column(w, ahead, sign, size, stride, side_4)
    cells_5 = _column(w, ahead, sign, size, stride, side_5)
    cells_6 = _column(w, ahead, sign, size, stride, side_6)
    see_through = _see_through(cells_0)
    see_through |= _see_through(cells_1) << 1
    see_through |= _see_through(cells_2) << 2
    see_through |= _see_through(cells_3) << 3
    see_through |= _see_through(cells_4) << 4
    see_through |= _see_through(cells_5) << 5
    see_through |= _see_through(cells_6) << 6
    visible = _visible(see_through)
    carried = int(w.carried)
    cells_3 &= ~(_BYTE << (8 * _AGENT_ROW))
    cells_3 |= (carried if carried else EMPTY) << (8 * _AGENT_ROW)
    _write_column(image, at, cells_0, visible)
    _write_column(image, at + _COLUMN, cells_1, visible >> 1)
    _write_column(image, at + 2 * _COLUMN, cells_2, visible >> 2)
    _write_column(image, at + 3 * _COLUMN, cells_3, visible >> 3)
    _write_column(image, at + 4 * _COLUMN, cells_4, visible >> 4)
    _write_column(image, at + 5 * _COLUMN, cells_5, visible >> 5)
    _write_column(image, at + 6 * _COLUMN, cells_6, visible >> 6)


@device_function
def write_action_mask(w, p, mask):
    """Write which actions may do something.

    `mask`: (7,) int8, 0 only where the action changes nothing but the clock, whatever the rules are. On a tile every
    action may do something; elsewhere it depends on the cell ahead, and for a drop also on whether something was taken
    or destroyed that is still looked for where it was.
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
    mask[DROP] = on_tile or w.gone or (carries and (kind == EMPTY or kind == FLOOR))
    mask[TOGGLE] = on_tile or kind == DOOR or kind == BOX
