"""What the layout of the floors tells of the rules: in each level it depends on which colours are deadly."""

from __future__ import annotations

import math

import numpy as np

from babyaipp import floors
from babyaipp.engine.state import COLOR_MASK, COLOR_SHIFT, DOOR, EMPTY, FLOOR, MINIGRID_COLORS, TYPE_MASK
from babyaipp.levels import Level
from babyaipp.planners.belief import Belief
from babyaipp.tiles import COLORS, DEADLY, FREE, HAZARD_CLASSES, NONE, PATH

_FROM_MINIGRID = np.array([COLORS.index(color) for color in MINIGRID_COLORS] + [NONE, NONE])
_SHARES = (  # of the draws, and the class that they try for first
    (1 - floors._DEADLY_FROM, DEADLY),
    (floors._DEADLY_FROM - floors._PATH_FROM, PATH),
    (floors._PATH_FROM - floors._FREE_FROM, FREE),
)


def begin(believed: Belief, level: Level, world: np.void) -> Belief:
    """What can be believed once a world is seen, before the first step.

    Args:
        believed: the belief before, `belief.prior`.
        level: the level.
        world: `WORLD`, the start of an episode.

    Raises:
        ImpossibleError: the level makes no such worlds.
    """
    seen = world["seen"][: level.width * level.height].reshape(level.height, level.width)
    agent = (int(world["agent_x"]), int(world["agent_y"]))
    if level.floors == "strewn":
        return believed.weighted(strewn(level, seen, agent, believed.classes))
    sets = walls(seen) if level.floors == "gates" else patches(level, seen, agent)
    return believed.weighted(counted(sets, believed.classes))


def tile_colors(seen: np.ndarray) -> np.ndarray:
    """Colour of the tile of each cell, `NONE` where none is seen; `seen`: uint8 of any shape."""
    return np.where(seen & TYPE_MASK == FLOOR, _FROM_MINIGRID[seen >> COLOR_SHIFT & COLOR_MASK], NONE)


def counted(sets: list[tuple[set[int], int]], classes: np.ndarray) -> np.ndarray:
    """Which assignments of hazard classes make just so many colours of each set deadly; (k, 6) int8 -> (k,) float64.

    That is all that gates and patches tell. Apart from it they are as likely under all assignments, as which of the
    deadly colours, and which of the harmless ones, are laid where is drawn evenly; and whether patches are drawn anew
    does not depend on which of two colours that could be exchanged is deadly (see `reading.py`). What it tells of the
    properties of harmless colours is not reckoned with.
    """
    fits = np.ones(len(classes), np.bool_)
    for colors, number in sets:
        fits &= (classes[:, sorted(colors)] == DEADLY).sum(1) == number
    return fits.astype(np.float64)


def walls(seen: np.ndarray) -> list[tuple[set[int], int]]:
    """Sets of colours of which so many are deadly, where walls have two gaps: one in each; (height, width) uint8."""
    columns = tile_colors(seen).T
    return [(set(column[column != NONE].tolist()), 1) for column in columns if (column != NONE).any()]


def patches(level: Level, seen: np.ndarray, agent: tuple[int, int]) -> list[tuple[set[int], int]]:
    """Sets of colours of which so many are deadly, where all cells have tiles (see `reading.lay_patches`).

    The colour under the agent is not. Of two rooms, both have another one that is; of the others, one in each room is.

    Args:
        level: the level.
        seen: (height, width) uint8, the start.
        agent: its column and row.
    """
    tiles = tile_colors(seen)
    first = int(tiles[agent[1], agent[0]])
    side = level.room_size - 1
    rooms = [set(np.unique(tiles[:, i * side : (i + 1) * side]).tolist()) for i in range(level.num_cols)]
    rooms = [room - {first, NONE} for room in rooms]
    shared = rooms[0] & rooms[-1] if len(rooms) > 1 else set()
    return [({first}, 0), (shared, len(shared)), *((room - shared, 1) for room in rooms)]


