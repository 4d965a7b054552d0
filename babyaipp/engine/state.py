"""The engine's state: what is kept of a world, of a level, and while a world is made. Declared here and nowhere else.

A batch of worlds is one array of `WORLD` records, the same for all levels, so that the compiled code is the same,
too. What the code must know of a level is one `PARAMETERS` record. Both are plain NumPy arrays: a snapshot is a
copy, and what a field holds can be read from Python.

A cell is two bytes. `seen` is what an agent sees there, in Minigrid's encoding: bits 0 to 2 type, 3 to 5 colour, 6
and 7 state of a door. `hidden` is the rest, see below.
"""

from __future__ import annotations

from typing import get_args

import numpy as np

from babyaipp import reading
from babyaipp.instructions import ACTION_KINDS, LOCATIONS, SEQUENCE_KINDS
from babyaipp.levels import LEVELS, OBJECT_TYPES, Floors, Level, get_split
from babyaipp.texts import (
    DEADLY_PROPERTIES,
    SENTENCE_ORDERS,
    WORD_IDS,
    TextCondition,
    encode,
    property_mask,
)
from babyaipp.tiles import COLORS, HAZARD_CLASSES, PROPERTIES, TILES

# Types of things in Minigrid's encoding: bits 0 to 2 of `seen`.
EMPTY, WALL, FLOOR, DOOR, KEY, BALL, BOX = range(1, 8)
TYPES: dict[str, int] = {"wall": WALL, "floor": FLOOR, "door": DOOR, "key": KEY, "ball": BALL, "box": BOX}

MINIGRID_COLORS: tuple[str, ...] = ("red", "green", "blue", "purple", "yellow", "grey")
"""Colours in the order in which Minigrid numbers them: bits 3 to 5 of `seen`."""

# States of doors in Minigrid's encoding, from bit 6 of `seen`.
STATE_SHIFT, STATE_MASK = 6, 3
DOOR_OPEN, DOOR_CLOSED, DOOR_LOCKED = range(3)

COLOR_SHIFT = 3
TYPE_MASK, COLOR_MASK = 7, 7
THING_MASK = 63  # type and colour
WALL_CELL = WALL | MINIGRID_COLORS.index("grey") << COLOR_SHIFT

# `hidden` of an object or a door. An object's bits go with it when it is carried.
TILE_MASK = 7  # one more than Minigrid's number of the colour of the tile beneath, 0: none
LOCATED_SHIFT = 3  # from here: it was where the n-th description with a location says, when the episode began
MAX_LOCATED = 5
# `hidden` of an empty cell or a tile: bit n tells that since the last drop something was taken from here or
# destroyed here that the n-th action goes to; Minigrid looks for it here until the next drop.

# A description of objects: as many bits as tell its type and colour in `seen`, then these.
ANY_COLOR = 7
LOCATION_SHIFT, LOCATION_MASK = 6, 7
LOCATION_NAMES: tuple[str | None, ...] = (None, *LOCATIONS)
NOWHERE, LEFT_OF, RIGHT_OF, IN_FRONT, BEHIND = range(len(LOCATION_NAMES))
PLURAL = 1 << 9  # more than one object matched when the episode began: "a", not "the"
SLOT_SHIFT, SLOT_MASK = 10, 7  # which of the descriptions with a location this is

# Actions of an instruction, and how its two parts are joined. A part is one action, or two joined by "and".
ACTION_KIND_NAMES: tuple[str | None, ...] = (None, *ACTION_KINDS)
NO_ACTION, GOTO, OPEN, PICK_UP, PUT_NEXT = range(len(ACTION_KIND_NAMES))
JOINT_NAMES: tuple[str | None, ...] = (None, "before", "after")
ONE_PART, BEFORE, AFTER = range(len(JOINT_NAMES))
MAX_ACTIONS = 4  # two parts of two
PART_ACTIONS = 2

# What a driver asks of a world, in the place of an action.
RESET, RESET_WITH_RULES, RESET_TO_WORLD, LEAVE = -1, -2, -3, -4

# How an episode ended; after these the properties that end one.
NOT_ENDED, SUCCESS, FAILURE, TIMEOUT, FIRST_DEADLY = range(5)
CAUSES: tuple[str, ...] = ("", "success", "failure", "timeout", *PROPERTIES)

