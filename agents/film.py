"""FiLM, the paper's strongest rival of attention fusion: the text scales and shifts the channels of the image.

arXiv 1709.07871, as the BabyAI agents use it: a GRU reads the description, another text is the instruction; both
modulate the convolutions.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from gymnasium import spaces
from torch import Tensor, nn

from agents.actors import load_agent
from agents.encoders import ImageEncoder, TextEncoder, Trunk


@dataclass(frozen=True)
class Config:
    """Sizes of the network."""

    channels: int = 128
    """Channels of every convolution."""
    word_size: int = 128
    text_size: int = 128
    features: int = 128
    memory: int = 128


PRESETS = {"paper": Config(), "small": Config(channels=16, word_size=16, text_size=32, features=128, memory=64)}


class Film(nn.Module):
    """Maps integer tensors `image` (B, X, Y, 3), `direction` (B,), `mission` (B, M), `description` (B, S, W)."""

    def __init__(self, space: spaces.Dict, config: Config) -> None:
        super().__init__()
        self.num_features = config.features
        self.image = ImageEncoder(space, config.channels)
        self.text = TextEncoder(space["description"], config.word_size, config.text_size)
        self.modulation = nn.Linear(2 * config.text_size, 2 * config.channels)
        self.mix = nn.Conv2d(config.channels, config.channels, 3, padding=1)
        self.trunk = Trunk(space, config.channels, config.channels, config.features, instruction=2 * config.text_size)

    def forward(self, observation: Mapping[str, Tensor]) -> Tensor:
        """Features (B, num_features)."""
        cells = self.image(observation["image"])  # (B, C, X, Y)
        told = self.text(observation["description"].flatten(1))  # (B, D)
        texts = torch.cat([told, self.text(observation["mission"])], 1)  # (B, 2 * D)
        scale, shift = self.modulation(texts)[:, :, None, None].chunk(2, 1)  # (B, C, 1, 1) each
        cells = torch.relu(self.mix(cells) * (1 + scale) + shift) + cells
        return self.trunk(cells, observation, texts)


def build(space: spaces.Dict, config: Config) -> Film:
    """The network for an observation space of the engine."""
    return Film(space, config)


load = functools.partial(load_agent, agent="film")
"""For `babyaipp evaluate`: see `agents.actors.load_agent`."""
