"""The readable implementation: Farama Minigrid's BabyAI levels with floor tiles and text."""

import os

os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")  # pygame, which Minigrid imports, greets on stdout
