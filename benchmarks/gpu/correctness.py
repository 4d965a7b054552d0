"""Training on the device against training on the CPU: the same rollout, the same parameters, and what comes of them."""

from __future__ import annotations

import copy
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from agents.checkpoints import generator_of
from agents.policy import Policy
from agents.training.config import TrainConfig
from agents.training.distributed import Ranks
from agents.training.ppo import PPO, PPOConfig, Rollout, advantages_and_returns, autocast_of
from agents.training.trainer import Trainer
from benchmarks.gpu.device import Device, tf32_allowed

_NEAR_ZERO = ("loss", "policy_loss", "kl", "clipped")
"""Near zero, as sums of terms of size 1 that cancel: their errors are not told by their own size but as they are."""
_COUNT = "clipped"
"""A share of the steps: where one of them lies at the border, it jumps by far more than arithmetic errs."""


@dataclass(frozen=True)
class Arithmetic:
    """How networks compute."""

    bf16: bool
    tf32: bool
    limit: float
    """Errors up to this are the arithmetic's own."""


KINDS = {
    "fp32": Arithmetic(bf16=False, tf32=False, limit=1e-4),
    "tf32": Arithmetic(bf16=False, tf32=True, limit=5e-3),
    "bf16": Arithmetic(bf16=True, tf32=False, limit=2e-2),
}
"""What is compared with float32 on the CPU. The limits are some ten times the rounding of a product, 2^-9 in bfloat16
and 2^-11 in TF32; in float32 they leave room for sums in another order."""


@dataclass(frozen=True)
class _Found:
    figures: dict[str, float]
    """Of a loss."""
    gradient: Tensor
    """(parameters,) float64, on the CPU."""
    update: dict[str, float]
    """What `PPO.update` tells."""
    parameters: Tensor
    """(parameters,) float64, after the update."""


def compare(agent: str, level: str, preset: str, ppo: PPOConfig, device: Device) -> dict[str, Any]:
    """Figures of a loss, its gradient, and an update of several epochs, by kind of arithmetic.

    Rewards are random numbers, since hardly any episode of so short a rollout earns one. The CPU learns from the
    rollout once first, since the heads of a policy that has just been made hardly depend on its network. A minibatch
    is all of the rollout, as the order of the environments is drawn on the device.

    Returns:
        `losses`, by kind: the figures of a loss on the CPU in float32, and on the device, with their errors: relative,
        or absolute for those near zero; `gradient_error`: |there - here| / |here|; `update`: the same figures, means
        over the update, and `parameters_error`: of the change of the parameters; `limit`, and whether the errors of
        loss, but for `clipped`, and gradient are `within` it. `cpu bf16` is bfloat16 on the CPU: how large its error is
        there.
    """
    ppo = replace(ppo, minibatches=1)
    config = TrainConfig(agent, level, preset=preset, ppo=ppo)
    config.check()
    trainer = Trainer(config, Ranks())
    try:
        rollout, _ = trainer.collector.collect()
        rollout.rewards.uniform_(generator=generator_of(0, rollout.rewards.device))
        trainer.ppo.update(rollout, 0.0)
    finally:
        trainer.close()
    cpu = Device("cpu")
    expected = _learn(trainer.policy, rollout, ppo, cpu, KINDS["fp32"])
    before = _flat(trainer.policy.parameters())
    row: dict[str, Any] = {"agent": agent, "preset": preset, "frames": rollout.actions.numel(), "kinds": {}}
    places = {"cpu bf16": (cpu, KINDS["bf16"])} | {name: (device, kind) for name, kind in KINDS.items()}
    if not device.is_cuda:
        del places["cpu bf16"], places["tf32"]
    for name, (place, kind) in places.items():
        found = _learn(trainer.policy, rollout, ppo, place, kind)
        losses = _errors(expected.figures, found.figures)
        gradient_error = _relative(found.gradient, expected.gradient)
        worst = max(gradient_error, *(each["error"] for figure, each in losses.items() if figure != _COUNT))
        row["kinds"][name] = {
            "losses": losses,
            "gradient_error": gradient_error,
            "update": _errors(expected.update, found.update),
            "parameters_error": _relative(found.parameters - before, expected.parameters - before),
            "limit": kind.limit,
            "within": worst <= kind.limit,
        }
    return row


def _learn(policy: Policy, rollout: Rollout, ppo: PPOConfig, device: Device, kind: Arithmetic) -> _Found:
    """A loss and an update of a copy of the policy."""
    own = copy.deepcopy(policy).to(device.torch)
    there = _moved(rollout, device.torch)
    learner = PPO(own, ppo, generator_of(0, device.torch), Ranks(), autocast_of(device.torch, kind.bf16))
    with tf32_allowed(kind.tf32):
        advantages, returns = advantages_and_returns(there, ppo.gamma, ppo.gae_lambda)
        loss, figures = learner.loss(there, advantages, returns)
        loss.backward()
        gradient = _flat(each.grad for each in own.parameters() if each.grad is not None)
        told = _numbers(figures | {"loss": loss.detach()})
        update = _numbers(learner.update(there, 0.0))
    return _Found(told, gradient, update, _flat(own.parameters()))


def _moved(rollout: Rollout, device: torch.device) -> Rollout:
    """A copy on a device."""
    moved = {each.name: getattr(rollout, each.name) for each in fields(rollout)}
    observations = {name: each.to(device) for name, each in moved.pop("observations").items()}
    return Rollout(observations, **{name: each.to(device) for name, each in moved.items()})


def _errors(expected: dict[str, float], found: dict[str, float]) -> dict[str, dict[str, float]]:
    return {
        name: {
            "cpu": value,
            "device": found[name],
            "error": abs(found[name] - value) / (1.0 if name in _NEAR_ZERO else max(abs(value), 1e-12)),
        }
        for name, value in expected.items()
    }


def _relative(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


def _flat(tensors: Any) -> Tensor:
    return torch.cat([each.detach().double().cpu().flatten() for each in tensors])


def _numbers(figures: dict[str, Tensor]) -> dict[str, float]:
    return {name: float(each) for name, each in figures.items()}
