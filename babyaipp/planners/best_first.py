"""The search itself: best-first (A*) over whole worlds, stepped by the engine's own `step`."""

from __future__ import annotations

from babyaipp.engine.compile import device_function, kernel_from, unsigned
from babyaipp.engine.state import (
    BOX,
    DOOR,
    EMPTY,
    FLOOR,
    KEY,
    MAX_ACTIONS,
    NO_ACTION,
    ONE_PART,
    SUCCESS,
    TYPE_MASK,
)
from babyaipp.engine.step import can_enter, step
from babyaipp.planners.goals import FULL, is_one_thing, set_instruction, set_target, stage_of
from babyaipp.planners.places import faced_from, place_of, put, survives
from babyaipp.planners.relaxed import FAR, MOVES_ALL, MOVES_NOTHING, forget, may_move, relax
from babyaipp.planners.things import bits_of, is_to_move
from babyaipp.planners.tree import (
    ACTION,
    BOUND,
    FORBIDDEN,
    FREE,
    GOAL,
    HIGHEST,
    LENGTH,
    LOWEST,
    MAX_NODES,
    MOVES,
    NUM_ENTRIES,
    NUM_NODES,
    NUM_WORLDS,
    ROUND,
    SCRATCH,
    SINGLE,
    SPENT,
    START,
    UNMADE,
    estimate,
    find_world,
    judge,
    node_slot,
    push,
)
from babyaipp.tiles import DONE, DROP, FORWARD, HALF_STEPS_PER_STEP, LEFT, PICKUP, RIGHT, TOGGLE

SOURCES = tuple(f"planners/{name}.py" for name in ("best_first", "goals", "places", "relaxed", "things", "tree"))
FOUND, EXHAUSTED, GAVE_UP = range(3)


@device_function
def _load(t, world):
    """Make the scratch record a copy of a world."""
    t.worlds[SCRATCH] = t.worlds[world]


@device_function
def _reaches(w, p, task, action, ended):
    """Whether a step has done what is to be done."""
    if len(task.targets) == 0:
        return ended == SUCCESS
    wanted = int(task.numbers[ACTION])
    return (wanted < 0 or wanted == action) and task.targets[faced_from(p, place_of(w, p))]


@device_function
def _acts(w, p, task, action, ahead):
    """Whether an action on the cell ahead may do something, and may be taken."""
    seen = int(w.seen[unsigned(ahead)])
    hidden = int(w.hidden[unsigned(ahead)])
    kind = seen & TYPE_MASK
    moves = int(task.numbers[MOVES])
    last = len(task.targets) > 0 and int(task.numbers[ACTION]) == action and task.targets[ahead]
    if action == PICKUP:
        return kind >= KEY and int(w.carried) == 0 and (last or may_move(w, moves, seen, hidden))
    if action == DROP:
        return kind in (EMPTY, FLOOR) and int(w.carried) != 0 and (last or moves != MOVES_NOTHING)
    if kind == DOOR:
        return last or moves != MOVES_NOTHING or not can_enter(seen)
    if kind != BOX:
        return False
    return last or (may_move(w, moves, seen, hidden) and (moves == MOVES_ALL or not is_to_move(w, seen, hidden)))


@device_function
def _expand(t, r, g, p, task, node):
    """Queue what every action leads to that may matter."""
    world = int(t.node_world[node])
    at = int(t.node_at[node])
    spent = int(t.node_spent[node])
    w = t.worlds[SCRATCH]
    _load(t, world)
    fulfilled = int(w.fulfilled)
    verified = int(w.verified)
    ahead = -1
    for action in (DONE, LEFT, RIGHT, FORWARD, PICKUP, DROP, TOGGLE):
        acting = action in (PICKUP, DROP, TOGGLE)
        if acting and (ahead < 0 or not _acts(w, p, task, action, ahead)):
            continue
        seen = int(w.seen[unsigned(ahead)]) if acting else -1
        put(w, p, at)
        ended = step(w, p, action)
        effective = not acting or int(w.seen[unsigned(ahead)]) != seen
        if effective and survives(w, p, ended, int(task.numbers[FORBIDDEN])):
            after = spent + int(w.half_steps)
            to = place_of(w, p)
            if action == DONE:
                ahead = faced_from(p, to)
            if _reaches(w, p, task, action, ended):
                push(t, node, action, GOAL, to, after, 0)
            elif acting or int(w.fulfilled) != fulfilled or int(w.verified) != verified:
                judge(t, r, g, p, SCRATCH)
                push(t, node, action, UNMADE, to, after, estimate(t, r, p, task, SCRATCH, to))
            elif to != at:
                push(t, node, action, world, to, after, estimate(t, r, p, task, world, to))
        if acting:
            _load(t, world)
        else:
            w.fulfilled = fulfilled
            w.verified = verified


