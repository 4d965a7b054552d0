"""Plays episodes again from their seeds and actions, without observations: how each of them ends."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np

from babyaipp.engine.compile import compile_kernel, fetch_add, kernel_from, viewed
from babyaipp.engine.seeding import words_of_seeds
from babyaipp.engine.shared import success_reward
from babyaipp.engine.state import NOT_ENDED, RESET, SCRATCH, SUCCESS, WORLD, parameters
from babyaipp.engine.step import begin, step
from babyaipp.levels import Level
from babyaipp.texts import SENTENCE_ORDERS, parse_text_condition
from babyaipp.tiles import COLORS, DONE

_SOURCES = ("engine/replay.py",)
_BLOCK = 8  # seeds that a thread takes at a time
_START, _PLAYED = range(2)  # a thread's worlds: the start that a seed gives, and one that is stepped


@dataclass(frozen=True)
class Outcomes:
    """How m episodes went."""

    cause: np.ndarray
    """(m,) uint8, how it ended: index in `babyaipp.engine.state.CAUSES`; 0: it has not, after all actions."""
    half_steps: np.ndarray
    """(m,) int32, time after the last action."""
    used: np.ndarray
    """(m,) int64, how many actions were taken; those after its end were not."""
    returns: np.ndarray
    """(m,) float64."""


def replay_episodes(
    level: Level, split: str, seeds: np.ndarray, actions: np.ndarray, offsets: np.ndarray, num_threads: int = 1
) -> Outcomes:
    """Play episodes again, each as `BatchedWorlds` does after `reset(seed=...)`; what the text tells does not matter.

    A world is made once for all episodes of its seed, which is what takes long on levels with mazes and minefields.

    Args:
        level: the level.
        split: one that it has.
        seeds: (n,) int64, of at least 0: episode k begins from `seeds[k % n]`.
        actions: (a,) uint8, 0 to 6: those of all episodes, one after the other.
        offsets: (m + 1,) int64, m a multiple of n: episode k has `actions[offsets[k] : offsets[k + 1]]`.
        num_threads: the outcomes do not depend on it.

    Returns:
        What became of the m episodes.

    Raises:
        ValueError: arguments of other shapes, dtypes or values; no such split.
    """
    _check(seeds, actions, offsets, num_threads)
    condition, order = parse_text_condition("true"), SENTENCE_ORDERS[0]  # which make no difference
    record = viewed(parameters(level, split, condition, order, None))
    words = words_of_seeds(seeds.tolist())
    actions, offsets = (np.require(array, requirements=["C", "W"]) for array in (actions, offsets))  # one kind compiled
    count = len(offsets) - 1
    outcomes = Outcomes(
        np.zeros(count, np.uint8), np.zeros(count, np.int32), np.zeros(count, np.int64), np.zeros(count, np.float64)
    )
    arrays = (outcomes.cause, outcomes.half_steps, outcomes.used, outcomes.returns)
    no_rules, taken = np.zeros((1, len(COLORS)), np.int8), np.zeros(1, np.int64)

    def arguments() -> tuple[Any, ...]:
        worlds, scratch = viewed(np.zeros(2, WORLD)), np.zeros((SCRATCH, 1), np.int32)
        return (record, words, actions, offsets, *arrays, no_rules, taken, worlds, scratch)

    compile_kernel(_replay, arguments(), seconds=20, what="what plays episodes again", more=_SOURCES)
    num_threads = min(num_threads, -(-len(seeds) // _BLOCK))
    if num_threads <= 1 or numba.config.DISABLE_JIT:
        with np.errstate(over="ignore"):  # without compiling: the random stream's words wrap around
            _replay(*arguments())
    else:
        with ThreadPoolExecutor(num_threads) as pool:
            for future in [pool.submit(_replay, *arguments()) for _ in range(num_threads)]:
                future.result()
    return outcomes


@kernel_from(*_SOURCES)
def _replay(
    parameters, words, actions, offsets, cause, half_steps, used, returns, no_rules, taken, worlds, scratch
):  # fmt: skip
    p = parameters[0]
    while True:
        first = fetch_add(taken, _BLOCK)
        if first >= len(words):
            return
        for seed in range(first, min(first + _BLOCK, len(words))):
            start = worlds[_START]
            for i in range(words.shape[1]):
                start.rng[i] = words[seed, i]
            begin(start, p, RESET, no_rules[0], scratch, 0)
            for episode in range(seed, len(cause), len(words)):
                worlds[_PLAYED] = worlds[_START]
                w = worlds[_PLAYED]
                at = offsets[episode]
                ended = NOT_ENDED
                while ended == NOT_ENDED and at < offsets[episode + 1]:
                    ended = step(w, p, int(actions[at]))
                    at += 1
                cause[episode] = ended
                half_steps[episode] = w.half_steps
                used[episode] = at - offsets[episode]
                if ended == SUCCESS:
                    returns[episode] = success_reward(int(w.half_steps), int(w.max_steps))


def _check(seeds: np.ndarray, actions: np.ndarray, offsets: np.ndarray, num_threads: int) -> None:
    for name, array, dtype in (
        ("seeds", seeds, np.int64),
        ("actions", actions, np.uint8),
        ("offsets", offsets, np.int64),
    ):
        if array.dtype != dtype or array.ndim != 1:
            raise ValueError(f"{name}: {array.dtype} of shape {array.shape}; allowed: {dtype.__name__} of shape (n,)")
    if not len(seeds) or seeds.min() < 0:
        raise ValueError("seeds must be one or more, each at least 0")
    if len(actions) and actions.max() > DONE:
        raise ValueError(f"actions: {actions.max()} is unknown; allowed: 0 to {DONE}")
    if len(offsets) < 2 or (len(offsets) - 1) % len(seeds):
        raise ValueError(
            f"offsets: of {len(offsets) - 1} episodes; allowed: a multiple of {len(seeds)}, as many as seeds"
        )
    if offsets[0] != 0 or offsets[-1] != len(actions) or (offsets[1:] < offsets[:-1]).any():
        raise ValueError(f"offsets must go from 0 to {len(actions)}, the number of actions, and never back")
    if type(num_threads) is not int or num_threads < 1:
        raise ValueError(f"num_threads={num_threads!r} must be an int of at least 1")
