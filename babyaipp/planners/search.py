"""The search that planners use: the cheapest way to fulfil an instruction, or to face a cell, in a world.

A best-first search (A*) over whole worlds, stepped by the engine's own `step`, guided by `relaxed.py`. Worlds that
differ in the agent's place only share one record.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from babyaipp.engine.compile import compile_kernel, device_function, kernel, unsigned
from babyaipp.engine.generate import direction_x, direction_y
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
    WORLD,
    parameters,
)
from babyaipp.engine.step import can_enter, step
from babyaipp.levels import Level, get_level
from babyaipp.planners.goals import (
    NUM_STAGES,
    Goals,
    bits_of,
    distance,
    hands_are_full,
    is_lost,
    is_to_move,
    set_instruction,
    set_target,
    stage_of,
)
from babyaipp.planners.places import PLACES_A_CELL, cell_of, faced_from, place_of, put, survives
from babyaipp.planners.relaxed import FAR, MOVES_ALL, MOVES_NOTHING, MOVES_REST, Relaxed, forget, may_move, relax, saved
from babyaipp.texts import SENTENCE_ORDERS, parse_text_condition
from babyaipp.tiles import COLORS, DONE, DROP, FORWARD, HALF_STEPS_PER_STEP, LEFT, PICKUP, RIGHT, TOGGLE

FOUND, EXHAUSTED, GAVE_UP = range(3)

_SCRATCH, _FREE, _START = range(3)  # records of `Tree.worlds` with a use of their own; then those that occur
_LAY_DOWN, _PICK_UP, _UNKNOWN = 6, 4, 100  # half-steps, roughly
_LOST = -2  # in the place of a stage: it cannot be done any more
_WEIGHT_UNIT = 8
_GOAL, _UNMADE = -1, -2  # of an entry's world: what is to be done is done; not made yet
_NUM_WORLDS, _NUM_NODES, _NUM_ENTRIES, _ROUND, _LOWEST, _HIGHEST, _SPENT, _LENGTH, _SINGLE, _COUNTS = range(10)

_HIGHEST_PRIORITY = (1 << 16) - 1


class Tree(NamedTuple):
    """Working memory: worlds, nodes (a world and a place of the agent in it), a queue of what leads to nodes."""

    count: np.ndarray  # (counts,) int32
    worlds: np.ndarray  # (worlds,) WORLD; of the agent's place and of the clock they say nothing
    world_stage: np.ndarray  # (worlds,) int32, -1: unknown, or `_LOST`
    world_saved: np.ndarray  # (worlds,) int32, costs in the relaxed world that need not be paid any more
    world_aim: np.ndarray  # (worlds,) int32, a cell to go to that the relaxed world does not know of, -1: none
    world_extra: np.ndarray  # (worlds,) int32, half-steps that the relaxed world knows nothing of, roughly
    world_table: np.ndarray  # (slots, 2) int32, round and world
    node_world: np.ndarray  # (nodes,) int32
    node_at: np.ndarray  # (nodes,) int32, see `places.py`
    node_spent: np.ndarray  # (nodes,) int32, half-steps
    node_parent: np.ndarray  # (nodes,) int32
    node_action: np.ndarray  # (nodes,) int32, that led here
    node_table: np.ndarray  # (slots, 2) int32, round and node
    entry_parent: np.ndarray  # (entries,) int32, node
    entry_action: np.ndarray  # (entries,) int32
    entry_world: np.ndarray  # (entries,) int32
    entry_at: np.ndarray  # (entries,) int32
    entry_spent: np.ndarray  # (entries,) int32
    entry_next: np.ndarray  # (entries,) int32
    heads: np.ndarray  # (priorities,) int32

    @classmethod
    def make(cls, nodes: int, worlds: int) -> Tree:
        """With room for so many."""
        slots = 1 << (2 * nodes - 1).bit_length()
        world_slots = 1 << (2 * worlds - 1).bit_length()
        sizes: dict[str, Any] = {"count": _COUNTS, "heads": _HIGHEST_PRIORITY + 1}
        sizes |= {"world_table": (world_slots, 2), "node_table": (slots, 2)}
        of = {"world": worlds, "node": nodes, "entry": 8 * nodes}
        sizes |= {name: of[name.split("_")[0]] for name in cls._fields if name not in sizes and name != "worlds"}
        sizes["worlds"] = worlds
        made = {name: np.zeros(sizes[name], WORLD if name == "worlds" else np.int32) for name in cls._fields}
        made["heads"].fill(-1)
        return cls(**made)


class Task(NamedTuple):
    """What a search is to do."""

    props: np.ndarray  # (6,) int8, property of each colour, NONE: none
    targets: np.ndarray  # (cells,) bool, the cells to face or to act on; empty: the instruction
    numbers: np.ndarray  # int32, see FORBIDDEN and so on


FORBIDDEN, ACTION, MOVES, WEIGHT, MAX_NODES, _NUMBERS = range(6)


@device_function
def _hash(w, p):
    """A number of all that makes a world another one."""
    value = np.uint64(14695981039346656037)
    prime = np.uint64(1099511628211)
    for cell in range(p.width * p.height):
        both = np.uint64(int(w.seen[unsigned(cell)]) | int(w.hidden[unsigned(cell)]) << 8)
        value = (value ^ both) * prime
    rest = int(w.carried) | int(w.carried_hidden) << 8 | int(w.fulfilled) << 16 | int(w.verified) << 24
    value = (value ^ np.uint64(rest | int(w.gone) << 32)) * prime
    return value ^ (value >> np.uint64(29))


@device_function
def _same(v, w, p):
    """Whether two worlds are the same, wherever the agent is."""
    if v.carried != w.carried or v.carried_hidden != w.carried_hidden or v.gone != w.gone:
        return False
    if v.fulfilled != w.fulfilled or v.verified != w.verified:
        return False
    for cell in range(p.width * p.height):
        if v.seen[unsigned(cell)] != w.seen[unsigned(cell)] or v.hidden[unsigned(cell)] != w.hidden[unsigned(cell)]:
            return False
    return True


@device_function
def _load(t, world):
    """Make the scratch record a copy of a world."""
    t.worlds[_SCRATCH] = t.worlds[world]


@device_function
def _judge(t, r, g, p, world):
    """Note what the estimates for a world are made from."""
    w = t.worlds[world]
    bits, fetch, bring, apart = bits_of(w, p, g, t.worlds[_START])
    stage = _LOST if is_lost(w, p) else stage_of(g, bits)
    extra = HALF_STEPS_PER_STEP * apart + (_LAY_DOWN if hands_are_full(w, g, bits) else 0)
    if fetch >= 0 and stage >= 0:
        extra += _PICK_UP + _left_beside(r, p, stage, fetch)
    t.world_stage[world] = stage
    t.world_saved[world] = saved(w, r)
    t.world_aim[world] = fetch if fetch >= 0 else bring
    t.world_extra[world] = extra


@device_function
def _left_beside(r, p, stage, cell):
    """Half-steps that are left from beside a cell at least; 0 if there is no way."""
    least = FAR
    for direction in range(4):
        beside = cell + direction_x(direction) + direction_y(direction) * p.width
        for place in range(beside * PLACES_A_CELL, (beside + 1) * PLACES_A_CELL):
            state = int(r.state_of[unsigned(place)])
            if state >= 0:
                least = min(least, int(r.left[stage, unsigned(state)]))
    return 0 if least == FAR else least


@device_function
def _estimate(t, r, p, task, world, place):
    """Half-steps that are left, more or less, times the weight; `FAR` if there is no way."""
    stage = int(t.world_stage[world])
    state = int(r.state_of[unsigned(place)])
    weight = int(task.numbers[WEIGHT])
    aim = int(t.world_aim[world])
    left = int(t.world_extra[world])
    if stage == _LOST:
        return FAR
    if aim >= 0:
        left += HALF_STEPS_PER_STEP * distance(p, aim, cell_of(place))
    elif stage < 0:
        left += _UNKNOWN
    elif state < 0 or int(r.left[stage, unsigned(state)]) >= FAR:
        return FAR
    else:
        left += int(r.left[stage, unsigned(state)])
    return max(weight * left // _WEIGHT_UNIT - int(t.world_saved[world]), 0)


@device_function
def _find_world(t, r, g, p):
    """Number of the world that the scratch record is; a new one if need be, -1 if there is no room."""
    w = t.worlds[_SCRATCH]
    mask = len(t.world_table) - 1
    slot = np.int64(_hash(w, p) & np.uint64(mask))
    while int(t.world_table[slot, 0]) == int(t.count[_ROUND]):
        world = int(t.world_table[slot, 1])
        if _same(t.worlds[world], w, p):
            return world
        slot = (slot + 1) & mask
    world = int(t.count[_NUM_WORLDS])
    if world == len(t.worlds):
        return -1
    t.worlds[world] = w
    _judge(t, r, g, p, world)
    t.world_table[slot, 0] = t.count[_ROUND]
    t.world_table[slot, 1] = world
    t.count[_NUM_WORLDS] = world + 1
    return world


@device_function
def _node_slot(t, world, at):
    """Slot of a node in the table, or the free one where it belongs."""
    mask = len(t.node_table) - 1
    mixed = (np.uint64(world) * np.uint64(0x9E3779B97F4A7C15)) ^ (np.uint64(at) * np.uint64(0xC2B2AE3D27D4EB4F))
    slot = np.int64((mixed ^ (mixed >> np.uint64(31))) & np.uint64(mask))
    while int(t.node_table[slot, 0]) == int(t.count[_ROUND]):
        node = int(t.node_table[slot, 1])
        if int(t.node_world[node]) == world and int(t.node_at[node]) == at:
            break
        slot = (slot + 1) & mask
    return slot


@device_function
def _push(t, parent, action, world, at, spent, estimate):
    """Queue what a step leads to."""
    if estimate >= FAR:
        return
    if world >= 0:
        slot = _node_slot(t, world, at)
        known = int(t.node_table[slot, 0]) == int(t.count[_ROUND])
        if known and int(t.node_spent[int(t.node_table[slot, 1])]) <= spent:
            return
    priority = min(spent + estimate, len(t.heads) - 1)
    entry = int(t.count[_NUM_ENTRIES])
    t.count[_NUM_ENTRIES] = entry + 1
    if entry >= len(t.entry_next):
        return
    t.entry_parent[entry] = parent
    t.entry_action[entry] = action
    t.entry_world[entry] = world
    t.entry_at[entry] = at
    t.entry_spent[entry] = spent
    t.entry_next[entry] = t.heads[priority]
    t.heads[priority] = entry
    t.count[_LOWEST] = min(int(t.count[_LOWEST]), priority)
    t.count[_HIGHEST] = max(int(t.count[_HIGHEST]), priority)


@device_function
def _reaches(w, p, task, action, ended):
    """Whether a step has done what is to be done."""
    if len(task.targets) == 0:
        return ended == SUCCESS
    wanted = int(task.numbers[ACTION])
    return (wanted < 0 or wanted == action) and task.targets[faced_from(p, place_of(w, p))]


@device_function
def _acts(w, p, task, action, ahead):
    """Whether an action on the cell ahead does something, and may be taken."""
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
    w = t.worlds[_SCRATCH]
    _load(t, world)
    fulfilled = int(w.fulfilled)
    verified = int(w.verified)
    ahead = -1
    for action in (DONE, LEFT, RIGHT, FORWARD, PICKUP, DROP, TOGGLE):
        acting = action in (PICKUP, DROP, TOGGLE)
        if acting and (ahead < 0 or not _acts(w, p, task, action, ahead)):
            continue
        put(w, p, at)
        ended = step(w, p, action)
        if survives(w, p, ended, int(task.numbers[FORBIDDEN])):
            after = spent + int(w.half_steps)
            to = place_of(w, p)
            if action == DONE:
                ahead = faced_from(p, place_of(w, p))
            if _reaches(w, p, task, action, ended):
                _push(t, node, action, _GOAL, to, after, 0)
            elif acting or int(w.fulfilled) != fulfilled or int(w.verified) != verified:
                _judge(t, r, g, p, _SCRATCH)
                _push(t, node, action, _UNMADE, to, after, _estimate(t, r, p, task, _SCRATCH, to))
            elif to != at:
                _push(t, node, action, world, to, after, _estimate(t, r, p, task, world, to))
        if acting:
            _load(t, world)
        else:
            w.fulfilled = fulfilled
            w.verified = verified


@device_function
def _make(t, r, g, p, parent, action):
    """Number of the world that an action leads to, -1 if there is no room."""
    _load(t, int(t.node_world[parent]))
    w = t.worlds[_SCRATCH]
    put(w, p, int(t.node_at[parent]))
    step(w, p, action)
    return _find_world(t, r, g, p)


@device_function
def _visit(t, r, g, p, task, world, at, spent, parent, action, time_left):
    """Note a node, and queue what follows on it; False if there is no room."""
    slot = _node_slot(t, world, at)
    if int(t.node_table[slot, 0]) == int(t.count[_ROUND]):
        node = int(t.node_table[slot, 1])
        if int(t.node_spent[node]) <= spent:
            return True
    else:
        node = int(t.count[_NUM_NODES])
        if node >= min(len(t.node_at), int(task.numbers[MAX_NODES])):
            return False
        t.count[_NUM_NODES] = node + 1
        t.node_table[slot, 0] = t.count[_ROUND]
        t.node_table[slot, 1] = node
        t.node_world[node] = world
        t.node_at[node] = at
    t.node_spent[node] = spent
    t.node_parent[node] = parent
    t.node_action[node] = action
    if spent < time_left:
        _expand(t, r, g, p, task, node)
    return int(t.count[_NUM_ENTRIES]) <= len(t.entry_next)


@device_function
def _tell(t, entry, actions):
    """Write the actions that lead to the end; False if they are too many."""
    length = 1
    node = int(t.entry_parent[entry])
    while int(t.node_parent[node]) >= 0:
        node = int(t.node_parent[node])
        length += 1
    t.count[_SPENT] = t.entry_spent[entry]
    t.count[_LENGTH] = length
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
    """Search; returns FOUND, EXHAUSTED or GAVE_UP."""
    start = t.worlds[_START]
    time_left = HALF_STEPS_PER_STEP * int(start.max_steps) - int(start.half_steps)
    at = place_of(start, p)
    _load(t, _START)
    world = _find_world(t, r, g, p)
    if _estimate(t, r, p, task, world, at) >= FAR:
        return EXHAUSTED
    if not _visit(t, r, g, p, task, world, at, 0, -1, -1, time_left):
        return GAVE_UP
    while int(t.count[_LOWEST]) <= int(t.count[_HIGHEST]):
        priority = int(t.count[_LOWEST])
        entry = int(t.heads[priority])
        if entry < 0:
            t.count[_LOWEST] = priority + 1
            continue
        t.heads[priority] = t.entry_next[entry]
        world = int(t.entry_world[entry])
        if world == _GOAL:
            return FOUND if _tell(t, entry, actions) else GAVE_UP
        parent = int(t.entry_parent[entry])
        action = int(t.entry_action[entry])
        if world == _UNMADE:
            world = _make(t, r, g, p, parent, action)
        at = int(t.entry_at[entry])
        spent = int(t.entry_spent[entry])
        if world < 0 or not _visit(t, r, g, p, task, world, at, spent, parent, action, time_left):
            return GAVE_UP
    return EXHAUSTED


@kernel
def _search(worlds, row, parameters, task, r, g, t, actions):
    p = parameters[0]
    t.count[_ROUND] += 1
    t.count[_NUM_WORLDS] = _START + 1
    t.count[_NUM_NODES] = 0
    t.count[_NUM_ENTRIES] = 0
    t.count[_LOWEST] = len(t.heads)
    t.count[_HIGHEST] = -1
    t.worlds[_START] = worlds[row]
    start = t.worlds[_START]
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
    t.worlds[_FREE] = start
    bits, _, _, _ = bits_of(start, p, g, start)
    result = GAVE_UP
    if relax(t.worlds[_FREE], p, r, g, bits, int(task.numbers[MOVES]), int(task.numbers[FORBIDDEN])):
        result = _best_first(t, r, g, p, task, actions)
    t.count[_SINGLE] = int(g.count[NUM_STAGES]) <= 2 and int(start.carried) == 0
    forget(r)
    for priority in range(int(t.count[_LOWEST]), int(t.count[_HIGHEST]) + 1):
        t.heads[priority] = -1
    return result


@dataclass(frozen=True)
class Found:
    """What a search has come to.

    Attributes:
        actions: (steps,) int64, what to do; None if nothing was found.
        half_steps: how long it takes.
        exhausted: nothing was found, and everything has been looked at that the search may do.
        single: one thing is to be done, and nothing is carried. What was found with a weight of 1 is the cheapest then.
        nodes: how much was looked at.
    """

    actions: np.ndarray | None
    half_steps: int
    exhausted: bool
    single: bool
    nodes: int


class Search:
    """Searches worlds of a level.

    Args:
        level: name of a row of the level table, or a row.
        max_nodes: how many places of the agent in worlds may be looked at.
        max_worlds: how many worlds may differ in more than the agent's place.
    """

    def __init__(self, level: str | Level, max_nodes: int = 60_000, max_worlds: int = 4_000) -> None:
        self.level = level if isinstance(level, Level) else get_level(level)
        self.max_nodes = max_nodes
        self._parameters = parameters(
            self.level, self.level.splits[0], parse_text_condition("true"), SENTENCE_ORDERS[0], None
        )
        self._cells = self.level.width * self.level.height
        self._relaxed = Relaxed.make(self._cells)
        self._goals = Goals.make(self._cells)
        self._tree = Tree.make(max_nodes, max_worlds)
        self._actions = np.zeros(1 << 14, np.int64)
        self._instruction = np.zeros(0, np.bool_)
        task = Task(np.zeros(len(COLORS), np.int8), self._instruction, np.zeros(_NUMBERS, np.int64))
        arguments = (
            np.zeros(1, WORLD),
            0,
            self._parameters,
            task,
            self._relaxed,
            self._goals,
            self._tree,
            self._actions,
        )
        compile_kernel(_search, arguments, seconds=30)

    def instruction(
        self,
        worlds: np.ndarray,
        row: int = 0,
        *,
        props: np.ndarray | None = None,
        forbidden: int = 0,
        carries: bool = False,
        weight: float = 1.0,
        max_nodes: int | None = None,
    ) -> Found:
        """How to fulfil the instruction of a world from where its agent is.

        Args:
            worlds: (n,) `WORLD`.
            row: which of them.
            props: (6,) int8, the property of each floor colour that is assumed, -1: it does nothing; None: the
                true ones.
            forbidden: bit mask of floor colours on which no action may end; deadly ones never do.
            carries: look at it, too, that things are carried elsewhere that actions go to or put something next to.
            weight: how much more what is left counts than what is spent; above 1 faster, and not the cheapest.
            max_nodes: fewer than at most.
        """
        moves = MOVES_ALL if carries else MOVES_REST
        numbers = (forbidden, -1, moves, round(_WEIGHT_UNIT * weight), max_nodes)
        return self._run(worlds, row, self._instruction, props, numbers)

    def way(
        self,
        worlds: np.ndarray,
        row: int,
        targets: np.ndarray,
        action: int | None = None,
        *,
        props: np.ndarray | None = None,
        forbidden: int = 0,
    ) -> Found:
        """How to come to face one of a set of cells, or to act on one; doors are opened on the way, nothing is moved.

        Args:
            worlds: (n,) `WORLD`.
            row: which of them.
            targets: (cells,) bool, the cells, numbered row by row.
            action: PICKUP, DROP or TOGGLE, which comes last; None: facing one is enough, at least one step from now.
            props: as `instruction`.
            forbidden: as `instruction`.
        """
        return self._run(
            worlds, row, targets, props, (forbidden, -1 if action is None else action, MOVES_NOTHING, 1, None)
        )

    def _run(
        self,
        worlds: np.ndarray,
        row: int,
        targets: np.ndarray,
        props: np.ndarray | None,
        numbers: tuple[int, int, int, int, int | None],
    ) -> Found:
        props = np.ascontiguousarray(worlds["rules"][row] if props is None else props, np.int8)
        limited = np.array([self.max_nodes if number is None else number for number in numbers], np.int64)
        task = Task(props, targets, limited)
        result = _search(worlds, row, self._parameters, task, self._relaxed, self._goals, self._tree, self._actions)
        count = self._tree.count
        actions = self._actions[: count[_LENGTH]].copy() if result == FOUND else None
        spent = int(count[_SPENT]) if result == FOUND else 0
        return Found(actions, spent, result == EXHAUSTED, bool(count[_SINGLE]), int(count[_NUM_NODES]))
