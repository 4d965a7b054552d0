"""Makes the world of an episode: rooms, doors, objects, agent and instruction as Minigrid's generators draw them.

Draws the same numbers in the same order as `reference/generators.py` with Minigrid's room grid, so that the worlds are
the same. A world that Minigrid would reject with an exception is told by a return value, and drawn anew.

`scratch` is (SCRATCH, lanes) int32, `lane` the column that belongs to the caller. Cells are numbered row by row.
"""

from __future__ import annotations

from babyaipp.engine.compile import device_function, inlined_function, unsigned
from babyaipp.engine.instruct import choose_instruction, is_sound
from babyaipp.engine.rng import integers, uniform
from babyaipp.engine.shared import draw_crossing, draw_field, to_minigrid
from babyaipp.engine.state import (
    BALL,
    COLOR_SHIFT,
    COURIER,
    CROSSING,
    DOOR,
    DOOR_CLOSED,
    DOOR_LOCKED,
    DOOR_PLACES,
    EMPTY,
    GO_TO_RED_BALL,
    GO_TO_RED_BALL_MAZE,
    GO_TO_SEQ,
    KEY,
    MINEFIELD,
    MINIGRID_COLORS,
    OBJECTS,
    OPEN_ROWS,
    PICKUP_LOC,
    PUT_NEXT_LOCAL,
    REACHED_ROWS,
    STATE_SHIFT,
    TYPE_MASK,
    UNLOCK,
    WALL,
    WALL_CELL,
)
from babyaipp.reading import AGENT_DIR, AGENT_X, AGENT_Y, FAR_KIND, FAR_X, FAR_Y, NEAR_KIND, NEAR_X, NEAR_Y, WALLS

_RED_BALL = BALL | MINIGRID_COLORS.index("red") << COLOR_SHIFT
_NUM_COLORS = len(MINIGRID_COLORS)
_PICKUP_LOC_OBJECTS = 8
_UNLOCK_OBJECTS_A_ROOM = 3

_NOTHING = -1  # no cell: the room is too full
_PLACE_TRIES = 1001
_CONNECT_TRIES = 5001

_OBJECT_KINDS = 3  # key, ball, box: the order in which they are drawn is that of their numbers


@inlined_function
def direction_x(direction):
    """The step in x of a direction."""
    return 1 if direction == 0 else (-1 if direction == 2 else 0)


@inlined_function
def direction_y(direction):
    """The step in y of a direction."""
    return 1 if direction == 1 else (-1 if direction == 3 else 0)


@device_function
def generate(w, p, scratch, lane):
    """Draw grid, agent and instruction."""
    while True:  # written so that the condition is compiled once
        if _attempt(w, p, scratch, lane):
            break


@device_function
def _attempt(w, p, scratch, lane):
    """Draw a world; False if Minigrid would reject it."""
    _lay_rooms(w, p, scratch, lane)
    if p.generator == UNLOCK:
        return _unlock(w, p, scratch, lane)
    if p.generator >= CROSSING:
        return _reading(w, p, scratch, lane)
    objects_first = p.generator == PICKUP_LOC or p.generator == GO_TO_SEQ
    if objects_first:
        uniform(w)  # whether a room is locked: never, in these levels
    elif not _place_agent(w, p):
        return False
    if p.num_rows * p.num_cols > 1 and not _connect_all(w, p, scratch, lane, _NOTHING):
        return False
    if not _add_objects(w, p, scratch, lane):
        return False
    if objects_first and not _place_agent(w, p):
        return False
    if not _all_reachable(w, p, scratch, lane):
        return False
    return choose_instruction(w, p, scratch, lane) and is_sound(w, p)


@device_function
def _add_objects(w, p, scratch, lane):
    """Place the objects of a level that strews them over all rooms; False if there is no place."""
    if p.generator == GO_TO_RED_BALL:
        return _place(w, p, 0, 0, True, _RED_BALL) != _NOTHING
    if p.generator == GO_TO_RED_BALL_MAZE:
        column = integers(w, 0, p.num_cols)
        row = integers(w, 0, p.num_rows)
        return _place(w, p, column * (p.room_size - 1), row * (p.room_size - 1), True, _RED_BALL) != _NOTHING
    count = _PICKUP_LOC_OBJECTS if p.generator == PICKUP_LOC else p.num_objects
    return _add_distractors(w, p, scratch, lane, count, _NOTHING, _NOTHING, p.generator == PUT_NEXT_LOCAL)


