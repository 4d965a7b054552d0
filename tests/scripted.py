"""Planners that are none: they play quickly and badly, for what does not depend on how well a planner plays."""

from __future__ import annotations

import numpy as np

from babyaipp.levels import Level, Split


class Wanderer:
    """Turns and walks by a rule that looks like chance; an episode comes out the same whatever is played beside it."""

    factor = 5

    def __init__(self, level: Level, split: Split) -> None:
        self.level, self.split = level, split

    def reset(self, worlds: np.ndarray) -> None:
        assert (worlds["steps"] == 0).all()

    def act(self, worlds: np.ndarray) -> np.ndarray:
        steps = worlds["steps"].astype(np.int64)
        mixed = worlds["agent_x"] * 7 + worlds["agent_y"] * 13 + worlds["agent_dir"] + steps * steps * self.factor
        return np.array([0, 1, 2, 2, 2])[mixed % 5]


class Stroller(Wanderer):
    """Another one."""

    factor = 3


WANDERER = ("scripted", "Wanderer")
STROLLER = ("scripted", "Stroller")
