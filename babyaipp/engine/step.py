"""One step of a world, and the beginning of an episode.

What the tiles do is asked of `tiles.py`; what actions do is Minigrid's. The order of events is that of
`reference/env.py`.
"""

from __future__ import annotations

from babyaipp.engine.compile import device_function, inlined_function, unsigned
from babyaipp.engine.generate import direction_x, direction_y, generate
from babyaipp.engine.instruct import begin_instruction, gone_bits, verify
from babyaipp.engine.rng import integers
from babyaipp.engine.shared import (
    action_on_held,
    draw_balanced_rules,
    draw_described,
    draw_rules,
    effective_action,
    falls,
    from_minigrid,
    half_steps_after,
    is_deadly,
    is_terminal,
    lay_gates,
    lay_patches,
    next_cell_steps,
    next_color_steps,
    place_floors,
    step_half_steps,
    turns_around,
)
from babyaipp.engine.state import (
    BOX,
    COLOR_MASK,
    COLOR_SHIFT,
    DOOR,
    DOOR_CLOSED,
    DOOR_LOCKED,
    EMPTY,
    FIRST_DEADLY,
    FLOOR,
    GATES,
    KEY,
    NOT_ENDED,
    RESET_TO_WORLD,
    RESET_WITH_RULES,
    STATE_SHIFT,
    STREWN,
    SUCCESS,
    THING_MASK,
    TILE_MASK,
    TIMEOUT,
    TYPE_MASK,
)
from babyaipp.texts import TEXT_SEEDS
from babyaipp.tiles import DROP, FORWARD, HALF_STEPS_PER_STEP, LEFT, NONE, PICKUP, RIGHT, TOGGLE

_HOLDS_OBJECT = KEY  # things from this type on can be picked up
_OPENED = THING_MASK  # leaves a door's type and colour; its state is then 0, open


@inlined_function  # else it would be the one function that is called on CUDA, and take a stack
def begin(w, p, how, rules, scratch, lane):
    """Begin an episode.

    Args:
        w: the world.
        p: the level's parameters.
        how: RESET, RESET_WITH_RULES or RESET_TO_WORLD.
        rules: (6,) int, property of each colour, or `NONE`; for RESET_WITH_RULES.
        scratch: see `generate.py`.
        lane: column of `scratch`.
    """
    if how != RESET_TO_WORLD:
        while True:  # written so that the condition is compiled once
            if _draw(w, p, how, rules, scratch, lane):
                break
        if p.max_steps > 0:
            w.max_steps = p.max_steps
    text_seed = integers(w, 0, TEXT_SEEDS)
    w.text_seed = text_seed
    if how != RESET_TO_WORLD:
        colors = 0
        for color in range(len(w.rules)):
            if int(w.rules[color]) != NONE:
                colors |= 1 << color
        for i in range(len(w.described)):
            w.described[i] = NONE
        w.num_described = draw_described(text_seed, colors, p.level_withheld, p.shuffled, w.described)
    w.half_steps = 0
    w.steps = 0
    w.cell_steps = 0
    w.color_steps = 0
    w.carried = 0
    w.carried_hidden = 0
    w.gone = False
    w.verified = 0
    w.fulfilled = 0
    w.ended = False


@device_function
def _draw(w, p, how, given_rules, scratch, lane):
    """Draw a world with its rules and tiles; False if there is no way to lay them."""
    generate(w, p, scratch, lane)
    begin_instruction(w, p)
    if p.num_deadly < 0:
        draw_rules(w, p.allowed, p.num_colors, p.choose_colors, w.rules)
    else:
        draw_balanced_rules(w, p.allowed, p.num_deadly, p.hazards, w.rules)
    if how == RESET_WITH_RULES:
        for color in range(len(w.rules)):
            w.rules[color] = given_rules[color]
    return _lay_floors(w, p, scratch, lane)


@device_function
def _lay_floors(w, p, scratch, lane):
    """Lay the tiles as the level does; False if that cannot be done."""
    grid = (w, p)
    x = int(w.agent_x)
    y = int(w.agent_y)
    if p.floors == STREWN:
        place_floors(w, grid, x, y, p.room_size, p.num_cols, p.num_rows, w.rules, p.hazards)
    elif p.floors == GATES:
        lay_gates(w, grid, p.room_size, w.rules, p.hazards)
    else:
        direction = int(w.agent_dir)
        room_size = int(p.room_size)  # it takes part in shifts of more than 31 bits
        return lay_patches(
            w, grid, x, y, direction, room_size, p.num_cols, p.allowed, w.rules, p.hazards, scratch, lane
        )
    return True


@inlined_function
def can_enter(seen):
    """Whether the agent can go to a cell: empty, a tile, an open door."""
    kind = seen & TYPE_MASK
    return kind == EMPTY or kind == FLOOR or (kind == DOOR and seen >> STATE_SHIFT == 0)


@inlined_function
def _color_of(seen):
    """Colour of the tile that an agent in such a cell stands on, or `NONE`."""
    return from_minigrid(seen >> COLOR_SHIFT) if seen & TYPE_MASK == FLOOR else NONE


@inlined_function
def _bare(tile):
    """What is seen where nothing lies; `tile`: one more than its colour by Minigrid's number, or 0."""
    return FLOOR | ((tile - 1) << COLOR_SHIFT) if tile else EMPTY


