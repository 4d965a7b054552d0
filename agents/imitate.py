"""Teach an agent by demonstrations: `python -m agents.imitate --agent grounded --level CrossTwo --episodes 20000`.

The teacher is the oracle, which sees the whole world and knows the rules of the floors; or a file of `babyaipp demos`,
`--demos FILE`. The agent learns to give the teacher's actions the highest probability, from sequences, with its memory:
a rollout at a time, as long as gradients flow back, whose first state is taken as it is.

By default the teacher acts (behaviour cloning). With `--dagger` agent and teacher take turns at random, the agent more
and more often, and the oracle says what it would do in the states that this leads to (arXiv 1011.0686; each rollout is
learned from when it is fresh, none is kept). Worlds in which the teacher knows no way to succeed are left.

The run folder is one as `agents.train` makes them, without what resuming takes; the critic stays untrained. On one
machine's CPU the same settings and seed give the same parameters, unless the time is limited.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import tyro
from torch import nn
from tqdm import tqdm  # type: ignore[import-untyped]

from agents.checkpoints import checkpoint_name, generator_of, run_name, save_agent, sized_task, spaces_of
from agents.cli import INTERRUPTED, run_command, signals_set_a_flag, usage_errors
from agents.environments import EVALUATION_SEEDS, Task
from agents.policy import Policy, build_policy
from agents.runs import Run, write_json
from agents.training.config import TrainConfig
from agents.training.imitation import Classroom, Teacher, drawn_episodes, loss_of, recorded_episodes
from agents.training.trainer import watched_success
from babyaipp.planners.demos import Demonstrations, load_demos, replay
from babyaipp.texts import PARAPHRASE_WORDS, TEXT_CONDITION_NAMES

_DEFAULT_TASK = ("GoToRedBall", "Train")


@dataclass(frozen=True)
class ImitateConfig:
    """Teach an agent by the oracle's demonstrations, or by those of a file."""

    agent: str = "grounded"
    """Which agent: a file of the folder `agents`."""
    level: str | None = None
    """Default: that of the demonstrations, else GoToRedBall."""
    split: str | None = None
    """Train, or Fixed where the level has it. Default: that of the demonstrations, else Train."""
    text: Annotated[str, tyro.conf.arg(help=f"What the description tells: {TEXT_CONDITION_NAMES}.")] = "true"
    sentence_order: str | None = None
    """Order of the description's sentences, canonical or shuffled, instead of the level's own."""
    sentence_words: Annotated[
        int | None,
        tyro.conf.arg(help=f"Room for longer sentences, to evaluate on them, too; {PARAPHRASE_WORDS} do for any text."),
    ] = None
    episodes: int = 20_000
    """How many to play; those of a file come again and again, in a new order each time."""
    demos: Path | None = None
    """A file of `babyaipp demos`; its successful episodes are used. Default: the oracle plays."""
    dagger: bool = False
    """Let the agent act, too, and the oracle say what it should have done."""
    dagger_share: float = 0.5
    """With `dagger`: from that share of the episodes on the agent acts alone; until then ever more often."""
    minutes: float | None = None
    """Also stop after that much time."""
    seed: int = 0
    device: str = "cpu"
    """Of the network: cpu, cuda or cuda:<number>; worlds and teacher are on the CPU."""
    out: Path | None = None
    """Run folder; runs/imitate-<agent>-<level>-<seed> by default, with `dagger` runs/dagger-..."""
    evaluation_episodes: int = 256
    """Of the evaluation at the end, on Train and, where the level has it, Val; 0 for none."""
    threads: int = 1
    """Threads of the network and the engine, on the CPU."""
    preset: str = "small"
    """Sizes of the network: small, or paper."""
    agent_options: dict[str, int] = field(default_factory=dict)
    """Fields of the agent's `Config`, such as `channels 32`, that differ from the preset."""
    num_envs: int = 128
    rollout_steps: int = 16
    """Steps of each environment between updates; gradients flow back as far through the memory."""
    minibatches: int = 4
    """Into which the environments are divided."""
    passes: int = 1
    """How often a rollout is learned from."""
    learning_rate: float = 2e-3
    """At the start; falls linearly to zero at the end."""
    max_grad_norm: float = 1.0

    @property
    def task(self) -> Task:
        """The environment."""
        level, split = self.level or _DEFAULT_TASK[0], self.split or _DEFAULT_TASK[1]
        return Task(level, split, self.text, self.sentence_order, sentence_words=self.sentence_words)

    def as_json(self) -> dict[str, Any]:
        """What JSON can hold, without where the run is kept."""
        told = {name: value for name, value in asdict(self).items() if name != "out"}
        return told | {"demos": None if self.demos is None else str(self.demos)}

    def check(self) -> None:
        """Raise ValueError, naming argument, value and what is allowed, if a setting makes no sense."""
        task = {"level": self.task.level, "split": self.task.split}
        shared = {each.name: getattr(self, each.name) for each in fields(TrainConfig) if hasattr(self, each.name)}
        TrainConfig(**shared | task).check()
        for name in ("episodes", "num_envs", "rollout_steps", "minibatches", "passes"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} must be at least 1")
        if self.num_envs % self.minibatches:
            raise ValueError(f"minibatches={self.minibatches} must divide num_envs={self.num_envs}")
        for name in ("learning_rate", "max_grad_norm"):
            if not 0 < getattr(self, name) < float("inf"):
                raise ValueError(f"{name}={getattr(self, name)} must be more than 0")
        if not 0 < self.dagger_share <= 1:
            raise ValueError(f"dagger_share={self.dagger_share} must be more than 0 and at most 1")


