"""Evaluate an agent: `python -m agents.evaluate RUN`, or `random` in the place of a run folder.

Prints success, return and steps on each split, with 95% intervals, and the gap Train minus HeldOut; writes the same
to `RUN/report.json`, unless the task differs from the one trained on. Episode i of every split starts from the
environment seed 1,000,000,000 + 1,000,000 * seed + i; training uses only smaller ones. The splits are thus measured in
the same rooms, with different rules.

By default the likeliest action is taken. Agents without memory then loop where two views call each other up, and
time out: `--sampled`, which draws the actions as in training, comes out a few points higher. Reports say which.
"""

from __future__ import annotations

import functools
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
from gymnasium import spaces
from tqdm import tqdm  # type: ignore[import-untyped]

from agents.cli import run_command, usage_errors
from agents.environments import Task
from agents.rollouts import Episode, Policy, evaluation_seed, play, random_policy
from agents.runs import Run, write_json
from agents.sb3 import action_probabilities, load_model
from babyaipp import __version__
from babyaipp.levels import get_level, get_split
from babyaipp.statistics import CONFIDENCE, Estimate, difference_interval, mean_interval, wilson_interval
from babyaipp.texts import TEXT_CONDITION_NAMES, parse_text_condition

RANDOM = "random"
_DEFAULT_LEVEL = "GoToRedBall"
_PACKAGES = ("gymnasium", "minigrid", "numpy", "stable_baselines3", "torch")


@dataclass(frozen=True)
class EvaluateConfig:
    """Evaluate a trained agent, or the random one, on the splits of a level."""

    run: Annotated[str, tyro.conf.Positional]
    """A run folder of `agents.train`, or `random` for an agent that draws every action alike."""
    episodes: int = 1000
    """Episodes a split."""
    splits: str = "Train,HeldOut,All"
    level: str | None = None
    """Default: the level trained on."""
    text: Annotated[
        str | None, tyro.conf.arg(help=f"What the description tells: {TEXT_CONDITION_NAMES}; default: as in training.")
    ] = None
    sentence_order: str | None = None
    """Default: as in training."""
    seed: int = 0
    """Which block of episodes."""
    json: Path | None = None
    """Where to write the report; default: RUN/report.json, if the task is the one trained on."""
    sampled: bool = False
    """Draw the actions from the policy, instead of taking the likeliest."""

    def check(self) -> None:
        """Raise ValueError, naming argument, value and what is allowed, if a setting makes no sense."""
        if self.episodes < 1:
            raise ValueError(f"episodes={self.episodes} must be at least 1")
        if self.seed < 0:
            raise ValueError(f"seed={self.seed} must not be negative")


@dataclass(frozen=True)
class Subject:
    """What is evaluated, and where it comes from."""

    agent: str
    policy: Policy
    task: Task
    training: Mapping[str, Any] | None
    """Seed and frames of the training; None if there was none."""
    on_its_own_task: bool = False
    """Whether the task is the one trained on."""


def load_subject(run: str, level: str | None = None, text: str | None = None, order: str | None = None) -> Subject:
    """The trained agent of a run folder, or the random one, with its task unless another one is given.

    Raises:
        ValueError: no such run, level, text condition or order.
    """
    given = {"level": level, "text": text, "sentence_order": order}
    changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if run == RANDOM:
        task = Task(**{"level": _DEFAULT_LEVEL} | changes)
        task.check()
        return Subject(RANDOM, random_policy, task, None)
    config = Run(Path(run)).read_config()
    task = Task(**{name: config[name] for name in given} | changes)
    task.check()
    torch.set_num_threads(1)
    model = load_model(Run(Path(run)).model_file())
    trained_on = model.observation_space
    assert isinstance(trained_on, spaces.Dict)
    assert trained_on["description"].shape is not None
    width = trained_on["description"].shape[1]
    if parse_text_condition(task.text).sentence_words <= width:
        task = replace(task, sentence_words=width)
    env = task.make()
    env.close()
    seen = env.observation_space
    assert isinstance(seen, spaces.Dict)
    different = [f"{key}: {trained_on[key]}, now {seen[key]}" for key in seen if trained_on[key] != seen[key]]
    if different:
        raise ValueError(
            f"level={task.level!r}, text={task.text!r}: its observations are not those of the training on "
            f"{config['level']} with text={config['text']!r}; " + "; ".join(different)
        )
    training = {"split": config.get("split", "Train"), "seed": config["seed"], "frames": model.num_timesteps}
    own = all(changes[name] == config[name] for name in changes)
    return Subject(config["agent"], functools.partial(action_probabilities, model), task, training, own)


