"""What is left to be done at best: a bound that guides the search, from a world in which everything is easier.

There, things to be carried and closed doors block a cell or do not, as it suits the agent; to free a cell costs as much
as the cheapest action beside it, each time it is entered. So an agent is described by its position, direction and
counters alone, which are numbered together (`at`). Where it goes is asked of the engine's `step`.

What is to be done is a set of bits and of rules: facing a cell, after any action or after one that acts on the cell
ahead, sets bits once others are set. The bits are what is fulfilled of the instruction, what has been picked up for it,
and keys.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from babyaipp.engine.compile import device_function, unsigned
from babyaipp.engine.generate import direction_x, direction_y
from babyaipp.engine.instruct import matches
from babyaipp.engine.shared import from_minigrid
from babyaipp.engine.state import (
    AFTER,
    COLOR_MASK,
    COLOR_SHIFT,
    DOOR,
    DOOR_LOCKED,
    EMPTY,
    FIRST_DEADLY,
    FLOOR,
    GOTO,
    KEY,
    MAX_ACTIONS,
    MINIGRID_COLORS,
    NO_ACTION,
    ONE_PART,
    OPEN,
    PART_ACTIONS,
    PICK_UP,
    PUT_NEXT,
    STATE_SHIFT,
    THING_MASK,
    TILE_MASK,
    TYPE_MASK,
    WALL,
    WALL_CELL,
)
from babyaipp.engine.step import can_enter, step
from babyaipp.tiles import (
    DONE,
    FORWARD,
    HALF_STEPS_PER_STEP,
    LEFT,
    NONE,
    PROPERTIES,
    RIGHT,
    effective_action,
    falls,
    step_half_steps,
)

# What the tiles' rules must know of the counters, found by asking them.
_PROBED = range(16)
_ALL = range(len(PROPERTIES))
_CELL_TIMED = sum(
    1 << prop
    for prop in _ALL
    if any(effective_action(prop, a, n) != effective_action(prop, a, 0) for a in range(DONE + 1) for n in _PROBED)
)
_COLOR_TIMED = sum(1 << prop for prop in _ALL if any(falls(prop, n) != falls(prop, 0) for n in _PROBED))
CELL_STEPS = 1 + max(  # so many values of `cell_steps` differ, the last of which is "or more"
    n + 1
    for n in _PROBED
    if any(effective_action(prop, a, n) != effective_action(prop, a, n + 1) for prop in _ALL for a in range(DONE + 1))
)
COLOR_STEPS = next(n for n in range(1, 16) if all(falls(p, i) == falls(p, i + n) for p in _ALL for i in _PROBED))
PER_CELL = 4 * CELL_STEPS * COLOR_STEPS

# Bits of what is done: four fulfilled, four things picked up that an action moves, four that it is moved to, keys.
_DONE_BIT, _MOVED_BIT, _FIXED_BIT, _KEY_BIT = 0, MAX_ACTIONS, 2 * MAX_ACTIONS, 3 * MAX_ACTIONS
MAX_RULES = 31
MAX_STAGES = 64
EDGES_A_STATE = 14
FAR = 1 << 20
"""More half-steps than anything takes."""

NUM_RULES, NUM_STAGES, NUM_STATES, NUM_EDGES, NUM_TELLING, GOAL, CELL_TIMED, COLOR_TIMED = range(8)
NUM_COSTLY, LOCKS, LASTING, NUM_ENTRIES, _COUNTS = range(8, 13)


class Relaxed(NamedTuple):
    """Working memory, made once and used for one world after the other."""

    count: np.ndarray  # int32, see NUM_RULES and so on
    # Cells.
    cost: np.ndarray  # (cells,) int32, to free it, 0 where it is free
    needs: np.ndarray  # (cells,) int32, bits without which it stays blocked
    may_block: np.ndarray  # (cells,) bool, may be blocked
    rules_at: np.ndarray  # (cells,) int32, bit mask of the rules about it
    costly: np.ndarray  # (cells,) int32, the cells with a cost
    # Rules.
    rule_needs: np.ndarray  # (rules,) int32, bits
    rule_sets: np.ndarray  # (rules,) int32, bits
    rule_acts: np.ndarray  # (rules,) bool, it takes an action on the cell ahead
    stages: np.ndarray  # (stages,) int32, sets of bits that occur
    # The graph.
    state_of: np.ndarray  # (at,) int32, number of a state, -1: never there
    states: np.ndarray  # (states,) int32, `at`
    source: np.ndarray  # (edges,) int32, state
    target: np.ndarray  # (edges,) int32, state
    price: np.ndarray  # (edges,) int32, half-steps
    edge_needs: np.ndarray  # (edges,) int32, bits
    acts: np.ndarray  # (edges,) bool, may act on the cell ahead
    telling: np.ndarray  # (edges,) int32, the edges after which a cell with rules is faced
    first: np.ndarray  # (states + 1,) int32, of the edges by target
    by_target: np.ndarray  # (edges,) int32
    left: np.ndarray  # (stages, states) int32, half-steps that are left
    # A queue by distance.
    heads: np.ndarray  # (FAR / 16,) int32
    entry_state: np.ndarray  # (2 * edges,) int32
    entry_next: np.ndarray  # (2 * edges,) int32

    @classmethod
    def make(cls, cells: int) -> Relaxed:
        """For worlds of so many cells."""
        states, edges = cells * PER_CELL, cells * PER_CELL * EDGES_A_STATE
        sizes: dict[str, Any] = {
            "count": _COUNTS,
            **dict.fromkeys(("cost", "needs", "may_block", "rules_at", "costly"), cells),
            **dict.fromkeys(("rule_needs", "rule_sets", "rule_acts"), MAX_RULES),
            "stages": MAX_STAGES,
            **dict.fromkeys(("state_of", "states"), states),
            **dict.fromkeys(("source", "target", "price", "edge_needs", "acts", "telling", "by_target"), edges),
            "first": states + 1,
            "left": (MAX_STAGES, states),
            "heads": FAR // 16,
            **dict.fromkeys(("entry_state", "entry_next"), 2 * edges),
        }
        bools = ("may_block", "rule_acts", "acts")
        made = {name: np.zeros(sizes[name], np.bool_ if name in bools else np.int32) for name in cls._fields}
        made["state_of"].fill(-1)
        made["heads"].fill(-1)
        return cls(**made)


@device_function
def tile_color(seen):
    """Colour of the tile that an agent in such a cell stands on, or `NONE`."""
    return from_minigrid((seen >> COLOR_SHIFT) & COLOR_MASK) if seen & TYPE_MASK == FLOOR else NONE


@device_function
def where(w, p, r):
    """Number of position, direction and counters of the agent, without what makes no difference."""
    cell = int(w.agent_y) * p.width + int(w.agent_x)
    cell_steps = 0
    color_steps = 0
    color = tile_color(int(w.seen[unsigned(cell)]))
    if color != NONE and int(w.rules[unsigned(color)]) != NONE:
        prop = int(w.rules[unsigned(color)])
        if ((int(r.count[CELL_TIMED]) | int(r.count[COLOR_TIMED])) >> prop) & 1 and r.count[CELL_TIMED]:
            cell_steps = min(int(w.cell_steps), CELL_STEPS - 1)
        if (int(r.count[COLOR_TIMED]) >> prop) & 1:
            color_steps = int(w.color_steps) % COLOR_STEPS
    return ((cell * 4 + int(w.agent_dir)) * CELL_STEPS + cell_steps) * COLOR_STEPS + color_steps


@device_function
def put(w, p, at):
    """Put the agent where a number says, at the beginning of time."""
    cell = at // PER_CELL
    w.agent_x = cell % p.width
    w.agent_y = cell // p.width
    w.agent_dir = (at // (CELL_STEPS * COLOR_STEPS)) & 3
    w.cell_steps = (at // COLOR_STEPS) % CELL_STEPS
    w.color_steps = at % COLOR_STEPS
    w.half_steps = 0
    w.steps = 0


@device_function
def ahead_of(w, p):
    """Number of the cell that the agent faces."""
    direction = int(w.agent_dir)
    return (int(w.agent_y) + direction_y(direction)) * p.width + int(w.agent_x) + direction_x(direction)


@device_function
def _faced(p, at):
    """Number of the cell that the agent faces where a number says."""
    direction = (at // (CELL_STEPS * COLOR_STEPS)) & 3
    return at // PER_CELL + direction_y(direction) * p.width + direction_x(direction)


@device_function
def survives(w, p, ended, forbidden):
    """Whether the agent may end an action where it is now; `ended`: what `step` has returned."""
    color = tile_color(int(w.seen[unsigned(int(w.agent_y) * p.width + int(w.agent_x))]))
    return ended < FIRST_DEADLY and (color == NONE or not (forbidden >> color) & 1)


@device_function
def prepare(w, p, r, moves_things):
    """Note what blocks cells, and what it costs to free them; make `w` the world in which all of that is free.

    `moves_things`: whether things may be picked up and destroyed; doors may always be opened.
    """
    timed = 0
    for color in range(len(w.rules)):
        if int(w.rules[color]) != NONE:
            timed |= 1 << int(w.rules[color])
    r.count[CELL_TIMED] = timed & _CELL_TIMED
    r.count[COLOR_TIMED] = timed & _COLOR_TIMED
    loose = moves_things and int(w.carried) != 0
    locks = 0
    cells = p.width * p.height
    for cell in range(cells):
        seen = int(w.seen[unsigned(cell)])
        loose = loose or (moves_things and seen & TYPE_MASK >= KEY)
        if seen & TYPE_MASK == DOOR and seen >> STATE_SHIFT == DOOR_LOCKED:
            locks |= 1 << ((seen >> COLOR_SHIFT) & COLOR_MASK)
    r.count[LOCKS] = locks
    r.count[NUM_COSTLY] = 0
    r.count[NUM_RULES] = 0
    r.count[LASTING] = 0
    for cell in range(cells):
        seen = int(w.seen[unsigned(cell)])
        kind = seen & TYPE_MASK
        r.cost[unsigned(cell)] = 0
        r.needs[unsigned(cell)] = 0
        r.rules_at[unsigned(cell)] = 0
        r.may_block[unsigned(cell)] = kind == DOOR or (loose and kind != WALL)
        if kind == DOOR and seen >> STATE_SHIFT == DOOR_LOCKED:
            r.needs[unsigned(cell)] = 1 << (_KEY_BIT + ((seen >> COLOR_SHIFT) & COLOR_MASK))
        if (kind >= KEY and moves_things) or (kind == DOOR and not can_enter(seen)):
            r.cost[unsigned(cell)] = _cost_beside(w, p, r, cell)
            r.costly[int(r.count[NUM_COSTLY])] = cell
            r.count[NUM_COSTLY] += 1
    for i in range(int(r.count[NUM_COSTLY])):
        cell = int(r.costly[i])
        seen = int(w.seen[unsigned(cell)])
        if seen & TYPE_MASK == DOOR:
            w.seen[unsigned(cell)] = seen & THING_MASK
        else:
            tile = int(w.hidden[unsigned(cell)]) & TILE_MASK
            w.seen[unsigned(cell)] = FLOOR | ((tile - 1) << COLOR_SHIFT) if tile else EMPTY


@device_function
def _cost_beside(w, p, r, cell):
    """Least half-steps that an action on a cell takes; 0 where the agent may have to wait anyway."""
    least = HALF_STEPS_PER_STEP
    for direction in range(4):
        for fallen in range(2):
            beside = cell - direction_x(direction) - (direction_y(direction) + fallen) * p.width
            if beside < 0 or beside >= p.width * p.height:
                continue
            color = tile_color(int(w.seen[unsigned(beside)]))
            prop = NONE if color == NONE else int(w.rules[unsigned(color)])
            if prop == NONE:
                continue
            if ((int(r.count[COLOR_TIMED]) | (0 if fallen else int(r.count[CELL_TIMED]))) >> prop) & 1:
                return 0
            if not fallen:
                least = min(least, step_half_steps_of(prop))
    return least


step_half_steps_of = device_function(step_half_steps)


@device_function
def _add_rule(r, needs, sets, acts):
    """Add a rule; returns the bit that marks its cells."""
    i = int(r.count[NUM_RULES])
    r.rule_needs[i] = needs
    r.rule_sets[i] = sets
    r.rule_acts[i] = acts
    r.count[NUM_RULES] = i + 1
    return 1 << i


@device_function
def add_key_rules(w, p, r):
    """Rules that tell where keys of locked doors are got; `w`: the world as it is."""
    for color in range(len(MINIGRID_COLORS)):
        if not (int(r.count[LOCKS]) >> color) & 1:
            continue
        rule = _add_rule(r, 0, 1 << (_KEY_BIT + color), True)
        r.count[LASTING] |= rule
        for cell in range(p.width * p.height):
            if int(w.seen[unsigned(cell)]) == KEY | (color << COLOR_SHIFT):
                r.rules_at[unsigned(cell)] = int(r.rules_at[unsigned(cell)]) | rule


@device_function
def add_target_rule(r, targets, acts):
    """The rule that a cell of a set is faced, or acted on; `targets`: (cells,) bool."""
    r.count[GOAL] = 1
    bit = _add_rule(r, 0, 1, acts)
    for cell in range(len(targets)):
        if targets[cell]:
            r.rules_at[unsigned(cell)] = int(r.rules_at[unsigned(cell)]) | bit


@device_function
def add_instruction_rules(w, p, r, carries):
    """Rules that tell how the instruction is fulfilled; `w`: the world as it is.

    `carries`: what an action goes to, or puts something next to, may be carried elsewhere before.
    """
    goal = 0
    for i in range(MAX_ACTIONS):
        if int(w.kinds[unsigned(i)]) != NO_ACTION:
            goal |= 1 << i
    r.count[GOAL] = goal
    first_part = 0
    if int(w.joint) != ONE_PART:
        bits = (1 << PART_ACTIONS) - 1
        first_part = goal & (bits << PART_ACTIONS if int(w.joint) == AFTER else bits)
    for turn in range(2):  # those of the first part first
        for i in range(MAX_ACTIONS):
            if (goal >> i) & 1 and (first_part == 0 or (first_part >> i) & 1) == (turn == 0):
                _add_action_rules(w, p, r, i, 0 if turn == 0 else first_part, carries)


@device_function
def _add_action_rules(w, p, r, i, needs, carries):
    kind = int(w.kinds[unsigned(i)])
    fulfilled = 1 << (_DONE_BIT + i)
    moved = 1 << (_MOVED_BIT + i)
    fixed = 1 << (_FIXED_BIT + i)
    what = 0
    near = 0
    where_to = 0
    anywhere = 0
    if kind == PUT_NEXT:
        what = _add_rule(r, 0, moved, True)
        near = _add_rule(r, needs | moved, fulfilled, True)
        if carries:
            where_to = _add_rule(r, 0, fixed, True)
            anywhere = _add_rule(r, needs | moved | fixed, fulfilled, True)
            r.count[LASTING] |= where_to
    elif kind in (OPEN, PICK_UP):
        what = _add_rule(r, needs, fulfilled, True)
    else:
        what = _add_rule(r, needs, fulfilled, False)
        if carries:
            where_to = _add_rule(r, 0, moved, True)
            anywhere = _add_rule(r, needs | moved, fulfilled, True)
            r.count[LASTING] |= where_to
    for cell in range(p.width * p.height):
        seen = int(w.seen[unsigned(cell)])
        hidden = int(w.hidden[unsigned(cell)])
        free = seen & TYPE_MASK == EMPTY or seen & TYPE_MASK == FLOOR
        here = 0
        if matches(int(w.descriptions[unsigned(i), 0]), seen, hidden):
            here |= what
            if kind == GOTO and seen & TYPE_MASK != DOOR:
                here |= where_to
        elif kind == GOTO and free and (hidden >> i) & 1:
            here |= what
        if kind == PUT_NEXT and matches(int(w.descriptions[unsigned(i), 1]), seen, hidden):
            if seen & TYPE_MASK != DOOR:
                here |= where_to
            for direction in range(4):
                beside = cell + direction_x(direction) + direction_y(direction) * p.width
                if beside < 0 or beside >= p.width * p.height:
                    continue
                kind_beside = int(w.seen[unsigned(beside)]) & TYPE_MASK
                if kind_beside != WALL and kind_beside != DOOR:
                    r.rules_at[unsigned(beside)] = int(r.rules_at[unsigned(beside)]) | near
        if seen & TYPE_MASK != WALL and seen & TYPE_MASK != DOOR:
            here |= anywhere
        r.rules_at[unsigned(cell)] = int(r.rules_at[unsigned(cell)]) | here


@device_function
def _after_rules(r, bits, rules, acts):
    """Bits that are set when a cell is faced that these rules are about."""
    after = bits
    for i in range(int(r.count[NUM_RULES])):
        if not (rules >> i) & 1:
            continue
        needs = int(r.rule_needs[i])
        if r.rule_acts[i]:
            if acts and bits & needs == needs:
                after |= int(r.rule_sets[i])
        elif after & needs == needs:
            after |= int(r.rule_sets[i])
    return after


@device_function
def bits_of(w, p, r, start):
    """What is done in a world that began as `start`, as far as rules speak of it."""
    bits = int(w.fulfilled)
    carried = int(w.carried)
    if carried:
        for i in range(MAX_ACTIONS):
            if matches(int(w.descriptions[unsigned(i), 0]), carried, int(w.carried_hidden)):
                bits |= 1 << (_MOVED_BIT + i)
        if carried & TYPE_MASK == KEY:
            bits |= 1 << (_KEY_BIT + ((carried >> COLOR_SHIFT) & COLOR_MASK))
    known = 0
    for i in range(int(r.count[NUM_RULES])):
        known |= int(r.rule_sets[i])
    lasting = int(r.count[LASTING])
    if lasting:  # things that are not where they were
        for cell in range(p.width * p.height):
            rules = int(r.rules_at[unsigned(cell)]) & lasting
            if rules and int(w.seen[unsigned(cell)]) != int(start.seen[unsigned(cell)]):
                bits |= _after_rules(r, 0, rules, True)
    return bits & known


@device_function
def stage_of(r, bits):
    """Number of a set of bits; -1 if it has none."""
    for stage in range(int(r.count[NUM_STAGES])):
        if int(r.stages[stage]) == bits:
            return stage
    return -1


@device_function
def _collect_stages(r, bits):
    """Number the sets of bits that may occur; False if there are too many."""
    r.stages[0] = bits
    r.count[NUM_STAGES] = 1
    done = 0
    while done < int(r.count[NUM_STAGES]):
        for i in range(int(r.count[NUM_RULES]) + 2 * MAX_ACTIONS):
            before = int(r.stages[done])
            after = before
            if i >= int(r.count[NUM_RULES]):  # dropped again
                after &= ~(1 << (_MOVED_BIT + i - int(r.count[NUM_RULES])))
            elif before & int(r.rule_needs[i]) == int(r.rule_needs[i]):
                after |= int(r.rule_sets[i])
            if stage_of(r, after) < 0:
                if int(r.count[NUM_STAGES]) == MAX_STAGES:
                    return False
                r.stages[int(r.count[NUM_STAGES])] = after
                r.count[NUM_STAGES] += 1
        done += 1
    for i in range(done):  # rules only add bits: those that follow on others come before them
        for j in range(i + 1, done):
            if int(r.stages[j]) > int(r.stages[i]):
                bits = int(r.stages[i])
                r.stages[i] = r.stages[j]
                r.stages[j] = bits
    return True


@device_function
def _state(r, at):
    """Number of a state of the graph, a new one if need be."""
    state = int(r.state_of[unsigned(at)])
    if state < 0:
        state = int(r.count[NUM_STATES])
        r.state_of[unsigned(at)] = state
        r.states[unsigned(state)] = at
        r.count[NUM_STATES] = state + 1
    return state


@device_function
def _add_edge(w, p, r, source, at, fallen, acts):
    """Add what a step has led to, from where the agent was after falling."""
    to = where(w, p, r)
    tells = r.rules_at[unsigned(_faced(p, to))] != 0
    if to == at and not (acts and tells):
        return
    cell = int(w.agent_y) * p.width + int(w.agent_x)
    price = int(w.half_steps)
    needs = 0
    if fallen != at // PER_CELL:
        price += int(r.cost[unsigned(fallen)])
        needs |= int(r.needs[unsigned(fallen)])
    if cell != fallen:
        price += int(r.cost[unsigned(cell)])
        needs |= int(r.needs[unsigned(cell)])
    target = _state(r, to)
    edge = int(r.count[NUM_EDGES])
    r.source[unsigned(edge)] = source
    r.target[unsigned(edge)] = target
    r.price[unsigned(edge)] = price
    r.edge_needs[unsigned(edge)] = needs
    r.acts[unsigned(edge)] = acts
    r.count[NUM_EDGES] = edge + 1
    if tells:
        r.telling[int(r.count[NUM_TELLING])] = edge
        r.count[NUM_TELLING] += 1


@device_function
def _expand(w, p, r, source, forbidden):
    """Add the edges of a state."""
    at = int(r.states[unsigned(source)])
    cell = at // PER_CELL
    plain = tile_color(int(w.seen[unsigned(cell)])) == NONE
    blocked_below = -1
    below = 0
    for _ in range(2):
        put(w, p, at)
        ended = step(w, p, DONE)
        fallen = int(w.agent_y) * p.width + int(w.agent_x)
        if survives(w, p, ended, forbidden):
            _add_edge(w, p, r, source, at, fallen, True)
        for action in (LEFT, RIGHT, FORWARD):
            put(w, p, at)
            ended = step(w, p, action)
            to = int(w.agent_y) * p.width + int(w.agent_x)
            if survives(w, p, ended, forbidden):
                _add_edge(w, p, r, source, at, fallen, False)
            if to != fallen and not plain and r.may_block[unsigned(to)]:
                seen = int(w.seen[unsigned(to)])
                w.seen[unsigned(to)] = WALL_CELL
                put(w, p, at)
                ended = step(w, p, action)
                w.seen[unsigned(to)] = seen
                if survives(w, p, ended, forbidden):
                    _add_edge(w, p, r, source, at, fallen, False)
        if blocked_below >= 0 or fallen == cell or not r.may_block[unsigned(fallen)]:
            break
        blocked_below = fallen
        below = int(w.seen[unsigned(fallen)])
        w.seen[unsigned(fallen)] = WALL_CELL
    if blocked_below >= 0:
        w.seen[unsigned(blocked_below)] = below


@device_function
def relax(w, p, r, bits, forbidden):
    """Find, for every state and set of bits that may occur, how many half-steps are left at best.

    Args:
        w: a world that `prepare` has made free; overwritten.
        p: the level's parameters.
        r: with rules.
        bits: what is done at the beginning, where the agent of `w` is.
        forbidden: bit mask of the colours on which no action may end.

    Returns:
        Whether `r` had room for it.
    """
    for i in range(MAX_ACTIONS):  # the engine need not look at the instruction
        w.kinds[unsigned(i)] = NO_ACTION
    r.count[NUM_EDGES] = 0
    r.count[NUM_STATES] = 0
    r.count[NUM_TELLING] = 0
    _state(r, where(w, p, r))
    source = 0
    while source < int(r.count[NUM_STATES]):
        _expand(w, p, r, source, forbidden)
        source += 1
    _sort_edges(r)
    if not _collect_stages(r, bits):
        return False
    for stage in range(int(r.count[NUM_STAGES])):
        _measure(p, r, stage)
    return True


@device_function
def forget(r):
    """Clear what must be clear when the next world comes."""
    for state in range(int(r.count[NUM_STATES])):
        r.state_of[unsigned(int(r.states[unsigned(state)]))] = -1


@device_function
def _sort_edges(r):
    states = int(r.count[NUM_STATES])
    edges = int(r.count[NUM_EDGES])
    for i in range(states + 1):
        r.first[unsigned(i)] = 0
    for edge in range(edges):
        r.first[unsigned(int(r.target[unsigned(edge)]) + 1)] += 1
    for i in range(states):
        r.first[unsigned(i + 1)] += r.first[unsigned(i)]
    for edge in range(edges):
        target = int(r.target[unsigned(edge)])
        r.by_target[unsigned(int(r.first[unsigned(target)]))] = edge
        r.first[unsigned(target)] += 1
    for i in range(states, 0, -1):
        r.first[unsigned(i)] = r.first[unsigned(i - 1)]
    r.first[0] = 0


@device_function
def is_done(r, bits):
    """Whether these bits are all that is to be done."""
    return bits & int(r.count[GOAL]) == int(r.count[GOAL])


@device_function
def _measure(p, r, stage):
    """Distances to what is to be done, through a set of bits; those of the sets that follow are known."""
    bits = int(r.stages[stage])
    left = r.left[stage]
    for state in range(int(r.count[NUM_STATES])):
        left[unsigned(state)] = FAR
    if is_done(r, bits):
        for state in range(int(r.count[NUM_STATES])):
            left[unsigned(state)] = 0
        return
    r.count[NUM_ENTRIES] = 0
    highest = 0
    for i in range(int(r.count[NUM_TELLING])):
        edge = int(r.telling[unsigned(i)])
        target = int(r.target[unsigned(edge)])
        rules = int(r.rules_at[unsigned(_faced(p, int(r.states[unsigned(target)])))])
        after = _after_rules(r, bits, rules, r.acts[unsigned(edge)])
        if after != bits:
            then = 0 if is_done(r, after) else int(r.left[stage_of(r, after), unsigned(target)])
            highest = max(highest, _offer(r, left, bits, edge, then))
    distance = 0
    while distance <= highest:
        entry = int(r.heads[unsigned(distance)])
        if entry < 0:
            distance += 1
            continue
        r.heads[unsigned(distance)] = r.entry_next[unsigned(entry)]
        state = int(r.entry_state[unsigned(entry)])
        if int(left[unsigned(state)]) == distance:
            for i in range(int(r.first[unsigned(state)]), int(r.first[unsigned(state + 1)])):
                edge = int(r.by_target[unsigned(i)])
                highest = max(highest, _offer(r, left, bits, edge, distance))


@device_function
def _offer(r, left, bits, edge, then):
    """Note that after an edge `then` half-steps are left; returns how many are left before it, if that is less."""
    needs = int(r.edge_needs[unsigned(edge)])
    distance = then + int(r.price[unsigned(edge)])
    source = int(r.source[unsigned(edge)])
    if bits & needs != needs or distance >= len(r.heads) or distance >= int(left[unsigned(source)]):
        return 0
    left[unsigned(source)] = distance
    entry = int(r.count[NUM_ENTRIES])
    r.entry_state[unsigned(entry)] = source
    r.entry_next[unsigned(entry)] = r.heads[unsigned(distance)]
    r.heads[unsigned(distance)] = entry
    r.count[NUM_ENTRIES] = entry + 1
    return distance
