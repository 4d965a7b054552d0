"""An agent that reads by content: what is seen in a cell is matched with the words, and the rest of the sentence is
written to the cell.

For each thing that a cell can show, a query made of its type and colour is compared with a key of every word of every
sentence. How well the words match decides between the sentences, and against a null key, for what no sentence is about.
What a sentence tells is the sum of the values of its words, but for those that were matched: they say where, the others
what. So a rule is learned as the meaning of its property, for whatever colour.

Colour reaches the policy by these matches only: what is passed on of a cell beside the texts is its type and its state.
An agent that sees colours besides learns which of them are dangerous, and under new rules that misleads it.

The instruction is matched in the same way; its words get keys and values from a GRU, as their order matters. Nothing
depends on the order of the sentences, on their number, or on sentences about what is not in view.

Words that attend to what is seen are EMMA's idea (arXiv 2101.07393), a text that is new in every episode is RTFM's
(arXiv 1910.08210).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from gymnasium import spaces
from torch import Tensor, nn
from torch.nn import functional

from agents.encoders import Compass, once
from babyaipp.texts import PADDING


@dataclass(frozen=True)
class Config:
    """Sizes of the network."""

    key_size: int = 32
    """Of queries and keys."""
    value_size: int = 32
    """Of what a word tells."""
    word_size: int = 32
    """Of the words of the instruction."""
    channels: int = 64
    """Of the first convolution; the others have twice as many."""
    features: int = 128
    memory: int = 128


PRESETS = {
    "paper": Config(),
    "small": Config(key_size=16, value_size=16, word_size=16, channels=16, features=96, memory=64),
}


class Grounded(nn.Module):
    """Maps integer tensors `image` (B, X, Y, 3), `direction` (B,), `mission` (B, M), `description` (B, S, W)."""

    def __init__(self, space: spaces.Dict, config: Config) -> None:
        super().__init__()
        image, words = space["image"], space["description"]
        assert isinstance(image, spaces.Box)
        assert isinstance(words, spaces.Box)
        self.num_features = config.features
        self._types, self._colors, self._states = (int(high) + 1 for high in image.high.max((0, 1)))
        num_words = int(words.high.max()) + 1
        self._key_size = config.key_size
        self._sentences, self._sentence_words = words.shape
        queries = 2 * config.key_size  # for the rules and for the instruction
        self.types = nn.Embedding(self._types, queries)
        self.colors = nn.Embedding(self._colors, queries)
        self.words = nn.Embedding(num_words, config.key_size + config.value_size)
        self.null_key = nn.Parameter(torch.zeros(config.key_size))
        self.null_value = nn.Parameter(torch.zeros(config.value_size))
        self.instruction_words = nn.Embedding(num_words, config.word_size)
        self.instruction = nn.GRU(config.word_size, config.key_size + config.value_size, batch_first=True)
        self.told = nn.Linear(2 * config.value_size, config.channels)
        self.shapes = nn.Embedding(self._types * self._states, config.channels)
        width, height, _ = image.shape
        wide = 2 * config.channels
        self.convolutions = nn.ModuleList(
            (
                nn.Conv2d(config.channels, config.channels, 3, padding=1),
                nn.Conv2d(config.channels, wide, 3),
                nn.Conv2d(wide, wide, 3),
            )
        )
        self.compass = Compass(space)
        self.output = nn.Linear(wide * (width - 4) * (height - 4) + self.compass.size, config.features)

    def forward(self, observation: Mapping[str, Tensor]) -> Tensor:
        """Features (B, num_features)."""
        image = observation["image"].long()
        types, colors, states = image.unbind(3)  # (B, X, Y) each
        texts, which = once(self._texts(observation))  # (T, words), (B,)
        meaning = self._meaning(texts)  # (T, types * colors, C)
        rows = torch.arange(len(image), device=image.device) if which is None else which
        things = rows.view(-1, 1, 1) * (self._types * self._colors) + types * self._colors + colors
        cells = functional.embedding(things, meaning.flatten(0, 1))
        cells = cells + self.shapes(types * self._states + states)  # (B, X, Y, C)
        cells = torch.relu(cells).permute(0, 3, 1, 2)  # (B, C, X, Y), channels last in memory
        near, wider, widest = self.convolutions
        cells = cells + torch.relu(near(cells))
        cells = torch.relu(widest(torch.relu(wider(cells))))
        return torch.relu(self.output(torch.cat([cells.flatten(1), self.compass(observation)], 1)))

    def attention(self, observation: Mapping[str, Tensor]) -> Tensor:
        """The weights (B, S + 1, X, Y) of the sentences for each cell; those of no sentence are last."""
        types, colors, _ = observation["image"].long().unbind(3)
        weights, _ = self._weights(observation["description"].long())  # (B, types * colors, S + 1)
        things = (types * self._colors + colors).flatten(1)  # (B, X * Y)
        weights = weights.gather(1, things.unsqueeze(2).expand(-1, -1, weights.shape[2]))  # (B, X * Y, S + 1)
        return weights.transpose(1, 2).unflatten(2, types.shape[1:])

    def _texts(self, observation: Mapping[str, Tensor]) -> Tensor:
        """Description and instruction in one row, (B, words)."""
        return torch.cat([observation["description"].flatten(1), observation["mission"]], 1).long()

    def _queries(self) -> tuple[Tensor, Tensor]:
        """What is asked about a thing of each type and colour, (types * colors, K): of the rules, the instruction."""
        queries = self.types.weight.unsqueeze(1) + self.colors.weight
        rules, instruction = queries.flatten(0, 1).chunk(2, 1)
        return rules, instruction

    def _weights(self, description: Tensor) -> tuple[Tensor, Tensor]:
        """How descriptions (T, S, W) are attended to by each type and colour.

        Returns:
            Of each sentence and of none, (T, things, S + 1); and of each word, as far as its sentence is attended to
            and it is not the word that matches, (T, things, S, W).
        """
        queries, _ = self._queries()
        absent = (description == PADDING).unsqueeze(1)  # (T, 1, S, W)
        keys = functional.embedding(description, self.words.weight[:, : self._key_size])  # (T, S, W, K)
        matches = torch.einsum("ak,tswk->tasw", queries, keys).masked_fill(absent, -1e9)
        none = (queries @ self.null_key).view(1, -1, 1).expand(len(matches), -1, 1)
        weights = torch.cat([matches.logsumexp(3), none], 2).softmax(2)  # (T, things, S + 1)
        others = (1 - matches.softmax(3)).masked_fill(absent, 0)
        return weights, weights[:, :, :-1, None] * others

    def _meaning(self, texts: Tensor) -> Tensor:
        """What texts say of things of each type and colour, (T, types * colors, C)."""
        words = self._sentences * self._sentence_words
        description = texts[:, :words].unflatten(1, (self._sentences, self._sentence_words))
        weights, of_words = self._weights(description)
        values = functional.embedding(texts[:, :words], self.words.weight[:, self._key_size :])  # (T, S * W, D)
        told = of_words.flatten(2) @ values + weights[:, :, -1:] * self.null_value  # (T, things, D)

        mission = texts[:, words:]
        states, _ = self.instruction(self.instruction_words(mission))  # (T, M, K + D)
        keys, values = states.split([self._key_size, states.shape[2] - self._key_size], 2)
        _, queries = self._queries()
        matches = torch.einsum("ak,tmk->tam", queries, keys).sigmoid() * (mission != PADDING).unsqueeze(1)
        return self.told(torch.cat([told, matches @ values], 2))


def build(space: spaces.Dict, config: Config) -> Grounded:
    """The network for an observation space of the engine."""
    return Grounded(space, config)
