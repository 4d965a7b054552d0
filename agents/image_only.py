"""The twin of attention fusion that reads nothing: the same convolutions, without the text.

What it reaches can be reached without reading. The "image only" of arXiv 2004.07200.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass

from gymnasium import spaces
from torch import Tensor, nn

from agents.actors import load_agent
from agents.encoders import ImageEncoder, Trunk


@dataclass(frozen=True)
class Config:
    """Sizes of the network."""

    channels: int = 128
    """Channels of every convolution."""
    features: int = 128
    memory: int = 128


PRESETS = {"paper": Config(), "small": Config(channels=16, features=128, memory=64)}


class ImageOnly(nn.Module):
    """Maps integer tensors `image` (B, X, Y, 3) and `direction` (B,); other entries are ignored."""

    def __init__(self, space: spaces.Dict, config: Config) -> None:
        super().__init__()
        self.num_features = config.features
        self.image = ImageEncoder(space, config.channels)
        self.trunk = Trunk(space, config.channels, config.channels, config.features)

    def forward(self, observation: Mapping[str, Tensor]) -> Tensor:
        """Features (B, num_features)."""
        return self.trunk(self.image(observation["image"]), observation)


def build(space: spaces.Dict, config: Config) -> ImageOnly:
    """The network for an observation space of the engine."""
    return ImageOnly(space, config)


load = functools.partial(load_agent, agent="image_only")
"""For `babyaipp evaluate`: see `agents.actors.load_agent`."""
