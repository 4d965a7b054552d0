"""Recurrent PPO on the engine's tensors (arXiv 1707.06347).

`Collector` steps the worlds, `advantages_and_returns` credits the actions, `PPO.update` learns from them. All of it
stays on one device: nothing is copied to the CPU but sums, once a rollout. A minibatch is a share of the environments
with all their steps, so that gradients flow through the memory from the rollout's first step to its last; the memory
that a rollout begins with is taken as it is.

Time limits are no ends: where an episode was cut off, its last observation's value stands for what would have come.
Drains and jails, too, truncate episodes, but nothing could come after them; they count as ends.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from agents.policy import Policy
from agents.training.distributed import Ranks
from babyaipp.engine.state import CAUSES

_TIMEOUT = CAUSES.index("timeout")


@dataclass(frozen=True)
class PPOConfig:
    """Settings of PPO."""

    num_envs: int = 256
    """Environments, over all processes."""
    rollout_steps: int = 32
    """Steps of each environment between updates; gradients flow back as far through the memory."""
    minibatches: int = 4
    """Into which the environments are divided, anew in each epoch."""
    epochs: int = 3
    learning_rate: float = 7e-4
    """At the start; falls linearly to zero at the end of the training."""
    gamma: float = 0.99
    gae_lambda: float = 0.95
    clip_range: float = 0.2
    entropy_coefficient: float = 0.01
    value_coefficient: float = 0.5
    max_grad_norm: float = 0.5
    bf16: bool = False
    """Networks compute in bfloat16; parameters, losses and memory stay float32."""
    compile: bool = False
    """Compile the network with torch.compile: a minute at the start."""
    cuda_graphs: bool = False
    """With `compile`, on CUDA: record the compiled kernels as CUDA graphs (mode `reduce-overhead`)."""

    def check(self) -> None:
        """Raise ValueError, naming setting, value and what is allowed, if a setting makes no sense."""
        for name in ("num_envs", "rollout_steps", "minibatches", "epochs"):
            if getattr(self, name) < 1:
                raise ValueError(f"ppo.{name}={getattr(self, name)} must be at least 1")
        if self.num_envs % self.minibatches:
            raise ValueError(f"ppo.minibatches={self.minibatches} must divide ppo.num_envs={self.num_envs}")
        if self.num_envs * self.rollout_steps // self.minibatches < 2:
            raise ValueError("a minibatch must hold 2 steps at least: PPO normalises advantages")
        for name in ("gamma", "gae_lambda"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"ppo.{name}={getattr(self, name)} must be between 0 and 1")
        for name in ("learning_rate", "clip_range", "max_grad_norm"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"ppo.{name}={getattr(self, name)} must be more than 0")
        for name in ("entropy_coefficient", "value_coefficient"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"ppo.{name}={getattr(self, name)} must not be negative")
        if self.cuda_graphs and not self.compile:
            raise ValueError("ppo.cuda_graphs=True needs ppo.compile=True")


@dataclass
class Rollout:
    """T steps of B environments."""

    observations: dict[str, Tensor]
    """Each (T, B, ...), as the engine gives them."""
    begins: Tensor
    """(T, B) bool: an episode begins with the step."""
    state: Tensor
    """(B, state_size), before the first step."""
    actions: Tensor
    """(T, B) int64."""
    log_probs: Tensor
    """(T, B) float32, of the actions."""
    values: Tensor
    """(T, B) float32, what the critic expected."""
    rewards: Tensor
    """(T, B) float32; where the time limit cut an episode off, with the discounted value of its last observation."""
    ends: Tensor
    """(T, B) bool: an episode ended with the step, or was cut off."""
    next_values: Tensor
    """(B,) float32, of what follows the last step."""

    def of(self, rows: Tensor) -> Rollout:
        """Some of the environments; `rows`: (b,) int64."""
        over_time = {
            name: getattr(self, name)[:, rows]
            for name in ("begins", "actions", "log_probs", "values", "rewards", "ends")
        }
        observations = {name: each[:, rows] for name, each in self.observations.items()}
        return Rollout(observations, state=self.state[rows], next_values=self.next_values[rows], **over_time)


def advantages_and_returns(rollout: Rollout, gamma: float, gae_lambda: float) -> tuple[Tensor, Tensor]:
    """Generalised advantages (arXiv 1506.02438) and what the critic should have said; (T, B) float32 each."""
    advantages = torch.empty_like(rollout.values)
    going_on = rollout.ends.logical_not().float()
    later = torch.zeros_like(rollout.next_values)
    following = rollout.next_values
    for t in reversed(range(len(advantages))):
        surprise = rollout.rewards[t] + gamma * going_on[t] * following - rollout.values[t]
        later = surprise + gamma * gae_lambda * going_on[t] * later
        advantages[t] = later
        following = rollout.values[t]
    return advantages, advantages + rollout.values


class Collector:
    """Steps a batch of worlds by a policy, and keeps what happened.

    Args:
        envs: `babyaipp.engine.vector.BatchedWorlds` with tensors, autoreset in the same step and `copy=False`.
        policy: what acts.
        steps: T, of a rollout.
        gamma: what a later reward is worth.
        generator: actions are drawn from it; on the envs' device.
        autocast: makes the context in which networks compute.
        same_size: the policy gets batches of one size only, that of the envs: it is compiled for each size anew.
    """

    def __init__(
        self,
        envs: Any,
        policy: Policy,
        steps: int,
        gamma: float,
        generator: torch.Generator,
        autocast: Any,
        same_size: bool = False,
    ) -> None:
        self.envs = envs
        self._same_size = same_size
        self._policy = policy
        self._steps = steps
        self._gamma = gamma
        self._generator = generator
        self._autocast = autocast
        self.state = policy.initial_state(envs.num_envs)
        self.begins = torch.ones(envs.num_envs, dtype=torch.bool, device=self.state.device)
        self._kept: dict[str, Tensor] = {}

    @torch.no_grad()
    def collect(self) -> tuple[Rollout, dict[str, Tensor]]:
        """A rollout, valid until the next one, and sums over the episodes that ended in it: see `_sums`."""
        begin_state = self.state
        observation = self.envs.observe()
        values, ended = [], []
        for t in range(self._steps):
            for name, each in observation.items():
                self._keep(name, t, each)
            self._keep("begins", t, self.begins)
            with self._autocast():
                logits, value, self.state = self._policy.step(observation, self.state, self.begins)
            log_probs = logits.log_softmax(1)
            action = torch.multinomial(log_probs.exp(), 1, generator=self._generator)
            self._keep("log_probs", t, log_probs.gather(1, action).squeeze(1))
            action = action.squeeze(1)
            self._keep("actions", t, action)
            values.append(value)
            observation, reward, terminated, truncated, infos = self.envs.step(action)
            self.begins = terminated | truncated
            cause = infos["final_info"]["cause"]
            self._keep("states", t, self.state)
            self._keep("cut", t, truncated & (cause == _TIMEOUT))
            for name, each in infos["final_obs"].items():
                self._keep(f"final_{name}", t, each)
            self._keep("rewards", t, reward)
            self._keep("ends", t, self.begins)
            ended.append(_sums(self.begins, cause, infos))
        with self._autocast():
            next_values = self._policy.step(observation, self.state, self.begins).values
        self._bootstrap()
        kept = self._kept
        rollout = Rollout(
            observations={name: kept[name] for name in observation},
            begins=kept["begins"],
            state=begin_state,
            actions=kept["actions"],
            log_probs=kept["log_probs"],
            values=torch.stack(values),
            rewards=kept["rewards"],
            ends=kept["ends"],
            next_values=next_values,
        )
        return rollout, {name: torch.stack([each[name] for each in ended]).sum(0) for name in ended[0]}

    def _keep(self, name: str, t: int, value: Tensor) -> None:
        if name not in self._kept:
            self._kept[name] = value.new_zeros((self._steps, *value.shape))
        self._kept[name][t].copy_(value)

    def _bootstrap(self) -> None:
        """Add to the rewards what the last observations of the episodes were worth that the time limit cut off."""
        cut = self._kept["cut"].nonzero()  # (n, 2), step and row; the one place where the CPU waits for a GPU
        if not len(cut):
            return
        prefix = "final_"
        for part in cut.split(self.envs.num_envs if self._same_size else len(cut)):
            count = len(part)
            if self._same_size:
                part = torch.cat([part, part[:1].expand(self.envs.num_envs - count, -1)])
            steps, rows = part.unbind(1)
            observations = {
                name.removeprefix(prefix): each[steps, rows]
                for name, each in self._kept.items()
                if name.startswith(prefix)
            }
            with self._autocast():
                decision = self._policy.step(
                    observations, self._kept["states"][steps, rows], torch.zeros_like(rows, dtype=torch.bool)
                )
            self._kept["rewards"][steps[:count], rows[:count]] += self._gamma * decision.values[:count]


def _sums(ended: Tensor, cause: Tensor, infos: Mapping[str, Any]) -> dict[str, Tensor]:
    """Over the episodes that ended in a step: how many, successes, returns, steps, and how many timed out."""
    episode = infos["episode"]
    return {
        "episodes": ended.sum(),
        "success": (infos["final_info"]["success"] & ended).sum(),
        "timeout": (ended & (cause == _TIMEOUT)).sum(),
        "return": torch.where(ended, episode["r"], 0).sum(),
        "steps": torch.where(ended, episode["l"], 0).sum(),
    }


class PPO:
    """Learns from rollouts.

    Args:
        policy: what is trained.
        config: settings.
        generator: minibatches are drawn from it; on the policy's device.
        ranks: the processes that train together.
        autocast: makes the context in which networks compute.
    """

    def __init__(
        self, policy: Policy, config: PPOConfig, generator: torch.Generator, ranks: Ranks, autocast: Any
    ) -> None:
        self._policy = policy
        self._config = config
        self._generator = generator
        self._ranks = ranks
        self._autocast = autocast
        self.optimizer = torch.optim.Adam(policy.parameters(), lr=config.learning_rate, eps=1e-5)

    def update(self, rollout: Rollout, progress: float) -> dict[str, Tensor]:
        """Learn from a rollout.

        Args:
            rollout: of this process's environments.
            progress: share of the training that is done; the learning rate falls with it.

        Returns:
            Means over the minibatches: `policy_loss`, `value_loss`, `entropy`, `kl`, how far the new policy is from the
            old one, `clipped`, the share of steps that the clip held, `grad_norm`; and `explained`, the share of the
            returns' variance that the critic had foreseen. Tensors, not waited for.
        """
        config = self._config
        for group in self.optimizer.param_groups:
            group["lr"] = config.learning_rate * max(1 - progress, 0.0)
        advantages, returns = advantages_and_returns(rollout, config.gamma, config.gae_lambda)
        told = []
        for _ in range(config.epochs):
            for rows in self._minibatches(rollout.actions.shape[1]):
                self.optimizer.zero_grad(set_to_none=True)  # first, as a CUDA graph takes their memory again
                loss, figures = self.loss(rollout.of(rows), advantages[:, rows], returns[:, rows])
                loss.backward()
                self._ranks.average_gradients(self._policy)
                norm = nn.utils.clip_grad_norm_(self._policy.parameters(), config.max_grad_norm)
                self.optimizer.step()
                told.append(figures | {"grad_norm": norm})
        means = {name: torch.stack([each[name] for each in told]).mean() for name in told[0]}
        return means | {"explained": 1 - (returns - rollout.values).var() / returns.var().clamp(min=1e-8)}

    def loss(self, part: Rollout, advantages: Tensor, returns: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """PPO's loss of a minibatch, and figures for the log; `advantages` and `returns`: (T, b)."""
        config = self._config
        with self._autocast():
            logits, values, _ = self._policy(part.observations, part.state, part.begins)
        log_probs = logits.log_softmax(2)
        change = log_probs.gather(2, part.actions.unsqueeze(2)).squeeze(2) - part.log_probs
        ratio = change.exp()
        advantages = self._ranks.normalized(advantages)
        clipped = ratio.clamp(1 - config.clip_range, 1 + config.clip_range)
        policy_loss = -torch.minimum(ratio * advantages, clipped * advantages).mean()
        value_loss = (values - returns).square().mean()
        entropy = -(log_probs.exp() * log_probs).sum(2).mean()
        loss = policy_loss + config.value_coefficient * value_loss - config.entropy_coefficient * entropy
        with torch.no_grad():
            figures = {
                "policy_loss": policy_loss,
                "value_loss": value_loss,
                "entropy": entropy,
                "kl": (ratio - 1 - change).mean(),
                "clipped": (ratio != clipped).float().mean(),
            }
        return loss, {name: each.detach() for name, each in figures.items()}

    def _minibatches(self, num_envs: int) -> tuple[Tensor, ...]:
        device = self._generator.device
        return torch.randperm(num_envs, generator=self._generator, device=device).chunk(self._config.minibatches)


def autocast_of(device: torch.device, bf16: bool) -> Any:
    """Makes the context in which networks compute: in bfloat16, or as they are."""

    def context() -> AbstractContextManager[Any]:
        return torch.autocast(device.type, torch.bfloat16, enabled=bf16)

    return context
