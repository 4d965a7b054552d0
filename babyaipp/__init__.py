"""BabyAI++: grid worlds whose rules stand in a text, to measure whether an agent reads (arXiv 2004.07200).

Importing the package registers its environments:

    import babyaipp
    import gymnasium as gym

    env = gym.make("BabyAIpp-GoToRedBall-Train-v0")
"""

from babyaipp.levels import LEVELS, Level
from babyaipp.registration import register_envs
from babyaipp.tiles import TILES, Tile
from babyaipp.world import World

__version__ = "0.1.0"
__all__ = ["LEVELS", "TILES", "Level", "Tile", "World", "__version__", "register_envs"]

register_envs()
