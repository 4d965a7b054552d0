"""Evaluate an agent: `python -m agents.evaluate CHECKPOINT`; a run folder does, too, or `random`, who cannot think.

Prints success, deaths, timeouts, return and steps on each split, with 95% intervals, and the gap Train minus HeldOut;
`--json FILE` writes them, and for a run folder `report.json` in it does, unless the task differs from the one trained
on. Episode i of every split starts from the environment seed 1,000,000,000 + 1,000,000 * seed + i; training uses only
smaller ones.

By default the likeliest action is taken. Agents that loop where two views call each other up then time out: `--sampled`
draws the actions, as in training. Reports say which.
"""

from __future__ import annotations

import platform
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import torch
import tyro
from tqdm import tqdm  # type: ignore[import-untyped]

from agents.checkpoints import SUFFIX, load_agent_file
from agents.cli import run_command, usage_errors
from agents.environments import Task, check_device, evaluation_seed
from agents.rollouts import Actor, Episode, PolicyActor, RandomActor, play
from agents.runs import Run, write_json
from babyaipp import __version__
from babyaipp.levels import get_level, get_split
from babyaipp.statistics import CONFIDENCE, Estimate, difference_interval, mean_interval, wilson_interval
from babyaipp.texts import TEXT_CONDITION_NAMES

RANDOM = "random"
_DEFAULT_LEVEL = "GoToRedBall"
_PACKAGES = ("gymnasium", "minigrid", "numpy", "torch")


