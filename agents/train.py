"""Train an agent: `python -m agents.train --agent attention_fusion --level GoToRedBall --frames 3e5`.

PPO of Stable-Baselines3 on the split `Train`, or on `Fixed`, to see what memorising does. The run folder (see
`runs.py`) is complete after every checkpoint; Ctrl-C saves one. On one machine the same settings and seed give the same
parameters, as long as the training is neither interrupted nor limited in time.
"""

from __future__ import annotations

import json
import math
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import tyro
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Logger, TensorBoardOutputFormat
from stable_baselines3.common.utils import set_random_seed
from tqdm import tqdm  # type: ignore[import-untyped]

from agents.cli import INTERRUPTED, UsageError, run_command, usage_errors
from agents.environments import Task, WorkerVecEnv, training_seeds
from agents.registry import agent_config
from agents.runs import Run, write_json
from agents.sb3 import PPOConfig, load_model, new_model
from babyaipp.texts import PARAPHRASE_WORDS, TEXT_CONDITION_NAMES

TRAINING_SPLITS = ("Train", "Fixed")
"""The splits that agents may train on: what is held out does not occur in `Train`, and `Fixed` draws nothing."""

_RECENT_EPISODES = 500
_DEFAULT_FRAMES = 1_000_000
_NEVER = sys.maxsize


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

    agent: str = "attention_fusion"
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
    frames: Frames | None = None
    """Environment steps to train for, such as 3e5, rounded up to whole updates; 1,000,000 by default."""
    minutes: float | None = None
    """Also stop after that much training time."""
    seed: int = 0
    out: Path | None = None
    """Run folder; runs/<agent>-<level>-<seed> by default."""
    resume: Path | None = None
    """Go on in this run folder; only `frames`, `minutes` and `checkpoint_frames` can be given anew."""
    checkpoint_frames: Frames = 100_000
    """Frames between checkpoints."""
    num_envs: int = 64
    num_workers: int = 2
    """Processes that the environments are divided among."""
    threads: int = 1
    """Threads of the network. For the small ones here a second thread gains little, and on a busy machine it makes
    every operation wait for the slower of the two."""
    agent_options: dict[str, int] = field(default_factory=dict)
    """Fields of the agent's `Config`, such as `channels 32`."""
    ppo: PPOConfig = field(default_factory=PPOConfig)

    @property
    def task(self) -> Task:
        """The environment."""
        return Task(self.level, self.split, self.text, self.sentence_order, self.sentence_words)

    def check(self) -> None:
        """Raise ValueError, naming argument, value and what is allowed, if a setting makes no sense."""
        agent_config(self.agent, self.agent_options)
        self.task.check()
        if self.split not in TRAINING_SPLITS:
            raise ValueError(f"split={self.split!r} is for evaluation; to train on: {', '.join(TRAINING_SPLITS)}")
        for name in ("num_envs", "num_workers", "threads"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} must be at least 1")
        if self.minutes is not None and not self.minutes > 0:
            raise ValueError(f"minutes={self.minutes:g} must be more than 0")
        if self.seed < 0:
            raise ValueError(f"seed={self.seed} must not be negative")
        self.ppo.check()
        if self.num_envs * self.ppo.rollout_steps < 2:
            raise ValueError("num_envs times ppo.rollout_steps must be at least 2: PPO normalises advantages")


@dataclass(frozen=True)
class Outcome:
    """How a training ended."""

    run: Run
    frames: int
    seconds: float
    """Training time of this call."""
    interrupted: bool


def train(config: TrainConfig) -> Outcome:
    """Train as asked, or go on with a run.

    Raises:
        UsageError: a setting makes no sense, the run folder is taken, or there is nothing to resume.
    """
    with usage_errors():
        run, config = _resumed(config) if config.resume is not None else _started(config)
    torch.set_num_threads(config.threads)
    frames = config.frames or _DEFAULT_FRAMES
    frames_done = 0
    env = WorkerVecEnv(config.task, config.num_envs, config.num_workers)
    try:
        if config.resume is None:
            set_random_seed(config.seed)
            model = new_model(config.agent, config.agent_options, config.ppo, env)
        else:
            model = load_model(run.model_file(), env)
            frames_done = model.num_timesteps
            if frames <= frames_done:
                raise UsageError(f"frames={frames} are done: {run.folder} holds {frames_done}; ask for more")
            run.forget_progress_after(frames_done)
            set_random_seed(training_seeds(config.seed, frames_done, 1)[0])
        env.seed_each(training_seeds(config.seed, frames_done, config.num_envs))
        model.seconds_limit = None if config.minutes is None else 60 * config.minutes
        logger = Logger(str(run.folder), [TensorBoardOutputFormat(str(run.folder / "tensorboard"))])
        model.set_logger(logger)
        watch = _Watch(run, config, frames, frames_done)
        with _signals_set_a_flag() as interrupted:
            watch.interrupted = interrupted
            model.learn(frames - frames_done, callback=watch, log_interval=_NEVER, reset_num_timesteps=not frames_done)
            model.num_timesteps = watch.trained_frames
            stopped = interrupted() and watch.trained_frames < frames
            run.save_model(model, finished=not stopped)
        logger.close()
    finally:
        env.close()
    return Outcome(run, watch.trained_frames, watch.seconds, stopped)


def _started(config: TrainConfig) -> tuple[Run, TrainConfig]:
    config.check()
    task = config.level if config.split == "Train" else f"{config.level}-{config.split}"
    run = Run(config.out or Path("runs") / f"{config.agent}-{task}-{config.seed}")
    if run.saved_models():
        raise ValueError(f"out={str(run.folder)!r} holds a run already; go on with --resume, or choose another --out")
    run.forget_progress_after(0)  # of a training that was stopped before its first checkpoint
    _write_config(run, config)
    return run, config


