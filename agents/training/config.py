"""What can be asked of a training."""

from __future__ import annotations

import importlib.util
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

import tyro

from agents.environments import Task, check_device
from agents.registry import agent_config
from agents.training.ppo import PPOConfig
from babyaipp.texts import PARAPHRASE_WORDS, TEXT_CONDITION_NAMES, parse_text_condition

TRAINING_SPLITS = ("Train", "Fixed")
"""The splits that agents may train on: what is held out does not occur in `Train`, and `Fixed` draws nothing."""

FOR_EVALUATION_ONLY = ("shuffled_rules",)
"""Text conditions that tell pairs, true or not, which the split leaves out."""


def parse_frames(text: str) -> int:
    """A number of frames: 300000, 300_000 or 3e5."""
    number = float(text)
    if not (number >= 1 and number.is_integer()):
        raise ValueError(f"{text!r} is not a whole number of at least 1")
    return int(number)


Frames = Annotated[
    int,
    tyro.constructors.PrimitiveConstructorSpec(
        nargs=1,
        metavar="FRAMES",
        instance_from_str=lambda words: parse_frames(words[0]),
        is_instance=lambda value: isinstance(value, int),
        str_from_instance=lambda value: [str(value)],
    ),
]


@dataclass(frozen=True)
class TrainConfig:
    """Train an agent on a level."""

    agent: str = "grounded"
    """Which agent: a file of the folder `agents`."""
    level: str = "GoToRedBall"
    split: str = "Train"
    """Train, or Fixed where the level has it; the others are for evaluation."""
    text: Annotated[str, tyro.conf.arg(help=f"What the description tells: {TEXT_CONDITION_NAMES}.")] = "true"
    sentence_order: str | None = None
    """Order of the description's sentences, canonical or shuffled, instead of the level's own."""
    sentence_words: Annotated[
        int | None,
        tyro.conf.arg(help=f"Room for longer sentences, to evaluate on them, too; {PARAPHRASE_WORDS} do for any text."),
    ] = None
    frames: Frames = 1_000_000
    """Environment steps to train for, such as 3e5, rounded up to whole updates."""
    minutes: float | None = None
    """Also stop after that much training time of this call."""
    seed: int = 0
    device: str = "cpu"
    """cpu, cuda or cuda:<number>."""
    out: Path | None = None
    """Run folder; runs/<agent>-<level>-<seed> by default."""
    checkpoint_frames: Frames = 500_000
    """Frames between checkpoints."""
    evaluation_frames: Frames = 500_000
    """Frames between evaluations on Train and, where the level has it, Val."""
    evaluation_episodes: int = 256
    """Of an evaluation, a split; 0 for none."""
    threads: int = 1
    """Threads of the network and the engine, on the CPU."""
    preset: str = "small"
    """Sizes of the network: small, or paper."""
    agent_options: dict[str, int] = field(default_factory=dict)
    """Fields of the agent's `Config`, such as `channels 32`, that differ from the preset."""
    wandb: str | None = None
    """Also log to this project of Weights & Biases; needs its package."""
    ppo: PPOConfig = field(default_factory=PPOConfig)

    @property
    def task(self) -> Task:
        """The environment."""
        return Task(self.level, self.split, self.text, self.sentence_order, sentence_words=self.sentence_words)

    def as_json(self) -> dict[str, Any]:
        """What JSON can hold, without where the run is kept."""
        return {name: value for name, value in asdict(self).items() if name != "out"}

    def check(self, ranks: int = 1) -> None:
        """Raise ValueError, naming argument, value and what is allowed, if a setting makes no sense.

        Args:
            ranks: how many processes train together.
        """
        agent_config(self.agent, self.preset, self.agent_options)
        self.task.check()
        if str(parse_text_condition(self.text)) in FOR_EVALUATION_ONLY:
            raise ValueError(f"text={self.text!r} is for evaluation: it tells pairs that are held out")
        if self.split not in TRAINING_SPLITS:
            raise ValueError(f"split={self.split!r} is for evaluation; to train on: {', '.join(TRAINING_SPLITS)}")
        if self.threads < 1:
            raise ValueError(f"threads={self.threads} must be at least 1")
        if self.minutes is not None and not self.minutes > 0:
            raise ValueError(f"minutes={self.minutes:g} must be more than 0")
        for name in ("seed", "evaluation_episodes"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}={getattr(self, name)} must not be negative")
        self.ppo.check()
        if self.ppo.num_envs % (ranks * self.ppo.minibatches):
            raise ValueError(
                f"ppo.num_envs={self.ppo.num_envs} must be a multiple of ppo.minibatches={self.ppo.minibatches} "
                f"times the {ranks} processes"
            )
        check_device(self.device)
        if ranks > 1 and ":" in self.device:
            raise ValueError(f"device={self.device!r}: several processes have a GPU each; allowed: cpu, cuda")
        if self.ppo.cuda_graphs and not self.device.startswith("cuda"):
            raise ValueError(f"ppo.cuda_graphs=True needs device=cuda; got {self.device!r}")
        if self.wandb is not None and importlib.util.find_spec("wandb") is None:
            raise ValueError(f"wandb={self.wandb!r} needs the package: pip install wandb")
