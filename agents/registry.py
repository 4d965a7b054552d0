"""Finds the agents: every file of this folder that defines `Config` and `build` is one, under its file's name.

    Config                      a frozen dataclass of sizes, every field with a default
    build(space, config)        the network for observations of `babyaipp.wrappers.TokenObservation`: a torch module
                                with `num_features`, that maps a dict of integer tensors to (batch, num_features)

Nothing else has to know of a new agent, and an agent knows nothing of the trainer or of a level's name.
"""

from __future__ import annotations

import ast
import functools
import importlib
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, Protocol, cast

from gymnasium import spaces
from torch import Tensor

from babyaipp.levels import suggest


class Network(Protocol):
    """What `build` returns, besides being a `torch.nn.Module`."""

    num_features: int

    def __call__(self, observation: Mapping[str, Tensor]) -> Tensor: ...


class Agent(Protocol):
    """A module of this folder that defines an agent."""

    Config: Any

    def build(self, space: spaces.Dict, config: Any) -> Any: ...


@functools.cache
def agent_names() -> tuple[str, ...]:
    """Names of the agents, sorted. Reads the files without importing them."""
    return tuple(sorted(path.stem for path in Path(__file__).parent.glob("*.py") if _defines_agent(path)))


def load_agent(name: str) -> Agent:
    """The module of an agent.

    Raises:
        ValueError: there is no such agent.
    """
    if name not in agent_names():
        raise ValueError(f"unknown agent {name!r}; {suggest(name, agent_names())}")
    return cast(Agent, importlib.import_module(f"{__package__}.{name}"))


def agent_config(name: str, options: Mapping[str, Any]) -> Any:
    """The `Config` of an agent with some of its fields set.

    Raises:
        ValueError: unknown agent or field.
    """
    config = load_agent(name).Config
    known = tuple(field.name for field in fields(config))
    for option in options:
        if option not in known:
            raise ValueError(f"unknown option {option!r} of agent {name}; {suggest(option, known)}")
        if options[option] < 1:
            raise ValueError(f"option {option}={options[option]} of agent {name} must be at least 1")
    return config(**options)


def build_network(name: str, space: spaces.Dict, options: Mapping[str, Any]) -> Any:
    """The network of an agent: a torch module, see `Network`."""
    return load_agent(name).build(space, agent_config(name, options))


def _defines_agent(path: Path) -> bool:
    body = ast.parse(path.read_text(encoding="utf-8")).body
    defined = {node.name for node in body if isinstance(node, (ast.ClassDef, ast.FunctionDef))}
    return {"Config", "build"} <= defined
