"""Parts that several agents are made of: image encoder, sentence encoder, and the trunk that ends in features."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from gymnasium import spaces
from torch import Tensor, nn
from torch.nn import functional

from babyaipp.texts import PADDING


class ImageEncoder(nn.Module):
    """Embeds type, colour and state of each cell, adds the three up, then two convolutions that keep the size.

    Sums of embeddings are products with ones and zeros. So the first convolution takes those, by a kernel into which
    the embeddings are multiplied: fewer channels than an embedding has, and none of them wants a gradient.
    """

    offsets: Tensor

    def __init__(self, space: spaces.Dict, channels: int) -> None:
        super().__init__()
        image = space["image"]
        assert isinstance(image, spaces.Box)
        kinds = torch.as_tensor(image.high).amax((0, 1)).long() + 1  # (3,), values of type, colour, state
        self.register_buffer("offsets", kinds.cumsum(0) - kinds, persistent=False)
        self.embedding = nn.Embedding(int(kinds.sum()), channels)
        nn.init.normal_(self.embedding.weight, std=len(kinds) ** -0.5)  # the sum then has unit variance
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        """Cells (B, C, X, Y) of images (B, X, Y, 3)."""
        values = self.embedding.weight  # (K, C), of type, colour and state
        cells = torch.zeros(*image.shape[:3], len(values), device=image.device)  # (B, X, Y, K)
        cells = cells.scatter_(3, image.long() + self.offsets, 1.0).permute(0, 3, 1, 2)  # channels last in memory
        kernel = torch.einsum("kc,ocij->okij", values, self.first.weight)
        cells = torch.relu(functional.conv2d(cells, kernel, self.first.bias, padding=1))
        return torch.relu(self.second(cells))


class TextEncoder(nn.Module):
    """A GRU over the words of each text; its state after the last word is the text's vector.

    Most rows of a batch hold the same few texts. On a CPU each different one is encoded once; on a GPU, which would
    have to wait until it is known which they are, all of them.
    """

    def __init__(self, words: spaces.Space, word_size: int, text_size: int) -> None:
        super().__init__()
        assert isinstance(words, spaces.Box)
        self.embedding = nn.Embedding(int(words.high.max()) + 1, word_size)
        self.gru = nn.GRU(word_size, text_size, batch_first=True)

    def forward(self, words: Tensor) -> Tensor:
        """Vectors (..., text_size) of texts (..., words), padded anywhere; of an empty one, zeros."""
        shape = words.shape[:-1]
        texts, which = once(words.reshape(-1, words.shape[-1]).long())  # (N, W), (rows,)
        order = (texts == PADDING).to(torch.uint8).argsort(dim=1, stable=True)  # the words first, then the padding
        texts = texts.gather(1, order)
        states, _ = self.gru(self.embedding(texts))  # (N, W, D)
        length = (texts != PADDING).sum(1)  # (N,)
        vectors = states.gather(1, (length - 1).clamp(min=0).view(-1, 1, 1).expand(-1, 1, states.shape[2])).squeeze(1)
        vectors = vectors * (length > 0).unsqueeze(1)
        if which is not None:
            vectors = functional.embedding(which, vectors)
        return vectors.view(*shape, -1)


class Compass(nn.Module):
    """The direction that the agent faces, one-hot."""

    def __init__(self, space: spaces.Dict) -> None:
        super().__init__()
        direction = space["direction"]
        assert isinstance(direction, spaces.Discrete)
        self.size = int(direction.n)

    def forward(self, observation: Mapping[str, Tensor]) -> Tensor:
        """(B, 4) float32."""
        return functional.one_hot(observation["direction"].long(), self.size).float()


class Trunk(nn.Module):
    """Two convolutions without padding over all that is known of the cells, then one layer with the compass.

    An instruction, where the agent reads one, scales and shifts the channels after the convolutions (FiLM,
    arXiv 1709.07871).
    """

    def __init__(self, space: spaces.Dict, inputs: int, channels: int, features: int, instruction: int = 0) -> None:
        super().__init__()
        image = space["image"]
        assert isinstance(image, spaces.Box)
        width, height, _ = image.shape
        self.compass = Compass(space)
        self.convolutions = nn.Sequential(nn.Conv2d(inputs, channels, 3), nn.ReLU(), nn.Conv2d(channels, channels, 3))
        self.film = nn.Linear(instruction, 2 * channels) if instruction else None
        self.output = nn.Linear(channels * (width - 4) * (height - 4) + self.compass.size, features)

    def forward(self, cells: Tensor, observation: Mapping[str, Tensor], instruction: Tensor | None = None) -> Tensor:
        cells = self.convolutions(cells)  # (B, C, X - 4, Y - 4)
        if self.film is not None and instruction is not None:
            scale, shift = self.film(instruction)[:, :, None, None].chunk(2, dim=1)  # (B, C, 1, 1) each
            cells = cells * (1 + scale) + shift
        seen = torch.cat([torch.relu(cells).flatten(1), self.compass(observation)], 1)
        return torch.relu(self.output(seen))  # (B, features)


def once(rows: Tensor) -> tuple[Tensor, Tensor | None]:
    """On a CPU the different rows, and for each row which of them it is; elsewhere the rows as they are, and None."""
    return unique_rows(rows) if rows.device.type == "cpu" else (rows, None)


def unique_rows(rows: Tensor) -> tuple[Tensor, Tensor]:
    """The different rows of an integer matrix, and for each row which of them it is.

    Same as `torch.unique(rows, dim=0, return_inverse=True)`, and 20 times as fast: it numbers the different
    beginnings of the rows, a column longer each time.

    Args:
        rows: (rows, columns) int64, not negative.

    Returns:
        (different, columns) int64 and (rows,) int64.
    """
    values = rows.max() + 1
    which = rows.new_zeros(len(rows))
    for column in rows.unbind(1):
        which = torch.unique(which * values + column, return_inverse=True)[1]
    members = torch.arange(len(rows), device=rows.device)
    one_of = members.new_empty(int(which.max()) + 1).scatter_(0, which, members)
    return rows[one_of], which
