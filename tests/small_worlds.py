"""Random worlds so small that everything can be tried in them: a few cells with tiles, things and doors."""

from __future__ import annotations

import numpy as np

from babyaipp import World
from babyaipp.levels import get_level
from babyaipp.tiles import PROPERTIES

LEVEL_OF = {
    "goto": "GoToRedBallHard",
    "pickup": "PickupLoc",
    "putnext": "PutNext",
    "open": "Unlock",
    "sequence": "GoToSeq",
}
_SIDE = 6  # cells a side of the area where the worlds lie
_FLOORS = ("blue", "green", "grey")
_OTHERS = ("Kg", "Bg", "Oe", "By", "Kp", "Br")
_DOORS = ("Dg", "Lg", "Lg", "Lp", "/b")


def small_worlds(kind: str, count: int, first: int, longest: int = 14) -> list[World]:
    """Worlds with instructions of a kind in `LEVEL_OF` and time limits below `longest`, from seeds from `first` on."""
    worlds: list[World] = []
    while len(worlds) < count:
        world = _small_world(kind, np.random.default_rng([first, *kind.encode()]), longest)
        first += 1
        if world is not None:
            worlds.append(world)
    return worlds


def _small_world(kind: str, random: np.random.Generator, longest: int) -> World | None:
    """None if the cells do not suffice."""
    level = get_level(LEVEL_OF[kind])
    cells = _cells(random)
    things = _things(kind, random)
    if len(things) >= len(cells):
        return None
    grid = dict.fromkeys(cells, "..")
    free = [cells[i] for i in random.permutation(len(cells))]
    agent = free.pop()
    for thing in things:
        grid[free.pop()] = thing
    if random.random() < 0.4 and free:
        grid[free.pop()] = _DOORS[random.integers(len(_DOORS))]
    count = level.dynamics.num_colors
    properties = [PROPERTIES[i] for i in random.permutation(len(PROPERTIES))[:count]]
    rules = dict(zip(_FLOORS, properties, strict=False))
    for cell in free:
        if random.random() < 0.6:
            grid[cell] = "_" + "bge"[random.integers(count)]
    heading = ">v<^"[random.integers(4)]
    grid[agent] = heading + (heading if random.random() < 0.5 else "bge"[random.integers(count)])
    rows = [" ".join(grid.get((x, y), "##") for x in range(level.width)) for y in range(level.height)]
    return World.from_ascii(
        "\n".join(rows),
        level=level.name,
        instruction=_instruction(kind, things, random),
        rules=rules,
        max_steps=int(random.integers(6, longest)),
    )


def _cells(random: np.random.Generator) -> list[tuple[int, int]]:
    """Some cells that hang together."""
    size = random.integers(5, 11)
    cells = {(int(random.integers(1, _SIDE + 1)), int(random.integers(1, _SIDE + 1)))}
    while len(cells) < size:
        x, y = sorted(cells)[random.integers(len(cells))]
        dx, dy = ((1, 0), (-1, 0), (0, 1), (0, -1))[random.integers(4)]
        if 1 <= x + dx <= _SIDE and 1 <= y + dy <= _SIDE:
            cells.add((x + dx, y + dy))
    return sorted(cells)


def _things(kind: str, random: np.random.Generator) -> list[str]:
    others = [_OTHERS[i] for i in random.permutation(len(_OTHERS))[: random.integers(3)]]
    if kind == "pickup":
        return [_OTHERS[random.integers(len(_OTHERS))], *others]
    if kind == "open":
        return [("Lr", "Dr", "/r")[random.integers(3)], "Kr", *others]
    if kind == "sequence":
        return ["Or", "Bb", "Ky"][: 2 + random.integers(2)] + others
    needed = ["Or"] if kind == "goto" else ["Or", "Kb"]
    return needed + (["Or"] if kind == "putnext" and random.random() < 0.3 else []) + others


def _instruction(kind: str, things: list[str], random: np.random.Generator) -> str:
    article = "a" if things.count("Or") > 1 else "the"
    if kind == "goto":
        return "go to the red ball"
    if kind == "open":
        return "open the red door"
    if kind == "putnext":
        return f"put {article} red ball next to the blue key"
    if kind == "pickup":
        words = {
            "K": "key",
            "B": "box",
            "O": "ball",
            "g": "green",
            "e": "grey",
            "y": "yellow",
            "p": "purple",
            "r": "red",
        }
        article = "a" if things.count(things[0]) > 1 else "the"
        return f"pick up {article} {words[things[0][1]]} {words[things[0][0]]}"
    first, second = (("go to the red ball", "go to the blue box")[i] for i in random.permutation(2))
    choices = [f"{first} and {second}", f"{first}, then {second}", f"{first} after you {second}"]
    if "Ky" in things:
        third = "go to the yellow key"
        choices += [f"{first} and {second}, then {third}", f"{third} after you {first} and {second}"]
    return choices[random.integers(len(choices))]
