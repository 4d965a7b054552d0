"""How much is left to be done at best: a bound that guides the search, from a world in which everything is easier.

There, things that can be carried and closed doors block a cell or do not, as it suits the agent. To free a cell takes
as long as the cheapest action on it, each time that it is entered. So an agent is described by its place alone; where
it goes is asked of the engine's `step`.

For an agent that has one thing to do, this is never more than what is really left. In the real world a cell is freed
by an action of its own, except where waiting takes actions anyway (there freeing is free here, too), and the shortest
way enters a cell without a tile once: to leave it and come back takes as long as to turn in it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from babyaipp.engine.compile import device_function, unsigned
from babyaipp.engine.generate import direction_x, direction_y
from babyaipp.engine.shared import step_half_steps
from babyaipp.engine.state import (
    COLOR_SHIFT,
    DOOR,
    EMPTY,
    FLOOR,
    KEY,
    MAX_ACTIONS,
    NO_ACTION,
    THING_MASK,
    TILE_MASK,
    TYPE_MASK,
    WALL,
    WALL_CELL,
)
from babyaipp.engine.step import can_enter, step
from babyaipp.planners.goals import (
    CARRYING,
    MAX_STAGES,
    NUM_STAGES,
    bits_after,
    collect_stages,
    is_done,
    is_locked,
    is_needed_here,
    key_bit,
    stage_of,
)
from babyaipp.planners.places import (
    PLACES_A_CELL,
    cell_of,
    faced_from,
    place_of,
    put,
    survives,
    tile_prop,
    timed_props,
)
from babyaipp.tiles import DONE, FORWARD, HALF_STEPS_PER_STEP, LEFT, NONE, RIGHT

MOVES_NOTHING, MOVES_REST, MOVES_ALL = range(3)
"""Which things may be picked up and destroyed: none, those that the instruction leaves where they are, or all; doors
may always be opened."""

FAR = 1 << 20
"""More half-steps than anything takes."""

_LONGEST = 1 << 16  # half-steps; whatever takes longer is given up
_EDGES_A_STATE = 14
_LAY_DOWN = 16  # half-steps to get a thing out of the way with full hands, roughly
_HEAVY = 1 << 30  # of an edge's needs: it takes that with full hands

NUM_STATES, NUM_EDGES, NUM_TELLING, NUM_BLOCKED, _NUM_ENTRIES, _TOTALS = range(6)


class Relaxed(NamedTuple):
    """Working memory, made once and used for one world after the other."""

    totals: np.ndarray  # int32, see NUM_STATES and so on
    cost: np.ndarray  # (cells,) int32, to free a cell, 0 where it is free
    needs: np.ndarray  # (cells,) int32, bits without which it stays blocked, and `_HEAVY`
    may_block: np.ndarray  # (cells,) bool
    blocked: np.ndarray  # (cells,) int32, the cells that are not free at the beginning
    state_of: np.ndarray  # (places,) int32, number of a place's state, -1: never there
    places: np.ndarray  # (states,) int32
    source: np.ndarray  # (edges,) int32, state
    target: np.ndarray  # (edges,) int32, state
    price: np.ndarray  # (edges,) int32, half-steps
    edge_needs: np.ndarray  # (edges,) int32, bits
    acts: np.ndarray  # (edges,) bool, may act on the cell ahead
    telling: np.ndarray  # (edges,) int32, the edges after which a cell with rules is faced
    first: np.ndarray  # (states + 1,) int32, where the edges to a state begin in `by_target`
    by_target: np.ndarray  # (edges,) int32
    left: np.ndarray  # (stages, states) int32, half-steps that are left
    heads: np.ndarray  # (half-steps,) int32, a queue: first entry of each distance
    entry_state: np.ndarray  # (entries,) int32
    entry_next: np.ndarray  # (entries,) int32

    @classmethod
    def make(cls, cells: int) -> Relaxed:
        """For worlds of so many cells."""
        states = cells * PLACES_A_CELL
        edges = states * _EDGES_A_STATE
        sizes: dict[str, Any] = {
            "totals": _TOTALS,
            **dict.fromkeys(("cost", "needs", "may_block", "blocked"), cells),
            **dict.fromkeys(("state_of", "places"), states),
            **dict.fromkeys(("source", "target", "price", "edge_needs", "acts", "telling", "by_target"), edges),
            "first": states + 1,
            "left": (MAX_STAGES, states),
            "heads": _LONGEST,
            **dict.fromkeys(("entry_state", "entry_next"), 2 * edges),
        }
        made = {
            name: np.zeros(sizes[name], np.bool_ if name in ("may_block", "acts") else np.int32) for name in cls._fields
        }
        made["state_of"].fill(-1)
        made["heads"].fill(-1)
        return cls(**made)


@device_function
def relax(w, p, r, g, bits, moves, forbidden):
    """Find, for every place and stage that may occur, how many half-steps are left at best.

    Args:
        w: the world; overwritten.
        p: the level's parameters.
        r: filled.
        g: what is to be done.
        bits: what is done at the beginning.
        moves: MOVES_NOTHING but doors, MOVES_REST, or MOVES_ALL.
        forbidden: bit mask of the colours on which no action may end.

    Returns:
        Whether there was room for it.
    """
    _free(w, p, r, moves)
    for i in range(MAX_ACTIONS):  # the engine need not look at the instruction
        w.kinds[unsigned(i)] = NO_ACTION
    r.totals[NUM_EDGES] = 0
    r.totals[NUM_STATES] = 0
    r.totals[NUM_TELLING] = 0
    _state(r, place_of(w, p))
    source = 0
    while source < int(r.totals[NUM_STATES]):
        _add_edges(w, p, r, g, source, forbidden)
        source += 1
    _sort_edges(r)
    if not collect_stages(g, bits):
        return False
    for stage in range(int(g.totals[NUM_STAGES])):  # those that come after it first
        _measure(p, r, g, stage)
    return True


@device_function
def may_move(w, moves, seen, hidden):
    """Whether a thing may be picked up; `moves`: see `relax`."""
    return moves == MOVES_ALL or (moves == MOVES_REST and not is_needed_here(w, seen, hidden))


@device_function
def forget(r):
    """Clear what must be clear when the next world comes."""
    for state in range(int(r.totals[NUM_STATES])):
        r.state_of[unsigned(int(r.places[unsigned(state)]))] = -1


@device_function
def saved(w, r):
    """Costs of the cells that were blocked at the beginning, and are free in a world."""
    cost = 0
    for i in range(int(r.totals[NUM_BLOCKED])):
        cell = int(r.blocked[i])
        if can_enter(int(w.seen[unsigned(cell)])):
            cost += int(r.cost[unsigned(cell)])
    return cost


@device_function
def _free(w, p, r, moves):
    """Note what blocks cells and what it costs to free them, and free them."""
    cells = p.width * p.height
    loose = moves != MOVES_NOTHING and int(w.carried) != 0
    for cell in range(cells):
        loose = loose or (moves != MOVES_NOTHING and int(w.seen[unsigned(cell)]) & TYPE_MASK >= KEY)
    r.totals[NUM_BLOCKED] = 0
    for cell in range(cells):
        seen = int(w.seen[unsigned(cell)])
        kind = seen & TYPE_MASK
        r.cost[unsigned(cell)] = 0
        r.needs[unsigned(cell)] = 0
        r.may_block[unsigned(cell)] = kind == DOOR or (loose and kind != WALL)
        movable = kind >= KEY and may_move(w, moves, seen, int(w.hidden[unsigned(cell)]))
        if movable or (kind == DOOR and not can_enter(seen)):
            r.cost[unsigned(cell)] = _cost_to_free(w, p, cell)
            r.needs[unsigned(cell)] = _HEAVY if kind >= KEY else (key_bit(seen) if is_locked(seen) else 0)
            r.blocked[int(r.totals[NUM_BLOCKED])] = cell
            r.totals[NUM_BLOCKED] += 1
    for i in range(int(r.totals[NUM_BLOCKED])):
        cell = int(r.blocked[i])
        seen = int(w.seen[unsigned(cell)])
        if seen & TYPE_MASK == DOOR:
            w.seen[unsigned(cell)] = seen & THING_MASK
        else:
            tile = int(w.hidden[unsigned(cell)]) & TILE_MASK
            w.seen[unsigned(cell)] = FLOOR | ((tile - 1) << COLOR_SHIFT) if tile else EMPTY


@device_function
def _cost_to_free(w, p, cell):
    """Least half-steps that an action on a cell takes; 0 where the agent may have to wait anyway."""
    waits, falls = timed_props(w)
    least = HALF_STEPS_PER_STEP
    for direction in range(4):
        beside = cell - direction_x(direction) - direction_y(direction) * p.width
        above = beside - p.width
        if beside < 0 or beside >= p.width * p.height:
            continue
        prop = tile_prop(w, beside)
        if prop != NONE and ((waits | falls) >> prop) & 1:
            return 0
        if prop != NONE:
            least = min(least, step_half_steps(prop))
        if above >= 0 and tile_prop(w, above) != NONE and (falls >> tile_prop(w, above)) & 1:
            return 0
    return least


@device_function
def _state(r, place):
    """Number of a place's state, a new one if need be."""
    state = int(r.state_of[unsigned(place)])
    if state < 0:
        state = int(r.totals[NUM_STATES])
        r.state_of[unsigned(place)] = state
        r.places[unsigned(state)] = place
        r.totals[NUM_STATES] = state + 1
    return state


