"""Train an agent: `python -m agents.train --agent grounded --level CrossTwo --frames 5e6 --seed 1`.

Recurrent PPO on the engine, on the split `Train`, or on `Fixed`, to see what memorising does. The run folder (see
`runs.py`) is complete after every checkpoint; Ctrl-C saves one, and `--resume RUN` goes on. On the CPU of one machine
the same settings and seed give the same parameters, bit for bit, however often the training is interrupted, as long as
it is not limited in time.

Several processes, each with its share of the environments: `torchrun --nproc-per-node 2 -m agents.train ...`.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import torch

from agents.cli import INTERRUPTED, UsageError, run_command, signals_set_a_flag, usage_errors
from agents.runs import Run, write_json
from agents.training.config import TrainConfig
from agents.training.distributed import Ranks
from agents.training.ppo import PPOConfig
from agents.training.trainer import Trainer, learn, run_folder

GIVEN_ANEW = ("frames", "minutes", "checkpoint_frames", "evaluation_frames", "evaluation_episodes", "threads", "wandb")
"""Settings that may change when a run goes on."""


@dataclass(frozen=True)
class Command(TrainConfig):
    """Train an agent on a level, or go on with a run."""

    resume: Path | None = None
    """Go on in this run folder, as it was started; only limits and how often to save and evaluate can be given anew."""

    def defaults(self) -> Command | None:
        """What is not asked for is as the run has it.

        Raises:
            ValueError: there is no run to go on with.
        """
        if self.resume is None:
            return None
        return Command(**vars(stored_config(self.resume)), resume=self.resume)


@dataclass(frozen=True)
class Outcome:
    """How a training ended."""

    run: Run
    frames: int
    seconds: float
    """Training time, of all calls together."""
    interrupted: bool


def train(config: TrainConfig, resume: Path | None = None) -> Outcome:
    """Train as asked.

    Args:
        config: settings.
        resume: go on with the run in this folder; `config` is that of `stored_config` then, or one like it.

    Raises:
        UsageError: a setting makes no sense, the run folder is taken, or there is nothing to resume.
    """
    with Ranks() as ranks:
        with usage_errors():
            config.check(ranks.size)
            run = Run(run_folder(config) if resume is None else resume)
            if resume is not None:
                check_resumed(config, resume)
            if resume is None and run.training_file().exists():
                raise ValueError(
                    f"out={str(run.folder)!r} holds a run already; go on with --resume, or choose another --out"
                )
        torch.set_num_threads(config.threads)
        trainer = Trainer(config, ranks)
        try:
            if resume is not None:
                with usage_errors():
                    trainer.load(run)
                if trainer.frames >= config.frames:
                    raise UsageError(
                        f"frames={config.frames} are done: {run.folder} holds {trainer.frames}; ask for more"
                    )
            if ranks.first:
                write_json(run.config_file, config.as_json())
            with signals_set_a_flag() as interrupted:
                stopped = learn(trainer, run, ranks, interrupted)
        finally:
            trainer.close()
        return Outcome(run, trainer.frames, trainer.seconds, stopped)


def stored_config(folder: Path) -> TrainConfig:
    """The settings of a run, to go on with it. A limit of time is left out: it belongs to a call.

    Raises:
        ValueError: there is no run of `agents.train` that can go on.
    """
    stored = Run(folder).read_config()
    if "algorithm" in stored:
        raise ValueError(f"{str(folder)!r} is a run of agents.train_sb3: python -m agents.train_sb3 --resume {folder}")
    if "ppo" not in stored:
        raise ValueError(f"{str(folder)!r} is not a run of agents.train, and cannot be resumed")
    try:
        config = TrainConfig(**stored | {"ppo": PPOConfig(**stored["ppo"]), "minutes": None})
    except TypeError as error:
        raise ValueError(f"{Run(folder).config_file} is not of this version: {error}") from None
    if not Run(folder).training_file().exists():
        raise ValueError(f"{str(folder)!r} holds no checkpoint yet")
    return config


def check_resumed(asked: TrainConfig, folder: Path) -> None:
    """Raise ValueError if a run cannot go on with these settings."""
    stored = stored_config(folder)
    for name, before in vars(stored).items():
        now = getattr(asked, name)
        if name not in GIVEN_ANEW and now != before:
            raise ValueError(
                f"{name}={now!r} cannot be given with --resume: the run goes on as it was started, with {before!r}"
            )


def run_training(command: Command) -> int:
    """Train and say what came of it; returns the exit status."""
    settings = {name: value for name, value in vars(command).items() if name != "resume"}
    outcome = train(TrainConfig(**settings), command.resume)
    folder = outcome.run.folder
    told = f"{outcome.frames:,} frames, {outcome.seconds:.0f} s"
    if outcome.interrupted:
        if Ranks().first:
            print(f"interrupted after {told}; go on with: python -m agents.train --resume {folder}")
        return INTERRUPTED
    if Ranks().first:
        print(f"trained: {told}; saved {outcome.run.agent_file()}. Next: python -m agents.evaluate {folder}")
    return 0


if __name__ == "__main__":
    sys.exit(run_command(Command, run_training))
