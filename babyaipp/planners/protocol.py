"""What a planner is, how it is made by its name, and how it plays the reference environment."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Protocol

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode

from babyaipp.engine.vector import BatchedWorlds
from babyaipp.levels import Level, get_level, get_split, suggest

PLANNERS: dict[str, tuple[str, str]] = {  # name -> module and class, which are loaded when they are asked for
    "oracle": ("babyaipp.planners.oracle", "Oracle"),
    "blind": ("babyaipp.planners.blind", "Blind"),
}


class Planner(Protocol):
    """Plays a batch of worlds; it may look at whatever the engine's records hold, but keep to what its name says.

    A world whose `steps` are 0 has begun a new episode.
    """

    def reset(self, worlds: np.ndarray) -> None:
        """Forget everything. `worlds`: (n,) records `babyaipp.engine.state.WORLD`, as they are now."""

    def act(self, worlds: np.ndarray) -> np.ndarray:
        """What to do. `worlds`: the same n worlds as they are now; returns (n,) int64 actions."""


def make_planner(name: str, level: str | Level, split: str = "Train") -> Planner:
    """A planner by its name.

    Args:
        name: "oracle" or "blind".
        level: name of a row of the level table, or a row.
        split: "Train", "HeldOut", "All", or "Val" or "Fixed" where the level has it.

    Raises:
        ValueError: there is no such planner, level or split.
    """
    if not isinstance(name, str) or name not in PLANNERS:
        raise ValueError(f"unknown planner {name!r}; {suggest(name, PLANNERS)}")
    row = level if isinstance(level, Level) else get_level(level)
    module, made = PLANNERS[name]
    planner: Planner = getattr(import_module(module), made)(row, get_split(row, split))
    return planner


class ReferenceWorlds:
    """A reference environment with the engine's record of its world, as planners want it.

    The engine plays the same episode alongside, which is the same bit for bit.

    Args:
        env: an environment of this package, under whatever wrappers.

    Attributes:
        worlds: (1,) `WORLD`, the world as it is now.
    """

    worlds: np.ndarray

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        self._env = env
        self._alongside = BatchedWorlds(
            self._reference.level, self._reference.split, autoreset_mode=AutoresetMode.DISABLED
        )

    @property
    def _reference(self) -> Any:
        return self._env.unwrapped

    def reset(self, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        """Reset the environment; what it returns."""
        result = self._env.reset(**kwargs)
        self._alongside.reset(options={"world": self._reference.world})
        self.worlds = self._alongside.state()
        return result

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Step the environment; what it returns."""
        result = self._env.step(action)
        self._alongside.step(np.array([action]))
        self.worlds = self._alongside.state()
        return (result[0], float(result[1]), *result[2:])
