"""What an agent is to the evaluation, and where agents come from: `module:callable`, or the ones that are built in."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from babyaipp.evaluation.protocol import Cell
from babyaipp.tiles import DONE

RANDOM, ORACLE, BLIND = "random", "oracle", "blind"
BUILT_IN = (RANDOM, ORACLE, BLIND)
"""Agents that need no checkpoint: every action alike, and the planners."""


class Agent(Protocol):
    """Plays a batch of episodes, all of which begin together.

    An agent may also have a method `keep(mask)`, `mask` (n,) bool: from then on it is given the observations of these
    environments only. So those whose episodes have ended cost nothing any more.
    """

    def reset(self, num_envs: int) -> None:
        """New episodes begin in so many environments."""

    def act(self, observations: Mapping[str, np.ndarray]) -> np.ndarray:
        """What to do, (n,) integers of 0 to 6.

        `observations`: those of `babyaipp.make_vec`, of n environments: `image` (n, 7, 7, 3) uint8, `direction` (n,)
        int64, `mission` (n, words) int32, `description` (n, sentences, words) int32.
        """


Loader = Callable[..., Agent]
"""Called as `load(checkpoint, suite=..., level=..., seed=..., greedy=...)`.

`checkpoint` is what was given, a path or None; `suite` and `level` are names of what is to be played; `seed` is the
training seed; `greedy` tells whether the likeliest action is wanted.
"""


class RandomAgent:
    """Every action alike.

    Args:
        seed: of its random numbers.
        level: what is played; others have other numbers.
    """

    def __init__(self, seed: int, level: str = "") -> None:
        self._seed = [seed, zlib.crc32(level.encode())]

    def reset(self, num_envs: int) -> None:
        """Draw the same numbers anew, so that it plays all cells of a level alike: it cannot see what differs."""
        self._random = np.random.default_rng(self._seed)
        self._num_envs = num_envs

    def act(self, observations: Mapping[str, np.ndarray]) -> np.ndarray:
        """(n,) int64."""
        return self._random.integers(DONE + 1, size=len(observations["direction"]))


def load_agent(name: str) -> Loader:
    """What makes an agent.

    Args:
        name: "random" or "module:callable", such as "agents.grounded:load"; modules are looked for in the working
            directory, too.

    Raises:
        ValueError: there is no such module or callable.
    """
    if name == RANDOM:
        return lambda checkpoint, suite, level, seed, greedy: RandomAgent(seed, level)
    module, colon, attribute = name.partition(":")
    if not (module and colon and attribute):
        raise ValueError(f"agent={name!r} must be {', '.join(BUILT_IN)}, or module:callable")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        found: Any = import_module(module)
        for part in attribute.split("."):
            found = getattr(found, part)
    except ModuleNotFoundError as error:
        raise ValueError(f"agent={name!r}: no module named {error.name!r}") from None
    except AttributeError as error:
        raise ValueError(f"agent={name!r}: {error}") from None
    if not callable(found):
        raise ValueError(f"agent={name!r} is not callable")
    try:
        signature(found).bind(None, suite="", level="", seed=0, greedy=True)
    except TypeError as error:
        asked = "load(checkpoint, suite=..., level=..., seed=..., greedy=...)"
        raise ValueError(f"agent={name!r} must be callable as {asked}, which gives the agent: {error}") from None
    except ValueError:  # one that tells nothing of its arguments
        pass
    return found


def check_agent(agent: Any, name: str) -> None:
    """Raise ValueError unless an object has the methods of an agent; `name` is that of what made it."""
    for method in ("reset", "act"):
        if not callable(getattr(agent, method, None)):
            raise ValueError(f"agent={name!r} gave a {type(agent).__name__}, which has no method {method}")


class AgentError(Exception):
    """An agent failed: not the evaluation, nor who asked for it."""


@contextmanager
def agents_errors(what: str) -> Iterator[None]:
    """Mark an agent's own error as such.

    Raises:
        AgentError: what is done raised any error; that one is its cause.
    """
    try:
        yield
    except Exception as error:
        raise AgentError(f"the agent failed in {what}") from error


def check_actions(actions: Any, cell: Cell, count: int) -> np.ndarray:
    """An agent's actions as (count,) int64.

    Raises:
        ValueError: other shapes, dtypes or values.
    """
    found = np.asarray(actions)
    if found.shape != (count,) or found.dtype.kind not in "iu":
        raise ValueError(f"act in {cell.name} gave {found.dtype} of shape {found.shape}; must be ({count},) integers")
    if count and not (found.min() >= 0 and found.max() <= DONE):
        raise ValueError(f"act in {cell.name} gave actions {found.min()} to {found.max()}; allowed: 0 to {DONE}")
    return found.astype(np.int64)
