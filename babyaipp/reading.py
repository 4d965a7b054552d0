"""Draws the reading levels: where things stand, which colours are deadly, and where their tiles lie.

Beside `floors.py`, and written like it: integers only, without objects or allocation, for both implementations;
`integers`, `cell_at`, `tile_at` and `lay_tile` are put in place for each. `scratch` is a (`SCRATCH`, lanes) int array,
`lane` the column of it that may be used.

What makes reading worth it is a symmetry: nothing that can be seen tells a deadly colour from the harmless one that
it could be exchanged with. A wall has one gap of each. A minefield is laid so that exchanging the two leaves it sound:
with either one deadly there is a safe way, with both there is none, and each shortest way leads over both.
"""

from __future__ import annotations

from babyaipp.bits import bit_count, nth_bit
from babyaipp.floors import DOOR, EMPTY, OCCUPIED, cell_at, hazard_colors, integers, lay_tile, tile_at
from babyaipp.tiles import (
    DEADLY,
    DONE,
    FORWARD,
    LEFT,
    MAGIC,
    NONE,
    RIGHT,
    STICKY,
    TOGGLE,
    effective_action,
    falls,
    turns_around,
)

# Rows of `scratch` that `draw_crossing` and `draw_field` fill in. Near: on the agent's side; far: on the other.
AGENT_X, AGENT_Y, AGENT_DIR, FAR_X, FAR_Y, FAR_KIND, NEAR_X, NEAR_Y, NEAR_KIND = range(9)
WALLS = 9  # from here: column and the rows of both gaps, three numbers a wall
MAX_WALLS = 3

KINDS = 18
"""Kinds of objects: three types of six colours."""

_SECTION = 2  # free columns between walls, at least
_MIN_DISTANCE = 6  # from the agent to its goal or the door in a minefield, from cell to cell
_PATCHES = 12  # of tiles of a colour, in a room
_MAX_COLORS = 4  # of tiles in a room
_LAYOUTS = 1000  # of a room are drawn before the world is given up; for some there is hardly any that will do

# A search knows these actions, and keeps three sets of states: a word a cell, in it whether the door ahead has been
# opened, by four directions, by three timers.
_ACTIONS = FORWARD + 3
_OPEN, _WAIT = FORWARD + 1, FORWARD + 2  # in the place of `TOGGLE` and `DONE`
_TIMERS = 3
_STATES = 2 * 4 * _TIMERS
_BARRED, _AT_GOAL = -1, -2
_ROOM_CELLS = 37  # of a room of 8, and where the search begins
_VISITED, _FRONTIER, _NEXT = 0, _ROOM_CELLS, 2 * _ROOM_CELLS
_SEEDS = 3 * _ROOM_CELLS
SCRATCH = _SEEDS + _PATCHES

FAR = 2**20
"""More steps than any way has."""


def draw_crossing(rng, room_size, num_walls, carries, scratch, lane):
    """Draw a room with walls across it, the agent on one side of them and its goal on the other.

    No object lies right beside a gap: it would be in the way, and could be reached from within the gap.

    Args:
        rng: random stream.
        room_size: cells a side, walls included.
        num_walls: how many walls.
        carries: whether there is an object on the agent's side, too, of another kind than the goal.
        scratch: see above; filled.
        lane: see above.
    """
    slack = room_size - 2 - (_SECTION + num_walls * (_SECTION + 1))
    first = _SECTION + 1 + integers(rng, 0, slack + 1)
    last = first + (num_walls - 1) * (_SECTION + 1)
    for i in range(num_walls):
        upper = 0
        lower = 0
        while lower - upper < 2:
            upper = integers(rng, 1, room_size - 1)
            lower = integers(rng, 1, room_size - 1)
        scratch[WALLS + 3 * i, lane] = first + i * (_SECTION + 1)
        scratch[WALLS + 3 * i + 1, lane] = upper
        scratch[WALLS + 3 * i + 2, lane] = lower
    from_left = integers(rng, 0, 2) == 1
    near_first = 1 if from_left else last + 1
    near_last = first if from_left else room_size - 1
    far_first = last + 1 if from_left else 1
    far_last = room_size - 1 if from_left else first
    scratch[AGENT_X, lane] = integers(rng, near_first, near_last)
    scratch[AGENT_Y, lane] = integers(rng, 1, room_size - 1)
    scratch[AGENT_DIR, lane] = integers(rng, 0, 4)
    _draw_object(rng, room_size, num_walls, far_first, far_last, FAR_X, scratch, lane)
    scratch[FAR_KIND, lane] = NONE
    if carries:
        scratch[FAR_KIND, lane] = integers(rng, 0, KINDS)
        _draw_object(rng, room_size, num_walls, near_first, near_last, NEAR_X, scratch, lane)
        kind = integers(rng, 0, KINDS - 1)
        scratch[NEAR_KIND, lane] = kind + 1 if kind >= scratch[FAR_KIND, lane] else kind