@device_function
def _make(t, r, g, p, parent, action):
    """Number of the world that an action leads to, -1 if there is no room."""
    _load(t, int(t.node_world[parent]))
    w = t.worlds[SCRATCH]
    put(w, p, int(t.node_at[parent]))
    step(w, p, action)
    return find_world(t, r, g, p)


@device_function
def _visit(t, r, g, p, task, world, at, spent, parent, action, time_left):
    """Note a node, and queue what follows on it; False if there is no room."""
    slot = node_slot(t, world, at)
    if int(t.node_table[slot, 0]) == int(t.totals[ROUND]):
        node = int(t.node_table[slot, 1])
        if int(t.node_spent[node]) <= spent:
            return True
    else:
        node = int(t.totals[NUM_NODES])
        if node >= min(len(t.node_at), int(task.numbers[MAX_NODES])):
            return False
        t.totals[NUM_NODES] = node + 1
        t.node_table[slot, 0] = t.totals[ROUND]
        t.node_table[slot, 1] = node
        t.node_world[node] = world
        t.node_at[node] = at
    t.node_spent[node] = spent
    t.node_parent[node] = parent
    t.node_action[node] = action
    if spent < time_left:
        _expand(t, r, g, p, task, node)
    return int(t.totals[NUM_ENTRIES]) <= len(t.entry_next)


@device_function
def _tell(t, entry, actions):
    """Write the actions that lead to the end; False if they are too many."""
    length = 1
    node = int(t.entry_parent[entry])
    while int(t.node_parent[node]) >= 0:
        node = int(t.node_parent[node])
        length += 1
    t.totals[SPENT] = t.entry_spent[entry]
    t.totals[LENGTH] = length
    if length > len(actions):
        return False
    actions[length - 1] = t.entry_action[entry]
    node = int(t.entry_parent[entry])
    for i in range(length - 2, -1, -1):
        actions[i] = t.node_action[node]
        node = int(t.node_parent[node])
    return True


@device_function
def _best_first(t, r, g, p, task, actions):
    """Search; returns `FOUND`, `EXHAUSTED` or `GAVE_UP`."""
    start = t.worlds[START]
    time_left = HALF_STEPS_PER_STEP * int(start.max_steps) - int(start.half_steps)
    at = place_of(start, p)
    _load(t, START)
    world = find_world(t, r, g, p)
    if estimate(t, r, p, task, world, at) >= FAR:
        return EXHAUSTED
    if not _visit(t, r, g, p, task, world, at, 0, -1, -1, time_left):
        return GAVE_UP
    while int(t.totals[LOWEST]) <= int(t.totals[HIGHEST]):
        priority = int(t.totals[LOWEST])
        entry = int(t.heads[priority])
        if entry < 0:
            t.totals[LOWEST] = priority + 1
            continue
        t.heads[priority] = t.entry_next[entry]
        world = int(t.entry_world[entry])
        if world == GOAL:
            return FOUND if _tell(t, entry, actions) else GAVE_UP
        parent = int(t.entry_parent[entry])
        action = int(t.entry_action[entry])
        if world == UNMADE:
            world = _make(t, r, g, p, parent, action)
        at = int(t.entry_at[entry])
        spent = int(t.entry_spent[entry])
        if world < 0 or not _visit(t, r, g, p, task, world, at, spent, parent, action, time_left):
            return GAVE_UP
    return EXHAUSTED


@kernel_from(*SOURCES)
def search(worlds, parameters, task, r, g, t, actions):
    """Search the one world in `worlds`; how it went is returned, and told by `t.totals` and `actions`."""
    p = parameters[0]
    t.totals[ROUND] += 1
    t.totals[NUM_WORLDS] = START + 1
    t.totals[NUM_NODES] = 0
    t.totals[NUM_ENTRIES] = 0
    t.totals[LOWEST] = len(t.heads)
    t.totals[HIGHEST] = -1
    t.worlds[START] = worlds[0]
    start = t.worlds[START]
    for color in range(len(start.rules)):
        start.rules[color] = task.props[color]
    if len(task.targets) > 0:
        start.fulfilled = 0
        for i in range(MAX_ACTIONS):
            start.kinds[i] = NO_ACTION
        start.joint = ONE_PART
        set_target(start, p, g, task.targets, int(task.numbers[ACTION]) >= 0)
    else:
        set_instruction(start, p, g, task.numbers[MOVES] == MOVES_ALL)
    t.worlds[FREE] = start
    bits, _, _, _ = bits_of(start, p, g, start)
    t.totals[BOUND] = 0
    result = GAVE_UP
    if not g.totals[FULL] and relax(
        t.worlds[FREE], p, r, g, bits, int(task.numbers[MOVES]), int(task.numbers[FORBIDDEN])
    ):
        t.totals[BOUND] = r.left[stage_of(g, bits), 0]
        result = _best_first(t, r, g, p, task, actions)
    t.totals[SINGLE] = is_one_thing(start, g)
    forget(r)
    for priority in range(int(t.totals[LOWEST]), int(t.totals[HIGHEST]) + 1):
        t.heads[priority] = -1
    return result
