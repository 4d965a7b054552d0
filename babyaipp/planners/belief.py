"""What can be believed of the rules without reading: before the world is seen, and as more becomes known.

A belief is a mixture: assignments of hazard classes to the floor colours, each with a weight, and within each of them
the probabilities of every colour's properties, independent of each other. So constraints across colours go into the
weights, and what a step shows, which concerns the colour that it began on and the one that it ended on, is taken in
exactly.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from babyaipp.levels import Level, Split
from babyaipp.tiles import COLORS, DEADLY, HAZARD_CLASSES, NONE, PROPERTIES, TILES

HAZARDS = np.array([HAZARD_CLASSES.index(tile.hazard) for tile in TILES])
"""(properties,) int, hazard class of each property."""

_COLOR_BITS = 1 << np.arange(len(COLORS))
_PROPERTY_BITS = 1 << np.arange(len(PROPERTIES))


class ImpossibleError(ValueError):
    """What was observed cannot be under any rules that were believed possible."""


@dataclass(frozen=True, eq=False)  # as arrays have no one equality
class Belief:
    """What the rules may be: k assignments of hazard classes, and the properties within each."""

    classes: np.ndarray
    """(k, 6) int8: hazard class of each colour, `NONE` where it is no floor colour."""
    weights: np.ndarray
    """(k,) float64: probability of each assignment."""
    properties: np.ndarray
    """(k, 6, properties) float64: within each assignment, probability of each property of each colour."""

    @cached_property
    def deadly(self) -> np.ndarray:
        """(k,) int64: bit mask of the deadly colours of each assignment."""
        return (self.classes == DEADLY) @ _COLOR_BITS

    @cached_property
    def chances(self) -> np.ndarray:
        """(6, properties) float64: probability of each property of each colour."""
        return np.tensordot(self.weights, self.properties, 1)

    @cached_property
    def possible(self) -> np.ndarray:
        """(6,) int64: bit mask of the properties that each colour may have."""
        return (self.chances > 0) @ _PROPERTY_BITS

    @cached_property
    def if_harmless(self) -> np.ndarray:
        """(6, properties) float64: the same if the colour is not deadly; 0 where it must be."""
        chances = np.where(HAZARDS == DEADLY, 0, self.chances)
        total = chances.sum(1, keepdims=True)
        return chances / np.where(total > 0, total, 1)

    @cached_property
    def likeliest(self) -> np.ndarray:
        """(6,) int8: likeliest property of each colour if it is not deadly; if it must be, of all; `NONE` if none."""
        chosen = np.where(self.if_harmless.any(1), self.if_harmless.argmax(1), self.chances.argmax(1))
        return np.where(self.chances.any(1), chosen, NONE).astype(np.int8)

    def harmless(self, colors: np.ndarray | int) -> np.ndarray:
        """Probability that none of the colours in a bit mask is deadly; int64 of any shape -> float64 of that shape."""
        return (np.asarray(colors)[..., None] & self.deadly == 0) @ self.weights

    def weighted(self, likelihoods: np.ndarray) -> Belief:
        """The belief after something that has these probabilities under the assignments, up to a factor; (k,) float64.

        Raises:
            ImpossibleError: all are 0.
        """
        weights = self.weights * likelihoods
        kept = weights > 0
        if not kept.any():
            raise ImpossibleError
        return Belief(self.classes[kept], weights[kept] / weights[kept].sum(), self.properties[kept])

    def given(self, color: int, fits: np.ndarray) -> Belief:
        """The belief after something that only some properties of a colour allow; `fits`: (properties,) bool.

        The same object if nothing is learned.

        Raises:
            ImpossibleError: the colour can have none of them.
        """
        if not self.chances[color][~fits].any():
            return self
        properties = self.properties.copy()
        properties[:, color] *= fits
        left = properties[:, color].sum(1)
        properties[:, color] /= np.where(left > 0, left, 1)[:, None]
        return Belief(self.classes, self.weights, properties).weighted(left)


def prior(level: Level, split: Split) -> Belief:
    """What the level and the split say before the world is seen: how rules are drawn.

    Each floor colour's property for itself (`floors.draw_rules`), or so many deadly colours, then each one's property
    (`reading.draw_balanced_rules`).
    """
    possible = {
        COLORS.index(color): np.isin(np.arange(len(PROPERTIES)), [PROPERTIES.index(name) for name in names])
        for color, names in level.allowed(split).items()
    }
    classes, weights, properties = [], [], []
    # The colours of an episode, which only `Fixed` chooses, then a class for each.
    for colors in itertools.combinations(possible, level.dynamics.num_colors):
        options = [np.unique(HAZARDS[possible[color]]).tolist() for color in colors]
        for hazards in itertools.product(*options):
            if level.balanced and hazards.count(DEADLY) != level.dynamics.num_deadly:
                continue
            row = np.full(len(COLORS), NONE, np.int8)
            chances = np.zeros((len(COLORS), len(PROPERTIES)))
            weight = 1.0
            for color, hazard in zip(colors, hazards, strict=True):
                row[color] = hazard
                within = possible[color] & (hazard == HAZARDS)
                chances[color] = within / within.sum()
                drawn_from = possible[color]
                if level.balanced:
                    drawn_from = drawn_from & ((HAZARDS == DEADLY) == (hazard == DEADLY))
                weight *= within.sum() / drawn_from.sum()
            classes.append(row)
            weights.append(weight)
            properties.append(chances)
    return Belief(np.array(classes), np.array(weights) / sum(weights), np.array(properties))
