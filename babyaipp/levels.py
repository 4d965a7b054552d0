"""The level table: one row a level, and the splits as rules applied to a row.

A level is a family of worlds: a generator with its sizes, what its instructions can say, and the dynamics:
which colours and properties its floors have and which colour-property pairs are held out of training. The
rows are the benchmark's version of the original's levels (arXiv 2004.07200, section 4).
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from babyaipp.tiles import COLORS, PROPERTIES

Rule = tuple[str, str]
"""A floor colour and its property."""

Split = Literal["Train", "HeldOut", "All", "Fixed"]

OBJECT_TYPES: tuple[str, ...] = ("key", "ball", "box")
ID_PREFIX = "BabyAIpp"
VERSION = "v0"


@dataclass(frozen=True)
class Dynamics:
    """Which rules the floors of a level can have."""

    properties: tuple[str, ...]
    num_colors: int
    """Floor colours of an episode: the first ones of `COLORS`."""
    held_out: frozenset[Rule]
    """The rules that never occur in `Train` and are the only ones in `HeldOut`."""


@dataclass(frozen=True)
class Grammar:
    """Which instructions a level can give; `instructions.py` says how they are worded."""

    kinds: tuple[str, ...]
    types: tuple[str, ...] = OBJECT_TYPES
    colors: tuple[str | None, ...] = COLORS
    """None: the description may leave the colour out."""
    locations: bool = False
    """Whether "on your left" and the like may be added."""
    unique: bool = False
    """Whether just one object matches each description ("the", never "a")."""
    sequences: bool = False
    """Whether actions may be joined by and, before, after."""


@dataclass(frozen=True)
class Level:
    """A family of worlds."""

    name: str
    original: str
    """Name in the original code base, without the split."""
    generator: str
    """Which of the generators places rooms, doors, objects, the agent and the instruction."""
    dynamics: Dynamics
    grammar: Grammar
    room_size: int
    num_rows: int = 1
    num_cols: int = 1
    num_objects: int | None = None
    """Objects that the generator is asked for; None where the generator itself decides."""
    fixed: Mapping[str, str] | None = None
    """Rules of the split `Fixed`, where the level has one."""
    withheld: int = 0
    """How many rules the description always leaves out."""
    balanced: bool = False
    """Whether a text that contradicts the rules tells of deadly floors that they are harmless, and the reverse."""
    width: int = field(init=False)
    height: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "width", (self.room_size - 1) * self.num_cols + 1)
        object.__setattr__(self, "height", (self.room_size - 1) * self.num_rows + 1)
        dynamics = self.dynamics
        rules = {
            *dynamics.held_out,
            *((self.fixed or {}).items()),
            *((COLORS[0], name) for name in dynamics.properties),
        }
        for color, name in rules:
            if color not in COLORS or name not in PROPERTIES:
                raise ValueError(f"level {self.name}: unknown colour or property in the rule {color!r} {name!r}")
        if not 1 <= dynamics.num_colors <= len(COLORS):
            raise ValueError(f"level {self.name}: num_colors={dynamics.num_colors} must be 1 to {len(COLORS)}")
        if not dynamics.held_out <= self.drawable_rules("All"):
            raise ValueError(f"level {self.name}: held-out rules must be rules of the level; got {dynamics.held_out}")
        for split in self.splits:
            allowed = self.allowed(split)
            if len(allowed) < dynamics.num_colors or not all(allowed.values()):
                raise ValueError(f"level {self.name}: split {split} leaves a floor colour without property: {allowed}")

    @property
    def splits(self) -> tuple[Split, ...]:
        """The splits that the level has."""
        return ("Train", "HeldOut", "All") if self.fixed is None else ("Train", "HeldOut", "All", "Fixed")

    @property
    def num_sentences(self) -> int:
        """Most sentences that a description can have."""
        return self.dynamics.num_colors

    def allowed(self, split: Split) -> dict[str, tuple[str, ...]]:
        """The properties that each floor colour can have in a split, in the order of `COLORS` and `PROPERTIES`."""
        if split == "Fixed":
            assert self.fixed is not None
            return {color: (self.fixed[color],) for color in COLORS if color in self.fixed}
        held_out = self.dynamics.held_out
        return {
            color: tuple(
                name
                for name in PROPERTIES
                if name in self.dynamics.properties
                and (split == "All" or ((color, name) in held_out) == (split == "HeldOut"))
            )
            for color in COLORS[: self.dynamics.num_colors]
        }

    def properties(self, split: Split) -> tuple[str, ...]:
        """The properties that floors can have in a split, whatever their colour; each once, in no certain order."""
        if split == "Fixed":
            assert self.fixed is not None
            return tuple(dict.fromkeys(self.fixed.values()))
        return self.dynamics.properties

    def drawable_rules(self, split: Split) -> frozenset[Rule]:
        """Every rule that an episode of the split can have."""
        return frozenset((color, name) for color, names in self.allowed(split).items() for name in names)

    def env_id(self, split: Split) -> str:
        """The id for `gymnasium.make`."""
        return f"{ID_PREFIX}-{self.name}-{split}-{VERSION}"


def _rules(*pairs: str) -> frozenset[Rule]:
    """Rules from words such as "green trap"."""
    return frozenset((color, name) for color, name in (pair.split() for pair in pairs))


EASY = Dynamics(("trap", "fliplr", "slippery"), 2, _rules("green trap", "blue slippery"))
HARD = Dynamics(
    PROPERTIES[:6],
    3,
    _rules("green trap", "green flipud", "grey fliplr", "grey slippery", "blue sticky", "blue magic"),
)
STICKY_EASY = Dynamics(("trap", "sticky", "slippery"), 2, _rules("green trap", "blue sticky"))
PARTIAL = Dynamics(
    ("sticky", "flipud", "fliplr", "slippery", "magic"), 3, _rules("green sticky", "grey flipud", "blue slippery")
)

FIXED_6 = MappingProxyType(
    {"green": "slippery", "grey": "flipud", "blue": "fliplr", "red": "trap", "purple": "magic", "yellow": "sticky"}
)
FIXED_3 = MappingProxyType({"green": "slippery", "red": "trap", "yellow": "sticky"})

_GO_TO_RED_BALL = Grammar(("goto",), types=("ball",), colors=("red",), unique=True)
_GO_TO = Grammar(("goto",))
_GO_TO_ONLY = Grammar(("goto",), unique=True)
_PUT_NEXT = Grammar(("putnext",))
_GO_TO_SEQ = Grammar(("goto",), types=(*OBJECT_TYPES, "door"), colors=(None, *COLORS), sequences=True)

_ROWS: tuple[Level, ...] = (
    Level("GoToRedBall", "GoTo_RedBallDynamics", "GoToRedBallNoDists", EASY, _GO_TO_RED_BALL, 8),
    Level(
        "GoToRedBallHard", "GoTo_RedBallDynamics_Hard", "GoToRedBallNoDists", HARD, _GO_TO_RED_BALL, 8, fixed=FIXED_6
    ),
    Level(
        "GoToRedBallMaze",
        "GoTo_RedBallDynamics_Maze",
        "GoToRedBallMaze",
        HARD,
        _GO_TO_RED_BALL,
        8,
        3,
        3,
        fixed=FIXED_6,
    ),
    Level(
        "PutNextLocal",
        "PutNextLocalDynamics",
        "PutNextLocal",
        EASY,
        Grammar(("putnext",), unique=True),
        8,
        num_objects=4,
        fixed=FIXED_3,
    ),
    Level("PutNext", "PutNextDynamics", "PutNext", EASY, _PUT_NEXT, 8, 3, 3, num_objects=18),
    Level("PutNextHard", "PutNextDynamics_Hard", "PutNext", HARD, _PUT_NEXT, 8, 3, 3, num_objects=18),
    Level("GoToObjMaze", "GoToObjMaze_Dynamics", "GoTo", HARD, _GO_TO_ONLY, 11, 3, 3, num_objects=1),
    Level("GoToLocal", "GoToLocal_Dynamics", "GoToLocal", EASY, _GO_TO, 11, num_objects=8),
    Level("GoTo", "GoTo_Dynamics", "GoTo", EASY, _GO_TO, 11, 3, 3, num_objects=11),
    Level("GoToHard", "GoTo_Dynamics_Hard", "GoTo", HARD, _GO_TO, 11, 3, 3, num_objects=11, fixed=FIXED_6),
    Level("Unlock", "Unlock_Dynamic", "Unlock", HARD, Grammar(("open",), types=("door",)), 11, 3, 3, fixed=FIXED_6),
    Level(
        "PickupLoc",
        "PickupLoc_Dynamic",
        "PickupLoc",
        EASY,
        Grammar(("pickup",), colors=(None, *COLORS), locations=True),
        8,
        fixed=FIXED_3,
    ),
    Level("GoToSeq", "GotoSeq_Dynamic", "GoToSeq", HARD, _GO_TO_SEQ, 11, 3, 3, num_objects=18, fixed=FIXED_6),
    Level("GoToRedBallSticky", "GoTo_RedBallDynamicsSticky", "GoToRedBallNoDists", STICKY_EASY, _GO_TO_RED_BALL, 8),
    Level("GoToNoDist", "GoTo_NoDistDynamics", "GoTo", EASY, _GO_TO_ONLY, 8, 3, 3, num_objects=1),
    Level("GoToPartial", "GoTo2by2_PartialDynamics", "GoTo", PARTIAL, _GO_TO, 9, 2, 2, num_objects=18, withheld=1),
)

LEVELS: Mapping[str, Level] = MappingProxyType({level.name: level for level in _ROWS})


def get_level(name: str) -> Level:
    """The row of a level.

    Raises:
        ValueError: there is no such level.
    """
    if not isinstance(name, str) or name not in LEVELS:
        raise ValueError(f"unknown level {name!r}; {suggest(name, LEVELS)}")
    return LEVELS[name]


def get_split(level: Level, split: str) -> Split:
    """The split of a level by its name.

    Raises:
        ValueError: the level has no such split.
    """
    for known in level.splits:
        if known == split:
            return known
    raise ValueError(f"unknown split {split!r} of level {level.name}; allowed: {', '.join(level.splits)}")


def parse_env_id(env_id: str) -> tuple[Level, Split]:
    """Level and split of an environment id, with or without a leading `babyaipp:`.

    Raises:
        ValueError: no environment of this package has that id.
    """
    ids = {level.env_id(split): (level, split) for level in LEVELS.values() for split in level.splits}
    name = env_id.removeprefix("babyaipp:")
    if name not in ids:
        raise ValueError(f"unknown environment id {env_id!r}; {suggest(name, ids)}")
    return ids[name]


def check_rules(rules: Mapping[str, str]) -> dict[str, str]:
    """A copy of a map from floor colour to property, once every word in it is known.

    Raises:
        ValueError: not a mapping, or an unknown colour or property.
    """
    if not isinstance(rules, Mapping):
        raise ValueError(f"rules must map floor colours to properties, such as {{'green': 'trap'}}; got {rules!r}")
    for color, name in rules.items():
        if color not in COLORS:
            raise ValueError(f"rules: unknown colour {color!r}; allowed: {', '.join(COLORS)}")
        if name not in PROPERTIES:
            raise ValueError(f"rules: unknown property {name!r} of {color}; allowed: {', '.join(PROPERTIES)}")
    return dict(rules)


def suggest(word: str, known: Mapping[str, object] | tuple[str, ...]) -> str:
    """The end of an error message: the nearest known word, or all of them."""
    close = difflib.get_close_matches(str(word), list(known), n=1)
    return f"did you mean {close[0]!r}?" if close else f"allowed: {', '.join(known)}"