@dataclass(frozen=True)
class Outcome:
    """How the teaching ended."""

    run: Run
    frames: int
    """Environment steps."""
    episodes: int
    seconds: float
    success: dict[str, float]
    """`{"Train/success": ...}`, as far as it was evaluated."""
    interrupted: bool


def imitate(config: ImitateConfig) -> Outcome:
    """Teach as asked.

    Raises:
        UsageError: a setting makes no sense, the run folder is taken, or the demonstrations are not fit for it.
    """
    with usage_errors():
        demos = None if config.demos is None else load_demos(config.demos)
        if demos is not None:
            config = _of_demos(config, demos)
        config = replace(config, level=config.task.level, split=config.task.split)
        config.check()
        if demos is not None:
            replay(demos)
        run = Run(_folder(config))
        if run.config_file.exists():
            raise ValueError(f"out={str(run.folder)!r} holds a run already; choose another --out")
    torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
    space, num_actions = spaces_of(config.task)
    policy = build_policy(config.agent, config.preset, config.agent_options, space, num_actions).to(config.device)
    for_episodes, for_actions, for_minibatches = np.random.SeedSequence(config.seed).generate_state(3).tolist()
    source = drawn_episodes(for_episodes) if demos is None else recorded_episodes(demos, for_episodes)
    teacher = Teacher(config.task.level, source, config.num_envs)
    classroom = Classroom(
        config.task, teacher, policy, config.num_envs, generator_of(for_actions, torch.device("cpu")), config.threads
    )
    write_json(run.config_file, config.as_json())
    try:
        with signals_set_a_flag() as interrupted:
            return _teach(
                config, run, policy, classroom, generator_of(for_minibatches, torch.device("cpu")), interrupted
            )
    finally:
        classroom.envs.close()