@device_function
def _unlock(w, p, scratch, lane):
    """A locked room, its key, other doors and objects, the agent outside of the locked room."""
    side = p.room_size - 1
    locked_column = integers(w, 0, p.num_cols)
    locked_row = integers(w, 0, p.num_rows)
    while True:
        direction = integers(w, 0, 4)
        if _has_neighbour(p, locked_column, locked_row, direction):
            break
    color = integers(w, 0, _NUM_COLORS)
    doors = _add_door(w, p, scratch, lane, 0, locked_column, locked_row, direction, color, DOOR_LOCKED)
    # Minigrid means to keep key and objects out of the locked room, but compares numbers by identity: it never does.
    column = integers(w, 0, p.num_cols)
    row = integers(w, 0, p.num_rows)
    if _place(w, p, column * side, row * side, True, KEY | (to_minigrid(color) << COLOR_SHIFT)) == _NOTHING:
        return False
    without = color if integers(w, 0, 2) == 0 else _NOTHING
    locked = locked_row * p.num_cols + locked_column
    if not _connect(w, p, scratch, lane, doors, locked, without):
        return False
    for column in range(p.num_cols):
        for row in range(p.num_rows):
            if not _add_distractors(w, p, scratch, lane, _UNLOCK_OBJECTS_A_ROOM, column, row, False):
                return False
    while True:
        if not _place_agent(w, p):
            return False
        if (int(w.agent_y) // side) * p.num_cols + int(w.agent_x) // side != locked:
            break
    if not _all_reachable(w, p, scratch, lane):
        return False
    scratch[OBJECTS, lane] = DOOR | (to_minigrid(color) << COLOR_SHIFT)
    return choose_instruction(w, p, scratch, lane) and is_sound(w, p)


@device_function
def _reading(w, p, scratch, lane):
    """Make the world of a reading level, but for its tiles."""
    carries = p.generator == COURIER
    if p.generator == MINEFIELD:
        door_y = 0
        if p.num_cols > 1:
            door_y = p.height - 2
            scratch[DOOR_PLACES, lane] = door_y
            _add_door(w, p, scratch, lane, 0, 0, 0, 0, integers(w, 0, _NUM_COLORS), DOOR_CLOSED)
        draw_field(w, p.room_size, p.num_cols, door_y, scratch, lane)
    else:
        draw_crossing(w, p.room_size, p.num_walls, carries, scratch, lane)
        for i in range(p.num_walls):
            wall = WALLS + 3 * i
            for y in range(1, p.height - 1):
                if y != int(scratch[wall + 1, lane]) and y != int(scratch[wall + 2, lane]):
                    w.seen[unsigned(y * p.width + int(scratch[wall, lane]))] = WALL_CELL
    w.agent_x = scratch[AGENT_X, lane]
    w.agent_y = scratch[AGENT_Y, lane]
    w.agent_dir = scratch[AGENT_DIR, lane]
    goal = _object(int(scratch[FAR_KIND, lane])) if carries else _RED_BALL
    w.seen[unsigned(int(scratch[FAR_Y, lane]) * p.width + int(scratch[FAR_X, lane]))] = goal
    if carries:
        moved = _object(int(scratch[NEAR_KIND, lane]))
        w.seen[unsigned(int(scratch[NEAR_Y, lane]) * p.width + int(scratch[NEAR_X, lane]))] = moved
        scratch[OBJECTS, lane] = moved
    scratch[OBJECTS + 1, lane] = goal
    return choose_instruction(w, p, scratch, lane)


@inlined_function
def _object(kind):
    """An object by its kind in `reading.py`."""
    return (KEY + kind // _NUM_COLORS) | (to_minigrid(kind % _NUM_COLORS) << COLOR_SHIFT)


@device_function
def _lay_rooms(w, p, scratch, lane):
    """Walls, and where the doors would be; the agent in the middle."""
    side = p.room_size - 1
    cell = 0
    for y in range(p.height):
        for x in range(p.width):
            w.seen[unsigned(cell)] = WALL_CELL if x % side == 0 or y % side == 0 else EMPTY
            w.hidden[unsigned(cell)] = 0
            cell += 1
    for row in range(p.num_rows):
        for column in range(p.num_cols):
            place = DOOR_PLACES + 2 * (row * p.num_cols + column)
            if column < p.num_cols - 1:
                scratch[place, lane] = integers(w, row * side + 1, row * side + side)
            if row < p.num_rows - 1:
                scratch[place + 1, lane] = integers(w, column * side + 1, column * side + side)
    w.agent_x = (p.num_cols // 2) * side + p.room_size // 2
    w.agent_y = (p.num_rows // 2) * side + p.room_size // 2
    w.agent_dir = 0


@device_function
def _place(w, p, left, top, apart, cell):
    """Put a thing into the room whose corner is at left, top; the number of its cell, or `_NOTHING`.

    `apart`: not right beside the agent.
    """
    for _ in range(_PLACE_TRIES):
        x = integers(w, left, left + p.room_size)
        y = integers(w, top, top + p.room_size)
        at = y * p.width + x
        if int(w.seen[unsigned(at)]) != EMPTY:
            continue
        distance = abs(x - int(w.agent_x)) + abs(y - int(w.agent_y))
        if distance == 0 or (apart and distance < 2):
            continue
        w.seen[unsigned(at)] = cell
        return at
    return _NOTHING


@device_function
def _place_agent(w, p):
    """Put the agent into any room, not facing an object; False if there is no place."""
    side = p.room_size - 1
    column = integers(w, 0, p.num_cols)
    row = integers(w, 0, p.num_rows)
    while True:
        w.agent_x = -1
        w.agent_y = -1
        at = _place(w, p, column * side, row * side, False, EMPTY)
        if at == _NOTHING:
            return False
        x = at % p.width
        y = at // p.width
        direction = integers(w, 0, 4)
        w.agent_x = x
        w.agent_y = y
        w.agent_dir = direction
        ahead = int(w.seen[unsigned((y + direction_y(direction)) * p.width + x + direction_x(direction))]) & TYPE_MASK
        if ahead == EMPTY or ahead == WALL:
            return True


@device_function
def _has_neighbour(p, column, row, direction):
    """Whether there is a room in that direction."""
    if direction == 0:
        return column < p.num_cols - 1
    if direction == 1:
        return row < p.num_rows - 1
    if direction == 2:
        return column > 0
    return row > 0


@device_function
def _add_door(w, p, scratch, lane, doors, column, row, direction, color, state):
    """Put a door into a wall of a room; returns `doors` with it.

    `doors`: four bits a room, for its doors to the right, down, left and up.
    """
    side = p.room_size - 1
    room = row * p.num_cols + column
    neighbour = room + direction_x(direction) + direction_y(direction) * p.num_cols
    place = DOOR_PLACES + 2 * min(room, neighbour)
    if direction == 0 or direction == 2:
        x = (column + (1 if direction == 0 else 0)) * side
        y = int(scratch[place, lane])
    else:
        x = int(scratch[place + 1, lane])
        y = (row + (1 if direction == 1 else 0)) * side
    w.seen[unsigned(y * p.width + x)] = DOOR | (to_minigrid(color) << COLOR_SHIFT) | (state << STATE_SHIFT)
    return doors | (1 << (4 * room + direction)) | (1 << (4 * neighbour + ((direction + 2) & 3)))


@device_function
def _connect_all(w, p, scratch, lane, without):
    return _connect(w, p, scratch, lane, 0, _NOTHING, without)


@device_function
def _connect(w, p, scratch, lane, doors, locked, without):
    """Add doors until every room can be reached; False if that takes too long.

    `locked`: a room that gets no more doors; `without`: a colour that no door gets.
    """
    side = p.room_size - 1
    num_rooms = p.num_rows * p.num_cols
    reached = 1 << ((int(w.agent_y) // side) * p.num_cols + int(w.agent_x) // side)
    for _ in range(_CONNECT_TRIES):
        before = 0
        while before != reached:
            before = reached
            for room in range(num_rooms):
                if (reached >> room) & 1:
                    exits = (doors >> (4 * room)) & 15
                    if exits & 1:
                        reached |= 1 << (room + 1)
                    if exits & 2:
                        reached |= 1 << (room + p.num_cols)
                    if exits & 4:
                        reached |= 1 << (room - 1)
                    if exits & 8:
                        reached |= 1 << (room - p.num_cols)
        if reached == (1 << num_rooms) - 1:
            return True
        column = integers(w, 0, p.num_cols)
        row = integers(w, 0, p.num_rows)
        direction = integers(w, 0, 4)
        room = row * p.num_cols + column
        if not _has_neighbour(p, column, row, direction) or (doors >> (4 * room + direction)) & 1:
            continue
        neighbour = room + direction_x(direction) + direction_y(direction) * p.num_cols
        if room == locked or neighbour == locked:
            continue
        if without == _NOTHING:
            color = integers(w, 0, _NUM_COLORS)
        else:
            color = integers(w, 0, _NUM_COLORS - 1)
            if color >= without:
                color += 1
        doors = _add_door(w, p, scratch, lane, doors, column, row, direction, color, DOOR_CLOSED)
    return False


@device_function
def _add_distractors(w, p, scratch, lane, count, column, row, unique):
    """Place random objects in a room, or each in any room if `column` is `_NOTHING`; False if there is no place.

    They are remembered in `scratch`, in the order of their drawing.
    """
    side = p.room_size - 1
    drawn = 0  # bit mask of colours and kinds, for `unique`
    added = 0
    while added < count:
        color = integers(w, 0, _NUM_COLORS)
        kind = integers(w, 0, _OBJECT_KINDS)
        bit = 1 << (color * _OBJECT_KINDS + kind)
        if unique and drawn & bit:
            continue
        drawn |= bit
        room_column = integers(w, 0, p.num_cols) if column == _NOTHING else column
        room_row = integers(w, 0, p.num_rows) if row == _NOTHING else row
        thing = (KEY + kind) | (to_minigrid(color) << COLOR_SHIFT)
        if _place(w, p, room_column * side, room_row * side, True, thing) == _NOTHING:
            return False
        scratch[unsigned(OBJECTS + added), unsigned(lane)] = thing
        added += 1
    return True


@device_function
def _spread(reached, open_cells):
    """Let the set bits of a row spread through open cells, left and right."""
    reached &= open_cells
    through = open_cells
    shift = 1
    while shift < 32:
        reached |= (through & (reached << shift)) & open_cells
        through &= through << shift
        shift *= 2
    through = open_cells
    shift = 1
    while shift < 32:
        reached |= (through & (reached >> shift)) & open_cells
        through &= through >> shift
        shift *= 2
    return reached


@device_function
def _all_reachable(w, p, scratch, lane):
    """Whether the agent can get beside everything without moving an object; doors let it pass."""
    for y in range(p.height):
        open_cells = 0
        for x in range(p.width):
            kind = int(w.seen[unsigned(y * p.width + x)]) & TYPE_MASK
            if kind == EMPTY or kind == DOOR:
                open_cells |= 1 << x
        scratch[unsigned(OPEN_ROWS + y), unsigned(lane)] = open_cells
        scratch[unsigned(REACHED_ROWS + y), unsigned(lane)] = 0
    y = int(w.agent_y)
    scratch[unsigned(REACHED_ROWS + y), unsigned(lane)] = _spread(
        1 << int(w.agent_x), int(scratch[unsigned(OPEN_ROWS + y), unsigned(lane)])
    )
    changed = True
    while changed:
        changed = False
        for sweep in range(2):
            for i in range(1, p.height - 1):
                y = i if sweep == 0 else p.height - 1 - i
                before = int(scratch[unsigned(REACHED_ROWS + y), unsigned(lane)])
                open_cells = int(scratch[unsigned(OPEN_ROWS + y), unsigned(lane)])
                above = int(scratch[unsigned(REACHED_ROWS + y - 1), unsigned(lane)])
                below = int(scratch[unsigned(REACHED_ROWS + y + 1), unsigned(lane)])
                reached = before | ((above | below) & open_cells)
                if reached != before:
                    scratch[unsigned(REACHED_ROWS + y), unsigned(lane)] = _spread(reached, open_cells)
                    changed = True
    for y in range(1, p.height - 1):
        here = int(scratch[unsigned(REACHED_ROWS + y), unsigned(lane)])
        beside = here | (here << 1) | (here >> 1)
        beside |= int(scratch[unsigned(REACHED_ROWS + y - 1), unsigned(lane)]) | int(
            scratch[unsigned(REACHED_ROWS + y + 1), unsigned(lane)]
        )
        for x in range(1, p.width - 1):
            kind = int(w.seen[unsigned(y * p.width + x)]) & TYPE_MASK
            if kind != EMPTY and kind != WALL and not (beside >> x) & 1:
                return False
    return True