GENERATORS: tuple[str, ...] = (  # those that `generate.py` and `instruct.py` know
    *("GoToRedBallNoDists", "GoToRedBallMaze", "PutNextLocal", "PutNext", "GoTo", "GoToLocal"),
    *("Unlock", "PickupLoc", "GoToSeq", "Crossing", "Courier", "Minefield"),
)

GO_TO_RED_BALL, GO_TO_RED_BALL_MAZE, PUT_NEXT_LOCAL, PUT_NEXT_MAZE, GO_TO_MAZE, GO_TO_LOCAL = range(6)
UNLOCK, PICKUP_LOC, GO_TO_SEQ, CROSSING, COURIER, MINEFIELD = range(6, len(GENERATORS))

FLOORS: tuple[str, ...] = get_args(Floors)
STREWN, GATES, PATCHES = range(len(FLOORS))

MAX_CELLS = max(level.width * level.height for level in LEVELS.values())
MAX_SIDE = max(max(level.width, level.height) for level in LEVELS.values())
MAX_ROOMS = max(level.num_rows * level.num_cols for level in LEVELS.values())
MAX_OBJECTS = 32

WORLD = np.dtype(
    [
        ("rng", np.uint64, (5,)),  # PCG64, see rng.py
        ("half_steps", np.int32),  # time since the start
        ("max_steps", np.int32),
        ("steps", np.int32),  # actions since the start
        ("cell_steps", np.int32),  # see tiles.py
        ("color_steps", np.int32),
        ("text_seed", np.int32),  # what the choices of the text are made from
        ("descriptions", np.uint16, (MAX_ACTIONS, 2)),  # of each action: what, and next to what
        ("agent_x", np.int8),
        ("agent_y", np.int8),
        ("agent_dir", np.int8),  # 0 right, 1 down, 2 left, 3 up
        ("carried", np.uint8),  # as `seen`, 0: nothing
        ("carried_hidden", np.uint8),
        ("gone", np.bool_),  # some cell has bits that the next drop must clear
        ("joint", np.uint8),
        ("kinds", np.uint8, (MAX_ACTIONS,)),  # of actions
        ("verified", np.uint8),  # bit n: the n-th action has been looked at
        ("fulfilled", np.uint8),  # bit n: the n-th action is done
        ("rules", np.int8, (len(COLORS),)),  # property of each floor colour, in the order of `tiles.COLORS`
        ("described", np.int8, (len(COLORS),)),  # floor colours that the description names
        ("num_described", np.int8),
        ("ended", np.bool_),  # the next step begins an episode
        ("seen", np.uint8, (MAX_CELLS,)),  # row by row, without gaps
        ("hidden", np.uint8, (MAX_CELLS,)),
    ],
    align=True,
)

_VERB_WORDS, _LOCATION_WORDS = 2, 4

PARAMETERS = np.dtype(
    [
        ("generator", np.int32),
        ("room_size", np.int32),
        ("num_rows", np.int32),
        ("num_cols", np.int32),
        ("width", np.int32),
        ("height", np.int32),
        ("num_objects", np.int32),
        ("num_walls", np.int32),
        ("floors", np.int32),
        ("max_steps", np.int32),  # 0: the level's own limit
        ("num_colors", np.int32),
        ("num_deadly", np.int32),  # -1: each colour's property is drawn for itself
        ("choose_colors", np.bool_),
        ("shuffled", np.bool_),  # order of the sentences
        ("allowed", np.int32, (len(COLORS),)),  # bit mask of the properties that a colour may have
        ("level_props", np.int32),  # bit mask of what `shuffled_rules` draws from
        ("deadly_props", np.int32),  # see `texts.draw_false_property`
        ("level_withheld", np.int32),
        ("condition", np.int32),  # of the text
        ("withheld", np.int32),
        ("hazards", np.int8, (len(PROPERTIES),)),
        # Word ids.
        ("color_words", np.int32, (len(COLORS),)),
        ("property_words", np.int32, (len(PROPERTIES),)),
        ("thing_words", np.int32, (TYPE_MASK + 1,)),
        ("thing_color_words", np.int32, (COLOR_MASK + 1,)),  # by Minigrid's number
        ("verb_words", np.int32, (len(ACTION_KIND_NAMES), _VERB_WORDS)),
        ("location_words", np.int32, (len(LOCATION_NAMES), _LOCATION_WORDS)),
        ("joint_words", np.int32, (len(JOINT_NAMES), _VERB_WORDS)),
        ("and_word", np.int32),
        ("article_words", np.int32, (2,)),  # the, a
        ("next_to_words", np.int32, (2,)),
    ],
    align=True,
)

