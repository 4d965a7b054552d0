"""An agent that reads by content: a floor gets the meaning of the sentence that names its colour.

What it is given and need not learn: which word names which colour of the image (six words, `LEXICON`); that sentences
of the description speak of floors, and the instruction of objects; that a name of a colour means nothing else. So the
sentence that concerns a floor is found by comparing, and written to the floor without the colour's name. What the
sentence says, and what to do about it, is learned.

The network thus never gets to know what colour a floor has: it cannot learn that some floors are dangerous, nor which
words were told of which colour in training. If the floors' colours are exchanged, in the image and in the description,
it does the same; so what it has learned of a property holds for every colour, also in a pair that it has never seen.
That is a prior which the other agents do not get, and the reason for which HeldOut is as good as Train.

The instruction is read in the same way: names of colours are compared with the colours of objects, and the keys of the
other words match the types of objects; a GRU knows their order. Nothing depends on the order of the sentences, on their
number, or on sentences about colours that are not in view.

Texts that must be matched with what is seen are RTFM's (arXiv 1910.08210) and Messenger's (arXiv 2101.07393).
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from gymnasium import spaces
from torch import Tensor, nn
from torch.nn import functional

from agents.actors import load_agent
from agents.encoders import Compass, once
from babyaipp.engine.state import BALL, BOX, DOOR, FLOOR, KEY, MINIGRID_COLORS
from babyaipp.texts import PADDING, WORD_IDS

LEXICON: dict[int, str] = dict(enumerate(MINIGRID_COLORS))
"""Name of each colour of the image."""
OBJECTS = (DOOR, KEY, BALL, BOX)
"""Types that an instruction speaks of. Empty and unseen cells and walls have a colour in the image, too, that tells
nothing."""


@dataclass(frozen=True)
class Config:
    """Sizes of the network."""

    word_size: int = 64
    """Of words."""
    text_size: int = 64
    """Of what a sentence or a word of the instruction tells."""
    channels: int = 64
    """Of the first convolution; the others have twice as many."""
    features: int = 128
    memory: int = 128


PRESETS = {
    "paper": Config(),
    "small": Config(word_size=16, text_size=16, channels=16, features=96, memory=64),
}


class Grounded(nn.Module):
    """Maps integer tensors `image` (B, X, Y, 3), `direction` (B,), `mission` (B, M), `description` (B, S, W)."""

    color_of_word: Tensor
    floors: Tensor
    objects: Tensor

    def __init__(self, space: spaces.Dict, config: Config) -> None:
        super().__init__()
        image, words = space["image"], space["description"]
        assert isinstance(image, spaces.Box)
        assert isinstance(words, spaces.Box)
        self.num_features = config.features
        self._types, self._colors, self._states = (int(high) + 1 for high in image.high.max((0, 1)))
        num_words = int(words.high.max()) + 1
        self._sentences, self._sentence_words = words.shape
        names = torch.full((num_words,), -1)  # the colour that a word names
        for color, name in LEXICON.items():
            names[WORD_IDS[name]] = color
        self.register_buffer("color_of_word", names, persistent=False)
        of_types = torch.arange(self._types)
        self.register_buffer("floors", (of_types == FLOOR).float(), persistent=False)  # (types,)
        self.register_buffer("objects", torch.isin(of_types, torch.tensor(OBJECTS)).float(), persistent=False)
        self._any_color = WORD_IDS[LEXICON[0]]  # stands for all names of colours
        size = config.text_size
        self.rule_words = nn.Embedding(num_words, config.word_size)
        self.rule = nn.Linear(config.word_size, size)
        self.instruction_words = nn.Embedding(num_words, config.word_size)
        self.instruction = nn.GRU(config.word_size, 2 * size, batch_first=True)
        self.types = nn.Embedding(self._types, size)
        self.meaning = nn.Linear(3 * size, config.channels)
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
        types, colors, states = observation["image"].long().unbind(3)  # (B, X, Y) each
        texts = torch.cat([observation["description"].flatten(1), observation["mission"]], 1).long()
        texts, which = once(texts)  # (T, words), (B,)
        rows = torch.arange(len(types), device=types.device) if which is None else which
        things = (rows.view(-1, 1, 1) * self._types + types) * self._colors + colors
        cells = functional.embedding(things, self._meaning(texts).flatten(0, 2))
        cells = cells + self.shapes(types * self._states + states)  # (B, X, Y, C)
        cells = torch.relu(cells).permute(0, 3, 1, 2)  # (B, C, X, Y), channels last in memory
        near, wider, widest = self.convolutions
        cells = cells + torch.relu(near(cells))
        cells = torch.relu(widest(torch.relu(wider(cells))))
        return torch.relu(self.output(torch.cat([cells.flatten(1), self.compass(observation)], 1)))

    def attention(self, observation: Mapping[str, Tensor]) -> Tensor:
        """The weights (B, S + 1, X, Y) of the sentences for each cell; those of no sentence are last."""
        types, colors, _ = observation["image"].long().unbind(3)
        weights = self._attention(observation["description"].long())  # (B, colors, S)
        weights = weights.gather(1, colors.flatten(1).unsqueeze(2).expand(-1, -1, weights.shape[2]))  # (B, X * Y, S)
        weights = weights * self.floors[types.flatten(1)].unsqueeze(2)
        weights = torch.cat([weights, 1 - weights.sum(2, keepdim=True)], 2)
        return weights.transpose(1, 2).unflatten(2, types.shape[1:])

    def _attention(self, description: Tensor) -> Tensor:
        """For descriptions (T, S, W): the share of each sentence in what is told of each colour, (T, colors, S)."""
        named = self.color_of_word[description].unsqueeze(3) == torch.arange(self._colors, device=description.device)
        named = named.any(2).transpose(1, 2).float()  # (T, colors, S)
        return named / named.sum(2, keepdim=True).clamp(min=1)

    def _without_names(self, words: Tensor) -> Tensor:
        return torch.where(self.color_of_word[words] >= 0, self._any_color, words)

    def _meaning(self, texts: Tensor) -> Tensor:
        """What texts say of things of each type and colour, (T, types, colors, C)."""
        of_rules = self._sentences * self._sentence_words
        description = texts[:, :of_rules].unflatten(1, (self._sentences, self._sentence_words))
        there = (description != PADDING).unsqueeze(3)  # (T, S, W, 1)
        words = self.rule_words(self._without_names(description)) * there
        rules = torch.relu(self.rule(words.sum(2)))  # (T, S, D)
        told = self._attention(description) @ rules  # (T, colors, D); zeros where nothing is told
        told = self.floors.view(1, -1, 1, 1) * told.unsqueeze(1)  # (T, types, colors, D)

        mission = texts[:, of_rules:]
        states, _ = self.instruction(self.instruction_words(self._without_names(mission)))  # (T, M, 2 * D)
        keys, values = states.chunk(2, 2)
        there = (mission != PADDING).unsqueeze(1)  # (T, 1, M)
        of_type = ((self.types.weight @ keys.transpose(1, 2)).sigmoid() * there) @ values  # (T, types, D)
        named = self.color_of_word[mission].unsqueeze(1) == torch.arange(self._colors, device=texts.device).view(
            1, -1, 1
        )
        of_color = named.float() @ values  # (T, colors, D)
        of_color = self.objects.view(1, -1, 1, 1) * of_color.unsqueeze(1)  # (T, types, colors, D)
        parts = (told, of_type.unsqueeze(2), of_color)
        things = torch.broadcast_shapes(*(part.shape for part in parts))
        return self.meaning(torch.cat([part.expand(things) for part in parts], 3))


def build(space: spaces.Dict, config: Config) -> Grounded:
    """The network for an observation space of the engine."""
    return Grounded(space, config)


load = functools.partial(load_agent, agent="grounded")
"""For `babyaipp evaluate`: see `agents.actors.load_agent`."""
