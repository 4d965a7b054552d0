"""Between `World`, plain data of an episode's start, and the engine's records."""

from __future__ import annotations

import numpy as np

from babyaipp.engine.state import (
    ACTION_KIND_NAMES,
    ANY_COLOR,
    COLOR_MASK,
    COLOR_SHIFT,
    EMPTY,
    JOINT_NAMES,
    LOCATED_SHIFT,
    LOCATION_MASK,
    LOCATION_NAMES,
    LOCATION_SHIFT,
    MAX_ACTIONS,
    MINIGRID_COLORS,
    PART_ACTIONS,
    PLURAL,
    SLOT_SHIFT,
    STATE_SHIFT,
    TYPE_MASK,
    TYPES,
    WALL,
    WALL_CELL,
)
from babyaipp.instructions import Cell, Instruction, ObjectDescription, Position
from babyaipp.levels import Level
from babyaipp.tiles import COLORS, NONE, PROPERTIES
from babyaipp.world import World

MAX_STEPS = 2**30 - 1
"""The longest time limit, so that half-steps fit into 32 bits."""

_TYPE_NAMES = {code: name for name, code in TYPES.items()}
_KEPT = ("rng", "text_seed")


def record_of(world: World, level: Level, record: np.void) -> None:
    """Write the start that a world describes into a record, all but the random stream and the text's number.

    Args:
        world: a sound world (`World.validate`) that fits the level (`World.check_fits`), its time limit at most
            `MAX_STEPS`.
        level: the level of the environments.
        record: one `WORLD` record, overwritten.
    """
    for name in record.dtype.names or ():
        if name not in _KEPT:
            record[name] = 0
    record["max_steps"] = world.max_steps
    record["agent_x"], record["agent_y"], record["agent_dir"] = world.agent
    record["rules"] = rules_row(world.rules)
    record["described"] = NONE
    record["described"][: len(world.described)] = [COLORS.index(color) for color in world.described]
    record["num_described"] = len(world.described)
    seen, hidden = (record[name][: level.width * level.height].reshape(level.height, level.width) for name in _CELLS)
    seen[:] = EMPTY
    for x, y in world.walls:
        seen[y, x] = WALL_CELL
    for x, y, kind, color, state in world.cells:
        seen[y, x] = TYPES[kind] | MINIGRID_COLORS.index(color) << COLOR_SHIFT | state << STATE_SHIFT
    slot = 0
    for place, action in _places(world.instruction, record):
        record["kinds"][place] = ACTION_KIND_NAMES.index(action.kind)
        for i, desc in enumerate((action.desc, action.fixed)):
            if desc is None:
                continue
            record["descriptions"][place, i] = _description_code(desc, slot)
            if desc.loc is not None:
                for x, y in desc.positions:
                    hidden[y, x] |= 1 << (LOCATED_SHIFT + slot)
                slot += 1


_CELLS = ("seen", "hidden")


def world_of(record: np.void, level: Level, split: str) -> World:
    """The start that a record holds at the beginning of an episode.

    Later in an episode: the grid and the agent as they are, the instruction with the objects that its words match
    then; what is carried, and tiles beneath objects, are left out.

    Args:
        record: one `WORLD` record.
        level: its level.
        split: its split.
    """
    walls: list[Position] = []
    cells: list[Cell] = []
    seen = record["seen"][: level.width * level.height].reshape(level.height, level.width).tolist()
    for x in range(level.width):
        for y in range(level.height):
            code = seen[y][x]
            kind = code & TYPE_MASK
            if kind == WALL:
                walls.append((x, y))
            elif kind != EMPTY:
                color = MINIGRID_COLORS[code >> COLOR_SHIFT & COLOR_MASK]
                cells.append((x, y, _TYPE_NAMES[kind], color, code >> STATE_SHIFT))
    agent = (int(record["agent_x"]), int(record["agent_y"]), int(record["agent_dir"]))
    rules = {COLORS[i]: PROPERTIES[prop] for i, prop in enumerate(record["rules"].tolist()) if prop != NONE}
    return World(
        level=level.name,
        split=split,
        width=level.width,
        height=level.height,
        room_size=level.room_size,
        max_steps=int(record["max_steps"]),
        instruction=_instruction_of(record).located(cells, agent, level.room_size),
        rules=rules,
        described=tuple(COLORS[color] for color in record["described"][: record["num_described"]].tolist()),
        walls=tuple(walls),
        cells=tuple(cells),
        agent=agent,
    )


def rules_row(rules: object) -> np.ndarray:
    """(6,) int8: the property of each floor colour, -1 where it has none."""
    row = np.full(len(COLORS), NONE, np.int8)
    for color, name in dict(rules).items():  # type: ignore[call-overload]
        row[COLORS.index(color)] = PROPERTIES.index(name)
    return row


def rules_of(row: np.ndarray) -> dict[str, str]:
    """Floor colour -> property, from what `rules_row` gives."""
    return {COLORS[i]: PROPERTIES[prop] for i, prop in enumerate(row.tolist()) if prop != NONE}


def check_max_steps(name: str, steps: object) -> None:
    """Raise ValueError unless the engine can hold this time limit."""
    if type(steps) is not int or not 1 <= steps <= MAX_STEPS:
        raise ValueError(f"{name}={steps!r} must be an int from 1 to {MAX_STEPS}")


def _places(instruction: Instruction, record: np.void) -> list[tuple[int, Instruction]]:
    """The actions of an instruction, each with its place in a record; sets how the parts are joined."""
    parts = [instruction]
    if instruction.kind in JOINT_NAMES:
        assert instruction.a is not None
        assert instruction.b is not None
        record["joint"] = JOINT_NAMES.index(instruction.kind)
        parts = [instruction.a, instruction.b]
    return [(PART_ACTIONS * i + j, action) for i, part in enumerate(parts) for j, action in enumerate(part.actions)]


def _description_code(desc: ObjectDescription, slot: int) -> int:
    color = ANY_COLOR if desc.color is None else MINIGRID_COLORS.index(desc.color)
    code = TYPES[desc.type] | color << COLOR_SHIFT | LOCATION_NAMES.index(desc.loc) << LOCATION_SHIFT
    if desc.loc is not None:
        code |= slot << SLOT_SHIFT
    return code | PLURAL if len(desc.positions) > 1 else code


def _instruction_of(record: np.void) -> Instruction:
    parts = []
    for first in range(0, MAX_ACTIONS, PART_ACTIONS):
        actions = [_action_of(record, place) for place in range(first, first + PART_ACTIONS)]
        one, other = actions
        if one is not None:
            parts.append(one if other is None else Instruction("and", a=one, b=other))
    joint = JOINT_NAMES[record["joint"]]
    return parts[0] if joint is None else Instruction(joint, a=parts[0], b=parts[1])


def _action_of(record: np.void, place: int) -> Instruction | None:
    kind = ACTION_KIND_NAMES[record["kinds"][place]]
    if kind is None:
        return None
    desc, fixed = (_description_of(int(code)) for code in record["descriptions"][place])
    return Instruction(kind, desc, fixed if kind == "putnext" else None)


def _description_of(code: int) -> ObjectDescription:
    color = code >> COLOR_SHIFT & COLOR_MASK
    return ObjectDescription(
        _TYPE_NAMES.get(code & TYPE_MASK, ""),
        None if color == ANY_COLOR else MINIGRID_COLORS[color],
        LOCATION_NAMES[code >> LOCATION_SHIFT & LOCATION_MASK],
    )