def parse_splits(splits: str, level: str) -> tuple[str, ...]:
    """The names in a list such as "Train,HeldOut".

    Raises:
        ValueError: the level has no such split.
    """
    return tuple(get_split(get_level(level), name.strip()) for name in splits.split(","))


def evaluate(
    subject: Subject, episodes: int, splits: Sequence[str], seed: int = 0, greedy: bool = True
) -> dict[str, Any]:
    """The report: what was evaluated, an entry a split, and the gap, as far as the splits tell it."""
    greedy = greedy and subject.agent != RANDOM
    results = {}
    with tqdm(
        total=episodes * len(splits), desc=f"evaluating {subject.agent}", unit="", mininterval=0.5, leave=False
    ) as bar:
        for split in splits:
            task = replace(subject.task, split=split)
            results[split] = play(task, subject.policy, episodes, seed, greedy, done=bar.update)
    report: dict[str, Any] = {
        "agent": subject.agent,
        "level": subject.task.level,
        "text": subject.task.text,
        "sentence_order": subject.task.sentence_order,
        "greedy": greedy,
        "training": subject.training,
        "seed": seed,
        "first_environment_seed": evaluation_seed(seed, 0),
        "confidence": CONFIDENCE,
        "splits": {split: _split_report(results[split]) for split in splits},
    }
    if {"Train", "HeldOut"} <= set(splits):
        rates = [_success(results[split]) for split in ("Train", "HeldOut")]
        report["gap"] = difference_interval(*rates).as_json()
    versions = {name: version(name) for name in _PACKAGES}
    return report | {"versions": {"babyaipp": __version__, "python": platform.python_version()} | versions}


def _success(episodes: Sequence[Episode]) -> Estimate:
    return wilson_interval(sum(episode.success for episode in episodes), len(episodes))


def _split_report(episodes: Sequence[Episode]) -> dict[str, Any]:
    return {
        "episodes": len(episodes),
        "success": _success(episodes).as_json(),
        "return": mean_interval([episode.total_reward for episode in episodes]).as_json(),
        "steps": mean_interval([episode.steps for episode in episodes]).as_json(),
        "causes": dict(Counter(episode.cause for episode in episodes).most_common()),
    }


def table(reports: Sequence[Mapping[str, Any]]) -> str:
    """Reports for people: a row an agent and split, the gap of each agent below its rows."""
    rows = [("agent", "split", "success", "return", "steps", "how episodes end")]
    for report in reports:
        name = f"{report['agent']}, greedy" if report["greedy"] else report["agent"]
        for split, entry in report["splits"].items():
            causes = ", ".join(f"{cause} {count}" for cause, count in entry["causes"].items())
            numbers = (_cell(entry[name], digits) for name, digits in (("success", 3), ("return", 3), ("steps", 1)))
            rows.append((name, split, *numbers, causes))
        if "gap" in report:
            rows.append((name, "gap", _cell(report["gap"], 3), "", "", ""))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def _cell(estimate: Mapping[str, Any], digits: int) -> str:
    low, high = estimate["interval"]
    return f"{estimate['value']:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def run_evaluation(config: EvaluateConfig) -> int:
    """Evaluate, print and write the report; returns the exit status."""
    with usage_errors():
        config.check()
        subject = load_subject(config.run, config.level, config.text, config.sentence_order)
        splits = parse_splits(config.splits, subject.task.level)
    report = evaluate(subject, config.episodes, splits, config.seed, not config.sampled)
    print(f"{report['level']}, text={report['text']}; 95% intervals in brackets\n\n{table([report])}")
    file = config.json or (Run(Path(config.run)).report_file if subject.on_its_own_task else None)
    if file is None:
        print("\nnot written: give --json FILE to keep it")
    else:
        write_json(file, report)
        print(f"\nwritten to {file}")
    return 0


if __name__ == "__main__":
    sys.exit(run_command(EvaluateConfig, run_evaluation))
