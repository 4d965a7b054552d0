"""The paper's attention fusion: each cell of the image attends to the sentences of the description.

arXiv 2004.07200: two convolutions of the image; a GRU over each sentence; the image features of a
cell give the weights over the sentences and over a null sentence, for cells that no sentence is about; the
weighted sum of the sentences' vectors joins the cell's features; fused convolutions end in the features.

The weights come from the image alone, hence they choose sentences by their place in the description, not by
what they say. With `sentence_order="canonical"` a place always names the same colour.

Chosen here, where the paper leaves it open or its sizes do not matter: type, colour and state are embedded
instead of read as magnitudes; the weights share the image's convolutions; the null sentence's vector is learned;
the instruction scales and shifts the fused channels; the compass joins before the last layer; no batch
normalisation and no memory; 16 channels instead of 128.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from gymnasium import spaces
from torch import Tensor, nn

from agents.encoders import ImageEncoder, SentenceEncoder, Trunk
from babyaipp.texts import PADDING


@dataclass(frozen=True)
class Config:
    """Sizes of the network."""

    channels: int = 16
    """Channels of every convolution."""
    word_size: int = 16
    sentence_size: int = 16
    features: int = 128


class AttentionFusion(nn.Module):
    """Maps integer tensors `image` (B, X, Y, 3), `direction` (B,), `mission` (B, M), `description` (B, S, W)."""

    def __init__(self, space: spaces.Dict, config: Config) -> None:
        super().__init__()
        description = space["description"]
        assert description.shape is not None
        sentences = description.shape[0]
        self.num_features = config.features
        self.image = ImageEncoder(space, config.channels)
        self.sentence = SentenceEncoder(description, config.word_size, config.sentence_size)
        self.null_sentence = nn.Parameter(torch.randn(config.sentence_size))
        self.attention = nn.Conv2d(config.channels, sentences + 1, 1)
        inputs = config.channels + config.sentence_size
        self.trunk = Trunk(space, inputs, config.channels, config.features, instruction=config.sentence_size)

    def forward(self, observation: Mapping[str, Tensor]) -> Tensor:
        """Features (B, num_features)."""
        return self.forward_with_attention(observation)[0]

    def forward_with_attention(self, observation: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Features (B, num_features), and the weights (B, S + 1, X, Y) of each cell; the null sentence's is last."""
        cells = self.image(observation["image"])  # (B, C, X, Y)
        description = observation["description"]
        sentences = self.sentence(description)  # (B, S, D)
        null = self.null_sentence.expand(len(sentences), 1, -1)  # (B, 1, D)
        sentences = torch.cat([sentences, null], 1)  # (B, S + 1, D)
        absent = (description == PADDING).all(-1)  # (B, S)
        absent = torch.cat([absent, absent.new_zeros(len(absent), 1)], 1)  # (B, S + 1)
        logits = self.attention(cells).masked_fill(absent[:, :, None, None], -torch.inf)  # (B, S + 1, X, Y)
        weights = logits.softmax(1)
        told = torch.einsum("bsxy,bsd->bdxy", weights, sentences)  # (B, D, X, Y)
        instruction = self.sentence(observation["mission"])  # (B, D)
        return self.trunk(torch.cat([cells, told], 1), observation["direction"], instruction), weights


def build(space: spaces.Dict, config: Config) -> AttentionFusion:
    """The network for an observation space of `TokenObservation`."""
    return AttentionFusion(space, config)
