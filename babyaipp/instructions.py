"""What the agent is told to do: the tree of an instruction, its wording, and what a level can say.

Minigrid words the instructions of the worlds that it generates; this module says the same for worlds that are
read from a file or an ASCII map, and defines exactly which strings a level's `mission` can be.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from typing import Any

from babyaipp.levels import OBJECT_TYPES, Grammar
from babyaipp.tiles import COLORS

Position = tuple[int, int]
Cell = tuple[int, int, str, str, int]
"""x, y, type, colour, state of a thing in the grid that is not a wall."""

LOCATIONS: Mapping[str, str] = {
    "left": " on your left",
    "right": " on your right",
    "front": " in front of you",
    "behind": " behind you",
}
ACTION_KINDS: Mapping[str, str] = {"goto": "go to ", "open": "open ", "pickup": "pick up ", "putnext": "put "}
SEQUENCE_KINDS: Mapping[str, str] = {"and": " and ", "before": ", then ", "after": " after you "}
_NEXT_TO = " next to "
_ALL_TYPES = (*OBJECT_TYPES, "door")

DIRECTIONS: tuple[Position, ...] = ((1, 0), (0, 1), (-1, 0), (0, -1))
"""Steps in x and y of the four directions: right, down, left, up."""


@dataclass(frozen=True)
class ObjectDescription:
    """A set of objects, such as "a red ball on your left", and where they are at the start."""

    type: str
    color: str | None = None
    loc: str | None = None
    positions: tuple[Position, ...] = ()

    def __str__(self) -> str:
        article = "a" if len(self.positions) > 1 else "the"
        color = f"{self.color} " if self.color else ""
        return f"{article} {color}{self.type}{LOCATIONS[self.loc] if self.loc else ''}"

    def located(self, cells: Iterable[Cell], agent: tuple[int, int, int], room_size: int) -> ObjectDescription:
        """The same description with the positions of the objects that match it, by column, then row."""
        positions = sorted(
            (x, y) for x, y, kind, color, _ in cells if self._matches(x, y, kind, color, agent, room_size)
        )
        return ObjectDescription(self.type, self.color, self.loc, tuple(positions))

    def _matches(self, x: int, y: int, kind: str, color: str, agent: tuple[int, int, int], room_size: int) -> bool:
        if kind != self.type or (self.color is not None and color != self.color):
            return False
        if self.loc is None:
            return True
        # A location speaks of the agent's room, walls included, seen from where the agent starts.
        agent_x, agent_y, direction = agent
        left, top = ((at // (room_size - 1)) * (room_size - 1) for at in (agent_x, agent_y))
        if not (left <= x < left + room_size and top <= y < top + room_size):
            return False
        ahead_x, ahead_y = DIRECTIONS[direction]
        ahead = (x - agent_x) * ahead_x + (y - agent_y) * ahead_y
        right = (y - agent_y) * ahead_x - (x - agent_x) * ahead_y
        return {"front": ahead > 0, "behind": ahead < 0, "right": right > 0, "left": right < 0}[self.loc]


@dataclass(frozen=True)
class Instruction:
    """A tree: an action on described objects, or two instructions joined.

    `goto`, `open` and `pickup` use `desc`; `putnext` uses `desc` for what is moved and `fixed` for where to;
    `and`, `before` and `after` use `a` and `b`.
    """

    kind: str
    desc: ObjectDescription | None = None
    fixed: ObjectDescription | None = None
    a: Instruction | None = None
    b: Instruction | None = None

    def __str__(self) -> str:
        if self.kind in SEQUENCE_KINDS:
            return f"{self.a}{SEQUENCE_KINDS[self.kind]}{self.b}"
        return ACTION_KINDS[self.kind] + str(self.desc) + (f"{_NEXT_TO}{self.fixed}" if self.fixed else "")

    @property
    def actions(self) -> tuple[Instruction, ...]:
        """The actions at the leaves, in the order of the text."""
        if self.a is not None and self.b is not None:
            return self.a.actions + self.b.actions
        return (self,)

    @property
    def num_navigations(self) -> int:
        """Navigations needed, which the time limit is proportional to."""
        return sum(2 if action.kind == "putnext" else 1 for action in self.actions)

    def located(self, cells: Iterable[Cell], agent: tuple[int, int, int], room_size: int) -> Instruction:
        """The same instruction with the positions of the objects that its descriptions match."""
        cells = tuple(cells)
        return Instruction(
            self.kind,
            self.desc and self.desc.located(cells, agent, room_size),
            self.fixed and self.fixed.located(cells, agent, room_size),
            self.a and self.a.located(cells, agent, room_size),
            self.b and self.b.located(cells, agent, room_size),
        )

    def to_dict(self) -> dict[str, Any]:
        """The tree as JSON-serialisable dicts."""
        if self.a is not None and self.b is not None:
            return {"kind": self.kind, "a": self.a.to_dict(), "b": self.b.to_dict()}
        assert self.desc is not None
        if self.fixed is not None:
            return {"kind": self.kind, "move": _desc_to_dict(self.desc), "fixed": _desc_to_dict(self.fixed)}
        return {"kind": self.kind, "desc": _desc_to_dict(self.desc)}

    @classmethod
    def from_dict(cls, data: Any) -> Instruction:
        """The tree from what `to_dict` gives.

        Raises:
            ValueError: an unknown kind or word, missing or unknown keys.
        """
        kind = str(data.get("kind")) if isinstance(data, Mapping) else ""
        if kind in SEQUENCE_KINDS:
            _check_keys(data, {"kind", "a", "b"})
            for part in (data["a"], data["b"]):
                inner = part.get("kind") if isinstance(part, Mapping) else None
                if inner in ("before", "after") or (kind == "and" and inner == "and"):
                    raise ValueError(f"instruction: {inner!r} cannot stand inside {kind!r}")
            return cls(kind, a=cls.from_dict(data["a"]), b=cls.from_dict(data["b"]))
        if kind == "putnext":
            _check_keys(data, {"kind", "move", "fixed"})
            return cls(kind, _desc_from_dict(data["move"], OBJECT_TYPES), _desc_from_dict(data["fixed"], _ALL_TYPES))
        if kind in ACTION_KINDS:
            _check_keys(data, {"kind", "desc"})
            types = {"open": ("door",), "pickup": OBJECT_TYPES}.get(kind, _ALL_TYPES)
            return cls(kind, _desc_from_dict(data["desc"], types))
        allowed = ", ".join((*ACTION_KINDS, *SEQUENCE_KINDS))
        raise ValueError(f"instruction: unknown kind in {data!r}; allowed kinds: {allowed}")


def _desc_to_dict(desc: ObjectDescription) -> dict[str, Any]:
    return {
        "type": desc.type,
        "color": desc.color,
        "loc": desc.loc,
        "positions": [list(position) for position in desc.positions],
    }


def _desc_from_dict(data: Any, types: tuple[str, ...]) -> ObjectDescription:
    if not isinstance(data, Mapping):
        raise ValueError(f"instruction: an object description must be a mapping; got {data!r}")
    _check_keys(data, {"type", "color", "loc", "positions"}, optional={"color", "loc", "positions"})
    for key, allowed in (("type", types), ("color", (None, *COLORS)), ("loc", (None, *LOCATIONS))):
        if data.get(key) not in allowed:
            raise ValueError(f"instruction: unknown {key} {data.get(key)!r}; allowed: {', '.join(map(str, allowed))}")
    positions = data.get("positions", ())
    sound = isinstance(positions, list | tuple) and all(
        isinstance(position, list | tuple) and tuple(map(type, position)) == (int, int) for position in positions
    )
    if not sound:
        raise ValueError(f"instruction: positions must be a list of [int, int]; got {positions!r}")
    return ObjectDescription(data["type"], data.get("color"), data.get("loc"), tuple((x, y) for x, y in positions))


def _check_keys(data: Mapping[str, Any], keys: set[str], optional: Set[str] = frozenset()) -> None:
    missing, unknown = keys - optional - set(data), set(data) - keys
    if missing or unknown:
        raise ValueError(
            f"instruction: {'missing' if missing else 'unknown'} keys {sorted(missing or unknown)} in {dict(data)!r}"
        )


def parse_instruction(text: str) -> Instruction:
    """The tree of an instruction's text; its positions are empty until `located` on a world.

    The text is only taken apart here; `Instruction.from_dict` checks what may stand where.

    Raises:
        ValueError: the text is not an instruction.
    """
    for kind in ("before", "after", "and"):
        first, separator, second = text.partition(SEQUENCE_KINDS[kind])
        if separator:
            a, b = parse_instruction(first), parse_instruction(second)
            return Instruction.from_dict({"kind": kind, "a": a.to_dict(), "b": b.to_dict()})
    for kind, verb in ACTION_KINDS.items():
        if text.startswith(verb):
            descriptions = text.removeprefix(verb).split(_NEXT_TO)
            if len(descriptions) != (2 if kind == "putnext" else 1):
                break
            parts = dict(zip(("move", "fixed") if kind == "putnext" else ("desc",), descriptions, strict=True))
            return Instruction.from_dict(
                {"kind": kind, **{key: _parse_description(part, text) for key, part in parts.items()}}
            )
    raise ValueError(f"not an instruction: {text!r}; an example: 'go to the red ball'")


_DESCRIPTION = re.compile(
    rf"(?:a|the) (?:({'|'.join(COLORS)}) )?({'|'.join(_ALL_TYPES)})({'|'.join(LOCATIONS.values())})?"
)


def _parse_description(text: str, whole: str) -> dict[str, Any]:
    match = _DESCRIPTION.fullmatch(text)
    if match is None:
        raise ValueError(f"not an object description: {text!r} in {whole!r}; an example: 'the red ball'")
    locations = {words: name for name, words in LOCATIONS.items()}
    return {"color": match[1], "type": match[2], "loc": locations.get(match[3])}


def can_say(grammar: Grammar, text: str) -> bool:
    """Whether a level with this grammar can give the instruction."""
    try:
        instruction = parse_instruction(text)
    except ValueError:
        return False
    if not grammar.sequences and len(instruction.actions) > 1:
        return False
    if grammar.unique and re.search(r"\ba\b", text):
        return False
    return all(_can_say_action(grammar, action) for action in instruction.actions)


def _can_say_action(grammar: Grammar, action: Instruction) -> bool:
    if action.kind not in grammar.kinds or action.desc == action.fixed:
        return False
    return all(
        desc.type in grammar.types and desc.color in grammar.colors and (desc.loc is None or grammar.locations)
        for desc in (action.desc, action.fixed)
        if desc is not None
    )


def max_words(grammar: Grammar) -> int:
    """Most words that an instruction with this grammar can have."""
    article_color_type = 3
    location = 4 if grammar.locations else 0  # "in front of you"
    verb_words = {"goto": 2, "open": 1, "pickup": 2, "putnext": 1}
    longest = 0
    for kind in grammar.kinds:
        descriptions = 2 if kind == "putnext" else 1
        next_to = 2 * (descriptions - 1)
        longest = max(longest, verb_words[kind] + descriptions * (article_color_type + location) + next_to)
    # The longest sequence: two actions joined by "and", after two more.
    return 4 * longest + len(("and", "and", "after", "you")) if grammar.sequences else longest
