"""What `test_distributed.py` lets several processes do.

gradients FOLDER    an update from a share of a recorded rollout; `rollout.pt` holds it, with policy and settings
trainings FOLDER    two trainings with the same settings: `whole`, and `part`, which is interrupted half-way
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from agents.checkpoints import generator_of, spaces_of
from agents.environments import Task
from agents.policy import Policy, build_policy
from agents.runs import Run, write_json
from agents.training.config import TrainConfig
from agents.training.distributed import Ranks
from agents.training.ppo import PPO, PPOConfig, Rollout, autocast_of
from agents.training.trainer import Trainer
from agents.training.trainer import learn as train_until

CPU = torch.device("cpu")


def policy_of(task: Task, agent: str) -> Policy:
    """An untrained one."""
    return build_policy(agent, "small", {}, *spaces_of(task))


def share(rollout: Rollout, rank: int, size: int) -> Rollout:
    """The environments of a process: those that a training gives it."""
    num_envs = rollout.actions.shape[1] // size
    return rollout.of(torch.arange(rank * num_envs, (rank + 1) * num_envs))


def learn(recorded: dict[str, Any], ranks: Ranks) -> dict[str, torch.Tensor]:
    """The gradients of an update, as they are applied, and the parameters after it."""
    policy = policy_of(recorded["task"], recorded["agent"])
    policy.load_state_dict(recorded["parameters"])
    # Minibatches of several processes consist of other environments than those of one, unless there is only one.
    config: PPOConfig = replace(recorded["config"], minibatches=1, epochs=1)
    ppo = PPO(policy, config, generator_of(ranks.rank, CPU), ranks, autocast_of(CPU, False))
    ppo.update(share(recorded["rollout"], ranks.rank, ranks.size), 0.0)
    found = {f"gradient {name}": each.grad for name, each in policy.named_parameters() if each.grad is not None}
    return found | {f"parameter {name}": each.detach() for name, each in policy.named_parameters()}


def save_gradients(folder: Path, ranks: Ranks) -> None:
    """Write what each process learned."""
    recorded = torch.load(folder / "rollout.pt", weights_only=False)
    torch.save(learn(recorded, ranks), folder / f"learned-{ranks.rank}.pt")


def save_trainings(folder: Path, ranks: Ranks) -> None:
    """Train to the end, and half-way."""
    ppo = PPOConfig(num_envs=4, rollout_steps=8, minibatches=2)
    config = TrainConfig(agent="image_only", frames=128, evaluation_episodes=0, ppo=ppo)
    for name, frames in (("whole", config.frames), ("part", config.frames // 2)):
        run = Run(folder / name)
        if ranks.first:
            write_json(run.config_file, config.as_json())
        trainer = Trainer(config, ranks)
        train_until(trainer, run, ranks, lambda trainer=trainer, frames=frames: trainer.frames >= frames)
        trainer.close()


if __name__ == "__main__":
    what = {"gradients": save_gradients, "trainings": save_trainings}[sys.argv[1]]
    torch.set_num_threads(1)
    with Ranks() as ranks:
        what(Path(sys.argv[2]), ranks)