# Space that is needed only while a world is made: one column of this many int32 a thread.
OPEN_ROWS = 0
REACHED_ROWS = OPEN_ROWS + MAX_SIDE
DOOR_PLACES = REACHED_ROWS + MAX_SIDE  # of each room: where a door to the right and one down would be
OBJECTS = DOOR_PLACES + 2 * MAX_ROOMS
SCRATCH = max(OBJECTS + MAX_OBJECTS, reading.SCRATCH)


def parameters(
    level: Level, split: str, condition: TextCondition, sentence_order: str, max_steps: int | None
) -> np.ndarray:
    """What the compiled code must know.

    Returns:
        (1,) `PARAMETERS`.

    Raises:
        ValueError: the level has no such split, or is more than the engine's records can hold.
    """
    split = get_split(level, split)
    _check_size(level)
    located = sum(2 if kind == "putnext" else 1 for kind in level.grammar.kinds) if level.grammar.locations else 0
    if located * (MAX_ACTIONS if level.grammar.sequences else 1) > MAX_LOCATED:
        raise ValueError(f"level {level.name}: the engine holds {MAX_LOCATED} descriptions with locations at most")
    record = np.zeros(1, PARAMETERS)
    p = record[0]
    p["generator"] = GENERATORS.index(level.generator)
    for name in ("room_size", "num_rows", "num_cols", "width", "height"):
        p[name] = getattr(level, name)
    p["num_objects"] = level.num_objects or 0
    p["num_walls"] = level.num_walls
    p["floors"] = FLOORS.index(level.floors)
    p["max_steps"] = max_steps or 0
    p["num_colors"] = level.dynamics.num_colors
    p["num_deadly"] = -1 if level.dynamics.num_deadly is None else level.dynamics.num_deadly
    p["choose_colors"] = split == "Fixed"
    p["shuffled"] = sentence_order == SENTENCE_ORDERS[1]
    for color, names in level.allowed(split).items():
        p["allowed"][COLORS.index(color)] = property_mask(names)
    p["level_props"] = property_mask(level.properties(split))
    p["deadly_props"] = DEADLY_PROPERTIES if level.balanced else 0
    p["level_withheld"] = level.withheld
    p["condition"] = condition.kind
    p["withheld"] = condition.withheld
    p["hazards"] = [HAZARD_CLASSES.index(tile.hazard) for tile in TILES]
    p["color_words"] = [WORD_IDS[color] for color in COLORS]
    p["property_words"] = [WORD_IDS[name] for name in PROPERTIES]
    for name in (*OBJECT_TYPES, "door"):
        p["thing_words"][TYPES[name]] = WORD_IDS[name]
    p["thing_color_words"][: len(COLORS)] = [WORD_IDS[color] for color in MINIGRID_COLORS]
    for i, kind in enumerate(ACTION_KINDS, 1):
        p["verb_words"][i] = encode(ACTION_KINDS[kind], _VERB_WORDS)
    for i, location in enumerate(LOCATIONS, 1):
        p["location_words"][i] = encode(LOCATIONS[location], _LOCATION_WORDS)
    for i, joint in enumerate(JOINT_NAMES):
        if joint is not None:
            p["joint_words"][i] = encode(SEQUENCE_KINDS[joint], _VERB_WORDS)
    p["and_word"] = WORD_IDS["and"]
    p["article_words"] = [WORD_IDS["the"], WORD_IDS["a"]]
    p["next_to_words"] = [WORD_IDS["next"], WORD_IDS["to"]]
    return record


def _check_size(level: Level) -> None:
    """Raise ValueError if the engine cannot make the level's worlds, or has no room for them."""
    if level.generator not in GENERATORS:
        raise ValueError(
            f"level {level.name}: the engine has no generator {level.generator!r}; it has {', '.join(GENERATORS)}"
        )
    for what, size, limit in (
        ("cells", level.width * level.height, MAX_CELLS),
        ("cells a side", max(level.width, level.height), MAX_SIDE),
        ("rooms", level.num_rows * level.num_cols, MAX_ROOMS),
        ("objects", level.num_objects or 0, MAX_OBJECTS),
        ("walls", level.num_walls, reading.MAX_WALLS),
    ):
        if size > limit:
            raise ValueError(f"level {level.name}: {size} {what} are more than the engine's {limit}")
