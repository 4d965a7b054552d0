"""World: one generated episode start, as plain data; to and from JSON, to and from an ASCII map.

The meeting point of the data flow: the implementations make worlds from a level row, and start from worlds that
are given to `reset(options={"world": world})`. The JSON keys are those of the recorded episodes in `tests/data`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from babyaipp.instructions import DIRECTIONS, Cell, Instruction, Position, can_say, parse_instruction
from babyaipp.levels import LEVELS, Level, check_rules, get_level, get_split, is_deadly_name
from babyaipp.maps import THING_LETTERS, draw_map, parse_map, split_ascii
from babyaipp.texts import merged_text, parse_merged_text, rule_sentence
from babyaipp.tiles import COLORS

_KEYS = (
    "level",
    "split",
    "width",
    "height",
    "room_size",
    "max_steps",
    "instruction_text",
    "text",
    "rules",
    "instruction",
    "cells",
    "walls",
    "agent",
)
_RECORDER_KEYS = ("source", "image", "steps")


@dataclass(frozen=True)
class World:
    """One episode start. Positions are (x, y) in cells, x to the right, y down, from the top left corner."""

    level: str
    split: str
    width: int
    height: int
    room_size: int
    """Cells a side of a room, walls included."""
    max_steps: int
    instruction: Instruction
    rules: Mapping[str, str]
    """Floor colour -> property."""
    described: tuple[str, ...]
    """The colours whose rules the description names, in its order."""
    walls: tuple[Position, ...]
    cells: tuple[Cell, ...]
    """x, y, type, colour, state of everything else; state: 0 open or not a door, 1 closed, 2 locked."""
    agent: tuple[int, int, int]
    """x, y, direction: 0 right, 1 down, 2 left, 3 up."""

    @property
    def instruction_text(self) -> str:
        """What to do, in words."""
        return str(self.instruction)

    @property
    def sentences(self) -> tuple[str, ...]:
        """The true description."""
        return tuple(rule_sentence(color, self.rules[color]) for color in self.described)

    @property
    def text(self) -> str:
        """Instruction and true description as one string."""
        return merged_text(self.instruction_text, self.sentences)

    def to_dict(self) -> dict[str, Any]:
        """The world as a JSON-serialisable dict."""
        return {
            "level": self.level,
            "split": self.split,
            "width": self.width,
            "height": self.height,
            "room_size": self.room_size,
            "max_steps": self.max_steps,
            "instruction_text": self.instruction_text,
            "text": self.text,
            "rules": dict(self.rules),
            "instruction": self.instruction.to_dict(),
            "cells": [list(cell) for cell in self.cells],
            "walls": [list(wall) for wall in self.walls],
            "agent": list(self.agent),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> World:
        """The world from what `to_dict` gives; the further keys of the recorded episodes are passed over.

        Raises:
            ValueError: keys are missing or unknown, or the values do not make a sound world.
        """
        if not isinstance(data, Mapping):
            raise ValueError(f"a world must be a mapping with the keys {', '.join(_KEYS)}; got {type(data).__name__}")
        missing = [key for key in _KEYS if key not in data]
        unknown = [key for key in data if key not in _KEYS and key not in _RECORDER_KEYS]
        if missing or unknown:
            word, keys = ("missing", missing) if missing else ("unknown", unknown)
            raise ValueError(f"world: {word} keys: {', '.join(map(str, keys))}; expected: {', '.join(_KEYS)}")
        instruction_text = _typed(data, "instruction_text", str)
        told = parse_merged_text(_typed(data, "text", str), instruction_text)
        rules = check_rules(data["rules"])
        for color, name in told:
            if rules.get(color) != name:
                raise ValueError(f"world: the text says {rule_sentence(color, name)!r} but the rules are {rules!r}")
        world = cls(
            level=_typed(data, "level", str),
            split=_typed(data, "split", str),
            width=_typed(data, "width", int),
            height=_typed(data, "height", int),
            room_size=_typed(data, "room_size", int),
            max_steps=_typed(data, "max_steps", int),
            instruction=Instruction.from_dict(data["instruction"]),
            rules=rules,
            described=tuple(color for color, _ in told),
            walls=tuple(sorted(_tuples(data, "walls", (int, int)))),
            cells=tuple(sorted(_tuples(data, "cells", (int, int, str, str, int)))),
            agent=_tuples({"agent": [data["agent"]]}, "agent", (int, int, int))[0],
        )
        world.validate()
        if world.instruction_text != instruction_text:
            raise ValueError(f"world: instruction_text {instruction_text!r} is not {world.instruction_text!r}")
        return world

    def to_ascii(self) -> str:
        """The world as text: a few lines of `key: value`, then the map, two characters a cell.

        `##` wall, `..` empty, `_` tile, `K` key, `O` ball, `B` box, `/` open door, `D` closed door, `L` locked
        door, each followed by its colour (b, g, p, r, y; e for grey); the agent is `>`, `v`, `<` or `^`, twice,
        or followed by the colour of the tile that it stands on.
        """
        untold = [color for color in self.rules if color not in self.described]
        header = {
            "level": self.level,
            "split": self.split,
            "instruction": self.instruction_text,
            "rules": ", ".join(f"{color} {self.rules[color]}" for color in self.described),
            "untold": ", ".join(f"{color} {self.rules[color]}" for color in untold),
            "max_steps": str(self.max_steps),
        }
        lines = [f"{key}: {value}".rstrip() for key, value in header.items() if value or key != "untold"]
        return "\n".join([*lines, "", *draw_map(self.width, self.height, self.walls, self.cells, self.agent)]) + "\n"

    @classmethod
    def from_ascii(
        cls,
        text: str,
        *,
        level: str | None = None,
        split: str | None = None,
        instruction: str | None = None,
        rules: Mapping[str, str] | None = None,
        max_steps: int | None = None,
    ) -> World:
        """The world from what `to_ascii` gives, or from a map alone.

        Arguments that are given replace the lines of the same name. Without either, the level is the first one
        whose worlds have the size of the map, the split `All`, the instruction "go to the red ball", the rules
        none, all of them told, and the time limit the level's.

        Raises:
            ValueError: a line or a cell cannot be read, or they do not make a sound world.
        """
        for name, value in (("text", text), ("level", level), ("split", split), ("instruction", instruction)):
            if not isinstance(value, str) and (name == "text" or value is not None):
                raise ValueError(f"world: {name} must be a string; got {value!r}")
        header, rows = split_ascii(text)
        told = _parse_rules(header.get("rules", ""))
        untold = _parse_rules(header.get("untold", ""))
        if rules is not None:
            told, untold = check_rules(rules), {}
        if told.keys() & untold.keys():
            raise ValueError(f"world: the colours {sorted(told.keys() & untold.keys())} are told and untold")
        walls, cells, agent = parse_map(rows)
        width, height = len(rows[0]), len(rows)
        level_name = level or header.get("level") or _level_of_size(width, height)
        row = get_level(level_name)
        located = parse_instruction(instruction or header.get("instruction") or "go to the red ball").located(
            cells, agent, row.room_size
        )
        limit = max_steps if max_steps is not None else header.get("max_steps")
        if limit is None:
            limit = located.num_navigations * row.num_rows * row.num_cols * row.room_size**2
        world = cls(
            level=level_name,
            split=split or header.get("split") or "All",
            width=width,
            height=height,
            room_size=row.room_size,
            max_steps=_parse_int("max_steps", limit),
            instruction=located,
            rules={**told, **untold},
            described=tuple(told),
            walls=tuple(sorted(walls)),
            cells=tuple(sorted(cells)),
            agent=agent,
        )
        world.validate()
        return world

    def validate(self) -> None:
        """Check that the parts are known, fit together, and make a world of the level.

        Raises:
            ValueError: they do not.
        """
        level = get_level(self.level)
        get_split(level, self.split)
        self._validate_types()
        self.check_fits(level)
        if self.max_steps < 1:
            raise ValueError(f"world: max_steps must be at least 1; got {self.max_steps}")
        self._validate_grid()
        check_rules(self.rules)
        for color in self.described:
            if color not in self.rules or self.described.count(color) > 1:
                raise ValueError(f"world: described colour {color!r} must be one of {list(self.rules)}, named once")
        located = self.instruction.located(self.cells, self.agent, self.room_size)
        if located != self.instruction:
            raise ValueError(
                f"world: the objects of {self.instruction_text!r} are {located.to_dict()}, "
                f"not {self.instruction.to_dict()}"
            )
        for action in located.actions:
            for desc in (action.desc, action.fixed):
                if desc is not None and not desc.positions:
                    raise ValueError(f"world: no object matches {str(desc)!r} of {self.instruction_text!r}")

    def check_fits(self, level: Level) -> None:
        """Check that environments of a level can start from this world.

        Raises:
            ValueError: its size, instruction or number of rules is not the level's.
        """
        size = (self.width, self.height, self.room_size)
        if size != (level.width, level.height, level.room_size):
            raise ValueError(
                f"world: {self.width} x {self.height} cells with rooms of {self.room_size} do not fit "
                f"level {level.name}: {level.width} x {level.height} cells with rooms of {level.room_size}"
            )
        if not can_say(level.grammar, self.instruction_text):
            raise ValueError(f"world: level {level.name} cannot give the instruction {self.instruction_text!r}")
        check_num_rules(level, self.rules)

    def _validate_types(self) -> None:
        if not isinstance(self.instruction, Instruction):
            raise ValueError(f"world: instruction must be an Instruction; got {self.instruction!r}")
        for name in ("width", "height", "room_size", "max_steps"):
            if type(getattr(self, name)) is not int:
                raise ValueError(f"world: {name} must be of type int; got {getattr(self, name)!r}")
        shapes = {"walls": (int, int), "cells": (int, int, str, str, int), "agent": (int, int, int)}
        for name, shape in shapes.items():
            for value in [self.agent] if name == "agent" else getattr(self, name):
                if not isinstance(value, tuple) or tuple(map(type, value)) != shape:
                    raise ValueError(
                        f"world: {name} must hold ({', '.join(kind.__name__ for kind in shape)}); got {value!r}"
                    )

    def _validate_grid(self) -> None:
        for x, y, kind, color, state in self.cells:
            if (kind, state) not in THING_LETTERS:
                allowed = ", ".join(f"{name} {number}" for name, number in THING_LETTERS)
                raise ValueError(f"world: unknown type and state {kind!r} {state!r} at {x}, {y}; allowed: {allowed}")
            if color not in COLORS:
                raise ValueError(f"world: unknown colour {color!r} at {x}, {y}; allowed: {', '.join(COLORS)}")
            if kind == "floor" and color not in self.rules:
                raise ValueError(f"world: the {color} floor at {x}, {y} has no rule; rules: {dict(self.rules)}")
        things = [*self.walls, *(cell[:2] for cell in self.cells)]
        taken = set(things)
        for x, y in things:
            if not (0 <= x < self.width and 0 <= y < self.height):
                raise ValueError(f"world: position {x}, {y} is outside of {self.width} x {self.height} cells")
        if len(taken) != len(things):
            twice = next(position for position in things if things.count(position) > 1)
            raise ValueError(f"world: more than one thing at {twice[0]}, {twice[1]}")
        walls = set(self.walls)
        for x in range(self.width):
            for y in range(self.height):
                if (x in (0, self.width - 1) or y in (0, self.height - 1)) and (x, y) not in walls:
                    raise ValueError(f"world: the outer cell {x}, {y} must be a wall")
        x, y, direction = self.agent
        floors = {cell[:2] for cell in self.cells if cell[2] == "floor"}
        inside = 0 <= x < self.width and 0 <= y < self.height
        if not inside or (x, y) in taken - floors:
            raise ValueError(f"world: the agent at {x}, {y} must stand on an empty cell or a tile")
        if not 0 <= direction < len(DIRECTIONS):
            raise ValueError(f"world: agent direction {direction} must be 0 right, 1 down, 2 left or 3 up")


def check_num_rules(level: Level, rules: Mapping[str, str]) -> None:
    """Check that a description of the level has room for the rules.

    Raises:
        ValueError: it has not.
    """
    if len(rules) > level.num_sentences:
        raise ValueError(
            f"rules: level {level.name} has at most {level.num_sentences} floor colours; "
            f"got {len(rules)}: {', '.join(rules)}"
        )


def check_given_rules(level: Level, rules: Mapping[str, str]) -> dict[str, str]:
    """A copy of rules that an episode of a level shall have.

    Raises:
        ValueError: unknown words, more rules than a description has room for, or too few for the level's tiles.
    """
    rules = check_rules(rules)
    check_num_rules(level, rules)
    deadly = [color for color, name in rules.items() if is_deadly_name(name)]
    needed_deadly, needed_harmless = level.needed_rules
    if len(deadly) < needed_deadly or len(rules) - len(deadly) < needed_harmless:
        raise ValueError(
            f"rules: level {level.name} needs at least {needed_deadly} deadly and {needed_harmless} harmless floor "
            f"colours; got {len(deadly)} and {len(rules) - len(deadly)} in {rules}"
        )
    return rules


def _parse_rules(text: str) -> dict[str, str]:
    rules = {}
    for part in filter(None, map(str.strip, text.split(","))):
        color, _, name = part.partition(" ")
        if color in rules:
            raise ValueError(f"world: {color!r} has two rules in {text!r}")
        rules[color] = name.strip()
    return check_rules(rules)


def _level_of_size(width: int, height: int) -> str:
    for level in LEVELS.values():
        if (level.width, level.height) == (width, height):
            return level.name
    sizes = sorted({(level.width, level.height) for level in LEVELS.values()})
    raise ValueError(
        f"world: no level has {width} x {height} cells; sizes: {', '.join(f'{w} x {h}' for w, h in sizes)}"
    )


def _parse_int(name: str, value: Any) -> int:
    if type(value) is int or (isinstance(value, str) and re.fullmatch("[0-9]{1,9}", value)):
        return int(value)
    raise ValueError(f"world: {name} must be a whole number; got {value!r}")


def _typed(data: Mapping[str, Any], key: str, kind: type) -> Any:
    value = data[key]
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ValueError(f"world: {key} must be of type {kind.__name__}; got {value!r}")
    return value


def _tuples(data: Mapping[str, Any], key: str, kinds: tuple[type, ...]) -> list[Any]:
    values = data[key]
    if not isinstance(values, list | tuple):
        raise ValueError(f"world: {key} must be a list; got {values!r}")
    for value in values:
        sound = isinstance(value, list | tuple) and len(value) == len(kinds)
        if not sound or any(type(part) is not kind for part, kind in zip(value, kinds, strict=True)):
            shape = ", ".join(kind.__name__ for kind in kinds)
            raise ValueError(f"world: {key} must hold [{shape}]; got {value!r}")
    return [tuple(value) for value in values]
