"""Batches of the engine and vector environments of the reference, and what it means that they agree."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from babyaipp import BatchedWorlds, make_vec
from babyaipp.levels import parse_env_id
from babyaipp.tiles import COLORS, PROPERTIES
from babyaipp.wrappers import TokenObservation

RED_BALL = "BabyAIpp-GoToRedBall-All-v0"
OBSERVATION = ("image", "direction", "mission", "description")


def reference(
    env_id: str, num_envs: int, mode: AutoresetMode = AutoresetMode.SAME_STEP, **kwargs: Any
) -> SyncVectorEnv:
    return SyncVectorEnv([lambda: TokenObservation(gym.make(env_id, **kwargs))] * num_envs, autoreset_mode=mode)


def engine(env_id: str, num_envs: int, mode: AutoresetMode = AutoresetMode.SAME_STEP, **kwargs: Any) -> BatchedWorlds:
    level, split = parse_env_id(env_id)
    return make_vec(level.name, split, num_envs, autoreset_mode=mode, **kwargs)


def drawn_actions(steps: int, num_envs: int) -> np.ndarray:
    """(steps, num_envs): forward-heavy, so that episodes end in all ways."""
    return np.random.default_rng(3).choice(7, (steps, num_envs), p=[0.15, 0.15, 0.5, 0.06, 0.05, 0.07, 0.02])


def rules_rows(told: dict[str, Any], num_envs: int) -> np.ndarray:
    """(num_envs, 6): what Gymnasium makes of the rules of single environments, as the engine tells it."""
    rows = np.full((num_envs, len(COLORS)), -1)
    for color, names in told.items():
        if not color.startswith("_"):
            for row in np.flatnonzero(told[f"_{color}"]):
                rows[row, COLORS.index(color)] = PROPERTIES.index(names[row])
    return rows


def assert_same(expected: Any, got: Any) -> None:
    """Equal in value, dtype and structure."""
    if isinstance(expected, dict):
        assert set(expected) == set(got)
        for key in expected:
            assert_same(expected[key], got[key])
    elif isinstance(expected, np.ndarray) and expected.dtype == object:
        assert got.dtype == object
        for one, other in zip(expected, got, strict=True):
            assert_same(one, other)
    elif isinstance(expected, np.ndarray):
        assert got.dtype == expected.dtype
        np.testing.assert_array_equal(got, expected)
    else:
        assert type(got) is type(expected)
        assert got == expected


def edited(state: np.ndarray, name: str, value: Any) -> np.ndarray:
    state = state.copy()
    state[name][1] = value
    return state