@dataclass(frozen=True)
class EvaluateConfig:
    """Evaluate a trained agent, or the random one, on the splits of a level."""

    checkpoint: Annotated[str, tyro.conf.Positional]
    """A .safetensors file or a run folder of `agents.train`, or `random` for an agent that draws every action alike."""
    episodes: int = 1000
    """Episodes a split."""
    splits: str = "Train,HeldOut,All"
    level: str | None = None
    """Default: the level trained on."""
    text: Annotated[
        str | None, tyro.conf.arg(help=f"What the description tells: {TEXT_CONDITION_NAMES}; default: as in training.")
    ] = None
    sentence_order: str | None = None
    """Default: as in training, or the other level's own."""
    swapped: bool = False
    """Tell each episode the description of the next one, instead of its own: a reader then does the wrong thing."""
    seed: int = 0
    """Which block of episodes."""
    json: Path | None = None
    """Where to write the report; default: report.json in the run folder, if the task is the one trained on."""
    sampled: bool = False
    """Draw the actions from the policy, instead of taking the likeliest."""
    device: str = "cpu"
    """cpu, cuda or cuda:<number>."""
    threads: int = 1
    """Threads of the network on the CPU."""

    def check(self) -> None:
        """Raise ValueError, naming argument, value and what is allowed, if a setting makes no sense."""
        for name, least in (("episodes", 1), ("seed", 0), ("threads", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name}={getattr(self, name)} must be at least {least}")
        check_device(self.device)


@dataclass(frozen=True)
class Subject:
    """What is evaluated, and where it comes from."""

    agent: str
    actor: Actor
    task: Task
    training: Mapping[str, Any] | None
    """Settings of the training, with the frames; None if there was none."""
    on_its_own_task: bool = False
    """Whether the task is the one trained on."""
    parameters: int = 0
    """How many numbers the agent learned."""


def load_subject(
    checkpoint: str, level: str | None = None, text: str | None = None, order: str | None = None, device: str = "cpu"
) -> Subject:
    """A trained agent, or the random one, with its task unless another one is given.

    Raises:
        ValueError: no such checkpoint, level, text condition or order, or texts that do not fit the agent.
    """
    given = {"level": level, "text": text, "sentence_order": order}
    changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if checkpoint == RANDOM:
        task = Task(**{"level": _DEFAULT_LEVEL} | changes)
        task.check()
        return Subject(RANDOM, RandomActor(), task, None)
    path = Path(checkpoint)
    trained = load_agent_file(path if path.suffix == SUFFIX else Run(path).agent_file(), device)
    if changes.get("level", trained.task.level) != trained.task.level:
        changes = {"sentence_order": None, "split": "Train"} | changes  # another level has its own
    task = replace(trained.task, **changes)
    try:
        task.check()
    except ValueError as error:
        # As a level that is too large tells it: the sizes are those of the agent.
        fitting = Task(task.level, task.split, task.text, task.sentence_order)
        fitting.check()
        raise ValueError(
            f"the agent was trained on {trained.task.level} with text={trained.task.text!r}; {error}"
        ) from None
    own = all(getattr(trained.task, name) == value for name, value in changes.items())
    return Subject(trained.agent, PolicyActor(trained.policy), task, trained.training, own, trained.parameters)


def parse_splits(splits: str, level: str) -> tuple[str, ...]:
    """The names in a list such as "Train,HeldOut".

    Raises:
        ValueError: the level has no such split.
    """
    return tuple(get_split(get_level(level), name.strip()) for name in splits.split(","))


def evaluate(
    subject: Subject,
    episodes: int,
    splits: Sequence[str],
    seed: int = 0,
    greedy: bool = True,
    device: str = "cpu",
    swapped: bool = False,
) -> dict[str, Any]:
    """The report: what was evaluated, an entry a split, and the gap, as far as the splits tell it."""
    greedy = greedy and subject.agent != RANDOM
    results = {}
    with tqdm(
        total=episodes * len(splits), desc=f"evaluating {subject.agent}", unit="", mininterval=0.5, leave=False
    ) as bar:
        for split in splits:
            task = replace(subject.task, split=split)
            results[split] = play(task, subject.actor, episodes, seed, greedy, bar.update, device, swapped)
    report: dict[str, Any] = {
        "agent": subject.agent,
        "level": subject.task.level,
        "text": subject.task.text,
        "sentence_order": subject.task.sentence_order or get_level(subject.task.level).sentence_order,
        "swapped": swapped,
        "greedy": greedy,
        "training": subject.training,
        "seed": seed,
        "first_environment_seed": evaluation_seed(seed, 0),
        "confidence": CONFIDENCE,
        "splits": {split: _split_report(results[split]) for split in splits},
    }
    if {"Train", "HeldOut"} <= set(splits):
        rates = [_rate(results[split], "success") for split in ("Train", "HeldOut")]
        gap = difference_interval(*rates)
        report |= {"gap": round(gap.value, 5), "gap_interval": _interval(gap)}
    versions = {name: version(name) for name in _PACKAGES}
    return report | {"versions": {"babyaipp": __version__, "python": platform.python_version()} | versions}


def outcome(cause: str) -> str:
    """How an episode came out: success, timeout, or death, for any other cause."""
    return cause if cause in ("success", "timeout") else "death"


def _rate(episodes: Sequence[Episode], wanted: str) -> Estimate:
    return wilson_interval(sum(outcome(episode.cause) == wanted for episode in episodes), len(episodes))


def _interval(estimate: Estimate) -> list[float]:
    return [round(estimate.low, 5), round(estimate.high, 5)]


def _split_report(episodes: Sequence[Episode]) -> dict[str, Any]:
    success = _rate(episodes, "success")
    total = mean_interval([episode.total_reward for episode in episodes])
    steps = mean_interval([episode.steps for episode in episodes])
    return {
        "episodes": len(episodes),
        "success": round(success.value, 5),
        "interval": _interval(success),
        "death": round(_rate(episodes, "death").value, 5),
        "timeout": round(_rate(episodes, "timeout").value, 5),
        "return": round(total.value, 5),
        "return_interval": _interval(total),
        "steps": round(steps.value, 5),
        "steps_interval": _interval(steps),
        "causes": dict(Counter(episode.cause for episode in episodes).most_common()),
    }


def table(reports: Sequence[Mapping[str, Any]]) -> str:
    """Reports for people: a row an agent and split, the gap of each agent below its rows."""
    rows = [("agent", "split", "success", "death", "timeout", "return", "steps", "causes")]
    for report in reports:
        name = f"{report['agent']}, greedy" if report["greedy"] else report["agent"]
        for split, entry in report["splits"].items():
            causes = ", ".join(f"{cause} {count}" for cause, count in entry["causes"].items())
            numbers = (
                _cell(entry["success"], entry["interval"], 3),
                f"{entry['death']:.3f}",
                f"{entry['timeout']:.3f}",
                _cell(entry["return"], entry["return_interval"], 3),
                _cell(entry["steps"], entry["steps_interval"], 1),
            )
            rows.append((name, split, *numbers, causes))
        if "gap" in report:
            rows.append((name, "gap", _cell(report["gap"], report["gap_interval"], 3), "", "", "", "", ""))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def _cell(value: float, interval: Sequence[float], digits: int) -> str:
    low, high = interval
    return f"{value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def run_evaluation(config: EvaluateConfig) -> int:
    """Evaluate, print and write the report; returns the exit status."""
    with usage_errors():
        config.check()
        subject = load_subject(config.checkpoint, config.level, config.text, config.sentence_order, config.device)
        splits = parse_splits(config.splits, subject.task.level)
    torch.set_num_threads(config.threads)
    greedy = not config.sampled
    report = evaluate(subject, config.episodes, splits, config.seed, greedy, config.device, config.swapped)
    text = f"{report['text']}, swapped" if config.swapped else report["text"]
    if subject.training is not None:
        print(f"{subject.agent}: {subject.parameters:,} parameters, trained for {subject.training['frames']:,} frames")
    print(f"{report['level']}, text={text}; 95% intervals in brackets\n\n{table([report])}")
    own = subject.on_its_own_task and not config.swapped and Path(config.checkpoint).is_dir()
    file = config.json or (Run(Path(config.checkpoint)).report_file if own else None)
    if file is None:
        print("\nnot written: give --json FILE to keep it")
    else:
        write_json(file, report)
        print(f"\nwritten to {file}")
    return 0


if __name__ == "__main__":
    sys.exit(run_command(EvaluateConfig, run_evaluation))
