"""The protocol: which episodes an agent plays, so that results can be compared, and played again by anyone.

A suite is a list of levels; each is played in some cells, a cell being a split together with what the text tells. In
every cell an agent plays `EPISODES` episodes, from the environment seeds `FIRST_SEED` on: the same for every agent, so
that differences are of pairs. Training refuses these seeds, and all others from `EVALUATION_SEEDS` on.

What stands here does not change under the same `PROTOCOL`: a change of any of it makes a new version.
"""

from __future__ import annotations

from dataclasses import dataclass

from babyaipp.levels import LEVELS, Level, Split, get_level, suggest
from babyaipp.texts import TextCondition, parse_text_condition

PROTOCOL = "1.0"
"""Version of all of this."""
EPISODES = 1000
"""Of a cell."""
EVALUATION_SEEDS = 1_000_000_000
"""Environment seeds from here on are for evaluation, those below for training."""
FIRST_SEED = 2_000_000_000
"""Of a cell's first episode; episode k begins from `FIRST_SEED + k`."""
FRESH_SEEDS = 4_000_000_000
"""Seeds from here on are for those who check a claim with episodes that nobody has seen."""
RANKED_SEEDS = 3
"""A ranked entry has agents from so many training seeds, at least."""
TRACKS: dict[str, int | None] = {"5M": 5_000_000, "unlimited": None}
"""Budgets of training: the most frames of an agent's training, all levels apart."""
OBSERVATIONS = ("tokens", "text")
"""Observation modes: texts as word ids, as the engine gives them, or as strings."""

TRUE, LOREM, CONTRADICT = "true", "lorem", "contradict"


@dataclass(frozen=True, order=True)
class Cell:
    """Episodes that are played alike: a level's split, and what the text tells."""

    level: str
    split: str
    text: str = TRUE

    @property
    def name(self) -> str:
        """Such as "CrossTwo/HeldOut/true"."""
        return f"{self.level}/{self.split}/{self.text}"

    @property
    def row(self) -> Level:
        """The level."""
        return get_level(self.level)

    @property
    def condition(self) -> TextCondition:
        """What the text tells."""
        return parse_text_condition(self.text)


@dataclass(frozen=True)
class Suite:
    """Levels that are reported together.

    Attributes:
        name: of the suite.
        about: what it is for, in a sentence.
        levels: names of rows of the level table.
        parts: split and text of each cell that is played of a level.
        main: split and text of the part whose success ranks.
    """

    name: str
    about: str
    levels: tuple[str, ...]
    parts: tuple[tuple[Split, str], ...]
    main: tuple[Split, str]

    def cells(self, levels: tuple[str, ...] | None = None) -> tuple[Cell, ...]:
        """All cells, level by level; of some levels only, if asked for.

        Raises:
            ValueError: a level that the suite does not have.
        """
        chosen = self.levels if levels is None else levels
        unknown = [level for level in chosen if level not in self.levels]
        if unknown:
            raise ValueError(f"level {unknown[0]!r} is not in suite {self.name}; {suggest(unknown[0], self.levels)}")
        return tuple(Cell(level, *part) for level in self.levels if level in chosen for part in self.parts)


_READING = tuple(name for name, level in LEVELS.items() if level.balanced)
_CLASSIC = (
    *("GoToRedBall", "GoToRedBallHard", "GoToRedBallMaze", "PutNextLocal", "PutNext", "PutNextHard", "GoToObjMaze"),
    *("GoToLocal", "GoTo", "GoToHard", "Unlock", "PickupLoc", "GoToSeq"),
)
_READ: tuple[tuple[Split, str], ...] = (
    ("Train", TRUE),
    ("HeldOut", TRUE),
    ("HeldOut", LOREM),
    ("HeldOut", CONTRADICT),
)

SUITES: dict[str, Suite] = {
    suite.name: suite
    for suite in (
        Suite("reading", "levels on which an agent that does not read must fail", _READING, _READ, ("HeldOut", TRUE)),
        Suite("classic", "the 13 levels of the paper", _CLASSIC, _READ, ("HeldOut", TRUE)),
        Suite(
            "fixed",
            "agents of rules that never change: what memorising does",
            tuple(name for name in LEVELS if "Fixed" in LEVELS[name].splits),
            (("Fixed", TRUE), ("All", TRUE)),
            ("Fixed", TRUE),
        ),
        Suite(
            "lorem",
            "agents of texts without meaning: what can be had without reading",
            _CLASSIC,
            (("Train", LOREM), ("HeldOut", LOREM)),
            ("HeldOut", LOREM),
        ),
    )
}


def get_suite(name: str) -> Suite:
    """A suite by its name.

    Raises:
        ValueError: there is none of that name.
    """
    if name not in SUITES:
        raise ValueError(f"unknown suite {name!r}; {suggest(name, tuple(SUITES))}")
    return SUITES[name]


def check_training_seed(seed: int) -> None:
    """Raise ValueError unless environments may be trained on with this seed.

    Raises:
        ValueError: it is one of evaluation, or negative.
    """
    if not 0 <= seed < EVALUATION_SEEDS:
        raise ValueError(
            f"seed={seed} is not for training: allowed are 0 to {EVALUATION_SEEDS - 1}; larger ones are for evaluation"
        )


def track_of(frames: int) -> str:
    """The narrowest track for so many frames of training."""
    for name, most in TRACKS.items():
        if most is None or frames <= most:
            return name
    raise AssertionError("the last track has no limit")
