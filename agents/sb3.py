"""Between the agents and Stable-Baselines3: a network as a features extractor, its algorithms around it, what plays.

Needs Stable-Baselines3, and sb3-contrib for a memory. Files of theirs are pickles: loading one runs what is in it.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.utils import LinearSchedule
from torch import Tensor, nn
from tqdm import tqdm  # type: ignore[import-untyped]

from agents.environments import training_seeds
from agents.policy import POLICY_GAIN
from agents.registry import agent_config, build_network
from agents.runs import Run
from agents.training.config import TrainConfig
from babyaipp.engine.sb3 import WorldsVecEnv

RECURRENT = "recurrent_ppo"
POLICIES = {"ppo": "MultiInputPolicy", RECURRENT: "MultiInputLstmPolicy"}
"""Algorithms, and which policy of theirs is used."""


class FeaturesExtractor(BaseFeaturesExtractor):
    """An agent's network, as Stable-Baselines3 wants it.

    Args:
        observation_space: of one environment of the engine.
        agent: a file of the folder `agents`.
        preset: which sizes, one of the agent's `PRESETS`.
        options: fields of its `Config` that differ from the preset.
    """

    def __init__(
        self,
        observation_space: spaces.Dict,
        agent: str,
        preset: str = "small",
        options: Mapping[str, Any] | None = None,
    ) -> None:
        network, _ = build_network(agent, observation_space, preset, options or {})
        super().__init__(observation_space, network.num_features)
        self.network = network

    def forward(self, observations: Mapping[str, Tensor]) -> Tensor:
        """Features (batch, num_features) of observations that Stable-Baselines3 has turned into floats."""
        integers = {key: value.long() for key, value in observations.items()}
        integers["direction"] = integers["direction"].flatten(1).argmax(-1)  # it comes one-hot
        return self.network(integers)


class SeededWorlds(WorldsVecEnv):
    """The engine's worlds, each with a training seed of its own; those of two runs differ."""

    def seed(self, seed: int | None = None) -> list[int | None]:
        """Choose the seeds with which the next `reset` begins; returns them."""
        self._seeds = [None] * self.num_envs if seed is None else [*training_seeds(seed, self.num_envs)]
        return self._seeds


def algorithm_class(algorithm: str) -> type[OnPolicyAlgorithm]:
    """The class of an algorithm, one of `POLICIES`.

    Raises:
        ImportError: it needs sb3-contrib.
    """
    if algorithm != RECURRENT:
        return PPO
    from sb3_contrib import RecurrentPPO

    return RecurrentPPO


def new_model(algorithm: str, config: TrainConfig, env: WorldsVecEnv, tensorboard: Path | None = None) -> Any:
    """An untrained model; its parameters come from torch's global random stream, seeded with the config's seed.

    The settings mean what they mean to the trainer in `agents.training`. The LSTM of `recurrent_ppo` has the size of
    the agent's memory; the critic has another one. `ppo` has no memory.

    Args:
        algorithm: one of `POLICIES`.
        config: settings, checked.
        env: to train on.
        tensorboard: folder for TensorBoard.
    """
    ppo = config.ppo
    policy: dict[str, Any] = {
        "features_extractor_class": FeaturesExtractor,
        "features_extractor_kwargs": {
            "agent": config.agent,
            "preset": config.preset,
            "options": dict(config.agent_options),
        },
        "net_arch": [],
        "ortho_init": False,  # networks come with the parameters that suit them
        "optimizer_kwargs": {"eps": 1e-5},
    }
    if algorithm == RECURRENT:
        policy["lstm_hidden_size"] = agent_config(config.agent, config.preset, config.agent_options).memory
    model: Any = algorithm_class(algorithm)(
        POLICIES[algorithm],
        env,
        n_steps=ppo.rollout_steps,
        batch_size=ppo.num_envs * ppo.rollout_steps // ppo.minibatches,
        n_epochs=ppo.epochs,
        learning_rate=LinearSchedule(ppo.learning_rate, 0.0, 1.0),
        gamma=ppo.gamma,
        gae_lambda=ppo.gae_lambda,
        clip_range=ppo.clip_range,
        ent_coef=ppo.entropy_coefficient,
        vf_coef=ppo.value_coefficient,
        max_grad_norm=ppo.max_grad_norm,
        policy_kwargs=policy,
        tensorboard_log=None if tensorboard is None else str(tensorboard),
        seed=config.seed,
        device=config.device,
    )  # type: ignore[call-arg]
    nn.init.orthogonal_(model.policy.action_net.weight, POLICY_GAIN)
    nn.init.zeros_(model.policy.value_net.weight)
    for head in (model.policy.action_net, model.policy.value_net):
        nn.init.zeros_(head.bias)
    return model


