"""What is to be done, as bits, and as rules that tell by facing which cells they are set.

The bits: what is fulfilled of the instruction (as the engine's `fulfilled`), what has been picked up for it, keys that
have been got. A rule sets bits, once others are set, when the agent faces a cell after any action, or after one that
acts on the cell ahead. Bits are never lost on the way, so that the sets of bits that occur, the stages, have an order.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from babyaipp.engine.compile import device_function, unsigned
from babyaipp.engine.generate import direction_x, direction_y
from babyaipp.engine.instruct import matches
from babyaipp.engine.state import (
    AFTER,
    COLOR_MASK,
    COLOR_SHIFT,
    DOOR,
    DOOR_LOCKED,
    EMPTY,
    FLOOR,
    GOTO,
    KEY,
    MAX_ACTIONS,
    NO_ACTION,
    ONE_PART,
    OPEN,
    PART_ACTIONS,
    PUT_NEXT,
    STATE_SHIFT,
    TYPE_MASK,
    WALL,
)

# Bits: four actions fulfilled, what they move has been got, what they move it to has been got, a key of each colour.
MOVED_BIT, FIXED_BIT, KEY_BIT = MAX_ACTIONS, 2 * MAX_ACTIONS, 3 * MAX_ACTIONS
FIXED_BITS = ((1 << MAX_ACTIONS) - 1) << FIXED_BIT
CARRYING = ~((1 << MAX_ACTIONS) - 1)
"""Bits after which something is carried, as a rule."""

MAX_RULES = 31
MAX_STAGES = 256

NUM_RULES, NUM_STAGES, NUM_THINGS, GOAL, LOCKS, KNOWN, FETCHES, FULL, _TOTALS = range(9)


class Goals(NamedTuple):
    """Working memory, made once and used for one world after the other."""

    totals: np.ndarray  # int32, see NUM_RULES and so on
    rule_needs: np.ndarray  # (rules,) int32, bits
    rule_sets: np.ndarray  # (rules,) int32, bits
    rule_acts: np.ndarray  # (rules,) bool, it takes an action on the cell ahead
    rules_at: np.ndarray  # (cells,) int32, bit mask of the rules about a cell
    things: np.ndarray  # (cells,) int32, the cells with things whose being got is remembered
    stages: np.ndarray  # (stages,) int32, the sets of bits that occur, the highest first

    @classmethod
    def make(cls, cells: int) -> Goals:
        """For worlds of so many cells."""
        sizes = (_TOTALS, MAX_RULES, MAX_RULES, MAX_RULES, cells, cells, MAX_STAGES)
        fields = zip(cls._fields, sizes, strict=True)
        return cls(*(np.zeros(size, np.bool_ if name == "rule_acts" else np.int32) for name, size in fields))


@device_function
def key_bit(seen):
    """The bit that a key is got that has the colour of a thing."""
    return 1 << (KEY_BIT + ((seen >> COLOR_SHIFT) & COLOR_MASK))


@device_function
def is_locked(seen):
    """Whether a cell is a locked door."""
    return seen & TYPE_MASK == DOOR and seen >> STATE_SHIFT == DOOR_LOCKED


@device_function
def _rule(g, needs, sets, acts):
    """The bit of a rule, which is added if need be."""
    for i in range(int(g.totals[NUM_RULES])):
        if int(g.rule_needs[i]) == needs and int(g.rule_sets[i]) == sets and g.rule_acts[i] == acts:
            return 1 << i
    i = int(g.totals[NUM_RULES])
    if i == MAX_RULES:
        g.totals[FULL] = 1
        return 0
    g.rule_needs[i] = needs
    g.rule_sets[i] = sets
    g.rule_acts[i] = acts
    g.totals[NUM_RULES] = i + 1
    g.totals[KNOWN] = int(g.totals[KNOWN]) | needs | sets
    return 1 << i


@device_function
def _mark(g, cell, rules):
    g.rules_at[unsigned(cell)] = int(g.rules_at[unsigned(cell)]) | rules


@device_function
def set_target(w, p, g, targets, acts):
    """To do is that a cell of a set is faced, or acted on; `targets`: (cells,) bool."""
    _begin(w, p, g)
    g.totals[GOAL] = 1
    rule = _rule(g, 0, 1, acts)
    for cell in range(len(targets)):
        if targets[cell]:
            _mark(g, cell, rule)


@device_function
def set_instruction(w, p, g, carries):
    """To do is what the instruction says.

    `carries`: what an action goes to, or puts something next to, may be carried elsewhere before.
    """
    _begin(w, p, g)
    goal = 0
    for i in range(MAX_ACTIONS):
        if int(w.kinds[unsigned(i)]) != NO_ACTION:
            goal |= 1 << i
    g.totals[GOAL] = goal
    first_part = 0
    if int(w.joint) != ONE_PART:
        bits = (1 << PART_ACTIONS) - 1
        first_part = goal & (bits << PART_ACTIONS if int(w.joint) == AFTER else bits)
    for turn in range(2):  # those of the first part first, as one step can fulfil one part after the other
        for i in range(MAX_ACTIONS):
            if (goal >> i) & 1 and (first_part == 0 or (first_part >> i) & 1) == (turn == 0):
                _set_action(w, p, g, i, 0 if turn == 0 else first_part, carries)
    _set_things(w, p, g)


@device_function
def _begin(w, p, g):
    """Forget the last world, and note which keys have doors to open."""
    for i in range(_TOTALS):
        g.totals[i] = 0
    for cell in range(p.width * p.height):
        g.rules_at[unsigned(cell)] = 0
        if is_locked(int(w.seen[unsigned(cell)])):
            g.totals[LOCKS] = int(g.totals[LOCKS]) | key_bit(int(w.seen[unsigned(cell)]))
    g.totals[KNOWN] = g.totals[LOCKS]


@device_function
def _set_things(w, p, g):
    """Rules that tell where keys are got; and the list of the things that are to be got."""
    for cell in range(p.width * p.height):
        seen = int(w.seen[unsigned(cell)])
        if seen & TYPE_MASK == KEY and key_bit(seen) & int(g.totals[LOCKS]):
            _mark(g, cell, _rule(g, 0, key_bit(seen), True))
    got = 0
    for i in range(int(g.totals[NUM_RULES])):
        if g.rule_acts[i] and int(g.rule_sets[i]) & CARRYING:
            got |= 1 << i
            g.totals[FETCHES] = int(g.totals[FETCHES]) | int(g.rule_sets[i])
    for cell in range(p.width * p.height):
        if int(g.rules_at[unsigned(cell)]) & got:
            g.things[int(g.totals[NUM_THINGS])] = cell
            g.totals[NUM_THINGS] += 1


@device_function
def is_one_thing(w, g):
    """Whether all that is left to be done is one action for which nothing is carried, not even a key."""
    left = int(g.totals[GOAL]) & ~int(w.fulfilled)
    puts = 0
    for i in range(MAX_ACTIONS):
        if int(w.kinds[unsigned(i)]) == PUT_NEXT:
            puts |= 1 << i
    return int(w.carried) == 0 and int(g.totals[LOCKS]) == 0 and left & (left - 1) == 0 and left & puts == 0


@device_function
def _set_action(w, p, g, i, needs, carries):
    """Rules of an action, that needs what comes before it."""
    kind = int(w.kinds[unsigned(i)])
    done = 1 << i
    moved = 1 << (MOVED_BIT + i)
    fixed = 1 << (FIXED_BIT + i)
    for cell in range(p.width * p.height):
        seen = int(w.seen[unsigned(cell)])
        hidden = int(w.hidden[unsigned(cell)])
        thing = seen & TYPE_MASK >= KEY
        here = 0
        if matches(int(w.descriptions[unsigned(i), 0]), seen, hidden):
            if kind == PUT_NEXT:
                here |= _rule(g, 0, moved, True)
            elif kind == GOTO:
                here |= _rule(g, needs, done, False)
                if carries and thing:
                    here |= _rule(g, 0, moved, True)
            else:
                here |= _rule(g, needs | (key_bit(seen) if kind == OPEN and is_locked(seen) else 0), done, True)
        elif kind == GOTO and seen & TYPE_MASK in (EMPTY, FLOOR) and (hidden >> i) & 1:
            here |= _rule(g, needs, done, False)
        if kind == PUT_NEXT and matches(int(w.descriptions[unsigned(i), 1]), seen, hidden):
            if carries and thing:
                here |= _rule(g, 0, fixed, True)
            for direction in range(4):
                beside = cell + direction_x(direction) + direction_y(direction) * p.width
                if _may_hold(w, p, beside):
                    _mark(g, beside, _rule(g, needs | moved, done, True))
        if carries and _may_hold(w, p, cell):
            if kind == PUT_NEXT:
                here |= _rule(g, needs | moved | fixed, done, True)
            elif kind == GOTO:
                here |= _rule(g, needs | moved, done, True)
        _mark(g, cell, here)


@device_function
def _may_hold(w, p, cell):
    """Whether something may be dropped in a cell, now or once it has been freed."""
    if cell < 0 or cell >= p.width * p.height:
        return False
    kind = int(w.seen[unsigned(cell)]) & TYPE_MASK
    return kind != WALL and kind != DOOR


@device_function
def bits_after(g, bits, rules, acts):
    """Bits that are set when a cell is faced that these rules are about."""
    after = bits
    for i in range(int(g.totals[NUM_RULES])):
        if not (rules >> i) & 1:
            continue
        needs = int(g.rule_needs[i])
        if g.rule_acts[i]:
            if acts and bits & needs == needs:
                after |= int(g.rule_sets[i])
        elif after & needs == needs:
            after |= int(g.rule_sets[i])
    return after


@device_function
def is_needed_here(w, seen, hidden):
    """Whether something that is still to be done goes to a thing, or puts something next to it."""
    for i in range(MAX_ACTIONS):
        if (int(w.fulfilled) >> i) & 1:
            continue
        kind = int(w.kinds[unsigned(i)])
        if kind == GOTO and matches(int(w.descriptions[unsigned(i), 0]), seen, hidden):
            return True
        if kind == PUT_NEXT and matches(int(w.descriptions[unsigned(i), 1]), seen, hidden):
            return True
    return False


@device_function
def is_done(g, bits):
    """Whether these bits are all that is to be done."""
    return bits & int(g.totals[GOAL]) == int(g.totals[GOAL])


@device_function
def stage_of(g, bits):
    """Number of a set of bits; -1 if it has none."""
    for stage in range(int(g.totals[NUM_STAGES])):
        if int(g.stages[stage]) == bits:
            return stage
    return -1


@device_function
def collect_stages(g, bits):
    """Number the sets of bits that may come after these; False if there are too many."""
    g.stages[0] = bits
    g.totals[NUM_STAGES] = 1
    done = 0
    while done < int(g.totals[NUM_STAGES]):
        for i in range(int(g.totals[NUM_RULES])):
            before = int(g.stages[done])
            if before & int(g.rule_needs[i]) != int(g.rule_needs[i]):
                continue
            after = before | int(g.rule_sets[i])
            if stage_of(g, after) < 0:
                if int(g.totals[NUM_STAGES]) == MAX_STAGES:
                    return False
                g.stages[int(g.totals[NUM_STAGES])] = after
                g.totals[NUM_STAGES] += 1
        done += 1
    for i in range(done):
        for j in range(i + 1, done):
            if int(g.stages[j]) > int(g.stages[i]):
                higher = int(g.stages[j])
                g.stages[j] = g.stages[i]
                g.stages[i] = higher
    return True
