"""Train an agent with Stable-Baselines3: `python -m agents.train_sb3 --algorithm ppo --agent film --level CrossTwo`.

The agent's network is the features extractor; PPO has no memory, RecurrentPPO of sb3-contrib has an LSTM. The settings
are those of `agents.train`, and mean the same. The run folder gets the model as Stable-Baselines3's .zip,
`<agent>-<level>-<seed>.zip`, besides `config.json`, `progress.jsonl`, `tensorboard/` and `report.json`; see `runs.py`.
Ctrl-C saves, and `--resume RUN` goes on, with new episodes. Evaluation follows, on `Train` and `HeldOut`.
"""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
import tyro

from agents.checkpoints import run_name, sized_task, spaces_of
from agents.cli import INTERRUPTED, UsageError, run_command, signals_set_a_flag, usage_errors
from agents.evaluate import Subject, evaluate, table
from agents.registry import agent_config
from agents.runs import Run, write_json
from agents.training.config import Frames, TrainConfig
from agents.training.ppo import PPOConfig
from babyaipp.levels import get_level
from babyaipp.texts import TEXT_CONDITION_NAMES

SPLITS = ("Train", "HeldOut")
"""What trained agents are evaluated on."""
_PACKAGES = {"ppo": ("stable_baselines3",), "recurrent_ppo": ("stable_baselines3", "sb3_contrib")}
_UNKNOWN_TO_SB3 = ("bf16", "compile", "cuda_graphs")
_GIVEN_ANEW = ("frames", "checkpoint_frames", "threads", "episodes")
_OWN = ("algorithm", "episodes", "resume")


@dataclass(frozen=True)
class SB3Config:
    """Train an agent on a level with Stable-Baselines3, and evaluate it."""

    algorithm: Literal["ppo", "recurrent_ppo"] = "ppo"
    """PPO, or RecurrentPPO of sb3-contrib, which remembers."""
    agent: str = "grounded"
    """Which agent: a file of the folder `agents`."""
    level: str = "GoToRedBall"
    split: str = "Train"
    """Train, or Fixed where the level has it."""
    text: Annotated[str, tyro.conf.arg(help=f"What the description tells: {TEXT_CONDITION_NAMES}.")] = "true"
    sentence_order: str | None = None
    """Order of the description's sentences, canonical or shuffled, instead of the level's own."""
    frames: Frames = 1_000_000
    """Environment steps to train for, such as 3e5, rounded up to whole rollouts."""
    seed: int = 0
    device: str = "cpu"
    """Of the network: cpu, cuda or cuda:<number>; the worlds run on the CPU."""
    out: Path | None = None
    """Run folder; runs/<algorithm>-<agent>-<level>-<seed> by default."""
    checkpoint_frames: Frames = 500_000
    """Frames between checkpoints."""
    threads: int = 1
    """Threads of the network and of the engine, on the CPU."""
    preset: str = "small"
    """Sizes of the network: small, or paper."""
    agent_options: dict[str, int] = field(default_factory=dict)
    """Fields of the agent's `Config`, such as `channels 32`, that differ from the preset."""
    episodes: int = 1000
    """Of the evaluation, a split; 0 for none."""
    resume: Path | None = None
    """Go on in this run folder, as it was started; only frames, episodes, checkpoint-frames and threads can be given
    anew. Where the frames are done, it is evaluated."""
    ppo: PPOConfig = field(default_factory=PPOConfig)

    def defaults(self) -> SB3Config | None:
        """What is not asked for is as the run has it that is gone on with.

        Raises:
            ValueError: there is no such run.
        """
        return None if self.resume is None else stored_config(self.resume)

    @property
    def training(self) -> TrainConfig:
        """The settings that it shares with the trainer."""
        return TrainConfig(**{name: value for name, value in vars(self).items() if name not in _OWN})

    @property
    def run(self) -> Run:
        """Where the training is kept."""
        default = Path("runs") / f"{self.algorithm}-{run_name(self.agent, self.level, self.split, self.seed)}"
        return Run(self.resume or self.out or default)

    @property
    def file_name(self) -> str:
        """Of the model."""
        return f"{run_name(self.agent, self.level, self.split, self.seed)}.zip"

    def check(self) -> None:
        """Raise ValueError, naming argument, value and what is allowed, if a setting makes no sense."""
        missing = [name for name in _PACKAGES[self.algorithm] if importlib.util.find_spec(name) is None]
        if missing:
            raise ValueError(
                f"algorithm={self.algorithm!r} needs {', '.join(missing)}: pip install -e '.[sb3]' from a clone"
            )
        self.training.check()
        if self.episodes < 0:
            raise ValueError(f"episodes={self.episodes} must not be negative")
        for name in _UNKNOWN_TO_SB3:
            if getattr(self.ppo, name):
                raise ValueError(f"ppo.{name}=True: Stable-Baselines3 cannot do that; agents.train can")
        if self.algorithm == "recurrent_ppo" and not agent_config(self.agent, self.preset, self.agent_options).memory:
            raise ValueError("algorithm='recurrent_ppo' needs a memory; agent_options has memory=0")


