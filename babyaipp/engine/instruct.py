"""Instructions: what they describe, how they are drawn, whether they are fulfilled, their words.

An instruction is up to four actions: two parts, joined by before or after, of one or two actions each. Minigrid keeps
for every description the objects that matched when the episode began, and where they were at the last drop. Here that
is read off the cells: which objects matched follows from type and colour, which do not change, and from bits that an
object with a location carries along; where something was that has been taken since is kept in the cell (`state.py`).
"""

from __future__ import annotations

from babyaipp.engine.compile import device_function, unsigned
from babyaipp.engine.rng import integers
from babyaipp.engine.shared import to_minigrid
from babyaipp.engine.state import (
    AFTER,
    ANY_COLOR,
    BALL,
    BEFORE,
    BEHIND,
    BOX,
    COLOR_MASK,
    COLOR_SHIFT,
    COURIER,
    DOOR,
    DOOR_OPEN,
    EMPTY,
    FLOOR,
    GO_TO_LOCAL,
    GO_TO_MAZE,
    GO_TO_SEQ,
    GOTO,
    IN_FRONT,
    KEY,
    LEFT_OF,
    LOCATED_SHIFT,
    LOCATION_MASK,
    LOCATION_SHIFT,
    MAX_ACTIONS,
    NO_ACTION,
    NOWHERE,
    OBJECTS,
    ONE_PART,
    OPEN,
    PART_ACTIONS,
    PICK_UP,
    PICKUP_LOC,
    PLURAL,
    PUT_NEXT,
    PUT_NEXT_LOCAL,
    PUT_NEXT_MAZE,
    RIGHT_OF,
    SLOT_MASK,
    SLOT_SHIFT,
    STATE_SHIFT,
    THING_MASK,
    TYPE_MASK,
    UNLOCK,
)
from babyaipp.tiles import DROP, PICKUP, TOGGLE

_RED_BALL = BALL  # Minigrid's red is 0
_DESCRIBE_TRIES = 101
_NONE_FOUND = 0  # no description


@device_function
def matches(description, seen, hidden):
    """Whether a thing is one that a description speaks of; `seen`, `hidden`: of its cell, or as it is carried."""
    if (seen & TYPE_MASK) != (description & TYPE_MASK):
        return False
    color = (description >> COLOR_SHIFT) & COLOR_MASK
    if color != ANY_COLOR and color != (seen >> COLOR_SHIFT) & COLOR_MASK:
        return False
    if (description >> LOCATION_SHIFT) & LOCATION_MASK == NOWHERE:
        return True
    return (hidden >> (LOCATED_SHIFT + ((description >> SLOT_SHIFT) & SLOT_MASK))) & 1 == 1


