"""Checks the records that `BatchedWorlds.set_state` is given: are they worlds that the level can have?

Compiled code trusts a record. One of another level, or damaged, would make it read and write beside its arrays.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from babyaipp.engine.convert import MAX_STEPS
from babyaipp.engine.state import (
    ACTION_KIND_NAMES,
    AFTER,
    COLOR_MASK,
    COLOR_SHIFT,
    DOOR,
    DOOR_LOCKED,
    EMPTY,
    FLOOR,
    KEY,
    LOCATION_MASK,
    LOCATION_NAMES,
    LOCATION_SHIFT,
    NO_ACTION,
    NOWHERE,
    ONE_PART,
    STATE_SHIFT,
    TYPE_MASK,
    WALL_CELL,
)
from babyaipp.levels import Level
from babyaipp.tiles import COLORS, HALF_STEPS_PER_STEP, NONE, PROPERTIES


def check_worlds(field: Callable[[str], Any], level: Level, with_ended: bool) -> None:
    """Raise ValueError, naming record and field, if a record is none of the level's.

    Args:
        field: gives a field of all records: (n, ...) array or tensor.
        level: that they must be of.
        with_ended: whether episodes may have ended.
    """
    unsound = _unsound(field, level)
    if not with_ended:
        unsound["ended"] = field("ended") != 0
    anywhere = sum(wrong.reshape(len(wrong), -1).any(1) for wrong in unsound.values()) != 0
    if not anywhere.any():  # the one look at the values, which makes the CPU wait for a GPU
        return
    for name, wrong in unsound.items():
        rows = wrong.reshape(len(wrong), -1).any(1).tolist()
        if any(rows):
            row = rows.index(True)
            why = "its episode has ended, and autoreset is in the same step" if name == "ended" else f"its {name}"
            raise ValueError(f"state: world {row} is not one that level {level.name} can have here: {why}")


def _unsound(field: Callable[[str], Any], level: Level) -> dict[str, Any]:
    """By field, (n, ...) bool: where a value cannot be. Written so that tensors will do as well as arrays."""
    grammar = level.grammar
    kinds, descriptions = field("kinds"), field("descriptions")
    known = kinds == NO_ACTION
    for kind in grammar.kinds:
        known = known | (kinds == ACTION_KIND_NAMES.index(kind))
    known[:, 0] &= kinds[:, 0] != NO_ACTION
    if not grammar.sequences:
        known[:, 1:] &= kinds[:, 1:] == NO_ACTION
    cells = field("seen")[:, : level.width * level.height]
    carried = field("carried")
    half_steps, steps, max_steps = field("half_steps"), field("steps"), field("max_steps")
    last_location = len(LOCATION_NAMES) - 1 if grammar.locations else NOWHERE
    return {
        "agent_x": _outside(field("agent_x"), 1, level.width - 2),
        "agent_y": _outside(field("agent_y"), 1, level.height - 2),
        "agent_dir": _outside(field("agent_dir"), 0, 3),
        "max_steps": _outside(max_steps, 1, MAX_STEPS),
        "half_steps": _outside(half_steps, 0, HALF_STEPS_PER_STEP * max_steps + 1),
        "steps": _outside(steps, 0, half_steps),
        "cell_steps": _outside(field("cell_steps"), 0, steps),
        "color_steps": _outside(field("color_steps"), 0, steps),
        "carried": (carried != 0) & ~_is_thing(carried, KEY),
        "kinds": ~known,
        "joint": _outside(field("joint"), ONE_PART, AFTER if grammar.sequences else ONE_PART),
        "descriptions": _outside((descriptions >> LOCATION_SHIFT) & LOCATION_MASK, NOWHERE, last_location),
        "rules": _outside(field("rules"), NONE, len(PROPERTIES) - 1),
        "described": _outside(field("described"), NONE, len(COLORS) - 1),
        "num_described": _outside(field("num_described"), 0, level.num_sentences),
        "seen": (field("seen")[:, _outer_cells(level)] != WALL_CELL).any(1)
        | ((cells != EMPTY) & (cells != WALL_CELL) & ~_is_thing(cells, FLOOR)).any(1),
    }


def _is_thing(seen: Any, first_type: int) -> Any:
    """Whether these are things from a type on, with a colour; doors with a state, others without."""
    kind, color, state = seen & TYPE_MASK, (seen >> COLOR_SHIFT) & COLOR_MASK, seen >> STATE_SHIFT
    highest_state = DOOR_LOCKED * (kind == DOOR)
    return (kind >= first_type) & (color < len(COLORS)) & (state <= highest_state)


def _outside(values: Any, low: int, high: int) -> Any:
    return (values < low) | (values > high)


def _outer_cells(level: Level) -> np.ndarray:
    """Numbers of the cells of the outer wall."""
    cells = np.arange(level.width * level.height).reshape(level.height, level.width)
    return np.unique(np.concatenate([cells[0], cells[-1], cells[:, 0], cells[:, -1]]))
