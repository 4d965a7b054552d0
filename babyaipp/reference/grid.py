"""Between Minigrid's grid of objects and plain worlds: tiles under objects, building a grid, reading it off."""

from __future__ import annotations

from typing import Any

import numpy as np
from minigrid.core.constants import TILE_PIXELS
from minigrid.core.grid import Grid
from minigrid.core.world_object import Ball, Box, Door, Floor, Key, Wall, WorldObj

from babyaipp.floors import DOOR, EMPTY, OCCUPIED
from babyaipp.instructions import Cell, Position
from babyaipp.tiles import COLORS, NONE
from babyaipp.world import DOOR_CLOSED, DOOR_LOCKED, DOOR_OPEN, World


class _Stack(WorldObj):
    """An object on a tile, for drawing only."""

    def __init__(self, tile: Floor, thing: WorldObj) -> None:
        super().__init__(thing.type, thing.color)
        self._parts = (tile, thing)

    def encode(self) -> tuple[int, ...]:  # type: ignore[override]
        # What Minigrid keeps drawn cells by: longer than the three numbers of any single object.
        return tuple(number for part in self._parts for number in part.encode())

    def render(self, img: np.ndarray) -> None:
        for part in self._parts:
            part.render(img)


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
        drawn.grid = [
            _Stack(tile, thing) if tile is not None and thing is not None and thing is not tile else thing
            for tile, thing in zip(self.tiles, self.grid, strict=True)
        ]
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
