"""The demonstration, `make demo`: does an agent read? Trains four, compares them on rules new to them, and films one.

On CrossTwo two gaps lead to the goal, one of them deadly, and only the text tells which: an agent that does not read
comes to one half. `grounded` is trained on it and, for comparison, `image_only`; and both on GoToRedBall, where careful
walking goes far, too. Two are trained at a time.

Leaves in `demo/`: a run folder of each training and its `.log`, `report.json`, `episode.gif`, and `attention.png`. Each
call starts anew. `--from checkpoints` takes agents that are trained already.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from agents.checkpoints import checkpoint_name
from agents.cli import INTERRUPTED, UsageError, run_command, usage_errors
from agents.environments import Task
from agents.evaluate import Subject, evaluate, load_subject
from agents.rollouts import RandomActor, play
from agents.runs import Run, write_json
from agents.show import film, save_film, save_picture
from agents.training.config import TrainConfig

SPLITS = ("Train", "HeldOut")
CHECKPOINTS = Path(__file__).parent / "checkpoints"
_CHECKPOINT_SEED = 0
_POLL_SECONDS = 0.5
_FILM_TRIES = 64
_FILM_STEPS = 8
"""Episodes shorter than that are not worth watching."""


@dataclass(frozen=True)
class Part:
    """A training of the demonstration."""

    agent: str
    level: str
    share: float
    """Of the training time."""

    @property
    def name(self) -> str:
        """For people, and of its run folder."""
        return f"{self.agent}-{self.level}"


LANES = (
    (Part("grounded", "CrossTwo", 0.65), Part("image_only", "GoToRedBall", 0.35)),
    (Part("grounded", "GoToRedBall", 0.6), Part("image_only", "CrossTwo", 0.4)),
)
"""Trained side by side; within a lane one after the other."""
PARTS = tuple(part for lane in LANES for part in lane)


@dataclass(frozen=True)
class DemoConfig:
    """Train agents for a few minutes, compare them on rules that they have not seen, film an episode."""

    minutes: float = 4.0
    """Training time, on two cores."""
    source: Annotated[Literal["training", "checkpoints"], tyro.conf.arg(name="from")] = "training"
    """Where the agents come from: they are trained now, or the ones in `agents/checkpoints` are taken."""
    episodes: int = 500
    """Evaluation episodes a split."""
    seed: int = 0
    """Of the trainings."""
    out: Path = Path("demo")
    """Folder to write to; a former demonstration in it is replaced."""

    def training(self, part: Part) -> TrainConfig:
        """Settings of a part's training."""
        return TrainConfig(
            agent=part.agent,
            level=part.level,
            minutes=self.minutes * part.share,
            seed=self.seed,
            out=self.out / part.name,
        )

    def check(self) -> None:
        """Raise ValueError, naming argument, value and what is allowed, if a setting makes no sense."""
        if self.episodes < 1:
            raise ValueError(f"episodes={self.episodes} must be at least 1")
        if self.source == "training":
            for part in PARTS:
                self.training(part).check()
            return
        missing = [part for part in PARTS if not _checkpoint(part).is_file()]
        if missing:
            raise ValueError(f"from='checkpoints': there is no {_checkpoint(missing[0])}; allowed: training")


def run_demo(config: DemoConfig) -> int:
    """Run the demonstration; returns the exit status.

    Raises:
        UsageError: a setting makes no sense.
    """
    with usage_errors():
        config.check()
    started = time.perf_counter()
    if config.source == "training":
        _remove_former(config)
        print(f"1. Training {', '.join(part.name for part in PARTS)}: {config.minutes:g} minutes.")
        try:
            _train(config)
        except KeyboardInterrupt:
            print("\ninterrupted; the demonstration starts anew next time")
            return INTERRUPTED
        files = {part: Run(config.out / part.name).agent_file() for part in PARTS}
    else:
        print(f"1. Taking {', '.join(part.name for part in PARTS)} from {CHECKPOINTS}.")
        files = {part: _checkpoint(part) for part in PARTS}
    subjects = {part: load_subject(str(file)) for part, file in files.items()}

    print(f"2. Playing {config.episodes} episodes each, with rules of the training (Train) and with others (HeldOut).")
    reports = {part: evaluate(subject, config.episodes, SPLITS) for part, subject in subjects.items()}
    print(f"\n{comparison(list(reports.values()))}\n")

    print("3. Filming an episode with rules that the agent has not seen.")
    reader = subjects[PARTS[0]]
    episode = film(reader, "HeldOut", _worth_watching(reader))
    save_film(episode.frames(), config.out / "episode.gif")
    moment = episode.most_read()
    assert moment is not None  # `grounded` attends
    save_picture(episode.picture(moment), config.out / "attention.png")
    seconds = round(time.perf_counter() - started, 1)
    write_json(config.out / "report.json", {"seconds": seconds, "reports": list(reports.values())})
    print(f"   {config.out}/episode.gif shows it, attention.png what each cell attends to, report.json has all numbers")
    print(f"   ({seconds:.0f} s)")
    return 0