@device_function
def _add_edges(w, p, r, g, source, forbidden):
    """Add what every action may lead to in a state."""
    place = int(r.places[unsigned(source)])
    cell = cell_of(place)
    on_tile = tile_prop(w, cell) != NONE
    held = -1  # the cell below, once it is blocked so that the agent does not fall
    below = 0
    for _ in range(2):
        fallen = cell
        for action in (DONE, LEFT, RIGHT, FORWARD):
            put(w, p, place)
            ended = step(w, p, action)
            to = int(w.agent_y) * p.width + int(w.agent_x)
            if action == DONE:
                fallen = to
            if survives(w, p, ended, forbidden):
                _add_edge(w, p, r, g, source, place, fallen, action == DONE)
            if to != fallen and on_tile and r.may_block[unsigned(to)]:
                seen = int(w.seen[unsigned(to)])
                w.seen[unsigned(to)] = WALL_CELL
                put(w, p, place)
                ended = step(w, p, action)
                w.seen[unsigned(to)] = seen
                if survives(w, p, ended, forbidden):
                    _add_edge(w, p, r, g, source, place, fallen, False)
        if held >= 0 or fallen == cell or not r.may_block[unsigned(fallen)]:
            break
        held = fallen
        below = int(w.seen[unsigned(held)])
        w.seen[unsigned(held)] = WALL_CELL
    if held >= 0:
        w.seen[unsigned(held)] = below


