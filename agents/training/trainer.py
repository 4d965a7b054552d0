"""One training: worlds, policy and PPO put together, what they need to go on, and what is told of them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm  # type: ignore[import-untyped]

from agents.checkpoints import (
    checkpoint_name,
    generator_of,
    read_tensors,
    run_name,
    save_agent,
    sized_task,
    spaces_of,
    write_tensors,
)
from agents.environments import Task, training_seeds
from agents.policy import Policy, build_policy
from agents.rollouts import PolicyActor, play
from agents.runs import Run
from agents.training.config import TrainConfig
from agents.training.distributed import Ranks
from agents.training.ppo import PPO, Collector, autocast_of
from babyaipp.levels import get_level

_WATCHED = ("Train", "Val")
"""Splits on which agents are evaluated as they learn; what is held out is not looked at."""


class Trainer:
    """A policy that learns.

    Args:
        config: settings, checked.
        ranks: the processes that train together.
    """

    def __init__(self, config: TrainConfig, ranks: Ranks) -> None:
        self.config = config
        self._ranks = ranks
        self.device = _device(config.device, ranks)
        torch.manual_seed(config.seed)
        num_envs = config.ppo.num_envs // ranks.size
        envs = config.task.make_vec(
            num_envs, device=self.device, output="torch", copy=False, num_threads=config.threads
        )
        space, actions = spaces_of(config.task)
        self.task = sized_task(config.task, space)
        self.policy = build_policy(config.agent, config.preset, config.agent_options, space, actions).to(self.device)
        if config.ppo.compile:
            # On a GPU for each size anew, as all that comes is of few sizes: code for any size is slower, and has to be
            # recorded for each as a CUDA graph anyway. On a CPU, the number of different texts changes.
            self.policy.network.compile(
                mode="reduce-overhead" if config.ppo.cuda_graphs else None,
                dynamic=False if self.device.type == "cuda" else None,
            )
        first, second = np.random.SeedSequence((config.seed, ranks.rank)).generate_state(2).tolist()
        self._generators = {
            "actions": generator_of(first, self.device),
            "minibatches": generator_of(second, self.device),
        }
        autocast = autocast_of(self.device, config.ppo.bf16)
        self.collector = Collector(
            envs,
            self.policy,
            config.ppo.rollout_steps,
            config.ppo.gamma,
            self._generators["actions"],
            autocast,
            same_size=config.ppo.compile,
        )
        self.ppo = PPO(self.policy, config.ppo, self._generators["minibatches"], ranks, autocast)
        self.frames = 0
        """Environment steps so far, of all processes."""
        self.seconds = 0.0
        """Time spent on training, evaluations left out."""
        own = slice(ranks.rank * num_envs, (ranks.rank + 1) * num_envs)
        envs.reset(seed=training_seeds(config.seed, config.ppo.num_envs)[own])

    @property
    def frames_an_update(self) -> int:
        """Environment steps between updates."""
        return self.config.ppo.num_envs * self.config.ppo.rollout_steps

    def update(self, progress: float) -> dict[str, float]:
        """Collect a rollout and learn from it; `progress`: share of the training that is done.

        Returns:
            What `progress.jsonl` gets.
        """
        started = time.perf_counter()
        rollout, sums = self.collector.collect()
        figures = self.ppo.update(rollout, progress)
        names = sorted(sums)
        totals = self._ranks.sum(torch.stack([sums[name] for name in names]).double())
        episodes = dict(zip(names, totals.tolist(), strict=True))
        losses = dict(zip(figures, torch.stack(list(figures.values())).tolist(), strict=True))
        seconds = time.perf_counter() - started
        self.frames += self.frames_an_update
        self.seconds += seconds
        count = episodes["episodes"]
        line = {
            "frames": self.frames,
            "seconds": round(self.seconds, 3),
            "fps": round(self.frames_an_update / seconds, 1),
            "episodes": int(count),
        }
        if count:
            line |= {
                "success": round(episodes["success"] / count, 5),
                "timeout": round(episodes["timeout"] / count, 5),
                "return": round(episodes["return"] / count, 5),
                "episode_steps": round(episodes["steps"] / count, 2),
            }
        return line | {name: round(value, 6) for name, value in losses.items()}

    def evaluate(self, episodes: int) -> dict[str, float]:
        """Success with the likeliest actions on the splits that may be looked at: `{"Train/success": ...}`."""
        return watched_success(self.policy, self.task, episodes, self.device)

    def save(self, run: Run) -> None:
        """Write the agent, and everything that it takes to go on exactly as if nothing had been written."""
        settings = self.config.as_json() | {"frames": self.frames}
        tensors = {f"policy.{name}": each for name, each in self.policy.state_dict().items()}
        for index, values in self.ppo.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{name}": each for name, each in values.items()}
        tensors |= {f"generator.{name}": each.get_state() for name, each in self._generators.items()}
        tensors |= {"worlds": _as_bytes(self.collector.envs.state())}
        tensors |= {"memory": self.collector.state, "begins": self.collector.begins}
        told = {"training": settings, "seconds": self.seconds, "ranks": self._ranks.size}
        write_tensors(run.training_file(self._ranks.rank), tensors, told)
        if self._ranks.first:
            config = self.config
            name = checkpoint_name(config.agent, config.level, config.split, config.seed)
            save_agent(run.folder / name, self.policy, settings, self.task)

    def load(self, run: Run) -> None:
        """Go on where `save` was called.

        Raises:
            ValueError: no such file, a damaged one, or one of another number of processes.
        """
        tensors, told = read_tensors(run.training_file(self._ranks.rank))
        if told["ranks"] != self._ranks.size:
            raise ValueError(
                f"the run in {str(run.folder)!r} was trained by {told['ranks']} processes, not {self._ranks.size}"
            )
        self.policy.load_state_dict(_part(tensors, "policy."))
        optimizer = self.ppo.optimizer.state_dict()
        optimizer["state"] = {}
        for name, each in _part(tensors, "optimizer.").items():
            index, kind = name.split(".")
            optimizer["state"].setdefault(int(index), {})[kind] = each
        self.ppo.optimizer.load_state_dict(optimizer)
        for name, state in _part(tensors, "generator.").items():
            self._generators[name].set_state(state)
        _restore(self.collector.envs, tensors["worlds"])
        self.collector.state = tensors["memory"].to(self.device)
        self.collector.begins = tensors["begins"].to(self.device)
        self.frames = told["training"]["frames"]
        self.seconds = told["seconds"]
        if self._ranks.any(self.frames != int(self._ranks.largest(self.frames))):
            raise ValueError(f"the checkpoints in {str(run.folder)!r} are of different frames: one was not written")

    def close(self) -> None:
        """End the engine's threads."""
        self.collector.envs.close()


