"""Between Minigrid's grid of objects and plain worlds: tiles under objects, building a grid, reading it off."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from minigrid.core.constants import COLORS as RGB
from minigrid.core.constants import TILE_PIXELS
from minigrid.core.grid import Grid
from minigrid.core.world_object import Ball, Box, Door, Floor, Key, Wall, WorldObj
from minigrid.utils.rendering import fill_coords, point_in_rect, point_in_triangle, rotate_fn

from babyaipp.floors import DOOR, EMPTY, OCCUPIED
from babyaipp.instructions import Cell, Position
from babyaipp.maps import DOOR_CLOSED, DOOR_LOCKED, DOOR_OPEN
from babyaipp.tiles import COLORS, NONE
from babyaipp.world import World

# How a tile is drawn, in fractions of a cell; Minigrid keeps the first 0.031 for the line between cells.
_PAVING = (
    (0.3, point_in_rect(0.031, 1, 0.031, 1)),
    (0.7, point_in_rect(0.08, 0.5, 0.08, 0.5)),
    (0.7, point_in_rect(0.54, 0.96, 0.54, 0.96)),
    (0.5, point_in_rect(0.54, 0.96, 0.08, 0.5)),
    (0.5, point_in_rect(0.08, 0.5, 0.54, 0.96)),
)
_OUTLINE = 0.04
_OUTLINE_RGB = (0, 0, 0)
_NOT_DRAWN = 1  # a level of red, green and blue that nothing of Minigrid's has
_AGENT_OUTLINE = ((0.06, 0.09), (0.97, 0.50), (0.06, 0.91))  # around Minigrid's triangle


class _Cell(WorldObj):
    """A tile and what is on it, for drawing only: paving in two shades, so that it is not taken for a wall."""

    def __init__(self, tile: Floor, thing: WorldObj | None, agent_dir: int | None) -> None:
        super().__init__(tile.type, tile.color)
        self._tile, self._thing, self._agent_dir = tile, thing, agent_dir

    def encode(self) -> tuple[int, ...]:
        # What Minigrid keeps drawn cells by: longer than the three numbers of any object of its own.
        return (*self._tile.encode(), *(self._thing.encode() if self._thing else (0, 0, 0)))

    def render(self, img: np.ndarray) -> None:
        for shade, in_shade in _PAVING:
            fill_coords(img, in_shade, RGB[self._tile.color] * shade)
        if self._agent_dir is not None:
            outline = rotate_fn(point_in_triangle(*_AGENT_OUTLINE), 0.5, 0.5, 0.5 * math.pi * self._agent_dir)
            fill_coords(img, outline, _OUTLINE_RGB)
        if self._thing is not None:
            self._thing.render(thing := np.full_like(img, _NOT_DRAWN))
            covered = (thing != _NOT_DRAWN).any(axis=2)
            img[_widened(covered, round(_OUTLINE * len(img)))] = _OUTLINE_RGB
            img[covered] = thing[covered]


def _widened(mask: np.ndarray, pixels: int) -> np.ndarray:
    """(height, width) bool: the mask and what is at most so many pixels beside it."""
    for axis in (0, 1):
        mask = np.logical_or.reduce([np.roll(mask, shift, axis) for shift in range(-pixels, pixels + 1)])
    return mask


class FloorGrid(Grid):
    """A grid in which a cell that is emptied shows its tile again."""

    def __init__(self, grid: Grid, tiles: np.ndarray | None = None) -> None:
        """Take over the objects of `grid`, and the tiles of a (width, height) array of colours."""
        super().__init__(grid.width, grid.height)
        self.grid = list(grid.grid)
        self.tiles: list[Floor | None] = [None] * len(self.grid)
        if tiles is not None:
            for x, y in np.argwhere(tiles != NONE).tolist():
                self.set_tile(x, y, COLORS[tiles[x, y]])

    def set_tile(self, x: int, y: int, color: str) -> None:
        """Lay a tile."""
        self.tiles[y * self.width + x] = Floor(color)
        if self.get(x, y) is None:
            self.set(x, y, None)

    def tile_at(self, x: int, y: int) -> Floor | None:
        """The tile of a cell, whether something lies on it or not."""
        return self.tiles[y * self.width + x]

    def set(self, i: int, j: int, v: WorldObj | None) -> None:
        super().set(i, j, self.tiles[j * self.width + i] if v is None else v)

    def bare(self, x: int, y: int) -> None:
        """Take a visible tile out of the way, so that Minigrid lets an object be dropped there."""
        super().set(x, y, None)

    def render(
        self,
        tile_size: int = TILE_PIXELS,
        agent_pos: Any = None,
        agent_dir: int | None = None,
        highlight_mask: np.ndarray | None = None,
    ) -> np.ndarray:
        drawn = Grid(self.width, self.height)
        for i, (tile, thing) in enumerate(zip(self.tiles, self.grid, strict=True)):
            position = (i % self.width, i // self.width)
            if tile is not None:
                here = agent_pos is not None and tuple(agent_pos) == position
                thing = _Cell(tile, None if thing is tile else thing, agent_dir if here else None)
            drawn.set(*position, thing)
        return drawn.render(tile_size, agent_pos, agent_dir, highlight_mask)


def floor_cells(grid: Grid) -> np.ndarray:
    """(width, height) int8: what `floors.place_floors` must know of each cell."""
    codes = [EMPTY if thing is None else DOOR if thing.type == "door" else OCCUPIED for thing in grid.grid]
    return np.array(codes, np.int8).reshape(grid.height, grid.width).T.copy()


def walls_and_cells(grid: Grid) -> tuple[tuple[Position, ...], tuple[Cell, ...]]:
    """Positions of the walls, and everything else that is seen in the grid, by column, then row."""
    walls: list[Position] = []
    cells: list[Cell] = []
    for x in range(grid.width):
        for y, thing in enumerate(grid.grid[x :: grid.width]):
            if thing is None:
                continue
            if thing.type == "wall":
                walls.append((x, y))
            else:
                cells.append((x, y, thing.type, thing.color, thing.encode()[2]))
    return tuple(walls), tuple(cells)


def grid_of(world: World) -> FloorGrid:
    """A Minigrid grid with the walls, objects and tiles of a world."""
    grid = Grid(world.width, world.height)
    for x, y in world.walls:
        grid.set(x, y, Wall())
    for x, y, kind, color, state in world.cells:
        if kind != "floor":
            grid.set(x, y, thing := _make(kind, color, state))
            thing.init_pos = thing.cur_pos = (x, y)
    with_tiles = FloorGrid(grid)
    for x, y, kind, color, _ in world.cells:
        if kind == "floor":
            with_tiles.set_tile(x, y, color)
    return with_tiles


def _make(kind: str, color: str, state: int) -> WorldObj:
    if kind == "door":
        assert state in (DOOR_OPEN, DOOR_CLOSED, DOOR_LOCKED)
        return Door(color, is_open=state == DOOR_OPEN, is_locked=state == DOOR_LOCKED)
    return {"key": Key, "ball": Ball, "box": Box}[kind](color)
