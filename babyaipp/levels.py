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

from babyaipp.tiles import COLORS, PROPERTIES, TILES

Rule = tuple[str, str]
"""A floor colour and its property."""

Split = Literal["Train", "Val", "HeldOut", "All", "Fixed"]

Floors = Literal["strewn", "gates", "patches"]

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
    """The rules that are the only ones in `HeldOut` and never occur elsewhere but in `All`."""
    val: frozenset[Rule] = frozenset()
    """Likewise for `Val`, the split for choosing models; empty: there is none."""
    num_deadly: int | None = None
    """How many floor colours of an episode are deadly, whichever they are; None: each property is drawn for itself."""

    @property
    def rules(self) -> dict[Split, frozenset[Rule]]:
        """The rules that episodes can have, for each split but `Fixed`."""
        whole = frozenset((color, name) for color in COLORS[: self.num_colors] for name in self.properties)
        parts: dict[Split, frozenset[Rule]] = {"Train": whole - self.held_out - self.val}
        if self.val:
            parts["Val"] = self.val
        return parts | {"HeldOut": self.held_out, "All": whole}


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
    """Name in the original code base, without the split; empty: it has none like it."""
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
    floors: Floors = "strewn"
    """How the tiles are laid, see `floors.py` and `reading.py`."""
    num_walls: int = 0
    """Walls across the room, with two gaps each."""
    sentence_order: Literal["canonical", "shuffled"] = "canonical"
    """Order of the description's sentences, unless another one is asked for."""
    width: int = field(init=False)
    height: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "width", (self.room_size - 1) * self.num_cols + 1)
        object.__setattr__(self, "height", (self.room_size - 1) * self.num_rows + 1)
        dynamics = self.dynamics
        rules = {
            *dynamics.held_out,
            *dynamics.val,
            *((self.fixed or {}).items()),
            *((COLORS[0], name) for name in dynamics.properties),
        }
        for color, name in rules:
            if color not in COLORS or name not in PROPERTIES:
                raise ValueError(f"level {self.name}: unknown colour or property in the rule {color!r} {name!r}")
        if not 1 <= dynamics.num_colors <= len(COLORS):
            raise ValueError(f"level {self.name}: num_colors={dynamics.num_colors} must be 1 to {len(COLORS)}")
        if not dynamics.held_out | dynamics.val <= dynamics.rules["All"]:
            raise ValueError(f"level {self.name}: held-out rules must be rules of the level; got {dynamics.held_out}")
        if dynamics.held_out & dynamics.val:
            raise ValueError(f"level {self.name}: rules of Val and HeldOut: {dynamics.held_out & dynamics.val}")
        for split in self.splits:
            allowed = self.allowed(split)
            if len(allowed) < dynamics.num_colors or not all(allowed.values()):
                raise ValueError(f"level {self.name}: split {split} leaves a floor colour without property: {allowed}")
            for color, names in allowed.items():
                if self.balanced and len({is_deadly_name(name) for name in names}) < 2:
                    raise ValueError(f"level {self.name}: split {split} needs both classes for {color}; got {names}")

    @property
    def splits(self) -> tuple[Split, ...]:
        """The splits that the level has."""
        return (*self.dynamics.rules, *(() if self.fixed is None else ("Fixed",)))

    @property
    def balanced(self) -> bool:
        """Whether a class is drawn for each colour; a text that contradicts the rules then tells the other class."""
        return self.dynamics.num_deadly is not None

    @property
    def num_sentences(self) -> int:
        """Most sentences that a description can have."""
        return self.dynamics.num_colors

    def allowed(self, split: Split) -> dict[str, tuple[str, ...]]:
        """The properties that each floor colour can have in a split, in the order of `COLORS` and `PROPERTIES`."""
        if split == "Fixed":
            assert self.fixed is not None
            return {color: (self.fixed[color],) for color in COLORS if color in self.fixed}
        rules = self.dynamics.rules[split]
        colors = COLORS[: self.dynamics.num_colors]
        return {color: tuple(name for name in PROPERTIES if (color, name) in rules) for color in colors}

    @property
    def needed_rules(self) -> tuple[int, int]:
        """How many deadly and how many harmless floor colours the level's tiles take, at least."""
        if self.floors == "gates":
            return 1, 1
        if self.floors == "patches":
            return (1, 2) if self.num_cols == 1 else (3, 3)
        return 0, 0

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


def is_deadly_name(name: str) -> bool:
    """Whether a property is of the deadly class."""
    return TILES[PROPERTIES.index(name)].hazard == "deadly"


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

_DEADLY = ("trap", "pit", "jail", "drain")
_HARMLESS = ("slippery", "sticky", "fliplr", "magic")


def _latin_square(remainder: int) -> frozenset[Rule]:
    """The rules of colour c and the i-th property of either class for which (c + i) mod 4 is `remainder`.

    So each colour is deadly in as many of these rules as it is harmless.
    """
    return frozenset(
        (color, name)
        for c, color in enumerate(COLORS)
        for names in (_DEADLY, _HARMLESS)
        for i, name in enumerate(names)
        if (c + i) % 4 == remainder
    )


READING = Dynamics((*_DEADLY, *_HARMLESS), len(COLORS), _latin_square(0), _latin_square(1), num_deadly=3)

FIXED_6 = MappingProxyType(
    {"green": "slippery", "grey": "flipud", "blue": "fliplr", "red": "trap", "purple": "magic", "yellow": "sticky"}
)
FIXED_3 = MappingProxyType({"green": "slippery", "red": "trap", "yellow": "sticky"})

_GO_TO_RED_BALL = Grammar(("goto",), types=("ball",), colors=("red",), unique=True)
_GO_TO = Grammar(("goto",))
_GO_TO_ONLY = Grammar(("goto",), unique=True)
_PUT_NEXT = Grammar(("putnext",))
_GO_TO_SEQ = Grammar(("goto",), types=(*OBJECT_TYPES, "door"), colors=(None, *COLORS), sequences=True)


def _reading(
    name: str, generator: str, grammar: Grammar, room_size: int, floors: Floors, num_walls: int = 0, num_cols: int = 1
) -> Level:
    """A row of a level in which an agent that does not read must fail; there is none like it in the original."""
    return Level(
        name,
        "",
        generator,
        READING,
        grammar,
        room_size,
        num_cols=num_cols,
        floors=floors,
        num_walls=num_walls,
        sentence_order="shuffled",
    )


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
    _reading("CrossTwo", "Crossing", _GO_TO_RED_BALL, 8, "gates", num_walls=1),
    _reading("CrossMany", "Crossing", _GO_TO_RED_BALL, 13, "gates", num_walls=3),
    _reading("Minefield", "Minefield", _GO_TO_RED_BALL, 8, "patches"),
    _reading("MinefieldHard", "Minefield", _GO_TO_RED_BALL, 8, "patches", num_cols=2),
    _reading("Courier", "Courier", Grammar(("putnext",), unique=True), 8, "gates", num_walls=1),
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