def save_model(model: OnPolicyAlgorithm, path: Path) -> None:
    """Write a model all at once: a crash leaves the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{os.getpid()}.{path.name}")
    model.save(temporary)
    temporary.replace(path)


def load_model(algorithm: str, path: Path, env: WorldsVecEnv | None = None, device: str = "cpu") -> Any:
    """A saved model; with `env`, to go on training. Loading runs code: open no files of strangers."""
    return algorithm_class(algorithm).load(path, env=env, device=device)


class SB3Actor:
    """Plays by a model of Stable-Baselines3.

    Args:
        model: PPO or RecurrentPPO.
    """

    def __init__(self, model: OnPolicyAlgorithm) -> None:
        self._policy: Any = model.policy
        assert isinstance(self._policy, ActorCriticPolicy)
        self._lstm: nn.LSTM | None = getattr(self._policy, "lstm_actor", None)

    def reset(self, num_envs: int) -> None:
        """Forget everything."""
        self._policy.set_training_mode(False)
        if self._lstm is not None:
            empty = torch.zeros(self._lstm.num_layers, num_envs, self._lstm.hidden_size, device=self._policy.device)
            self._state = (empty, empty)

    @torch.no_grad()
    def act(self, observations: Mapping[str, Tensor], begins: Tensor) -> Tensor:
        """(n, actions) float32."""
        if self._lstm is None:
            distribution = self._policy.get_distribution(dict(observations))
        else:
            distribution, self._state = self._policy.get_distribution(dict(observations), self._state, begins.float())
        return distribution.distribution.probs


class Progress(BaseCallback):
    """Tells of a training, saves as it goes, and ends it when interrupted.

    Args:
        run: its folder.
        config: its settings.
        file: where to save.
        interrupted: whether to end.
        seconds: training time so far.
    """

    def __init__(self, run: Run, config: TrainConfig, file: Path, interrupted: Callable[[], bool], seconds: float):
        super().__init__()
        self.seconds = seconds
        self._run = run
        self._config = config
        self._file = file
        self._interrupted = interrupted

    def _on_training_start(self) -> None:
        self._run.forget_progress_after(self.num_timesteps)
        self._lines = self._run.progress_file.open("a", encoding="utf-8")
        self._bar = tqdm(
            total=self._config.frames,
            initial=self.num_timesteps,
            unit="",
            unit_scale=True,
            desc="frames",
            mininterval=1.0,
        )
        self._frames = self._saved = self.num_timesteps
        self._began = time.perf_counter()
        self._ended: list[tuple[bool, bool, float, int]] = []

    def _on_step(self) -> bool:
        infos = self.locals["infos"]
        for row in np.flatnonzero(self.locals["dones"]).tolist():
            info = infos[row]
            episode = info["episode"]
            self._ended.append((info["success"], info["cause"] == "timeout", episode["r"], episode["l"]))
        return not self._interrupted()

    def _on_rollout_start(self) -> None:
        if self.num_timesteps > self._frames:  # an update has been made
            self._tell()
            if self.num_timesteps - self._saved >= self._config.checkpoint_frames:
                save_model(self.model, self._file)  # type: ignore[arg-type]
                self._saved = self.num_timesteps

    def _on_training_end(self) -> None:
        if self.num_timesteps > self._frames:
            self._tell()

    def _tell(self) -> None:
        now = time.perf_counter()
        frames, seconds = self.num_timesteps - self._frames, now - self._began
        self._frames, self._began = self.num_timesteps, now
        self.seconds += seconds
        line: dict[str, float] = {
            "frames": self.num_timesteps,
            "seconds": round(self.seconds, 3),
            "fps": round(frames / seconds, 1),
            "episodes": len(self._ended),
        }
        if self._ended:
            names = ("success", "timeout", "return", "episode_steps")
            line |= {
                name: round(float(mean), 5) for name, mean in zip(names, np.mean(self._ended, axis=0), strict=True)
            }
            self._bar.set_postfix_str(f"success {line['success']:.2f}", refresh=False)
        self._ended.clear()
        self._lines.write(json.dumps(line) + "\n")
        self._lines.flush()
        self._bar.update(self.num_timesteps - self._bar.n)

    def close(self) -> None:
        """Close what is open."""
        self._bar.close()
        self._lines.close()
