"""Finds the agents: a file of this folder that defines `Config`, `PRESETS` and `build` is one, under the file's name.

    Config                      a frozen dataclass of sizes, the paper's by default; `memory` is the size of the LSTM
                                behind the network, 0 for none
    PRESETS                     named sizes: `paper`, and `small` for a CPU
    build(space, config)        the network for the engine's observations: a torch module with `num_features`, that maps
                                a dict of integer tensors to (batch, num_features); where it attends, `attention` gives
                                the weights

Nothing else has to know of a new agent, and an agent knows nothing of the trainer or of a level's name.
"""

from __future__ import annotations

import ast
import functools
import importlib
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Protocol, cast

from gymnasium import spaces
from torch import Tensor

from babyaipp.levels import suggest

_DEFINED = {"Config", "PRESETS", "build"}


class Network(Protocol):
    """What `build` returns, besides being a `torch.nn.Module`."""

    num_features: int

    def __call__(self, observation: Mapping[str, Tensor]) -> Tensor: ...


class Agent(Protocol):
    """A module of this folder that defines an agent."""

    Config: Any
    PRESETS: Mapping[str, Any]

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


def agent_config(name: str, preset: str, options: Mapping[str, Any]) -> Any:
    """A preset of an agent with some of its fields set.

    Raises:
        ValueError: unknown agent, preset or field.
    """
    presets = load_agent(name).PRESETS
    if preset not in presets:
        raise ValueError(f"unknown preset {preset!r} of agent {name}; {suggest(preset, presets)}")
    config = presets[preset]
    known = tuple(field.name for field in fields(config))
    for option in options:
        if option not in known:
            raise ValueError(f"unknown option {option!r} of agent {name}; {suggest(option, known)}")
        least = 0 if option == "memory" else 1
        if options[option] < least:
            raise ValueError(f"option {option}={options[option]} of agent {name} must be at least {least}")
    return replace(config, **options)


def build_network(name: str, space: spaces.Dict, preset: str, options: Mapping[str, Any]) -> tuple[Any, Any]:
    """The network of an agent, a torch module, see `Network`; and its `Config`."""
    config = agent_config(name, preset, options)
    return load_agent(name).build(space, config), config


def _defines_agent(path: Path) -> bool:
    body = ast.parse(path.read_text(encoding="utf-8")).body
    defined = {node.name for node in body if isinstance(node, (ast.ClassDef, ast.FunctionDef))}
    for node in body:
        if isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            defined |= {target.id for target in targets if isinstance(target, ast.Name)}
    return defined >= _DEFINED
