"""Plans for whole episodes: what is tried in which order, and what that proves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from babyaipp.engine.state import DOOR, DOOR_LOCKED, NO_ACTION, PUT_NEXT, STATE_SHIFT, TYPE_MASK
from babyaipp.planners.search import Found, Search

# Weight and nodes of searches, one after the other until one finds something or has looked at everything.
_EXACT = (1.0, None)
_ATTEMPTS = (
    *((1.0, 1_000), (1.125, 3_000), (1.5, 3_000), (2.0, 6_000)),
    *((1.0, None), (1.125, None), (2.0, None), (4.0, None)),
)
_ATTEMPTS_CARRYING = ((2.0, 6_000), (1.125, None), (2.0, None), (6.0, None))


@dataclass(frozen=True, eq=False)  # as arrays have no one equality
class Plan:
    """What to do in an episode, if it was found.

    Attributes:
        actions: (k,) int64, of which the last one fulfils the instruction; none if nothing was found.
        half_steps: how long they take.
        solved: they were found.
        proven_unsolvable: there are no actions that fulfil the instruction within the time limit. If neither this nor
            `solved`, the search was given up.
        optimal: no sequence of whatever actions is faster, so that no return is higher.
    """

    actions: np.ndarray
    half_steps: int
    solved: bool
    proven_unsolvable: bool
    optimal: bool


def find_plan(
    search: Search, worlds: np.ndarray, row: int = 0, *, props: np.ndarray | None = None, forbidden: int = 0
) -> Plan:
    """A plan for a world from where its agent is.

    For one thing to do (go to, pick up, open a door that is not locked) first the fastest plan is searched, over all
    sequences of the seven actions: things may be picked up, put down and destroyed, doors opened and closed on the way.
    `optimal` tells whether that search came to its end, and else the plan is a fast one. For what takes several things
    (put next, keys, sequences) a fast plan is searched, not the fastest: at first one that leaves things alone that
    actions go to or put something next to, then any.

    Args:
        search: for the world's level.
        worlds: (n,) `WORLD`.
        row: which of them.
        props: (6,) int8, the property of each floor colour that is assumed, -1: it does nothing; None: the true ones.
        forbidden: bit mask of floor colours on which no action may end; deadly ones never do.
    """

    def searched(weight: float, max_nodes: int | None, carries: bool = False) -> Found:
        return search.instruction(
            worlds, row, props=props, forbidden=forbidden, weight=weight, max_nodes=max_nodes, carries=carries
        )

    for weight, max_nodes in (_EXACT, *_ATTEMPTS) if _is_one_thing(worlds[row]) else _ATTEMPTS:
        found = searched(weight, max_nodes)
        if found.actions is not None:
            return Plan(found.actions, found.half_steps, True, False, found.single and weight == 1)
        if found.exhausted and found.single:
            return _none(proven=True)
        if found.exhausted:
            break
    for weight, max_nodes in _ATTEMPTS_CARRYING:
        found = searched(weight, max_nodes, carries=True)
        if found.actions is not None:
            return Plan(found.actions, found.half_steps, True, False, False)
        if found.exhausted:
            return _none(proven=True)
    return _none(proven=False)


def _is_one_thing(world: np.void) -> bool:
    kinds, seen = world["kinds"], world["seen"]
    keys = ((seen & TYPE_MASK == DOOR) & (seen >> STATE_SHIFT == DOOR_LOCKED)).any()
    return not keys and (kinds != NO_ACTION).sum() == 1 and PUT_NEXT not in kinds


def _none(proven: bool) -> Plan:
    return Plan(np.zeros(0, np.int64), 0, False, proven, False)