def _draw_object(rng, room_size, num_walls, first, last, place, scratch, lane):
    """Draw a cell in the columns from `first` to before `last`, not the agent's and not beside a gap."""
    while True:
        x = integers(rng, first, last)
        y = integers(rng, 1, room_size - 1)
        sound = x != scratch[AGENT_X, lane] or y != scratch[AGENT_Y, lane]
        for i in range(num_walls):
            at = WALLS + 3 * i
            if abs(x - scratch[at, lane]) == 1 and (y == scratch[at + 1, lane] or y == scratch[at + 2, lane]):
                sound = False
        if sound:
            break
    scratch[place, lane] = x
    scratch[place + 1, lane] = y


def draw_field(rng, room_size, num_cols, door_y, scratch, lane):
    """Draw agent and goal of a minefield: in one room, or in two with a door between them, each far from the door.

    Args:
        rng: random stream.
        room_size: cells a side of a room, walls included.
        num_cols: rooms in the row, 1 or 2.
        door_y: row of the door.
        scratch: see above; filled.
        lane: see above.
    """
    side = room_size - 1
    agent_left = side * integers(rng, 0, num_cols)
    goal_left = side * (num_cols - 1) - agent_left
    from_x = side
    from_y = door_y
    if num_cols == 1:
        from_x = integers(rng, 1, side)
        from_y = integers(rng, 1, side)
        scratch[AGENT_X, lane] = from_x
        scratch[AGENT_Y, lane] = from_y
    else:
        _draw_distant(rng, agent_left, side, from_x, from_y, AGENT_X, scratch, lane)
    scratch[AGENT_DIR, lane] = integers(rng, 0, 4)
    _draw_distant(rng, goal_left, side, from_x, from_y, FAR_X, scratch, lane)


def _draw_distant(rng, left, side, from_x, from_y, place, scratch, lane):
    while True:
        x = left + integers(rng, 1, side)
        y = integers(rng, 1, side)
        if abs(x - from_x) + abs(y - from_y) >= _MIN_DISTANCE:
            break
    scratch[place, lane] = x
    scratch[place + 1, lane] = y


def draw_balanced_rules(rng, allowed, num_deadly, hazards, rules):
    """Draw which colours are deadly, so many of all, then the property of each from those of its class.

    Args:
        rng: random stream.
        allowed: (6,) int, for each colour the bit mask of properties that it may have.
        num_deadly: how many colours are deadly.
        hazards: (properties,) int, hazard class of each property.
        rules: (6,) int, filled with the property of each colour.
    """
    harmless = (1 << len(rules)) - 1
    for _ in range(num_deadly):
        harmless &= ~(1 << _draw_color(rng, harmless))
    for color in range(len(rules)):
        rules[color] = _draw_property(rng, allowed[color], hazards, not (harmless >> color) & 1)


def _draw_color(rng, colors):
    return nth_bit(colors, integers(rng, 0, bit_count(colors)))


def _draw_property(rng, allowed, hazards, deadly):
    mask = 0
    for prop in range(len(hazards)):
        if (allowed >> prop) & 1 and (hazards[prop] == DEADLY) == deadly:
            mask |= 1 << prop
    return nth_bit(mask, integers(rng, 0, bit_count(mask)))


def harmless_colors(rules, hazards):
    """The colours that have a property which is not deadly, as a bit mask; arguments as of `hazard_colors`."""
    mask = 0
    for color in range(len(rules)):
        if rules[color] != NONE:
            mask |= 1 << color
    return mask & ~hazard_colors(rules, hazards, DEADLY)


