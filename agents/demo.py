"""The demonstration, `make demo`: train attention fusion on GoToRedBall, evaluate it, and film an episode.

Leaves in `demo/`: the run folder of the training (`run/`), `report.json` and `episode.gif`. Each call starts anew.
"""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from agents.cli import INTERRUPTED, run_command, usage_errors
from agents.evaluate import RANDOM, Subject, evaluate, load_subject, table
from agents.rollouts import choose, play
from agents.runs import Run, write_json
from agents.train import Frames, TrainConfig, train

SPLITS = ("Train", "HeldOut", "All")
_FRAME_MS = 250
_LAST_FRAME_MS = 2000
_FILM_STEPS = range(8, 40)
"""Lengths of an episode worth watching."""
_FILM_TRIES = 64


@dataclass(frozen=True)
class DemoConfig:
    """Train attention fusion on GoToRedBall in a few minutes, compare it with a random agent, film an episode."""

    frames: Frames = 400_000
    minutes: float = 4.5
    """Training stops after that time even if frames are left."""
    episodes: int = 500
    """Evaluation episodes a split."""
    seed: int = 0
    out: Path = Path("demo")
    """Folder to write to; a former demonstration in it is replaced."""


def run_demo(config: DemoConfig) -> int:
    """Run the demonstration; returns the exit status.

    Raises:
        UsageError: a setting makes no sense.
    """
    training = TrainConfig(frames=config.frames, minutes=config.minutes, seed=config.seed, out=config.out / "run")
    with usage_errors():
        training.check()
    run = Run(config.out / "run")
    if run.config_file.exists():
        print(f"{config.out}/ holds a former demonstration; it is replaced")
        shutil.rmtree(run.folder)
    print(f"1. Training {training.agent} on {training.level}, split Train, for {config.frames:,} frames.")
    outcome = train(training)
    if outcome.interrupted:
        print("interrupted; the demonstration starts anew next time")
        return INTERRUPTED
    print(f"   {outcome.frames:,} frames in {outcome.seconds:.0f} s")

    print(f"2. Evaluating it and a random agent, {config.episodes} episodes a split.")
    trained, random = load_subject(str(outcome.run.folder)), load_subject(RANDOM)
    reports = [evaluate(subject, config.episodes, SPLITS, greedy=False) for subject in (trained, random)]
    reports.append(evaluate(trained, config.episodes, SPLITS, greedy=True))
    print(f"\n{table(reports)}\n")
    write_json(config.out / "report.json", {"train_seconds": round(outcome.seconds, 1), "reports": reports})

    print("3. Filming an episode.")
    film = config.out / "episode.gif"
    save_gif(film_episode(trained), film)
    print(f"   {film} shows one; {config.out / 'report.json'} holds the numbers above")
    return 0


def film_episode(subject: Subject) -> list[np.ndarray]:
    """Frames (height, width, 3) uint8 of an evaluation episode: a success of a fair length, if there is one soon."""
    task = replace(subject.task, split="All")
    episodes = play(task, subject.policy, _FILM_TRIES, greedy=False)
    chosen = next((each for each in episodes if each.success and each.steps in _FILM_STEPS), episodes[0])
    env = task.make(render_mode="rgb_array")
    generator = np.random.default_rng(chosen.seed)
    observation, _ = env.reset(seed=chosen.seed)
    frames: list[Any] = [env.render()]
    ended = False
    while not ended:
        batch = {key: np.asarray(value)[None] for key, value in observation.items()}
        observation, _, terminated, truncated, _ = env.step(choose(subject.policy(batch)[0], generator))
        frames.append(env.render())
        ended = terminated or truncated
    env.close()
    return frames


def save_gif(frames: list[np.ndarray], file: Path) -> None:
    """Write frames as a GIF that rests on the last one."""
    images = [Image.fromarray(frame) for frame in frames]
    durations = [_FRAME_MS] * (len(images) - 1) + [_LAST_FRAME_MS]
    file.parent.mkdir(parents=True, exist_ok=True)
    images[0].save(file, save_all=True, append_images=images[1:], duration=durations, loop=0)


if __name__ == "__main__":
    sys.exit(run_command(DemoConfig, run_demo))
