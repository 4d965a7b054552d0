"""The paper's concatenation: the text as one vector, joined to the image features of every cell.

arXiv 2004.07200. The description is one text, in the order of its sentences; a GRU reads it. So which words belong
together has to be learned from their places.
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


class ConcatFusion(nn.Module):
    """Maps integer tensors `image` (B, X, Y, 3), `direction` (B,), `mission` (B, M), `description` (B, S, W)."""

    def __init__(self, space: spaces.Dict, config: Config) -> None:
        super().__init__()
        self.num_features = config.features
        self.image = ImageEncoder(space, config.channels)
        self.text = TextEncoder(space["description"], config.word_size, config.text_size)
        inputs = config.channels + config.text_size
        self.trunk = Trunk(space, inputs, config.channels, config.features, instruction=config.text_size)

    def forward(self, observation: Mapping[str, Tensor]) -> Tensor:
        """Features (B, num_features)."""
        cells = self.image(observation["image"])  # (B, C, X, Y)
        told = self.text(observation["description"].flatten(1))  # (B, D)
        told = told[:, :, None, None].expand(-1, -1, *cells.shape[2:])  # (B, D, X, Y)
        instruction = self.text(observation["mission"])  # (B, D)
        return self.trunk(torch.cat([cells, told], 1), observation, instruction)


def build(space: spaces.Dict, config: Config) -> ConcatFusion:
    """The network for an observation space of the engine."""
    return ConcatFusion(space, config)


load = functools.partial(load_agent, agent="concat_fusion")
"""For `babyaipp evaluate`: see `agents.actors.load_agent`."""