def lay_gates(rng, grid, room_size, rules, hazards):
    """Lay a deadly tile into one gap of each wall and a harmless one into the other.

    Colours are drawn anew for each wall, but for those of the wall before, as long as there are others.

    Args:
        rng: random stream.
        grid: see `floors.cell_at`; a column with just two free cells is a wall.
        room_size: cells a side, walls included.
        rules: (6,) int, property of each colour, or `NONE`; one at least is deadly, one is not.
        hazards: (properties,) int, hazard class of each property.
    """
    deadly = hazard_colors(rules, hazards, DEADLY)
    harmless = harmless_colors(rules, hazards)
    before = 0
    for x in range(1, room_size - 1):
        upper = 0
        lower = 0
        free = 0
        for y in range(1, room_size - 1):
            if cell_at(grid, x, y) == EMPTY:
                free += 1
                upper = lower
                lower = y
        if free != 2:
            continue
        one = _draw_color(rng, deadly & ~before if deadly & ~before else deadly)
        other = _draw_color(rng, harmless & ~before if harmless & ~before else harmless)
        deadly_above = integers(rng, 0, 2) == 1
        lay_tile(grid, x, upper, one if deadly_above else other)
        lay_tile(grid, x, lower, other if deadly_above else one)
        before = (1 << one) | (1 << other)


