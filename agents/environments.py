"""The environments that agents see: which task, and which seeds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
import torch

import babyaipp
from babyaipp.engine.devices import parse_device
from babyaipp.engine.vector import BatchedWorlds
from babyaipp.evaluation.protocol import EVALUATION_SEEDS
from babyaipp.levels import get_level, get_split
from babyaipp.spaces import text_sizes
from babyaipp.texts import check_sentence_order, parse_text_condition
from babyaipp.wrappers import TokenObservation

_SEEDS_APART = 1_000_000


@dataclass(frozen=True)
class Task:
    """Which environment."""

    level: str
    split: str = "Train"
    text: str = "true"
    sentence_order: str | None = None
    """None: the level's own."""
    mission_words: int | None = None
    """Columns of `mission`; None: the longest instruction of the level."""
    sentences: int | None = None
    """Rows of `description`; None: the most that the level has."""
    sentence_words: int | None = None
    """Columns of `description`; None: the longest sentence of the text condition."""

    def check(self) -> None:
        """Raise ValueError, with what is allowed, if there is no such environment."""
        level = get_level(self.level)
        get_split(level, self.split)
        condition = parse_text_condition(self.text)
        check_sentence_order(self.sentence_order, level.sentence_order)
        text_sizes(level, condition, self.mission_words, self.sentences, self.sentence_words)

    def make_vec(self, num_envs: int, **arguments: Any) -> BatchedWorlds:
        """Worlds of the engine; `arguments`: further ones of `BatchedWorlds`."""
        return babyaipp.make_vec(
            self.level,
            self.split,
            num_envs,
            text=self.text,
            sentence_order=self.sentence_order,
            mission_words=self.mission_words,
            sentences=self.sentences,
            sentence_words=self.sentence_words,
            **arguments,
        )

    def make(self, render_mode: str | None = None) -> gym.Env[dict[str, Any], Any]:
        """The reference environment, for pictures."""
        level = get_level(self.level)
        env = gym.make(
            level.env_id(get_split(level, self.split)),
            disable_env_checker=True,
            text=self.text,
            sentence_order=self.sentence_order,
            render_mode=render_mode,
        )
        return TokenObservation(
            env, mission_words=self.mission_words, sentences=self.sentences, sentence_words=self.sentence_words
        )


def check_device(name: str) -> None:
    """Raise ValueError, with what is allowed, unless this machine has the device: cpu, cuda or cuda:<number>."""
    device = torch.device(parse_device(name))
    if device.type == "cpu":
        return
    count = torch.cuda.device_count()
    if not count:
        raise ValueError(f"device={name!r}: torch finds no GPU; allowed here: cpu")
    if (device.index or 0) >= count:
        raise ValueError(f"device={name!r}: torch finds {count} GPUs; allowed here: cpu, cuda, cuda:0 to {count - 1}")


def training_seeds(seed: int, count: int) -> list[int]:
    """Seeds of the environments of a training run, below `EVALUATION_SEEDS`."""
    return (np.random.SeedSequence(seed).generate_state(count) % EVALUATION_SEEDS).tolist()


def evaluation_seed(seed: int, index: int) -> int:
    """The environment seed of the `index`-th episode of the evaluation `seed`; training never uses it."""
    return EVALUATION_SEEDS + _SEEDS_APART * seed + index