def _teach(
    config: ImitateConfig,
    run: Run,
    policy: Policy,
    classroom: Classroom,
    generator: torch.Generator,
    interrupted: Callable[[], bool],
) -> Outcome:
    optimizer = torch.optim.Adam(policy.parameters(), lr=config.learning_rate)
    frames = episodes = 0
    started = time.perf_counter()
    seconds = progress = 0.0
    success: dict[str, float] = {}
    with (
        run.progress_file.open("w", encoding="utf-8") as lines,
        tqdm(total=config.episodes, unit="", unit_scale=True, desc="episodes", mininterval=1.0) as bar,
    ):
        while progress < 1 and not interrupted():
            before = seconds
            optimizer.param_groups[0]["lr"] = config.learning_rate * (1 - progress)
            agent_share = min(progress / config.dagger_share, 1.0) if config.dagger else 0.0
            lesson = classroom.lesson(config.rollout_steps, agent_share)
            losses = []
            for _ in range(config.passes):
                order = torch.randperm(config.num_envs, generator=generator).to(config.device)
                for rows in order.chunk(config.minibatches):
                    loss = loss_of(policy, lesson, rows)
                    optimizer.zero_grad(set_to_none=True)
                    loss.backward()
                    nn.utils.clip_grad_norm_(policy.parameters(), config.max_grad_norm)
                    optimizer.step()
                    losses.append(loss.detach())
            seconds = time.perf_counter() - started
            figures = lesson.figures
            frames += lesson.labels.numel()
            over = int(figures["episodes"] + figures["left"])
            episodes += over
            spent = 0.0 if config.minutes is None else seconds / (60 * config.minutes)
            progress = max(episodes / config.episodes, spent)
            line = {
                "frames": frames,
                "seconds": round(seconds, 3),
                "fps": round(lesson.labels.numel() / (seconds - before), 1),
                "episodes": over,
                "left": int(figures["left"]),
                "agent_share": round(agent_share, 5),
                "agreement": round(figures["agreed"] / max(figures["labels"], 1), 5),
                "loss": round(float(torch.stack(losses).mean()), 6),
            }
            if figures["episodes"]:
                line["success"] = round(figures["successes"] / figures["episodes"], 5)
            if progress >= 1 and config.evaluation_episodes:
                success = watched_success(policy, _task(config), config.evaluation_episodes, config.device)
                line |= success
            lines.write(json.dumps(line) + "\n")
            lines.flush()
            bar.set_postfix_str(f"{line['fps']:.0f} frames/s, agreement {line['agreement']:.3f}", refresh=False)
            bar.update(min(over, bar.total - bar.n))
    settings = config.as_json() | {"frames": frames}
    save_agent(run.folder / _file_name(config), policy, settings, _task(config))
    return Outcome(run, frames, episodes, seconds, success, interrupted() and progress < 1)


def _of_demos(config: ImitateConfig, demos: Demonstrations) -> ImitateConfig:
    """The settings with level and split of the demonstrations.

    Raises:
        ValueError: others were asked for; no episode is of use, or one is kept for evaluation.
    """
    for name, there in (("level", demos.level.name), ("split", demos.split)):
        if getattr(config, name) not in (None, there):
            raise ValueError(f"{name}={getattr(config, name)!r}: the demonstrations are of {there}")
    if not demos.episodes.success.any():
        raise ValueError(f"demos={str(config.demos)!r} holds no successful episode")
    if (demos.episodes.seeds >= EVALUATION_SEEDS).any():
        raise ValueError(
            f"demos={str(config.demos)!r} holds episodes from seeds of {EVALUATION_SEEDS:,} and more, which are kept "
            "for evaluation"
        )
    return replace(config, level=demos.level.name, split=demos.split)


def _task(config: ImitateConfig) -> Task:
    """With the sizes of the texts."""
    return sized_task(config.task, spaces_of(config.task)[0])


def _file_name(config: ImitateConfig) -> str:
    return checkpoint_name(config.agent, config.task.level, config.task.split, config.seed)


def _folder(config: ImitateConfig) -> Path:
    how = "dagger" if config.dagger else "imitate"
    task = config.task
    return config.out or Path("runs") / f"{how}-{run_name(config.agent, task.level, task.split, config.seed)}"


def run_imitation(config: ImitateConfig) -> int:
    """Teach and say what came of it; returns the exit status."""
    outcome = imitate(config)
    told = f"{outcome.episodes:,} episodes, {outcome.frames:,} frames, {outcome.seconds:.0f} s"
    saved = f"saved {outcome.run.agent_file()}"
    if outcome.interrupted:
        print(f"interrupted after {told}; {saved}")
        return INTERRUPTED
    success = "".join(f"; {name.partition('/')[0]} success {value:.3f}" for name, value in outcome.success.items())
    print(f"taught: {told}{success}; {saved}. Next: python -m agents.evaluate {outcome.run.folder}")
    return 0


if __name__ == "__main__":
    sys.exit(run_command(ImitateConfig, run_imitation))
