"""The tree of a search: worlds that occur, nodes in them, a queue of what leads to nodes, estimates of what is left.

Worlds that differ in the agent's place only share one record.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from babyaipp.engine.compile import device_function, unsigned, viewed
from babyaipp.engine.generate import direction_x, direction_y
from babyaipp.engine.state import WORLD
from babyaipp.planners.goals import stage_of
from babyaipp.planners.places import PLACES_A_CELL, cell_of
from babyaipp.planners.relaxed import FAR, saved
from babyaipp.planners.things import bits_of, distance, hands_are_full, is_lost
from babyaipp.tiles import HALF_STEPS_PER_STEP

SCRATCH, FREE, START = range(3)  # records of `Tree.worlds` with a use of their own; then those that occur
GOAL, UNMADE = -1, -2  # of an entry's world: what is to be done is done; not made yet
NUM_WORLDS, NUM_NODES, NUM_ENTRIES, ROUND, LOWEST, HIGHEST, SPENT, LENGTH, SINGLE, BOUND, _TOTALS = range(11)
WEIGHT_UNIT = 8

_LAY_DOWN, _PICK_UP, _UNKNOWN = 6, 4, 100  # half-steps, roughly
_LOST = -2  # in the place of a stage: it cannot be done any more
_PRIORITIES = 1 << 16


class Tree(NamedTuple):
    """Working memory: worlds, nodes (a world and a place of the agent in it), a queue of what leads to nodes."""

    totals: np.ndarray  # (totals,) int32
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
        sizes: dict[str, Any] = {"totals": _TOTALS, "heads": _PRIORITIES}
        sizes |= {"world_table": (world_slots, 2), "node_table": (slots, 2)}
        of = {"world": worlds, "node": nodes, "entry": 8 * nodes}
        sizes |= {name: of[name.split("_")[0]] for name in cls._fields if name not in sizes and name != "worlds"}
        made = {name: np.zeros(sizes[name], np.int32) for name in cls._fields if name != "worlds"}
        made["heads"].fill(-1)
        return cls(worlds=viewed(np.zeros(worlds, WORLD)), **made)


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
def judge(t, r, g, p, world):
    """Note what the estimates for a world are made from."""
    w = t.worlds[world]
    bits, fetch, bring, apart = bits_of(w, p, g, t.worlds[START])
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
def estimate(t, r, p, task, world, place):
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
    return max(weight * left // WEIGHT_UNIT - int(t.world_saved[world]), 0)


@device_function
def find_world(t, r, g, p):
    """Number of the world that the scratch record is; a new one if need be, -1 if there is no room."""
    w = t.worlds[SCRATCH]
    mask = len(t.world_table) - 1
    slot = np.int64(_hash(w, p) & np.uint64(mask))
    while int(t.world_table[slot, 0]) == int(t.totals[ROUND]):
        world = int(t.world_table[slot, 1])
        if _same(t.worlds[world], w, p):
            return world
        slot = (slot + 1) & mask
    world = int(t.totals[NUM_WORLDS])
    if world == len(t.worlds):
        return -1
    t.worlds[world] = w
    judge(t, r, g, p, world)
    t.world_table[slot, 0] = t.totals[ROUND]
    t.world_table[slot, 1] = world
    t.totals[NUM_WORLDS] = world + 1
    return world


@device_function
def node_slot(t, world, at):
    """Slot of a node in the table, or the free one where it belongs."""
    mask = len(t.node_table) - 1
    mixed = (np.uint64(world) * np.uint64(0x9E3779B97F4A7C15)) ^ (np.uint64(at) * np.uint64(0xC2B2AE3D27D4EB4F))
    slot = np.int64((mixed ^ (mixed >> np.uint64(31))) & np.uint64(mask))
    while int(t.node_table[slot, 0]) == int(t.totals[ROUND]):
        node = int(t.node_table[slot, 1])
        if int(t.node_world[node]) == world and int(t.node_at[node]) == at:
            break
        slot = (slot + 1) & mask
    return slot


@device_function
def push(t, parent, action, world, at, spent, left):
    """Queue what a step leads to."""
    if left >= FAR:
        return
    if world >= 0:
        slot = node_slot(t, world, at)
        known = int(t.node_table[slot, 0]) == int(t.totals[ROUND])
        if known and int(t.node_spent[int(t.node_table[slot, 1])]) <= spent:
            return
    priority = min(spent + left, len(t.heads) - 1)
    entry = int(t.totals[NUM_ENTRIES])
    t.totals[NUM_ENTRIES] = entry + 1
    if entry >= len(t.entry_next):
        return
    t.entry_parent[entry] = parent
    t.entry_action[entry] = action
    t.entry_world[entry] = world
    t.entry_at[entry] = at
    t.entry_spent[entry] = spent
    t.entry_next[entry] = t.heads[priority]
    t.heads[priority] = entry
    t.totals[LOWEST] = min(int(t.totals[LOWEST]), priority)
    t.totals[HIGHEST] = max(int(t.totals[HIGHEST]), priority)
