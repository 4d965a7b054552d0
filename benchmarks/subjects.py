"""What is timed: the reference, the engine through its public interface, and the engine's kernel alone.

All take uniformly random actions that were drawn before. An episode that ends is followed by the next one, whose cost
is part of the time. The episodes of a batch are first spread over one time limit, so that they do not all end together.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np

import babyaipp
from babyaipp.engine.cpu import Driver, Outputs
from babyaipp.engine.drive import DISABLED, SAME_STEP
from babyaipp.engine.rng import seed_words
from babyaipp.engine.state import LEAVE, RESET, parameters
from babyaipp.levels import Level, Split, get_level
from babyaipp.spaces import text_sizes
from babyaipp.texts import parse_text_condition
from babyaipp.tiles import COLORS, DONE
from babyaipp.wrappers import TokenObservation

SPLIT: Split = "Train"
_ACTIONS = DONE + 1
_BATCHES_OF_ACTIONS = 64
_REFERENCE_STEPS = 256
_STEPS_A_CALL = 1 << 14
_GROUPS = 64


def time_limit(level: Level) -> int:
    """Steps that an episode with one place to go to may take."""
    return level.num_rows * level.num_cols * level.room_size**2


def random_actions(num_envs: int, batches: int = _BATCHES_OF_ACTIONS) -> list[np.ndarray]:
    """Batches of (num_envs,) int64 actions."""
    return list(np.random.default_rng(0).integers(0, _ACTIONS, (batches, num_envs)))


class ReferenceSteps:
    """One environment of `gymnasium.make` with word ids as text, reset by hand; a call takes 256 steps."""

    def __init__(self, level: str) -> None:
        self._env = TokenObservation(gym.make(get_level(level).env_id(SPLIT)))
        self._env.reset(seed=0)
        self._actions = np.random.default_rng(0).integers(0, _ACTIONS, 1 << 14).tolist()
        self._next = 0

    def __call__(self) -> int:
        """Returns the number of steps."""
        step, reset = self._env.step, self._env.reset
        for action in self._actions[self._next : self._next + _REFERENCE_STEPS]:
            _, _, terminated, truncated, _ = step(action)
            if terminated or truncated:
                reset()
        self._next = (self._next + _REFERENCE_STEPS) % len(self._actions)
        return _REFERENCE_STEPS


class EngineSteps:
    """A batch of `babyaipp.make_vec`; a call takes some 16,000 steps, or one of a larger batch."""

    def __init__(self, level: str, num_envs: int, spread: bool = True, **arguments: Any) -> None:
        self.envs = babyaipp.make_vec(level, SPLIT, num_envs, **arguments)
        self.actions: list[Any] = random_actions(num_envs)
        if self.envs.output == "torch":
            import torch

            self.actions = [torch.from_numpy(each).to(self.envs.device) for each in self.actions]
        self._num_envs = num_envs
        self._calls = max(1, _STEPS_A_CALL // num_envs)
        self._next = 0
        self.envs.reset(seed=0)
        if spread:
            for rows in np.array_split(np.arange(num_envs), min(_GROUPS, num_envs)):
                for _ in range(max(1, time_limit(get_level(level)) // _GROUPS)):
                    self.envs.step(self.actions[self._batch()])
                mask = np.zeros(num_envs, np.bool_)
                mask[rows] = True
                self.envs.reset(options={"reset_mask": mask})

    def __call__(self) -> int:
        """Returns the number of steps, summed over the batch."""
        step, actions = self.envs.step, self.actions
        for _ in range(self._calls):
            step(actions[self._batch()])
        return self._calls * self._num_envs

    def _batch(self) -> int:
        self._next = (self._next + 1) % len(self.actions)
        return self._next


class KernelCalls:
    """The driver without Gymnasium's interface; its methods are parts of what a step costs.

    Args:
        level: name of a row of the level table.
        num_envs: size of the batch.
        spread: whether the episodes are spread over their time limit before.
        num_threads: threads of the driver.
        calls: of the driver, in one call of a method; default: for some 16,000 steps.
    """

    def __init__(
        self, level: str, num_envs: int, spread: bool = True, num_threads: int = 1, calls: int | None = None
    ) -> None:
        row = get_level(level)
        condition = parse_text_condition("true")
        record = parameters(row, SPLIT, condition, "canonical", None)
        shape = (num_envs, *text_sizes(row, condition))
        self.driver = Driver(record, *shape, num_threads)
        self.outputs = Outputs.empty(*shape)
        self.driver.worlds["rng"] = [seed_words(seed) for seed in range(num_envs)]
        self._actions = random_actions(num_envs)
        self._reset = np.full(num_envs, RESET, np.int64)
        self._leave = np.full(num_envs, LEAVE, np.int64)
        self._rules = np.zeros((num_envs, len(COLORS)), np.int8)
        self._num_envs = num_envs
        self._calls = calls or max(1, _STEPS_A_CALL // num_envs)
        self._next = 0
        self._advance(self._reset)
        if spread:
            for rows in np.array_split(np.arange(num_envs), min(_GROUPS, num_envs)):
                for _ in range(max(1, time_limit(row) // _GROUPS)):
                    self._advance(self._batch())
                actions = self._leave.copy()
                actions[rows] = RESET
                self._advance(actions)

    def step(self) -> int:
        """Step the batch; an episode that ends is followed by the next one."""
        for _ in range(self._calls):
            self._advance(self._batch())
        return self._calls * self._num_envs

    def step_only(self) -> int:
        """Step the batch, over the ends of episodes: what a step costs without the making of worlds."""
        for _ in range(self._calls):
            self._advance(self._batch(), DISABLED)
        return self._calls * self._num_envs

    def observe(self) -> int:
        """Write the observations and texts of all worlds, and do nothing else."""
        for _ in range(self._calls):
            self._advance(self._leave)
        return self._calls * self._num_envs

    def generate(self) -> int:
        """Begin an episode in every world, and write its observation and texts."""
        self._advance(self._reset)
        return self._num_envs

    def count_ends(self, steps: int) -> float:
        """Ends of episodes a step, over so many steps of the batch."""
        ends = 0
        for _ in range(steps):
            self._advance(self._batch())
            ends += int(np.count_nonzero(self.outputs.cause))
        return ends / (steps * self._num_envs)

    def _advance(self, actions: np.ndarray, autoreset: int = SAME_STEP) -> None:
        self.driver.advance(actions, self._rules, autoreset, self.outputs)

    def _batch(self) -> np.ndarray:
        self._next = (self._next + 1) % len(self._actions)
        return self._actions[self._next]