def comparison(reports: Sequence[Mapping[str, Any]]) -> str:
    """Success on what was trained and on what was not, a row an agent and level; 95% intervals in brackets."""
    rows = [("level", "agent", *(f"success on {split}" for split in SPLITS))]
    for report in sorted(reports, key=lambda each: (each["level"], each["agent"])):
        cells = []
        for split in SPLITS:
            entry = report["splits"][split]
            low, high = entry["interval"]
            cells.append(f"{entry['success']:.3f} [{low:.3f}, {high:.3f}]")
        rows.append((report["level"], report["agent"], *cells))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("   " + "  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def _checkpoint(part: Part) -> Path:
    return CHECKPOINTS / checkpoint_name(part.agent, part.level, "Train", _CHECKPOINT_SEED)


def _remove_former(config: DemoConfig) -> None:
    former = [folder for part in PARTS if Run(folder := config.out / part.name).config_file.exists()]
    if former:
        print(f"{config.out}/ holds a former demonstration; it is replaced")
    for folder in former:
        shutil.rmtree(folder)


def _train(config: DemoConfig) -> None:
    """Train all parts, each in a process of its own, a process a lane.

    Raises:
        UsageError: a training failed.
    """
    # Compiles the engine, if need be, before two processes would do so at once.
    play(Task(PARTS[0].level), RandomActor(), 1, greedy=False)
    config.out.mkdir(parents=True, exist_ok=True)
    waiting = [list(lane) for lane in LANES]
    running: dict[int, tuple[Part, subprocess.Popen[bytes]]] = {}
    try:
        while running or any(waiting):
            for lane, parts in enumerate(waiting):
                if lane in running:
                    part, process = running[lane]
                    if process.poll() is None:
                        continue
                    del running[lane]
                    if process.returncode == INTERRUPTED:
                        raise KeyboardInterrupt
                    if process.returncode:
                        raise UsageError(f"the training of {part.name} failed; see {_log(config, part)}")
                    _clear_line()
                    print(f"   {_progress(config, part)}")
                if parts:
                    part = parts.pop(0)
                    running[lane] = (part, _start(config, part))
            if sys.stdout.isatty():
                _clear_line()
                print("   " + "; ".join(_progress(config, part) for part, _ in running.values()), end="\r", flush=True)
            time.sleep(_POLL_SECONDS)
    finally:
        for _, process in running.values():
            process.send_signal(signal.SIGTERM)
        for _, process in running.values():
            process.wait()


def _clear_line() -> None:
    if sys.stdout.isatty():
        print("\x1b[2K", end="")


def _start(config: DemoConfig, part: Part) -> subprocess.Popen[bytes]:
    training = config.training(part)
    arguments = [
        *(f"--agent={training.agent}", f"--level={training.level}", f"--seed={training.seed}", f"--out={training.out}"),
        *(f"--minutes={training.minutes}", "--frames=1e12", "--evaluation-episodes=0"),
    ]
    with _log(config, part).open("wb") as log:
        return subprocess.Popen([sys.executable, "-m", "agents.train", *arguments], stdout=log, stderr=log)


def _log(config: DemoConfig, part: Part) -> Path:
    return config.out / f"{part.name}.log"


def _progress(config: DemoConfig, part: Part) -> str:
    """How far a training is."""
    lines = Run(config.out / part.name).read_progress()
    if not lines:
        return f"{part.name}: starting"
    last = lines[-1]
    left = max(60 * config.minutes * part.share - last["seconds"], 0)
    success = f", success {last['success']:.2f}" if "success" in last else ""
    return f"{part.name}: {last['frames']:,} frames, {last['fps']:,.0f}/s{success}, {left:.0f} s left"


def _worth_watching(subject: Subject) -> int:
    """The environment seed of a success that is not too short; of the first episode, if there is none soon."""
    task = Task(**vars(subject.task) | {"split": "HeldOut"})
    episodes = play(task, subject.actor, _FILM_TRIES)
    return next((each for each in episodes if each.success and each.steps >= _FILM_STEPS), episodes[0]).seed


if __name__ == "__main__":
    sys.exit(run_command(DemoConfig, run_demo))
