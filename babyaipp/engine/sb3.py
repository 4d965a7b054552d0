"""The engine for Stable-Baselines3: its algorithms train on `WorldsVecEnv` as on any environment of theirs.

from stable_baselines3 import PPO

env = WorldsVecEnv(babyaipp.make_vec("GoToRedBall", "Train", num_envs=64))
PPO("MultiInputPolicy", env).learn(1_000_000)

The only module of the engine that needs Stable-Baselines3, and torch with it.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode

from babyaipp.engine.convert import rules_of
from babyaipp.engine.vector import BatchedWorlds

try:
    from stable_baselines3.common.monitor import Monitor
    from stable_baselines3.common.vec_env import VecEnv
except ImportError as error:
    raise ImportError("babyaipp.engine.sb3 needs Stable-Baselines3: pip install 'babyaipp[sb3]'") from error

_ACTION_MASKS = "action_masks"


class WorldsVecEnv(VecEnv):
    """A batch of worlds as Stable-Baselines3's `VecEnv`.

    As everywhere in Stable-Baselines3, an ended episode is followed by the next one at once. The info of such a step
    holds `terminal_observation`; `TimeLimit.truncated`, whether the episode was cut off rather than over;
    `episode`, its return `r`, length in actions `l` and seconds since the start `t`, as `Monitor` tells them; `cause`
    and `success`, for Stable-Baselines3's log also `is_success`; and the `rules`, floor colour -> property, of the
    ended episode. The infos of other steps are empty.

    `reset_infos` hold the `rules` of the episodes that `reset` began.

    Of what `VecEnv` can ask single environments, they have `action_masks`, for algorithms that mask actions.

    Args:
        worlds: on the CPU, with NumPy arrays, same-step autoreset, episode statistics and copies.

    Raises:
        ValueError: the worlds are otherwise.
    """

    def __init__(self, worlds: BatchedWorlds) -> None:
        if not isinstance(worlds, BatchedWorlds):
            raise ValueError(f"worlds must be a BatchedWorlds; got {type(worlds).__name__}")
        for name, needed in (
            ("output", "numpy"),
            ("autoreset_mode", AutoresetMode.SAME_STEP),
            ("copy", True),
            ("episode_statistics", True),
        ):
            if getattr(worlds, name) != needed:
                raise ValueError(f"worlds with {name}={getattr(worlds, name)!r}; allowed: {needed!r}")
        self.worlds = worlds
        self._started = time.time()
        super().__init__(worlds.num_envs, worlds.single_observation_space, worlds.single_action_space)

    def reset(self) -> Any:
        """Observations of new episodes; those after `seed` begin their random streams anew, those after `set_options`
        as these say."""
        options = {
            key: [each.get(key) for each in self._options] for key in {key for each in self._options for key in each}
        }
        observation, infos = self.worlds.reset(seed=self._seeds, options=options)
        self.reset_infos = [{"rules": rules_of(row)} for row in infos["rules"]]
        self._reset_seeds()
        self._reset_options()
        return observation

    def step_async(self, actions: np.ndarray) -> None:
        """Take note of the actions of a step: (num_envs,) int."""
        self._actions = actions

    def step_wait(self) -> Any:
        """Observations, rewards (num_envs,) float32, ends (num_envs,) bool, and infos of the step."""
        observation, rewards, terminations, truncations, told = self.worlds.step(self._actions)
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        if "_episode" in told:
            final, episode = told["final_info"], told["episode"]
            seconds = round(time.time() - self._started, 6)
            for row in np.flatnonzero(told["_episode"]).tolist():
                success = bool(final["success"][row])
                infos[row] = {
                    "terminal_observation": told["final_obs"][row],
                    "TimeLimit.truncated": bool(truncations[row] and not terminations[row]),
                    "episode": {"r": round(float(episode["r"][row]), 6), "l": int(episode["l"][row]), "t": seconds},
                    "success": success,
                    "is_success": success,
                    "cause": final["cause"][row],
                    "rules": rules_of(final["rules"][row]),
                }
        return observation, rewards.astype(np.float32), terminations | truncations, infos

    def close(self) -> None:
        """End the threads of the worlds."""
        self.worlds.close()

    def get_images(self) -> list[np.ndarray | None]:
        """None for each: the engine does not render."""
        return [None] * self.num_envs

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """An attribute of the batch for each environment, or their methods `action_masks`."""
        rows = self._rows(indices)
        if attr_name == _ACTION_MASKS:
            return [lambda row=row: self.env_method(_ACTION_MASKS, indices=row)[0] for row in rows]
        single = {"observation_space": self.observation_space, "action_space": self.action_space}
        value = single[attr_name] if attr_name in single else getattr(self.worlds, attr_name)
        return [value] * len(rows)

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Not supported: all environments are one batch."""
        raise AttributeError(f"attribute {attr_name!r} cannot be set: the environments are one batch of compiled code")

    def env_method(self, method_name: str, *method_args: Any, indices: Any = None, **method_kwargs: Any) -> list[Any]:
        """Only `action_masks`: for each environment (7,) bool, see `BatchedWorlds.action_mask`."""
        if method_name != _ACTION_MASKS:
            raise AttributeError(f"method {method_name!r} cannot be called; allowed: {_ACTION_MASKS}")
        return list(self.worlds.action_mask()[self._rows(indices)].astype(bool))

    def env_is_wrapped(self, wrapper_class: type[Any], indices: Any = None) -> list[bool]:
        """True for `Monitor`, as infos tell what it tells."""
        return [wrapper_class is Monitor] * len(self._rows(indices))

    def _rows(self, indices: int | Iterable[int] | None) -> list[int]:
        return list(self._get_indices(indices))
