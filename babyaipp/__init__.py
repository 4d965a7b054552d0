"""BabyAI++: grid worlds whose rules stand in a text, to measure whether an agent reads (arXiv 2004.07200).

Importing the package registers its environments:

    import babyaipp
    import gymnasium as gym

    env = gym.make("BabyAIpp-GoToRedBall-Train-v0")
    envs = babyaipp.make_vec("GoToRedBall", "Train", num_envs=1024)  # the same worlds, compiled
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from babyaipp.levels import LEVELS, Level
from babyaipp.registration import register_envs
from babyaipp.tiles import TILES, Tile
from babyaipp.world import World

if TYPE_CHECKING:
    from babyaipp.engine.vector import BatchedWorlds, make_vec

__version__ = "0.1.0"
__all__ = [
    "BatchedWorlds",
    "LEVELS",
    "Level",
    "TILES",
    "Tile",
    "World",
    "__version__",
    "make_vec",
    "register_envs",
]

register_envs()


def __getattr__(name: str) -> Any:
    """The engine's names, which are loaded when they are first asked for: that loads Numba."""
    if name not in ("BatchedWorlds", "make_vec"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("babyaipp.engine.vector"), name)