@device_function
def _is_located(w, p, cell, location):
    """Whether a cell lies where a location says, seen from the agent: in its room, walls included."""
    side = p.room_size - 1
    agent_x = int(w.agent_x)
    agent_y = int(w.agent_y)
    left = (agent_x // side) * side
    top = (agent_y // side) * side
    x = cell % p.width
    y = cell // p.width
    if x < left or x >= left + p.room_size or y < top or y >= top + p.room_size:
        return False
    direction = int(w.agent_dir)
    if direction == 0:
        ahead = x - agent_x
        right = y - agent_y
    elif direction == 1:
        ahead = y - agent_y
        right = agent_x - x
    elif direction == 2:
        ahead = agent_x - x
        right = agent_y - y
    else:
        ahead = agent_y - y
        right = x - agent_x
    if location == IN_FRONT:
        return ahead > 0
    if location == BEHIND:
        return ahead < 0
    if location == RIGHT_OF:
        return right > 0
    return location == LEFT_OF and right < 0


@device_function
def _count_matches(w, p, description, enough):
    """How many things match when the episode begins, counted up to `enough`."""
    location = (description >> LOCATION_SHIFT) & LOCATION_MASK
    without = description & ~(LOCATION_MASK << LOCATION_SHIFT)
    count = 0
    for cell in range(p.width * p.height):
        if matches(without, int(w.seen[unsigned(cell)]), 0) and (
            location == NOWHERE or _is_located(w, p, cell, location)
        ):
            count += 1
            if count == enough:
                break
    return count


@device_function
def _clear_instruction(w):
    w.joint = ONE_PART
    for i in range(MAX_ACTIONS):
        w.kinds[unsigned(i)] = NO_ACTION
        w.descriptions[unsigned(i), 0] = 0
        w.descriptions[unsigned(i), 1] = 0


@device_function
def choose_instruction(w, p, scratch, lane):
    """Draw what to do in the world that has just been made; False if nothing suitable is found."""
    _clear_instruction(w)
    if p.generator == GO_TO_SEQ:
        return _draw_sequence(w, p)
    if p.generator == PICKUP_LOC:
        w.kinds[0] = PICK_UP
        w.descriptions[0, 0] = _draw_description(w, p, 3, True)
        return int(w.descriptions[0, 0]) != _NONE_FOUND
    if p.generator == PUT_NEXT_LOCAL or p.generator == PUT_NEXT_MAZE:
        move = integers(w, 0, p.num_objects)
        fixed = integers(w, 0, p.num_objects - 1)
        if fixed >= move:
            fixed += 1
        w.kinds[0] = PUT_NEXT
        w.descriptions[0, 0] = scratch[OBJECTS + move, lane]
        w.descriptions[0, 1] = scratch[OBJECTS + fixed, lane]
    elif p.generator == COURIER:
        w.kinds[0] = PUT_NEXT
        w.descriptions[0, 0] = scratch[OBJECTS, lane]
        w.descriptions[0, 1] = scratch[OBJECTS + 1, lane]
    elif p.generator == UNLOCK:
        w.kinds[0] = OPEN
        w.descriptions[0, 0] = scratch[OBJECTS, lane]
    else:
        w.kinds[0] = GOTO
        w.descriptions[0, 0] = _RED_BALL
        if p.generator == GO_TO_LOCAL or p.generator == GO_TO_MAZE:
            w.descriptions[0, 0] = scratch[OBJECTS + integers(w, 0, p.num_objects), lane]
    return True


@device_function
def _draw_sequence(w, p):
    """Draw one action, two joined by "and", or two such parts joined by before or after."""
    kind = integers(w, 0, 3)
    if kind < 2:
        return _draw_part(w, p, 0, kind)
    for part in range(2):
        if not _draw_part(w, p, part * PART_ACTIONS, integers(w, 0, 2)):
            return False
    w.joint = BEFORE if integers(w, 0, 2) == 0 else AFTER
    return True


@device_function
def _draw_part(w, p, first, joined):
    """Draw one go-to action, or two if `joined`, from the action `first` on."""
    for i in range(first, first + 1 + joined):
        w.kinds[unsigned(i)] = GOTO
        w.descriptions[unsigned(i), 0] = _draw_description(w, p, 4, False)
        if int(w.descriptions[unsigned(i), 0]) == _NONE_FOUND:
            return False
    return True


@device_function
def _draw_description(w, p, num_types, with_locations):
    """Draw descriptions until something matches; `_NONE_FOUND` if that takes too long."""
    for _ in range(_DESCRIBE_TRIES):
        color = integers(w, 0, 7)  # the first: any
        color = ANY_COLOR if color == 0 else to_minigrid(color - 1)
        drawn = integers(w, 0, num_types)
        kind = BOX if drawn == 0 else (BALL if drawn == 1 else (KEY if drawn == 2 else DOOR))
        location = NOWHERE
        if with_locations and integers(w, 0, 2) == 0:
            location = LEFT_OF + integers(w, 0, 4)
        description = kind | (color << COLOR_SHIFT) | (location << LOCATION_SHIFT)
        if _count_matches(w, p, description, 1):
            return description
    return _NONE_FOUND


@device_function
def is_sound(w, p):
    """Whether no put-next is senseless: nothing matches both descriptions, nothing to move lies next to its goal."""
    for i in range(MAX_ACTIONS):
        if int(w.kinds[unsigned(i)]) != PUT_NEXT:
            continue
        move = int(w.descriptions[unsigned(i), 0])
        fixed = int(w.descriptions[unsigned(i), 1])
        for cell in range(p.width * p.height):
            if matches(move, int(w.seen[unsigned(cell)]), 0) and (
                matches(fixed, int(w.seen[unsigned(cell)]), 0) or _lies_next_to(w, p, cell, fixed)
            ):
                return False
    return True


@device_function
def _lies_next_to(w, p, cell, description):
    """Whether something that a description speaks of is in one of the four cells beside one inside the outer wall."""
    for i in range(4):
        beside = cell + (1 if i == 0 else (-1 if i == 1 else (p.width if i == 2 else -p.width)))
        if matches(description, int(w.seen[unsigned(beside)]), int(w.hidden[unsigned(beside)])):
            return True
    return False


@device_function
def begin_instruction(w, p):
    """Note what matches as the episode begins, and set the time limit."""
    slots = 0
    navigations = 0
    for i in range(MAX_ACTIONS):
        kind = int(w.kinds[unsigned(i)])
        if kind == NO_ACTION:
            continue
        both = 2 if kind == PUT_NEXT else 1
        navigations += both
        for j in range(both):
            description = int(w.descriptions[unsigned(i), unsigned(j)])
            if _count_matches(w, p, description, 2) > 1:
                description |= PLURAL
            location = (description >> LOCATION_SHIFT) & LOCATION_MASK
            if location != NOWHERE:
                description |= slots << SLOT_SHIFT
                without = description & THING_MASK
                for cell in range(p.width * p.height):
                    if matches(without, int(w.seen[unsigned(cell)]), 0) and _is_located(w, p, cell, location):
                        w.hidden[unsigned(cell)] = int(w.hidden[unsigned(cell)]) | (1 << (LOCATED_SHIFT + slots))
                slots += 1
            w.descriptions[unsigned(i), unsigned(j)] = description
    w.max_steps = navigations * p.room_size * p.room_size * p.num_rows * p.num_cols


@device_function
def gone_bits(w, seen, hidden):
    """Bit mask of the actions that go to a thing: what is left where it was, until the next drop."""
    bits = 0
    for i in range(MAX_ACTIONS):
        if int(w.kinds[unsigned(i)]) == GOTO and matches(int(w.descriptions[unsigned(i), 0]), seen, hidden):
            bits |= 1 << i
    return bits


@device_function
def verify(w, p, action, carried_before, ahead):
    """Whether the instruction is fulfilled, after a step that executed `action`.

    `carried_before`: as `WORLD["carried"]` before the step; `ahead`: number of the cell that the agent now faces.
    """
    if int(w.joint) == ONE_PART:
        return _verify_part(w, p, 0, action, carried_before, ahead)
    first = PART_ACTIONS if int(w.joint) == AFTER else 0
    return _verify_part(w, p, first, action, carried_before, ahead) and _verify_part(
        w, p, PART_ACTIONS - first, action, carried_before, ahead
    )


@device_function
def _verify_part(w, p, first, action, carried_before, ahead):
    """Look at the actions of a part that are not done yet; whether all are done now."""
    done = True
    for i in range(first, first + PART_ACTIONS):
        if int(w.kinds[unsigned(i)]) == NO_ACTION or (int(w.fulfilled) >> i) & 1:
            continue
        if _verify_action(w, p, i, action, carried_before, ahead):
            w.fulfilled = int(w.fulfilled) | (1 << i)
        else:
            done = False
        w.verified = int(w.verified) | (1 << i)
    return done


@device_function
def _verify_action(w, p, i, action, carried_before, ahead):
    kind = int(w.kinds[unsigned(i)])
    description = int(w.descriptions[unsigned(i), 0])
    seen = int(w.seen[unsigned(ahead)])
    hidden = int(w.hidden[unsigned(ahead)])
    if kind == GOTO:
        if (seen & TYPE_MASK) == EMPTY or (seen & TYPE_MASK) == FLOOR:
            return (hidden >> i) & 1 == 1
        return matches(description, seen, hidden)
    if kind == OPEN:
        return action == TOGGLE and seen >> STATE_SHIFT == DOOR_OPEN and matches(description, seen, hidden)
    # An action that is looked at for the first time does not know what was carried before.
    known_before = carried_before if (int(w.verified) >> i) & 1 else 0
    if kind == PICK_UP:
        if action != PICKUP or known_before != 0 or int(w.carried) == 0:
            return False
        return matches(description, int(w.carried), int(w.carried_hidden))
    if action != DROP or known_before == 0 or int(w.carried) != 0:
        return False
    return matches(description, seen, hidden) and _lies_next_to(w, p, ahead, int(w.descriptions[unsigned(i), 1]))


@device_function
def write_mission(w, p, out):
    """Write the instruction as word ids; `out`: (words,) int, filled up with padding."""
    at = 0
    for i in range(MAX_ACTIONS):
        kind = int(w.kinds[unsigned(i)])
        if kind == NO_ACTION:
            continue
        if i == PART_ACTIONS:
            at = _write(out, at, p.joint_words[int(w.joint), 0])
            at = _write(out, at, p.joint_words[int(w.joint), 1])
        elif i % PART_ACTIONS == 1:
            at = _write(out, at, p.and_word)
        at = _write(out, at, p.verb_words[kind, 0])
        at = _write(out, at, p.verb_words[kind, 1])
        at = _write_description(w, p, out, at, int(w.descriptions[unsigned(i), 0]))
        if kind == PUT_NEXT:
            at = _write(out, at, p.next_to_words[0])
            at = _write(out, at, p.next_to_words[1])
            at = _write_description(w, p, out, at, int(w.descriptions[unsigned(i), 1]))
    for i in range(at, len(out)):
        out[i] = 0


@device_function
def _write_description(w, p, out, at, description):
    at = _write(out, at, p.article_words[1 if description & PLURAL else 0])
    at = _write(out, at, p.thing_color_words[(description >> COLOR_SHIFT) & COLOR_MASK])
    at = _write(out, at, p.thing_words[description & TYPE_MASK])
    location = (description >> LOCATION_SHIFT) & LOCATION_MASK
    for i in range(4):
        at = _write(out, at, p.location_words[location, i])
    return at


@device_function
def _write(out, at, word):
    """Append a word, if it is one."""
    if word == 0:
        return at
    out[at] = word
    return at + 1
