"""The environments that agents see, singly and in worker processes for Stable-Baselines3.

An environment takes about 0.15 ms a step, so messages between processes must carry many steps at once. The
vector environments of Gymnasium and Stable-Baselines3 have one environment a process: on two cores they are
slower than no processes at all. Here each worker process runs Stable-Baselines3's `DummyVecEnv`.
"""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import gymnasium as gym
import numpy as np
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

import babyaipp  # noqa: F401  # registers the environments
from babyaipp.levels import get_level, get_split
from babyaipp.spaces import text_sizes
from babyaipp.texts import check_sentence_order, parse_text_condition
from babyaipp.wrappers import TokenObservation

EVALUATION_SEEDS = 1_000_000_000
"""Environment seeds from here on are for evaluation, those below for training."""


@dataclass(frozen=True)
class Task:
    """Which environment."""

    level: str
    split: str = "Train"
    text: str = "true"
    sentence_order: str | None = None
    """None: the level's own."""
    sentence_words: int | None = None
    """Columns of `description`; None: the longest sentence of the text condition."""

    def check(self) -> None:
        """Raise ValueError, with what is allowed, if there is no such environment."""
        get_split(get_level(self.level), self.split)
        condition = parse_text_condition(self.text)
        check_sentence_order(self.sentence_order, get_level(self.level).sentence_order)
        text_sizes(get_level(self.level), condition, sentence_words=self.sentence_words)

    def make(self, render_mode: str | None = None) -> gym.Env[dict[str, Any], Any]:
        """A new environment, its texts as word ids."""
        env_id = get_level(self.level).env_id(get_split(get_level(self.level), self.split))
        env = gym.make(
            env_id,
            disable_env_checker=True,
            text=self.text,
            sentence_order=self.sentence_order,
            render_mode=render_mode,
        )
        return TokenObservation(env, sentence_words=self.sentence_words)


def training_seeds(seed: int, frames: int, count: int) -> list[int]:
    """Seeds of the environments of a training run that starts, or goes on, at `frames`; below `EVALUATION_SEEDS`."""
    return (np.random.SeedSequence((seed, frames)).generate_state(count) % EVALUATION_SEEDS).tolist()


class WorkerVecEnv(VecEnv):
    """`DummyVecEnv`s in worker processes, as one vector environment.

    As everywhere in Stable-Baselines3, an ended episode is followed by the next one at once; its last
    observation is `info["terminal_observation"]`, and `info["TimeLimit.truncated"]` tells a truncated episode,
    whose value has to be bootstrapped, from a terminated one. Infos of other steps are left empty.

    Args:
        task: the environment.
        num_envs: how many of them.
        num_workers: processes; at most `num_envs`.
    """

    def __init__(self, task: Task, num_envs: int, num_workers: int) -> None:
        methods = multiprocessing.get_all_start_methods()
        context: Any = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
        if "forkserver" in methods:
            context.set_forkserver_preload([__name__])  # imports once for all workers
        self._counts = [len(part) for part in np.array_split(np.arange(num_envs), min(num_workers, num_envs))]
        self._remotes: list[Connection] = []
        self._processes = []
        for count in self._counts:
            remote, work_remote = context.Pipe()
            process = context.Process(target=_work, args=(work_remote, task, count), daemon=True)
            process.start()
            work_remote.close()
            self._remotes.append(remote)
            self._processes.append(process)
        env = task.make()
        super().__init__(num_envs, env.observation_space, env.action_space)
        env.close()

    def reset(self) -> Any:
        """Observations of new episodes; those after `seed()` start their random streams anew."""
        bounds = np.cumsum(self._counts)[:-1]
        for remote, seeds in zip(self._remotes, np.split(np.array(self._seeds, object), bounds), strict=True):
            remote.send(("reset", seeds.tolist()))
        self._reset_seeds()
        return _concatenate([remote.recv() for remote in self._remotes])

    def seed_each(self, seeds: Sequence[int]) -> None:
        """Seeds for the next `reset`, one an environment."""
        self._seeds = list(seeds)

    def step_async(self, actions: np.ndarray) -> None:
        """Start a step; actions: (num_envs,) int."""
        for remote, part in zip(self._remotes, np.split(actions, np.cumsum(self._counts)[:-1]), strict=True):
            remote.send(("step", part))

    def step_wait(self) -> Any:
        """Observations, rewards (num_envs,) float32, ends (num_envs,) bool, and infos of the step."""
        observations, rewards, dones, infos = zip(*(remote.recv() for remote in self._remotes), strict=True)
        return _concatenate(observations), np.concatenate(rewards), np.concatenate(dones), list(itertools.chain(*infos))

    def close(self) -> None:
        """End the worker processes."""
        for remote in self._remotes:
            with contextlib.suppress(BrokenPipeError):
                remote.send(("close", None))
            remote.close()
        for process in self._processes:
            process.join()
        self._remotes, self._processes = [], []

    def env_is_wrapped(self, wrapper_class: type[gym.Wrapper[Any, Any, Any, Any]], indices: Any = None) -> list[bool]:
        """Whether the environments have a wrapper; all are made alike."""
        return [wrapper_class in (Monitor, TokenObservation)] * len(list(self._get_indices(indices)))

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """Not supported, but for `render_mode`, which Stable-Baselines3 asks for."""
        if attr_name != "render_mode":
            raise AttributeError(f"attribute {attr_name!r} cannot be read from the worker processes")
        return [None] * len(list(self._get_indices(indices)))

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Not supported."""
        raise AttributeError(f"attribute {attr_name!r} cannot be set in the worker processes")

    def env_method(self, method_name: str, *method_args: Any, indices: Any = None, **method_kwargs: Any) -> list[Any]:
        """Not supported."""
        raise AttributeError(f"method {method_name!r} cannot be called in the worker processes")


def _work(remote: Connection, task: Task, count: int) -> None:
    """A worker process: steps its environments as it is told, until the other end closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the trainer decides what it means
    envs = DummyVecEnv([lambda: Monitor(task.make())] * count)
    with contextlib.suppress(EOFError, BrokenPipeError):
        while True:
            command, argument = remote.recv()
            if command == "reset":
                envs._seeds = argument
                remote.send(envs.reset())
            elif command == "step":
                observation, rewards, dones, infos = envs.step(argument)
                ended = [info if done else {} for info, done in zip(infos, dones, strict=True)]
                remote.send((observation, rewards, dones, ended))
            else:
                break
    envs.close()


def _concatenate(parts: Sequence[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