def strewn(level: Level, seen: np.ndarray, agent: tuple[int, int], classes: np.ndarray) -> np.ndarray:
    """How likely `floors.place_floors` makes the tiles of a world, under assignments of hazard classes.

    Counts and places tell of classes: each class has a share of the draws, and tiles of the classes deadly and path
    (hazards, here) keep away from doors and from each other. The order of the draws matters to that and is not known:
    taken as random, a hazard with m others around it found at most one of them there with probability 2 / (m + 1).
    Draws that gave no tile, because a room was too full, are not reckoned with.

    Args:
        level: the level.
        seen: (height, width) uint8, the start.
        agent: its column and row.
        classes: (k, 6) int8.

    Returns:
        (k,) float64, up to a common factor; 0 where it is certain that no order of draws makes them.
    """
    tiles = tile_colors(seen)
    counts = np.bincount(tiles[tiles != NONE], minlength=len(COLORS))
    kinds = seen & TYPE_MASK
    rows, columns = np.indices(seen.shape)
    free = ((kinds == EMPTY) | (kinds == FLOOR)) & (np.abs(columns - agent[0]) + np.abs(rows - agent[1]) > 1)
    away = free & (_neighbours(kinds == DOOR) == 0)
    draws = level.num_rows * level.num_cols * (level.room_size - 2) ** 2
    of_hazards: dict[bytes, float] = {}
    logs = np.full(len(classes), -math.inf)
    for i, row in enumerate(classes):
        hazardous = (row == DEADLY) | (row == PATH)
        key = hazardous.tobytes()
        if key not in of_hazards:
            of_hazards[key] = _log_places(np.isin(tiles, np.flatnonzero(hazardous)), away, free)
        logs[i] = of_hazards[key] + _log_counts(counts, row, draws)
    return np.exp(logs - logs.max()) if np.isfinite(logs.max()) else np.zeros(len(classes))


def _log_counts(counts: np.ndarray, classes: np.ndarray, draws: int) -> float:
    """Logarithm of the probability that so many draws give so many tiles of each colour, up to a constant."""
    there = [bool((classes == hazard).any()) for hazard in range(len(HAZARD_CLASSES))]
    shares = [0.0] * len(HAZARD_CLASSES)
    for share, wanted in _SHARES:
        taken = [hazard for hazard in range(wanted, len(HAZARD_CLASSES)) if there[hazard]]
        if taken:
            shares[taken[0]] += share
    log = float(draws - counts.sum()) * math.log(1 - sum(shares))
    for color, count in enumerate(counts.tolist()):
        if count:
            if classes[color] == NONE:
                return -math.inf
            log += count * math.log(shares[classes[color]] / (classes == classes[color]).sum())
    return log


def _log_places(hazards: np.ndarray, away: np.ndarray, free: np.ndarray) -> float:
    """Logarithm of how much likelier hazards come to lie in these cells than tiles that may lie anywhere.

    Args:
        hazards: (height, width) bool, where they lie.
        away: where they may: free and not near doors.
        free: where the others may.
    """
    if (hazards & ~away).any():
        return -math.inf
    left = hazards
    while left.any():  # the last one to come found at most one neighbour
        last = left & (_neighbours(left) <= 1)
        if not last.any():
            return -math.inf
        left = left & ~last
    chances = np.minimum(1, 2 / (_neighbours(hazards) + 1))
    number = int(np.count_nonzero(hazards))
    if not number:
        return 0.0
    return float(np.log(chances[hazards]).sum()) + number * math.log(free.sum() / chances[away].sum())


def _neighbours(cells: np.ndarray) -> np.ndarray:
    """How many of the 8 cells around each are among these; (height, width) bool with a margin of False."""
    padded = np.pad(cells, 1).astype(np.int64)
    height, width = cells.shape
    around = sum(padded[y : y + height, x : x + width] for y in range(3) for x in range(3))
    return around - cells