def stored_config(folder: Path) -> SB3Config:
    """The settings of a run, to go on with it.

    Raises:
        ValueError: there is no run of `agents.train_sb3`.
    """
    stored = Run(folder).read_config()
    if "algorithm" not in stored:
        raise ValueError(f"{str(folder)!r} is not a run of agents.train_sb3, and cannot be resumed by it")
    known = {name: value for name, value in stored.items() if name in SB3Config.__dataclass_fields__}
    return SB3Config(**known | {"ppo": PPOConfig(**stored["ppo"]), "resume": folder})


def check_resumed(asked: SB3Config, folder: Path) -> None:
    """Raise ValueError if a run cannot go on with these settings."""
    for name, before in vars(stored_config(folder)).items():
        now = getattr(asked, name)
        if name not in _GIVEN_ANEW and now != before:
            raise ValueError(
                f"{name}={now!r} cannot be given with --resume: the run goes on as it was started, with {before!r}"
            )


@dataclass(frozen=True)
class Outcome:
    """How a training ended."""

    run: Run
    file: Path
    """The model."""
    model: Any
    frames: int
    seconds: float
    """Training time, of all calls together; evaluations left out."""
    interrupted: bool


def train(config: SB3Config) -> Outcome:
    """Train as asked, or go on.

    Raises:
        UsageError: a setting makes no sense, the run folder is taken, or there is nothing to resume.
    """
    with usage_errors():
        config.check()
        if config.resume is not None:
            check_resumed(config, config.resume)
        run, file = config.run, config.run.folder / config.file_name
        if config.resume is None and file.exists():
            raise UsageError(
                f"out={str(run.folder)!r} holds a run already; go on with --resume, or choose another --out"
            )
        if config.resume is not None and not file.exists():
            raise UsageError(f"{str(run.folder)!r} holds no model yet")
    from agents.sb3 import Progress, SeededWorlds, load_model, new_model, save_model

    torch.set_num_threads(config.threads)
    training = config.training
    env = SeededWorlds(training.task.make_vec(config.ppo.num_envs, num_threads=config.threads))
    try:
        if config.resume is None:
            model = new_model(config.algorithm, training, env, run.folder / "tensorboard")
            seconds = 0.0
        else:
            model = load_model(config.algorithm, file, env, config.device)
            model.set_random_seed(int(np.random.SeedSequence((config.seed, model.num_timesteps)).generate_state(1)[0]))
            seconds = max((line["seconds"] for line in run.read_progress()), default=0.0)
        write_json(run.config_file, training.as_json() | {"algorithm": config.algorithm})
        interrupted = False
        if model.num_timesteps < config.frames:
            with signals_set_a_flag() as flag:
                progress = Progress(run, training, file, flag, seconds)
                model.learn(
                    config.frames - model.num_timesteps,
                    progress,
                    tb_log_name="training",
                    reset_num_timesteps=config.resume is None,
                )
                progress.close()
                save_model(model, file)
                seconds, interrupted = progress.seconds, flag() and model.num_timesteps < config.frames
    finally:
        env.close()
    return Outcome(run, file, model, model.num_timesteps, seconds, interrupted)


def evaluate_model(config: SB3Config, outcome: Outcome) -> dict[str, Any]:
    """The report on `SPLITS`, as `agents.evaluate` gives it, with the likeliest actions; also written to the run."""
    from agents.sb3 import SB3Actor

    training = config.training
    task = sized_task(training.task, spaces_of(training.task)[0])
    settings = training.as_json() | {"algorithm": config.algorithm, "frames": outcome.frames}
    subject = Subject(f"{config.agent} ({config.algorithm} of SB3)", SB3Actor(outcome.model), task, settings, True)
    splits = [split for split in SPLITS if split in get_level(config.level).splits]
    report = evaluate(subject, config.episodes, splits, device=config.device)
    write_json(outcome.run.report_file, report)
    return report


def run_training(config: SB3Config) -> int:
    """Train, evaluate and say what came of it; returns the exit status."""
    outcome = train(config)
    told = f"{outcome.frames:,} frames, {outcome.seconds:.0f} s; saved {outcome.file}"
    again = f"python -m agents.train_sb3 --resume {outcome.run.folder}"
    if outcome.interrupted:
        print(f"interrupted after {told}; go on with: {again}")
        return INTERRUPTED
    print(f"trained: {told}")
    if config.episodes:
        report = evaluate_model(config, outcome)
        print(f"\n{config.level}, text={config.text}; 95% intervals in brackets\n\n{table([report])}\n")
        print(f"written to {outcome.run.report_file}. Next: {again} --frames {2 * config.frames}")
    else:
        print(f"not evaluated. Next: {again} --episodes 1000")
    return 0


if __name__ == "__main__":
    sys.exit(run_command(SB3Config, run_training))