class Log:
    """Where a training is told: on the terminal, in `progress.jsonl`, for TensorBoard, to Weights & Biases.

    Args:
        run: the folder.
        config: of the training.
        frames_done: where it begins.
        active: False: say nothing, as another process does.
    """

    def __init__(self, run: Run, config: TrainConfig, frames_done: int, active: bool) -> None:
        self._active = active
        if not active:
            return
        run.forget_progress_after(frames_done)
        self._lines = run.progress_file.open("a", encoding="utf-8")
        self._board = SummaryWriter(
            str(run.folder / "tensorboard"), purge_step=frames_done + 1 if frames_done else None
        )
        self._bar = tqdm(
            total=config.frames, initial=frames_done, unit="", unit_scale=True, desc="frames", mininterval=1.0
        )
        self._wandb: Any = None
        if config.wandb is not None:
            import wandb  # type: ignore[import-not-found]

            self._wandb = wandb.init(
                project=config.wandb, config=config.as_json(), dir=run.folder, id=run.folder.name, resume="allow"
            )

    def write(self, line: Mapping[str, float]) -> None:
        """Tell of an update."""
        if not self._active:
            return
        self._lines.write(json.dumps(dict(line)) + "\n")
        self._lines.flush()
        frames = int(line["frames"])
        for name, value in line.items():
            if name != "frames":
                self._board.add_scalar(name if "/" in name else f"training/{name}", value, frames)
        if self._wandb is not None:
            self._wandb.log(dict(line), step=frames)
        shown = [f"{name} {line[name]:.2f}" for name in ("success", "Train/success", "Val/success") if name in line]
        if shown:
            self._bar.set_postfix_str(", ".join(shown), refresh=False)
        self._bar.update(frames - self._bar.n)

    def close(self) -> None:
        """Close the files."""
        if self._active:
            self._bar.close()
            self._lines.close()
            self._board.close()
            if self._wandb is not None:
                self._wandb.finish()


def learn(trainer: Trainer, run: Run, ranks: Ranks, interrupted: Callable[[], bool]) -> bool:
    """Train to the end, or until interrupted; saves at the end in any case. Returns whether it was interrupted."""
    config = trainer.config
    saved = evaluated = trainer.frames
    began = trainer.seconds
    limit = None if config.minutes is None else 60 * config.minutes
    log = Log(run, config, trainer.frames, ranks.first)
    stop = late = False
    try:
        while trainer.frames < config.frames and not (stop or late):
            # The clocks of the processes differ; the learning rate must not.
            spent = 0.0 if limit is None else ranks.largest(trainer.seconds - began) / limit
            line = trainer.update(max(trainer.frames / config.frames, spent))
            stop = ranks.any(interrupted())
            late = limit is not None and ranks.largest(trainer.seconds - began) >= limit
            over = stop or late or trainer.frames >= config.frames
            if trainer.frames - saved >= config.checkpoint_frames or over:
                trainer.save(run)
                saved = trainer.frames
            due = over or trainer.frames - evaluated >= config.evaluation_frames
            if ranks.first and config.evaluation_episodes and due and not stop:
                line |= trainer.evaluate(config.evaluation_episodes)
                evaluated = trainer.frames
            log.write(line)
    finally:
        log.close()
    return stop and trainer.frames < config.frames


def _device(name: str, ranks: Ranks) -> torch.device:
    if name == "cuda" and ranks.size > 1:
        return torch.device("cuda", ranks.local_rank)
    return torch.device(name)


def watched_success(policy: Policy, task: Task, episodes: int, device: Any) -> dict[str, float]:
    """Success with the likeliest actions on the splits that may be looked at: `{"Train/success": ...}`."""
    told = {}
    for split in [split for split in get_level(task.level).splits if split in _WATCHED]:
        played = play(replace(task, split=split), PolicyActor(policy), episodes, device=device)
        told[f"{split}/success"] = round(sum(each.success for each in played) / len(played), 5)
    return told


def _part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): each for name, each in tensors.items() if name.startswith(prefix)}


def _as_bytes(worlds: Any) -> Tensor:
    """Records of worlds as a tensor (n, bytes) uint8."""
    if isinstance(worlds, Tensor):
        return worlds
    return torch.from_numpy(worlds.view(np.uint8).reshape(len(worlds), -1))


def _restore(envs: Any, data: Tensor) -> None:
    own = envs.state()
    envs.set_state(data.to(own.device) if isinstance(own, Tensor) else data.numpy().view(own.dtype).reshape(own.shape))


def run_folder(config: TrainConfig) -> Path:
    """Where a training is kept."""
    if config.out is not None:
        return config.out
    return Path("runs") / run_name(config.agent, config.level, config.split, config.seed)
