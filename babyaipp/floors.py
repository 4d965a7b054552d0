"""Draws the rules of an episode and strews the floor tiles.

Stands between the level row and the finished world: the generator has placed walls, doors, objects and the
agent; this adds tiles and touches nothing else. All functions work on integers, without objects or allocation.
`integers` and `uniform` are the only places that know what `rng` is, `cell_at`, `tile_at` and `lay_tile` the only
ones that know what `grid` is: another random stream and another grid are put in their stead by replacing these.

Colours, properties and hazard classes are numbers, see `tiles.py`; sets of colours are bit masks.
"""

from __future__ import annotations

from babyaipp.bits import bit_count, nth_bit
from babyaipp.tiles import DEADLY, FREE, NONE, PATH

# What `place_floors` must know of a cell.
EMPTY, DOOR, OCCUPIED = range(3)

# Shares of the draws that try for a tile of each hazard class (the highest threshold first).
_DEADLY_FROM, _PATH_FROM, _FREE_FROM = 0.95, 0.80, 0.50
_HAZARD_TRIES = 20  # a deadly or path tile is re-drawn so often before it is given up
_CELL_TRIES = 1001  # Minigrid's place_in_room gives up after as many
_MAX_HAZARD_LOAD = 1


def integers(rng, low, high):
    """A uniform integer in [low, high). As in NumPy, a range of one draws nothing; here it costs nothing, too."""
    return int(rng.integers(low, high)) if high - low > 1 else low


def uniform(rng):
    """A uniform float in [0, 1)."""
    return rng.random()


def cell_at(grid, x, y):
    """`EMPTY`, `DOOR` or `OCCUPIED`, also where a tile lies; `grid`: (2, width, height) int, this and the tiles."""
    return grid[0, x, y]


def tile_at(grid, x, y):
    """Colour of the tile of a cell, or `NONE`."""
    return grid[1, x, y]


def lay_tile(grid, x, y, color):
    """Lay a tile."""
    grid[1, x, y] = color


def draw_rules(rng, allowed, num_colors, choose_colors, rules):
    """Draw the property of each floor colour of an episode.

    Args:
        rng: random stream.
        allowed: (6,) int, for each colour the bit mask of properties that it may have; 0: not a floor colour.
        num_colors: how many floor colours the episode has.
        choose_colors: draw which colours have rules, instead of taking the first ones that may.
        rules: (6,) int, filled with the property of each colour, or `NONE`.
    """
    candidates = 0
    for color in range(len(rules)):
        rules[color] = NONE
        if allowed[color]:
            candidates |= 1 << color
    for _ in range(num_colors):
        pick = integers(rng, 0, bit_count(candidates)) if choose_colors else 0
        color = nth_bit(candidates, pick)
        candidates &= ~(1 << color)
        # A mark only: the properties are drawn below in the order of the colours.
        rules[color] = 0
    for color in range(len(rules)):
        if rules[color] != NONE:
            mask = int(allowed[color])
            rules[color] = nth_bit(mask, integers(rng, 0, bit_count(mask)))


def hazard_colors(rules, hazards, hazard):
    """The colours whose property is of a hazard class, as a bit mask.

    Args:
        rules: (6,) int, property of each colour, or `NONE`.
        hazards: (properties,) int, hazard class of each property.
        hazard: the class.
    """
    mask = 0
    for color in range(len(rules)):
        if rules[color] != NONE and hazards[rules[color]] == hazard:
            mask |= 1 << color
    return mask


def place_floors(rng, grid, agent_x, agent_y, room_size, num_cols, num_rows, rules, hazards):
    """Strew tiles over the empty cells of all rooms.

    Args:
        rng: random stream.
        grid: see `cell_at`; without tiles.
        agent_x: the agent's column; no tile comes on the agent's cell or right beside it.
        agent_y: the agent's row.
        room_size: cells a side of a room, walls included.
        num_cols: columns of rooms.
        num_rows: rows of rooms.
        rules: (6,) int, property of each colour, or `NONE`.
        hazards: (properties,) int, hazard class of each property.
    """
    deadly = hazard_colors(rules, hazards, DEADLY)
    path = hazard_colors(rules, hazards, PATH)
    free = hazard_colors(rules, hazards, FREE)
    height = num_rows * (room_size - 1) + 1
    for _ in range(num_cols * num_rows * (room_size - 2) ** 2):
        draw = uniform(rng)
        if draw >= _DEADLY_FROM and deadly:
            colors = deadly
            tries = _HAZARD_TRIES
        elif draw >= _PATH_FROM and path:
            colors = path
            tries = _HAZARD_TRIES
        elif draw >= _FREE_FROM and free:
            colors = free
            tries = 1
        else:
            continue
        color = nth_bit(colors, integers(rng, 0, bit_count(colors)))
        for _ in range(tries):
            left = integers(rng, 0, num_cols) * (room_size - 1)
            top = integers(rng, 0, num_rows) * (room_size - 1)
            cell = find_cell(rng, grid, agent_x, agent_y, left, top, room_size, height)
            if cell == NONE:
                break
            x = cell // height
            y = cell % height
            if colors == free or hazard_load(grid, deadly | path, x, y) <= _MAX_HAZARD_LOAD:
                lay_tile(grid, x, y, color)
                break


def find_cell(rng, grid, agent_x, agent_y, left, top, room_size, height):
    """Draw a cell for a tile as Minigrid's `place_in_room` does; x * height + y, or `NONE` if the room is too full."""
    for _ in range(_CELL_TRIES):
        x = integers(rng, left, left + room_size)
        y = integers(rng, top, top + room_size)
        if cell_at(grid, x, y) != EMPTY or tile_at(grid, x, y) != NONE:
            continue
        if abs(x - agent_x) + abs(y - agent_y) < 2:
            continue
        return x * height + y
    return NONE


def hazard_load(grid, hazardous, x, y):
    """Tiles of the colours in the mask, plus twice the doors, among the 8 neighbours of a cell in a room."""
    load = 0
    for i in range(x - 1, x + 2):
        for j in range(y - 1, y + 2):
            if i == x and j == y:
                continue
            if cell_at(grid, i, j) == DOOR:
                load += 2
            elif tile_at(grid, i, j) != NONE and (hazardous >> tile_at(grid, i, j)) & 1:
                load += 1
    return load