@device_function
def _add_edge(w, p, r, g, source, place, fallen, acts):
    """Add what a step has led to; `fallen`: the cell from which its action was taken."""
    to = place_of(w, p)
    tells = g.rules_at[unsigned(faced_from(p, to))] != 0
    if to == place and not (acts and tells):
        return
    cell = cell_of(to)
    price = int(w.half_steps)
    needs = 0
    if fallen != cell_of(place):
        price += int(r.cost[unsigned(fallen)])
        needs |= int(r.needs[unsigned(fallen)])
    if cell != fallen:
        price += int(r.cost[unsigned(cell)])
        needs |= int(r.needs[unsigned(cell)])
    target = _state(r, to)
    edge = int(r.totals[NUM_EDGES])
    r.source[unsigned(edge)] = source
    r.target[unsigned(edge)] = target
    r.price[unsigned(edge)] = price
    r.edge_needs[unsigned(edge)] = needs
    r.acts[unsigned(edge)] = acts
    r.totals[NUM_EDGES] = edge + 1
    if tells:
        r.telling[unsigned(int(r.totals[NUM_TELLING]))] = edge
        r.totals[NUM_TELLING] += 1


@device_function
def _sort_edges(r):
    """Sort the edges by where they lead."""
    states = int(r.totals[NUM_STATES])
    edges = int(r.totals[NUM_EDGES])
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
def _measure(p, r, g, stage):
    """Distances to what is to be done, in a stage; those of the stages after it are known."""
    bits = int(g.stages[stage])
    left = r.left[stage]
    for state in range(int(r.totals[NUM_STATES])):
        left[unsigned(state)] = 0 if is_done(g, bits) else FAR
    if is_done(g, bits):
        return
    r.totals[_NUM_ENTRIES] = 0
    highest = 0
    for i in range(int(r.totals[NUM_TELLING])):
        edge = int(r.telling[unsigned(i)])
        target = int(r.target[unsigned(edge)])
        rules = int(g.rules_at[unsigned(faced_from(p, int(r.places[unsigned(target)])))])
        after = bits_after(g, bits, rules, r.acts[unsigned(edge)])
        if after != bits:
            then = 0 if is_done(g, after) else int(r.left[stage_of(g, after), unsigned(target)])
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
    if needs & _HEAVY and bits & CARRYING:
        distance += _LAY_DOWN
    source = int(r.source[unsigned(edge)])
    if needs & ~bits & ~_HEAVY or distance >= len(r.heads) or distance >= int(left[unsigned(source)]):
        return 0
    left[unsigned(source)] = distance
    entry = int(r.totals[_NUM_ENTRIES])
    r.entry_state[unsigned(entry)] = source
    r.entry_next[unsigned(entry)] = r.heads[unsigned(distance)]
    r.heads[unsigned(distance)] = entry
    r.totals[_NUM_ENTRIES] = entry + 1
    return distance