@device_function
def _take(w, cell):
    """Remove the object of a cell from the grid."""
    seen = int(w.seen[unsigned(cell)])
    hidden = int(w.hidden[unsigned(cell)])
    bits = gone_bits(w, seen, hidden)
    w.seen[unsigned(cell)] = _bare(hidden & TILE_MASK)
    w.hidden[unsigned(cell)] = bits
    if bits:
        w.gone = True


@device_function
def _drop(w, p, cell):
    """What Minigrid does on a drop, successful or not: look anew where everything is; and drop what is carried."""
    if w.gone:
        for i in range(p.width * p.height):
            kind = int(w.seen[unsigned(i)]) & TYPE_MASK
            if kind == EMPTY or kind == FLOOR:
                w.hidden[unsigned(i)] = 0
        w.gone = False
    seen = int(w.seen[unsigned(cell)])
    kind = seen & TYPE_MASK
    if int(w.carried) != 0 and (kind == EMPTY or kind == FLOOR):
        tile = (seen >> COLOR_SHIFT) + 1 if kind == FLOOR else 0
        w.seen[unsigned(cell)] = w.carried
        w.hidden[unsigned(cell)] = int(w.carried_hidden) | tile
        w.carried = 0
        w.carried_hidden = 0


@device_function
def _toggle(w, cell):
    """Open a box or a door, close a door, unlock one if its key is carried."""
    seen = int(w.seen[unsigned(cell)])
    kind = seen & TYPE_MASK
    if kind == BOX:
        _take(w, cell)
    elif kind == DOOR:
        state = seen >> STATE_SHIFT
        if state == DOOR_LOCKED:
            key = KEY | (seen & (COLOR_MASK << COLOR_SHIFT))
            if int(w.carried) == key:
                w.seen[unsigned(cell)] = seen & _OPENED
        elif state == DOOR_CLOSED:
            w.seen[unsigned(cell)] = seen & _OPENED
        else:
            w.seen[unsigned(cell)] = seen | (DOOR_CLOSED << STATE_SHIFT)


@device_function
def step(w, p, action):
    """Take a step; returns how the episode has ended, `NOT_ENDED` if it goes on."""
    x = int(w.agent_x)
    y = int(w.agent_y)
    direction = int(w.agent_dir)
    color = _color_of(int(w.seen[unsigned(y * p.width + x)]))
    prop = NONE
    if color != NONE:
        prop = int(w.rules[unsigned(color)])
        if falls(prop, int(w.color_steps)) and can_enter(int(w.seen[unsigned((y + 1) * p.width + x)])):
            y += 1
        if turns_around(prop, action):
            direction = (direction + 2) & 3
        action = effective_action(prop, action, int(w.cell_steps))
    half_steps = int(w.half_steps) + step_half_steps(prop)
    w.half_steps = half_steps
    w.steps = int(w.steps) + 1

    ahead = (y + direction_y(direction)) * p.width + x + direction_x(direction)
    seen = int(w.seen[unsigned(ahead)])
    kind = seen & TYPE_MASK
    if kind >= _HOLDS_OBJECT and int(w.hidden[unsigned(ahead)]) & TILE_MASK:
        action = action_on_held(action)
    carried_before = int(w.carried)
    moved = False
    if action == LEFT:
        direction = (direction + 3) & 3
    elif action == RIGHT:
        direction = (direction + 1) & 3
    elif action == FORWARD:
        if can_enter(seen):
            x += direction_x(direction)
            y += direction_y(direction)
            moved = True
    elif action == PICKUP:
        if kind >= _HOLDS_OBJECT and carried_before == 0:
            w.carried = seen
            w.carried_hidden = int(w.hidden[unsigned(ahead)]) & ~TILE_MASK
            _take(w, ahead)
    elif action == DROP:
        _drop(w, p, ahead)
    elif action == TOGGLE:
        _toggle(w, ahead)
    w.agent_x = x
    w.agent_y = y
    w.agent_dir = direction

    color_after = _color_of(int(w.seen[unsigned(y * p.width + x)]))
    w.cell_steps = next_cell_steps(int(w.cell_steps), moved)
    w.color_steps = next_color_steps(int(w.color_steps), color, color_after)
    ahead = (y + direction_y(direction)) * p.width + x + direction_x(direction)
    fulfilled = verify(w, p, action, carried_before, ahead)
    if color_after != NONE:
        prop = int(w.rules[unsigned(color_after)])
        if is_deadly(prop):
            w.half_steps = half_steps_after(prop, half_steps, int(w.max_steps))
            return FIRST_DEADLY + prop if is_terminal(prop) or out_of_time(w) else NOT_ENDED
    if fulfilled:
        return SUCCESS
    return TIMEOUT if out_of_time(w) else NOT_ENDED


@device_function
def is_terminated(ended):
    """Whether an episode that has ended so would not have gone on with more time."""
    return ended != TIMEOUT and (ended < FIRST_DEADLY or is_terminal(ended - FIRST_DEADLY))


@device_function
def out_of_time(w):
    """Whether the time limit is reached."""
    return int(w.half_steps) >= HALF_STEPS_PER_STEP * int(w.max_steps)