def lay_patches(rng, grid, agent_x, agent_y, agent_dir, room_size, num_cols, allowed, rules, hazards, scratch, lane):
    """Cover all free cells with patches of tiles.

    A room has patches of the colour on which the agent begins, and of two more, one of which is deadly. Where there
    are two rooms, each has two colours of its own besides the first, and both have a patch of a third deadly colour.

    Args:
        rng: random stream.
        grid: see `floors.cell_at`; an object, if any, is the goal.
        agent_x: the agent's column.
        agent_y: its row.
        agent_dir: its direction.
        room_size: cells a side of a room, walls included; 8 at most.
        num_cols: rooms in the row, 1 or 2.
        allowed: (6,) int, for each colour the bit mask of properties that it may have.
        rules: (6,) int, property of each colour, or `NONE`; one is deadly and two are not, for two rooms three and
            three.
        hazards: (properties,) int, hazard class of each property.
        scratch: see above.
        lane: see above.

    Returns:
        Whether sound patches were found. If not, the world must be drawn anew, rules and all: so it depends on nothing
        but what both of two colours that could be exchanged have in common.
    """
    deadly = hazard_colors(rules, hazards, DEADLY)
    harmless = harmless_colors(rules, hazards)
    first = _draw_color(rng, harmless)
    harmless &= ~(1 << first)
    decoy = NONE
    if num_cols > 1:
        decoy = _draw_color(rng, deadly)
        deadly &= ~(1 << decoy)
    side = room_size - 1
    goal = _find(grid, OCCUPIED, 1, num_cols * side, room_size)
    door = _find(grid, DOOR, side, side + 1, room_size)
    x = agent_x
    y = agent_y
    direction = agent_dir
    left = x // side * side
    for room in range(num_cols):
        target = goal if room == num_cols - 1 else door
        bad = _draw_color(rng, deadly)
        deadly &= ~(1 << bad)
        good = _draw_color(rng, harmless)
        harmless &= ~(1 << good)
        colors = (first, bad, good, decoy)
        way = (left, room_size, x, y, direction, target // room_size, target % room_size)
        if not _lay_room(rng, grid, way, colors, allowed, rules, hazards, scratch, lane):
            return False
        x = side
        y = door % room_size
        direction = 2 if left else 0
        left = side - left
    return True


def _find(grid, what, first, last, height):
    """The last inner cell that holds it in the columns from `first` to before `last`: x * height + y, or `NONE`."""
    found = NONE
    for x in range(first, last):
        for y in range(1, height - 1):
            if cell_at(grid, x, y) == what and (what == DOOR or x % (height - 1)):
                found = x * height + y
    return found


def _lay_room(rng, grid, way, colors, allowed, rules, hazards, scratch, lane):
    """Cover a room with patches; False if no sound ones were found.

    Args:
        rng: random stream.
        grid: see `floors.cell_at`.
        way: what leads through the room, see `fewest_steps`.
        colors: that of the first tile of the way, a deadly one, a harmless one that could be exchanged with it, and
            one more that is deadly, or `NONE`.
        allowed: see `lay_patches`.
        rules: see `lay_patches`.
        hazards: see `lay_patches`.
        scratch: see above.
        lane: see above.
    """
    _, bad, good, decoy = colors
    as_deadly = rules[bad]
    as_harmless = _draw_property(rng, allowed[bad], hazards, False)
    always = 0 if decoy == NONE else 1 << decoy
    forbidden = always | 1 << bad
    if_exchanged = always | 1 << good
    limit = way[1] * way[1] // 2
    for _ in range(_LAYOUTS):
        _lay_patches(rng, grid, way, colors, scratch, lane)
        sound = decoy == NONE or _has_tile(grid, way, decoy)
        # Loops, so that what takes long to compile is called in one place; what takes little time comes first.
        for check in range(3):
            avoided = forbidden | if_exchanged if check == 0 else (forbidden if check == 1 else if_exchanged)
            sound = sound and _is_connected(grid, way, avoided) == (check > 0)
        shortest = FAR
        for check in range(6):
            if not sound:
                break
            avoided = 0
            if check in (1, 3, 4):
                avoided |= forbidden
            if check in (2, 3, 5):
                avoided |= if_exchanged
            rules[bad] = as_harmless if check == 5 else as_deadly
            steps = fewest_steps(grid, way, rules, check > 2, avoided, scratch, lane)
            if check == 0:
                shortest = steps
            elif check < 3:
                sound = steps > shortest  # who goes the shortest way dies
            elif check == 3:
                sound = steps == FAR  # nobody gets by without either colour
            else:
                sound = steps <= limit
        rules[bad] = as_deadly
        if sound:
            return True
    return False


def _lay_patches(rng, grid, way, colors, scratch, lane):
    """Give every free cell of a room the colour of the nearest of some random cells."""
    left, room_size, x, y, direction, target_x, target_y = way
    first, bad, good, decoy = colors
    for i in range(_PATCHES):
        column = left + integers(rng, 1, room_size - 1)
        row = integers(rng, 1, room_size - 1)
        color = integers(rng, 0, 3)
        # At both ends of the way lies the first colour; else hardly any layout would do.
        if i == 0:
            column = _entered(grid, x, y, direction)
            row = y
            color = 0
        elif i == 1 and cell_at(grid, target_x, target_y) == DOOR:
            column = target_x + (1 if target_x == left else -1)
            row = target_y
            color = 0
        elif i == 2 and decoy != NONE:
            color = 3
        scratch[_SEEDS + i, lane] = (column * room_size + row) * _MAX_COLORS + color
    for column in range(left + 1, left + room_size - 1):
        for row in range(1, room_size - 1):
            if cell_at(grid, column, row) == EMPTY:
                place = _nearest(column, row, room_size, scratch, lane)
                color = first if place == 0 else (bad if place == 1 else (good if place == 2 else decoy))
                lay_tile(grid, column, row, color)


def _entered(grid, x, y, direction):
    """Column of the first cell of a way in the room: behind the door, if it begins there."""
    if cell_at(grid, x, y) != DOOR:
        return x
    return x + 1 if direction == 0 else x - 1


def _nearest(x, y, room_size, scratch, lane):
    """Which of a room's colours the nearest of the random cells has."""
    color = 0
    nearest = FAR
    for i in range(_PATCHES):
        cell = scratch[_SEEDS + i, lane] // _MAX_COLORS
        distance = (cell // room_size - x) ** 2 + (cell % room_size - y) ** 2
        if distance < nearest:
            nearest = distance
            color = scratch[_SEEDS + i, lane] % _MAX_COLORS
    return color


def _has_tile(grid, way, color):
    """Whether a room has a tile of a colour."""
    left = way[0]
    room_size = way[1]
    for column in range(left + 1, left + room_size - 1):
        for row in range(1, room_size - 1):
            if tile_at(grid, column, row) == color:
                return True
    return False


def _is_connected(grid, way, forbidden):
    """Whether there is a way to a cell beside the target, as long as tiles do nothing.

    Sets of cells are the bits of a number, column by column.

    Args:
        grid: see `floors.cell_at`.
        way: see `fewest_steps`.
        forbidden: bit mask of colours that the way avoids.
    """
    left, room_size, x, y, direction, target_x, target_y = way
    stride = room_size - 1  # one more than there are cells in a column, so that columns do not touch
    free = 0
    goals = 0
    for column in range(left + 1, left + room_size - 1):
        for row in range(1, room_size - 1):
            bit = 1 << ((column - left - 1) * stride + row - 1)
            color = tile_at(grid, column, row)
            if cell_at(grid, column, row) == EMPTY and not (color != NONE and (forbidden >> color) & 1):
                free |= bit
                if abs(column - target_x) + abs(row - target_y) == 1:
                    goals |= bit
    reached = free & (1 << ((_entered(grid, x, y, direction) - left - 1) * stride + y - 1))
    while not reached & goals:
        grown = reached | (reached << 1) | (reached >> 1) | (reached << stride) | (reached >> stride)
        grown &= free
        if grown == reached:
            return False
        reached = grown
    return True


def fewest_steps(grid, way, rules, with_effects, forbidden, scratch, lane):
    """The fewest steps in which the agent comes to face an object, or through a closed door; `FAR` if it cannot.

    Args:
        grid: see `floors.cell_at`.
        way: seven numbers: the room's left column and size; where the way begins: x, y and direction, in the room or in
            a door to it; x and y of the cell that it leads to.
        rules: (6,) int, property of each colour, or `NONE`.
        with_effects: whether tiles do what their property says.
        forbidden: bit mask of colours on which no step may end.
        scratch: see above.
        lane: see above.
    """
    left, room_size, x, y, direction, target_x, target_y = way
    to_door = cell_at(grid, target_x, target_y) == DOOR
    inner = room_size - 2
    outside = inner * inner
    for i in range(_SEEDS):
        scratch[i, lane] = 0
    cell = (x - left - 1) * inner + y - 1 if left < x < left + room_size - 1 else outside
    scratch[_VISITED + cell, lane] = 1 << (_TIMERS * direction)
    scratch[_FRONTIER + cell, lane] = 1 << (_TIMERS * direction)
    steps = 0
    going = True
    while going:
        going = False
        steps += 1
        for cell in range(outside + 1):
            states = int(scratch[_FRONTIER + cell, lane])
            scratch[_FRONTIER + cell, lane] = 0
            from_x = x if cell == outside else left + 1 + cell // inner
            from_y = y if cell == outside else 1 + cell % inner
            while states:
                state = nth_bit(states, 0)
                states &= states - 1
                for action in range(_ACTIONS):
                    after = _step(grid, way, to_door, rules, with_effects, forbidden, from_x, from_y, state, action)
                    if after == _AT_GOAL:
                        return steps
                    if after == _BARRED:
                        continue
                    to = after // _STATES
                    bit = 1 << (after % _STATES)
                    if not int(scratch[_VISITED + to, lane]) & bit:
                        scratch[_VISITED + to, lane] = int(scratch[_VISITED + to, lane]) | bit
                        scratch[_NEXT + to, lane] = int(scratch[_NEXT + to, lane]) | bit
                        going = True
        for cell in range(outside + 1):
            scratch[_FRONTIER + cell, lane] = scratch[_NEXT + cell, lane]
            scratch[_NEXT + cell, lane] = 0
    return FAR


def _step(grid, way, to_door, rules, with_effects, forbidden, x, y, state, action):
    """What a step leads to: the number of a cell in the room and a state there, `_BARRED` or `_AT_GOAL`.

    A state is whether the door is open, a direction and a timer: steps on a sticky cell, or whether those on a magic
    colour are odd.
    """
    left, room_size, _, _, _, target_x, target_y = way
    opened = state // (4 * _TIMERS)
    direction = state // _TIMERS % 4
    timer = state % _TIMERS
    color = tile_at(grid, x, y)
    prop = rules[color] if with_effects and color != NONE else NONE
    moved = False
    if falls(prop, timer) and _is_free(grid, left, room_size, x, y + 1):
        y += 1
        moved = True
    if action == _OPEN:
        action = TOGGLE
    elif action == _WAIT:
        action = DONE
    if turns_around(prop, action):
        direction = (direction + 2) & 3
    action = effective_action(prop, action, timer)
    if action == LEFT:
        direction = (direction + 3) & 3
    elif action == RIGHT:
        direction = (direction + 1) & 3
    right = 1 - direction if direction % 2 == 0 else 0
    down = 2 - direction if direction % 2 == 1 else 0
    at_target = x + right == target_x and y + down == target_y
    if to_door and at_target and action == TOGGLE:
        opened = 1
    elif to_door and at_target and action == FORWARD and opened:
        return _AT_GOAL
    elif action == FORWARD and _is_free(grid, left, room_size, x + right, y + down):
        x += right
        y += down
        moved = True
    color_after = tile_at(grid, x, y)
    if color_after != NONE and (forbidden >> color_after) & 1:
        return _BARRED
    if not to_door and x + right == target_x and y + down == target_y:
        return _AT_GOAL
    prop = rules[color_after] if with_effects and color_after != NONE else NONE
    if prop == STICKY:
        # After a fall it may have waited before; then it waits longer than it must.
        timer = 0 if moved else min(timer + 1, _TIMERS - 1)
    elif prop == MAGIC:
        timer = (timer + 1) % 2 if color_after == color else 0
    else:
        timer = 0
    inner = room_size - 2
    cell = (x - left - 1) * inner + y - 1 if left < x < left + room_size - 1 else inner * inner
    return cell * _STATES + (opened * 4 + direction) * _TIMERS + timer


def _is_free(grid, left, room_size, x, y):
    """Whether the agent can enter a cell of the room; not whether it should."""
    return left < x < left + room_size - 1 and 0 < y < room_size - 1 and cell_at(grid, x, y) == EMPTY
