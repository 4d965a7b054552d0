"""Between the agents and Stable-Baselines3: a network as a features extractor, and PPO around it."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3 import PPO
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.utils import LinearSchedule
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor, nn

from agents.registry import build_network


@dataclass(frozen=True)
class PPOConfig:
    """Settings of PPO (arXiv 1707.06347), in the terms of Stable-Baselines3."""

    rollout_steps: int = 32
    """Steps of each environment between updates."""
    minibatch_size: int = 256
    epochs: int = 3
    learning_rate: float = 1.5e-3
    """At the start; falls linearly to zero at the end of the training."""
    gamma: float = 0.99
    gae_lambda: float = 0.98
    clip_range: float = 0.2
    entropy_coefficient: float = 0.01
    value_coefficient: float = 1.0
    max_grad_norm: float = 0.5
    head_size: int = 64
    """Hidden units of policy and of value, each on its own, on top of the agent's features."""

    def check(self) -> None:
        """Raise ValueError, naming setting, value and what is allowed, if a setting makes no sense."""
        least = {"rollout_steps": 1, "minibatch_size": 2, "epochs": 1, "head_size": 1}
        for name, number in least.items():
            if getattr(self, name) < number:
                raise ValueError(f"ppo.{name}={getattr(self, name)} must be at least {number}")
        for name in ("gamma", "gae_lambda"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"ppo.{name}={getattr(self, name)} must be between 0 and 1")
        for name in ("learning_rate", "clip_range", "max_grad_norm"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"ppo.{name}={getattr(self, name)} must be more than 0")
        for name in ("entropy_coefficient", "value_coefficient"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"ppo.{name}={getattr(self, name)} must not be negative")


class FeaturesExtractor(BaseFeaturesExtractor):
    """An agent's network, as Stable-Baselines3 wants it."""

    def __init__(self, observation_space: spaces.Dict, agent: str, options: Mapping[str, Any]) -> None:
        network = build_network(agent, observation_space, options)
        super().__init__(observation_space, network.num_features)
        self.network = network

    def forward(self, observations: Mapping[str, Tensor]) -> Tensor:
        """Features (batch, num_features) of observations that Stable-Baselines3 has turned into floats."""
        integers = {key: value.long() for key, value in observations.items()}
        integers["direction"] = integers["direction"].flatten(1).argmax(-1)  # it comes one-hot
        return self.network(integers)


class TimedPPO(PPO):
    """PPO whose learning rate also falls with the time, where the time is limited."""

    seconds_limit: float | None = None

    def _update_current_progress_remaining(self, num_timesteps: int, total_timesteps: int) -> None:
        super()._update_current_progress_remaining(num_timesteps, total_timesteps)
        if self.seconds_limit is not None:
            left = 1 - (time.time_ns() - self.start_time) / 1e9 / self.seconds_limit
            self._current_progress_remaining = max(min(self._current_progress_remaining, left), 0.0)


def new_model(agent: str, options: Mapping[str, Any], config: PPOConfig, env: VecEnv) -> TimedPPO:
    """An untrained model; its parameters come from torch's global random stream."""
    return TimedPPO(
        "MultiInputPolicy",
        env,
        n_steps=config.rollout_steps,
        batch_size=config.minibatch_size,
        n_epochs=config.epochs,
        learning_rate=LinearSchedule(config.learning_rate, 0.0, 1.0),
        gamma=config.gamma,
        gae_lambda=config.gae_lambda,
        clip_range=config.clip_range,
        ent_coef=config.entropy_coefficient,
        vf_coef=config.value_coefficient,
        max_grad_norm=config.max_grad_norm,
        policy_kwargs={
            "features_extractor_class": FeaturesExtractor,
            "features_extractor_kwargs": {"agent": agent, "options": dict(options)},
            "activation_fn": nn.ReLU,  # tanh, the default, saturates on these features, and the value is not learned
            "net_arch": {"pi": [config.head_size], "vf": [config.head_size]},
            "optimizer_kwargs": {"eps": 1e-5},
        },
        device="cpu",
    )


def load_model(path: Path, env: VecEnv | None = None) -> TimedPPO:
    """A saved model; with `env`, to go on training."""
    return TimedPPO.load(path, env=env, device="cpu")


def action_probabilities(model: PPO, observation: Mapping[str, np.ndarray]) -> np.ndarray:
    """(batch, actions) float64: the policy's distribution for a batch of observations."""
    with torch.no_grad():
        tensors, _ = model.policy.obs_to_tensor(dict(observation))
        distribution = model.policy.get_distribution(tensors).distribution
    assert isinstance(distribution, torch.distributions.Categorical)
    return distribution.probs.double().numpy()
