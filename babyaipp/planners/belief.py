"""What can be believed of the rules without reading: before the first step, and after what the steps have shown.

A belief is a mixture: assignments of hazard classes to the floor colours, each with a weight, and within each of them
the probabilities of every colour's properties, independent of each other. So constraints across colours go into the
weights, and what a step shows, which concerns the colour that it began on and the one that it ended on, is taken in
exactly.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np

from babyaipp import floors
from babyaipp.engine.compile import compile_kernel, device_function, kernel, unsigned
from babyaipp.engine.shared import from_minigrid
from babyaipp.engine.state import (
    COLOR_MASK,
    COLOR_SHIFT,
    DOOR,
    EMPTY,
    FLOOR,
    MINIGRID_COLORS,
    NOT_ENDED,
    TYPE_MASK,
    WORLD,
)
from babyaipp.engine.step import step
from babyaipp.levels import Level, Split
from babyaipp.tiles import COLORS, DEADLY, FREE, HAZARD_CLASSES, NONE, PATH, PROPERTIES, TILES

HAZARDS = np.array([HAZARD_CLASSES.index(tile.hazard) for tile in TILES])
"""(properties,) int, hazard class of each property."""

_FROM_MINIGRID = np.array([COLORS.index(color) for color in MINIGRID_COLORS] + [NONE, NONE])
_SHARES = (  # of the draws, and the class that they try for first
    (1 - floors._DEADLY_FROM, DEADLY),
    (floors._DEADLY_FROM - floors._PATH_FROM, PATH),
    (floors._PATH_FROM - floors._FREE_FROM, FREE),
)


@dataclass(frozen=True)
class Belief:
    """What the rules may be: k assignments of hazard classes, and the properties within each."""

    classes: np.ndarray
    """(k, 6) int8: hazard class of each colour, `NONE` where it is no floor colour."""
    weights: np.ndarray
    """(k,) float64: probability of each assignment."""
    properties: np.ndarray
    """(k, 6, properties) float64: within each assignment, probability of each property of each colour."""

    def harmless(self, colors: int) -> float:
        """Probability that none of the colours in the bit mask is deadly."""
        asked = (colors >> np.arange(len(COLORS))) & 1 == 1
        return float(self.weights[~((self.classes == DEADLY) & asked).any(1)].sum())

    def of_color(self, color: int) -> np.ndarray:
        """(properties,) float64: probability of each property of a colour."""
        return self.weights @ self.properties[:, color]

    def weighted(self, likelihoods: np.ndarray) -> Belief:
        """The belief after something that has these probabilities under the assignments; (k,) float64."""
        weights = self.weights * likelihoods
        kept = weights > 0
        if not kept.any():
            raise RuntimeError("what was observed cannot be under any rules of the level and split")
        return Belief(self.classes[kept], weights[kept] / weights[kept].sum(), self.properties[kept])

    def given(self, color: int, fits: np.ndarray) -> Belief:
        """The belief after something that only some properties of a colour allow; `fits`: (properties,) bool."""
        properties = self.properties.copy()
        properties[:, color] *= fits
        left = properties[:, color].sum(1)
        properties[:, color] /= np.where(left > 0, left, 1)[:, None]
        return Belief(self.classes, self.weights, properties).weighted(left)


def prior(level: Level, split: Split) -> Belief:
    """What the level and the split say before the world is seen: how `floors.draw_rules` draws."""
    allowed = level.allowed(split)
    possible = {
        COLORS.index(color): np.isin(np.arange(len(PROPERTIES)), [PROPERTIES.index(name) for name in names])
        for color, names in allowed.items()
    }
    classes, weights, properties = [], [], []
    # The colours of an episode, which only `Fixed` chooses, then a class for each.
    for colors in itertools.combinations(possible, level.dynamics.num_colors):
        options = [np.unique(HAZARDS[possible[color]]).tolist() for color in colors]
        for hazards in itertools.product(*options):
            row = np.full(len(COLORS), NONE, np.int8)
            chances = np.zeros((len(COLORS), len(PROPERTIES)))
            weight = 1.0
            for color, hazard in zip(colors, hazards, strict=True):
                row[color] = hazard
                within = possible[color] & (hazard == HAZARDS)
                chances[color] = within / within.sum()
                weight *= within.sum() / possible[color].sum()
            classes.append(row)
            weights.append(weight)
            properties.append(chances)
    return Belief(np.array(classes), np.array(weights) / sum(weights), np.array(properties))


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


def begin(believed: Belief, level: Level, world: np.void) -> Belief:
    """What can be believed once a world is seen, before the first step.

    Args:
        believed: the belief before, `prior`.
        level: the level.
        world: `WORLD`, the start of an episode.
    """
    seen = world["seen"][: level.width * level.height].reshape(level.height, level.width)
    agent = (int(world["agent_x"]), int(world["agent_y"]))
    return believed.weighted(strewn(level, seen, agent, believed.classes))


def tile_colors(seen: np.ndarray) -> np.ndarray:
    """Colour of the tile of each cell, `NONE` where none is seen; `seen`: uint8 of any shape."""
    return np.where(seen & TYPE_MASK == FLOOR, _FROM_MINIGRID[seen >> COLOR_SHIFT & COLOR_MASK], NONE)


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


@device_function
def _color_under(w, p):
    """Colour of the tile that the agent stands on, or `NONE`."""
    seen = int(w.seen[unsigned(int(w.agent_y) * p.width + int(w.agent_x))])
    return from_minigrid(seen >> COLOR_SHIFT) if seen & TYPE_MASK == FLOOR else NONE


@device_function
def _same(w, v, p):
    """Whether two worlds are in the same state, as far as one can see."""
    if w.agent_x != v.agent_x or w.agent_y != v.agent_y or w.agent_dir != v.agent_dir:
        return False
    if w.half_steps != v.half_steps or w.carried != v.carried or w.fulfilled != v.fulfilled:
        return False
    for cell in range(p.width * p.height):  # noqa: SIM110 - compiled
        if w.seen[unsigned(cell)] != v.seen[unsigned(cell)]:
            return False
    return True


@device_function
def _goes_so(trial, before, after, p, action, first, prop, last, last_prop):
    """Whether a step goes as it went, if the colours where it began and ended have these properties."""
    trial[0] = before
    w = trial[0]
    if first != NONE:
        w.rules[unsigned(first)] = prop
    if last != NONE:
        w.rules[unsigned(last)] = last_prop
    return step(w, p, action) == NOT_ENDED and _same(w, after, p)


@kernel
def _explain(before, after, parameters, actions, wanted, colors, fits, trial):
    """Which properties of the colour that a step began on, and of the one that it ended on, go with how it went.

    Args:
        before: (n,) `WORLD`.
        after: (n,) `WORLD`, a step later; the episodes have not ended.
        parameters: (1,) `PARAMETERS`.
        actions: (n,) int64, chosen in that step.
        wanted: (n,) int64, bit mask of the colours about which something may be learned.
        colors: (n, 2) int64, filled: where the step began, and where it ended if on another colour; `NONE` for no
            tile, and both where nothing can be learned.
        fits: (n, 2, properties) bool, all False; filled.
        trial: (1,) `WORLD`, room for a world.
    """
    p = parameters[0]
    num_props = fits.shape[2]
    for e in range(len(before)):
        colors[e, 0] = NONE
        colors[e, 1] = NONE
        first = _color_under(before[e], p)
        last = _color_under(after[e], p)
        if last == first:
            last = NONE
        asked = (1 << first if first != NONE else 0) | (1 << last if last != NONE else 0)
        if int(wanted[e]) & asked == 0:
            continue
        colors[e, 0] = first
        colors[e, 1] = last
        for prop in range(num_props if first != NONE else 1):
            for last_prop in range(num_props if last != NONE else 1):
                if _goes_so(trial, before[e], after[e], p, int(actions[e]), first, prop, last, last_prop):
                    fits[e, 0, prop] = True
                    fits[e, 1, last_prop] = True


def _viewed(records: np.ndarray) -> Any:
    """Records whose fields are attributes for compiled code, and for Python where compiling is disabled."""
    return records.view(np.recarray) if numba.config.DISABLE_JIT else records


class Learner:
    """Explains what the steps of a batch of worlds have done.

    Args:
        parameters: (1,) `PARAMETERS` of the level.
    """

    def __init__(self, parameters: np.ndarray) -> None:
        self._parameters = _viewed(parameters)
        self._trial = _viewed(np.zeros(1, WORLD))

    def explain(
        self, before: np.ndarray, after: np.ndarray, actions: np.ndarray, wanted: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Colours (n, 2) int64 and fits (n, 2, properties) bool: see `_explain`. None of the episodes has ended."""
        colors = np.full((len(before), 2), NONE, np.int64)
        fits = np.zeros((len(before), 2, len(PROPERTIES)), np.bool_)
        arguments = (_viewed(before), _viewed(after), self._parameters, actions, wanted, colors, fits, self._trial)
        compile_kernel(_explain, arguments)
        _explain(*arguments)
        return colors, fits
