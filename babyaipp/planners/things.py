"""What has become of things in a world: got, dropped, lost, as far as it matters to what is to be done."""

from __future__ import annotations

from babyaipp.engine.compile import device_function, unsigned
from babyaipp.engine.instruct import matches
from babyaipp.engine.state import GOTO, KEY, MAX_ACTIONS, NO_ACTION, PUT_NEXT, TYPE_MASK
from babyaipp.planners.goals import (
    CARRYING,
    FETCHES,
    FIXED_BIT,
    FIXED_BITS,
    GOAL,
    KNOWN,
    LOCKS,
    MOVED_BIT,
    NUM_THINGS,
    bits_after,
    is_locked,
    key_bit,
)


@device_function
def _thing_bits(w, g, seen, hidden):
    """Bits of a thing that has been got."""
    bits = key_bit(seen) if seen & TYPE_MASK == KEY else 0
    for i in range(MAX_ACTIONS):
        if matches(int(w.descriptions[unsigned(i), 0]), seen, hidden):
            bits |= 1 << (MOVED_BIT + i)
        if matches(int(w.descriptions[unsigned(i), 1]), seen, hidden):
            bits |= 1 << (FIXED_BIT + i)
    return bits & int(g.totals[KNOWN])


@device_function
def _carried_bits(w, g):
    """Bits of what is carried."""
    return _thing_bits(w, g, int(w.carried), int(w.carried_hidden)) if int(w.carried) else 0


@device_function
def bits_of(w, p, g, start):
    """What is done in a world that began as `start`, and what follows for the agent from things not where they were.

    A thing that is not where it was, on a cell or in the agent's hands, has been got, as long as there is one like it
    that was not where it is.

    Returns:
        The bits; the cell of a thing that must be fetched again, -1: none; the cell of one that what is carried is to
        be put next to, -1: none; how many cells what is to be put next to it must be carried, 0 where this is unknown.
    """
    carried = _carried_bits(w, g)
    got = 0
    for i in range(int(g.totals[NUM_THINGS])):
        cell = int(g.things[i])
        if w.seen[unsigned(cell)] != start.seen[unsigned(cell)]:
            got |= bits_after(g, 0, int(g.rules_at[unsigned(cell)]), True) & CARRYING
    if int(start.carried) != 0 and (w.carried != start.carried or w.carried_hidden != start.carried_hidden):
        got |= _thing_bits(w, g, int(start.carried), int(start.carried_hidden))
    bits = (int(w.fulfilled) & int(g.totals[GOAL])) | carried | (got & int(g.totals[LOCKS]))
    fetch = -1
    bring = -1
    apart = 0
    if got & ~carried:
        for cell in range(p.width * p.height):
            seen = int(w.seen[unsigned(cell)])
            if seen & TYPE_MASK >= KEY and seen != int(start.seen[unsigned(cell)]):
                here = _thing_bits(w, g, seen, int(w.hidden[unsigned(cell)])) & got
                bits |= here
                if here & _needed(w, p, g) & ~carried:
                    fetch = cell
                to_come = (here & FIXED_BITS) >> (FIXED_BIT - MOVED_BIT)
                if to_come & carried:
                    bring = cell
                elif to_come:
                    apart = _nearest(w, p, g, to_come, cell)
    return bits, fetch, bring, apart


@device_function
def distance(p, cell, other):
    """How many cells two cells are apart, walls or not."""
    return abs(cell % p.width - other % p.width) + abs(cell // p.width - other // p.width)


@device_function
def _nearest(w, p, g, wanted, cell):
    """Distance from a cell to the nearest thing with one of the bits wanted."""
    least = p.width + p.height
    for other in range(p.width * p.height):
        seen = int(w.seen[unsigned(other)])
        if seen & TYPE_MASK >= KEY and _thing_bits(w, g, seen, int(w.hidden[unsigned(other)])) & wanted:
            least = min(least, distance(p, cell, other))
    return least


@device_function
def _needed(w, p, g):
    """Bits of things that still have a use: to be moved, or to open a door."""
    bits = 0
    for i in range(MAX_ACTIONS):
        if not (int(w.fulfilled) >> i) & 1:
            bits |= 1 << (MOVED_BIT + i)
    if g.totals[LOCKS]:
        for cell in range(p.width * p.height):
            if is_locked(int(w.seen[unsigned(cell)])):
                bits |= key_bit(int(w.seen[unsigned(cell)]))
    return bits


@device_function
def is_lost(w, p):
    """Whether something to be done cannot be done any more, as all that it speaks of has been destroyed."""
    for i in range(MAX_ACTIONS):
        kind = int(w.kinds[unsigned(i)])
        if (int(w.fulfilled) >> i) & 1 or kind == NO_ACTION or (kind == GOTO and w.gone):
            continue
        for j in range(2 if kind == PUT_NEXT else 1):
            description = int(w.descriptions[unsigned(i), unsigned(j)])
            found = int(w.carried) != 0 and matches(description, int(w.carried), int(w.carried_hidden))
            for cell in range(p.width * p.height):
                found = found or matches(description, int(w.seen[unsigned(cell)]), int(w.hidden[unsigned(cell)]))
            if not found:
                return True
    return False


@device_function
def is_to_move(w, seen, hidden):
    """Whether something that is still to be done puts a thing elsewhere."""
    for i in range(MAX_ACTIONS):
        if (int(w.fulfilled) >> i) & 1 or int(w.kinds[unsigned(i)]) != PUT_NEXT:
            continue
        if matches(int(w.descriptions[unsigned(i), 0]), seen, hidden):
            return True
    return False


@device_function
def hands_are_full(w, g, bits):
    """Whether something is carried that is to be put down, as something else is to be got."""
    carried = _carried_bits(w, g)
    if carried & ~FIXED_BITS:
        return False
    return carried != 0 or (int(w.carried) != 0 and int(g.totals[FETCHES]) & ~bits != 0)
