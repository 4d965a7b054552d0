"""ASCII maps of a grid: two characters a cell, for tests, terminals and worlds written by hand."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from babyaipp.instructions import Cell, Position

DOOR_OPEN, DOOR_CLOSED, DOOR_LOCKED = range(3)

COLOR_LETTERS: Mapping[str, str] = {"blue": "b", "green": "g", "grey": "e", "purple": "p", "red": "r", "yellow": "y"}
THING_LETTERS: Mapping[tuple[str, int], str] = {
    ("floor", 0): "_",
    ("key", 0): "K",
    ("ball", 0): "O",
    ("box", 0): "B",
    ("door", DOOR_OPEN): "/",
    ("door", DOOR_CLOSED): "D",
    ("door", DOOR_LOCKED): "L",
}
_AGENT_LETTERS = ">v<^"
_WALL, _EMPTY = "##", ".."


def draw_map(
    width: int, height: int, walls: Iterable[Position], cells: Iterable[Cell], agent: tuple[int, int, int]
) -> list[str]:
    """The rows of an ASCII map; see `World.to_ascii`. A tile under an object is not shown."""
    grid = [[_EMPTY] * width for _ in range(height)]
    for x, y in walls:
        grid[y][x] = _WALL
    for x, y, kind, color, state in cells:
        grid[y][x] = THING_LETTERS[kind, state] + COLOR_LETTERS[color]
    x, y, direction = agent
    under = grid[y][x]
    letter = _AGENT_LETTERS[direction]
    grid[y][x] = letter + (under[1] if under[0] == "_" else letter)
    return [" ".join(row) for row in grid]


def split_ascii(text: str) -> tuple[dict[str, str], list[list[str]]]:
    """The `key: value` lines before a map, and the codes of its cells by row.

    Raises:
        ValueError: an unknown key, or rows of different lengths.
    """
    header: dict[str, str] = {}
    rows: list[list[str]] = []
    keys = ("level", "split", "instruction", "rules", "untold", "max_steps")
    for line in filter(None, map(str.strip, text.splitlines())):
        key, separator, value = line.partition(":")
        if separator:
            if key not in keys:
                raise ValueError(f"world: unknown line {line!r}; allowed: {', '.join(keys)}")
            header[key] = value.strip()
        else:
            rows.append(line.split())
    if not rows or any(len(row) != len(rows[0]) for row in rows):
        raise ValueError(f"world: the rows of the map must be equally long; got {[len(row) for row in rows]} cells")
    return header, rows


def parse_map(rows: list[list[str]]) -> tuple[list[Position], list[Cell], tuple[int, int, int]]:
    """Walls, everything else, and the agent of a map given by the codes of its cells.

    Raises:
        ValueError: an unknown code, or not just one agent.
    """
    walls: list[Position] = []
    cells: list[Cell] = []
    agents: list[tuple[int, int, int]] = []
    things = {letter: thing for thing, letter in THING_LETTERS.items()}
    colors = {letter: color for color, letter in COLOR_LETTERS.items()}
    for y, row in enumerate(rows):
        for x, code in enumerate(row):
            first, second = code[:1], code[1:]
            if code == _WALL:
                walls.append((x, y))
            elif first in _AGENT_LETTERS and (second == first or second in colors):
                agents.append((x, y, _AGENT_LETTERS.index(first)))
                if second in colors:
                    cells.append((x, y, "floor", colors[second], 0))
            elif first in things and second in colors:
                kind, state = things[first]
                cells.append((x, y, kind, colors[second], state))
            elif code != _EMPTY:
                allowed = f"{_WALL}, {_EMPTY}, or one of {''.join(things)}{_AGENT_LETTERS} and one of {''.join(colors)}"
                raise ValueError(f"world: cannot read the cell {code!r} at {x}, {y}; allowed: {allowed}")
    if len(agents) != 1:
        raise ValueError(f"world: the map must show one agent ({', '.join(_AGENT_LETTERS)}); got {len(agents)}")
    return walls, cells, agents[0]
