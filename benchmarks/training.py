"""Measure the speed of training: `python -m benchmarks.training`, frames a second of PPO on one thread.

The trainer beside Stable-Baselines3's PPO on the same engine, with the same networks and settings, update by update in
turns; ratios are medians over the rounds. `docs/performance.md` says what the figures mean. It takes five minutes and
wants an idle machine: figures taken while something else ran are marked.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm  # type: ignore[import-untyped]

from agents.cli import run_command, usage_errors
from agents.registry import agent_names
from agents.runs import write_json
from agents.training.config import TrainConfig
from agents.training.distributed import Ranks
from agents.training.ppo import PPOConfig
from agents.training.trainer import Trainer
from benchmarks.measurement import DISTURBED, count_text, in_turns, machine, rates, ratio, table

PAPER_PPO = PPOConfig(num_envs=64, rollout_steps=40, epochs=4, minibatches=2)
"""As the paper's code trains: 64 environments, 40 steps, four epochs over minibatches of 1,280 steps."""
ORIGINAL = {"image_only": 1100, "film": 550, "attention_fusion": 240}
"""Frames a second of the original program, with 64 environments and the paper's sizes: recorded on one core of the kind
of machine of docs/baselines.md, as it no longer installs; no command of this repository finds them."""


@dataclass(frozen=True)
class TrainingSpeedConfig:
    """Measure frames a second of training."""

    json: Path | None = None
    """Also write all figures to this file."""
    level: str = "GoToRedBall"
    agents: tuple[str, ...] = ("attention_fusion", "film", "image_only")
    """Agents with the paper's sizes, trained with the paper's settings."""
    small: tuple[str, ...] = ("grounded", "attention_fusion", "film", "concat_fusion", "image_only")
    """Agents with small sizes, trained with the trainer's own settings."""
    rounds: int = 3
    """Updates of each, after a first one that is not timed."""
    threads: int = 1
    """Threads of the network and the engine."""
    device: str = "cpu"
    """cpu, cuda or cuda:<number>."""

    def check(self) -> None:
        """Raise ValueError, naming argument, value and what is allowed, if a setting makes no sense."""
        known = agent_names()
        for name in (*self.agents, *self.small):
            if name not in known:
                raise ValueError(f"unknown agent {name!r}; allowed: {', '.join(known)}")
        if self.rounds < 1:
            raise ValueError(f"rounds={self.rounds} must be at least 1")
        TrainConfig(level=self.level, threads=self.threads, device=self.device).check()


def updates(config: TrainConfig) -> Callable[[], int]:
    """Does an update of the trainer; returns its frames."""
    trainer = Trainer(config, Ranks())

    def update() -> int:
        trainer.update(0.0)
        return trainer.frames_an_update

    return update


def sb3_updates(config: TrainConfig) -> Callable[[], int]:
    """Does an update of Stable-Baselines3's PPO on the engine; returns its frames."""
    from agents.sb3 import SeededWorlds, new_model

    model = new_model("ppo", config, SeededWorlds(config.task.make_vec(config.ppo.num_envs)))
    frames = config.ppo.num_envs * config.ppo.rollout_steps

    def update() -> int:
        model.learn(frames, reset_num_timesteps=False)
        return frames

    return update


def subjects(config: TrainConfig) -> dict[str, Callable[[], int]]:
    """What is timed for an agent."""
    made = {
        "ours": updates(config),
        "ours, bf16": updates(replace(config, ppo=replace(config.ppo, bf16=True))),
    }
    if importlib.util.find_spec("stable_baselines3") is not None:
        made["SB3"] = sb3_updates(config)
    return made


def measure(config: TrainingSpeedConfig) -> dict[str, Any]:
    """All figures; see `speed_table`."""
    rows = []
    plan = [(agent, "paper", PAPER_PPO) for agent in config.agents]
    plan += [(agent, "small", PPOConfig()) for agent in config.small]
    bar = tqdm(plan, unit="agent")
    for agent, preset, ppo in bar:
        bar.set_description(f"{agent}, {preset}")
        training = TrainConfig(
            *(agent, config.level), preset=preset, ppo=ppo, threads=config.threads, device=config.device
        )
        calls = subjects(training)
        for call in calls.values():
            call()
        samples = in_turns(calls, config.rounds, seconds=0.0)
        row: dict[str, Any] = {"agent": agent, "preset": preset}
        row |= {name: rates(each) for name, each in samples.items()}
        if "SB3" in samples:
            row["ours_over_sb3"] = ratio(samples["ours"], samples["SB3"])
            row["bf16_over_sb3"] = ratio(samples["ours, bf16"], samples["SB3"])
        if preset == "paper" and agent in ORIGINAL:
            row["original"] = ORIGINAL[agent]
        rows.append(row)
    return {"machine": machine(), "level": config.level, "threads": config.threads, "rows": rows}


def speed_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Frames a second, over the original's and over SB3's."""
    header = ["agent", "sizes", "frames/s", "bf16", "SB3", "over SB3", "bf16 over SB3"]
    header += ["over the original", "bf16 over the original"]
    lines = []
    for row in rows:
        kinds = ("ours", "ours, bf16")
        speeds = [_rate(row[kind]) for kind in kinds] + [_rate(row["SB3"]) if "SB3" in row else "-"]
        over_sb3 = [f"{row[name]['median']:.2f}" if name in row else "-" for name in ("ours_over_sb3", "bf16_over_sb3")]
        over = [f"{row[kind]['median'] / row['original']:.2f}" if "original" in row else "-" for kind in kinds]
        lines.append([f"`{row['agent']}`", row["preset"], *speeds, *over_sb3, *over])
    return table(header, lines)


def _rate(found: Mapping[str, float]) -> str:
    mark = "" if found["processor_share"] >= DISTURBED else " (disturbed)"
    return count_text(found["median"]) + mark


def run_measurement(config: TrainingSpeedConfig) -> int:
    """Measure and print; returns the exit status."""
    with usage_errors():
        config.check()
    torch.set_num_threads(config.threads)
    report = measure(config)
    found = report["machine"]
    print(f"{found['processor']}, {config.threads} of {found['cores']} cores, load average {found['load_average']}\n")
    print(speed_table(report["rows"]))
    if config.json is not None:
        write_json(config.json, report)
    return 0


if __name__ == "__main__":
    sys.exit(run_command(TrainingSpeedConfig, run_measurement))
