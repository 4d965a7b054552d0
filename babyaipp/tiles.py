"""What the floor tiles do: one row a property, and its rule as small integer functions.

First in the data flow: everything else (levels, floors, both implementations) reads this file. The functions
take and return plain integers, without objects or allocation, so that the reference calls them as they are
and a compiler can translate them unchanged. Source of the rules: arXiv 2004.07200, section 3, and the code
that came with it.

Time is counted in half-steps, two a step. A colour or a property is a number, its index in `COLORS` or
`PROPERTIES`; `NONE` (-1) means no tile.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

HazardClass = Literal["deadly", "path", "free"]

NONE = -1

COLORS: tuple[str, ...] = ("blue", "green", "grey", "purple", "red", "yellow")

HAZARD_CLASSES: tuple[HazardClass, ...] = ("deadly", "path", "free")
DEADLY, PATH, FREE = range(3)


@dataclass(frozen=True)
class Tile:
    """A property that a floor colour can have in an episode."""

    name: str
    hazard: HazardClass
    """How densely such tiles are strewn, and whether they keep a distance (see `floors.py`)."""
    effect: str
    """What the tile does, for people."""


TILES: tuple[Tile, ...] = (  # append only: a property's number is its place here
    Tile("trap", "deadly", "ends the episode without reward"),
    Tile("sticky", "free", "holds the agent until it has spent two steps on the cell"),
    Tile("flipud", "free", "a forward move first turns the agent around"),
    Tile("fliplr", "free", "left and right are exchanged"),
    Tile("slippery", "path", "a step begun on it takes half a step of time"),
    Tile("magic", "path", "every second step on it first drops the agent one cell down"),
    Tile("pit", "deadly", "ends the episode without reward"),
    Tile("jail", "deadly", "never lets the agent go, and nothing it does there counts"),
    Tile("drain", "deadly", "takes all the time that is left"),
)
PROPERTIES: tuple[str, ...] = tuple(tile.name for tile in TILES)
TRAP, STICKY, FLIPUD, FLIPLR, SLIPPERY, MAGIC, PIT, JAIL, DRAIN = range(len(TILES))

# Actions, numbered as in Minigrid.
LEFT, RIGHT, FORWARD, PICKUP, DROP, TOGGLE, DONE = range(7)

HALF_STEPS_PER_STEP = 2
_STICKY_STEPS = 2


def is_deadly(prop: int) -> bool:
    """Whether standing on the tile after an action ends the episode."""
    return prop == TRAP


def step_half_steps(prop: int) -> int:
    """Half-steps that an action begun on the tile takes."""
    return 1 if prop == SLIPPERY else HALF_STEPS_PER_STEP


def falls(prop: int, color_steps: int) -> bool:
    """Whether the agent drops one cell down (+y) before its action.

    `color_steps`: steps spent on this colour without leaving it, 0 on arrival.
    """
    return prop == MAGIC and color_steps % 2 == 1


def turns_around(prop: int, action: int) -> bool:
    """Whether the agent turns by 180 degrees before its action, and stays turned."""
    return prop == FLIPUD and action == FORWARD


def effective_action(prop: int, action: int, cell_steps: int) -> int:
    """The action that is executed when the agent chooses `action`.

    `cell_steps`: steps spent on this cell, 0 on arrival.
    """
    if prop == FLIPLR and action == LEFT:
        return RIGHT
    if prop == FLIPLR and action == RIGHT:
        return LEFT
    if prop == STICKY and action == FORWARD and cell_steps < _STICKY_STEPS:
        return DONE
    return action


def action_on_held(action: int) -> int:
    """The action that is executed when the cell ahead is a tile that holds an object.

    The tile gives the object out (`pickup`) but shields it from `toggle`: a box on a tile cannot be opened.
    """
    return DONE if action == TOGGLE else action


def next_color_steps(color_steps: int, color_before: int, color_after: int) -> int:
    """`color_steps` after a step that began on `color_before` and ended on `color_after`."""
    return color_steps + 1 if color_after == color_before else 0


def next_cell_steps(cell_steps: int, moved: bool) -> int:
    """`cell_steps` after a step; `moved`: the action (not a fall) took the agent to another cell."""
    return 0 if moved else cell_steps + 1


def success_reward(half_steps: int, max_steps: int) -> float:
    """Reward of a success after `half_steps`: `1 - 0.9 * (half_steps / 2) / max_steps`.

    Written as one division of integers, so that every compiler and device gives the same bits.
    """
    return (20 * max_steps - 9 * half_steps) / (20 * max_steps)