def _resumed(config: TrainConfig) -> tuple[Run, TrainConfig]:
    assert config.resume is not None
    run = Run(config.resume)
    stored = run.read_config()
    old = TrainConfig(**stored | {"ppo": PPOConfig(**stored["ppo"])})
    run.model_file()  # complains if there is none
    changes: dict[str, Any] = {}
    defaults, before, now = asdict(TrainConfig()), asdict(old), asdict(config)
    for name in sorted(now.keys() - {"resume"}):
        if now[name] == defaults[name]:
            continue
        if name in ("frames", "minutes", "checkpoint_frames"):
            changes[name] = now[name]
        elif name == "out" or now[name] != before[name]:
            raise ValueError(f"{name}={now[name]!r} cannot be given with --resume: the run goes on as it was started")
    # A limit of time belongs to a call, not to the run.
    config = replace(old, **{"minutes": None} | changes, resume=config.resume)
    config.check()
    _write_config(run, config)
    return run, config


def _write_config(run: Run, config: TrainConfig) -> None:
    settings = asdict(config) | {"frames": config.frames or _DEFAULT_FRAMES}
    write_json(run.config_file, {name: value for name, value in settings.items() if name not in ("out", "resume")})


class _Watch(BaseCallback):
    """Logs, shows progress, saves checkpoints, and stops the training when it is time."""

    interrupted: Callable[[], bool]

    def __init__(self, run: Run, config: TrainConfig, frames: int, frames_done: int) -> None:
        super().__init__()
        self.run = run
        self.trained_frames = frames_done
        """Frames that the parameters have learned from; not those of a rollout that was broken off."""
        self.seconds = 0.0
        """Time of this call, up to the last update."""
        self._broken_off = False
        self._config = config
        self._frames = frames
        self._saved_frames = frames_done
        lines = run.read_progress()
        self._seconds_before = lines[-1]["seconds"] if lines else 0.0
        self._recent: deque[tuple[bool, float, int]] = deque(maxlen=_RECENT_EPISODES)

    def _on_training_start(self) -> None:
        self._started = time.perf_counter()
        self._bar = tqdm(total=self._frames, initial=self.trained_frames, unit="", unit_scale=True, desc="frames")
        self._lines = self.run.progress_file.open("a", encoding="utf-8")

    def _on_rollout_start(self) -> None:
        if self.num_timesteps > self.trained_frames:
            self._after_update()

    def _on_step(self) -> bool:
        for info in self.locals["infos"]:
            if "episode" in info:
                self._recent.append((info["success"], info["episode"]["r"], info["episode"]["l"]))
        self._broken_off = self._minutes_left() <= 0 or self.interrupted()
        return not self._broken_off

    def _on_training_end(self) -> None:
        if not self._broken_off:
            self._after_update()
        self._lines.close()
        self._bar.close()

    def _minutes_left(self) -> float:
        limit = self._config.minutes
        return math.inf if limit is None else limit - (time.perf_counter() - self._started) / 60

    def _after_update(self) -> None:
        """Log an update, and save a checkpoint if one is due."""
        new_frames = self.num_timesteps - self.trained_frames
        self.trained_frames = self.num_timesteps
        seconds = time.perf_counter() - self._started
        line: dict[str, float] = {
            "frames": self.num_timesteps,
            "seconds": round(self._seconds_before + seconds, 3),
            "fps": round(new_frames / (seconds - self.seconds), 1),
        }
        self.seconds = seconds
        if self._recent:
            means = np.mean(self._recent, axis=0).round(5).tolist()
            line |= dict(zip(("success_rate", "return", "episode_steps"), means, strict=True))
        losses = {name: float(value) for name, value in self.logger.name_to_value.items() if name.startswith("train/")}
        line |= {name.removeprefix("train/"): round(value, 6) for name, value in losses.items()}
        self._lines.write(json.dumps(line) + "\n")
        self._lines.flush()
        for name, value in line.items():
            if f"train/{name}" not in losses and name != "frames":
                self.logger.record(f"rollout/{name}", value)
        self.logger.dump(self.num_timesteps)
        self._bar.set_postfix_str(self._status(line), refresh=False)
        self._bar.update(new_frames)
        if self.num_timesteps - self._saved_frames >= self._config.checkpoint_frames:
            self.run.save_model(self.model, finished=False)
            self._saved_frames = self.num_timesteps

    def _status(self, line: Mapping[str, float]) -> str:
        success = f"success {line['success_rate']:.2f}" if "success_rate" in line else ""
        minutes = self._minutes_left()
        return success if math.isinf(minutes) else f"{success}, at most {max(minutes, 0):.1f} min more"


@contextmanager
def _signals_set_a_flag() -> Iterator[Callable[[], bool]]:
    """While inside, the first SIGINT or SIGTERM only sets a flag; a second one acts as usual."""
    received: list[int] = []

    def note(number: int, frame: Any) -> None:
        received.append(number)
        restore()

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(received)
    finally:
        restore()


def run_training(config: TrainConfig) -> int:
    """Train and say what came of it; returns the exit status."""
    outcome = train(config)
    folder = outcome.run.folder
    rate = f"{outcome.frames:,} frames, {outcome.seconds:.0f} s"
    if outcome.interrupted:
        print(f"interrupted after {rate}; go on with: python -m agents.train --resume {folder}")
        return INTERRUPTED
    print(f"trained: {rate}; saved in {folder}. Next: python -m agents.evaluate {folder}")
    return 0


if __name__ == "__main__":
    sys.exit(run_command(TrainConfig, run_training))
