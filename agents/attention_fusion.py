"""The paper's attention fusion: each cell of the image attends to the sentences of the description.

arXiv 2004.07200: two convolutions of the image; a GRU over each sentence; the image features of a
cell give the weights over the sentences and over a null sentence, for cells that no sentence is about; the
weighted sum of the sentences' vectors joins the cell's features; fused convolutions end in the features.

The weights come from the image alone, hence they choose sentences by their place in the description, not by
what they say. With `sentence_order="canonical"` a place always names the same colour.

Chosen here, where the paper leaves it open or its sizes do not matter: type, colour and state are embedded
instead of read as magnitudes; the weights share the image's convolutions; the null sentence's vector is learned;
the instruction scales and shifts the fused channels; the compass joins before the last layer; no batch
normalisation.
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
from babyaipp.texts import PADDING


@dataclass(frozen=True)
class Config:
    """Sizes of the network."""

    channels: int = 128
    """Channels of every convolution."""
    word_size: int = 128
    sentence_size: int = 128
    features: int = 128
    memory: int = 128


PRESETS = {"paper": Config(), "small": Config(channels=16, word_size=16, sentence_size=16, features=128, memory=64)}


class AttentionFusion(nn.Module):
    """Maps integer tensors `image` (B, X, Y, 3), `direction` (B,), `mission` (B, M), `description` (B, S, W)."""

    def __init__(self, space: spaces.Dict, config: Config) -> None:
        super().__init__()
        description = space["description"]
        assert description.shape is not None
        sentences = description.shape[0]
        self.num_features = config.features
        self.image = ImageEncoder(space, config.channels)
        self.sentence = TextEncoder(description, config.word_size, config.sentence_size)
        self.null_sentence = nn.Parameter(torch.randn(config.sentence_size))
        self.weigh = nn.Conv2d(config.channels, sentences + 1, 1)
        inputs = config.channels + config.sentence_size
        self.trunk = Trunk(space, inputs, config.channels, config.features, instruction=config.sentence_size)

    def forward(self, observation: Mapping[str, Tensor]) -> Tensor:
        """Features (B, num_features)."""
        cells = self.image(observation["image"])  # (B, C, X, Y)
        weights = self._weights(cells, observation["description"])
        sentences = self.sentence(observation["description"])  # (B, S, D)
        null = self.null_sentence.expand(len(sentences), 1, -1)  # (B, 1, D)
        told = torch.einsum("bsxy,bsd->bdxy", weights, torch.cat([sentences, null], 1))  # (B, D, X, Y)
        instruction = self.sentence(observation["mission"])  # (B, D)
        return self.trunk(torch.cat([cells, told], 1), observation, instruction)

    def attention(self, observation: Mapping[str, Tensor]) -> Tensor:
        """The weights (B, S + 1, X, Y) of the sentences for each cell; the null sentence's is last."""
        return self._weights(self.image(observation["image"]), observation["description"])

    def _weights(self, cells: Tensor, description: Tensor) -> Tensor:
        absent = (description == PADDING).all(-1)  # (B, S)
        absent = torch.cat([absent, absent.new_zeros(len(absent), 1)], 1)  # (B, S + 1)
        return self.weigh(cells).masked_fill(absent[:, :, None, None], -torch.inf).softmax(1)


def build(space: spaces.Dict, config: Config) -> AttentionFusion:
    """The network for an observation space of the engine."""
    return AttentionFusion(space, config)


load = functools.partial(load_agent, agent="attention_fusion")
"""For `babyaipp evaluate`: see `agents.actors.load_agent`."""
