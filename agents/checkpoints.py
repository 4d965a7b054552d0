"""Trained agents as safetensors: what was trained, on what, and the parameters. No code is run by loading one."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from gymnasium import spaces
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from agents.environments import Task
from agents.policy import Policy, build_policy

SUFFIX = ".safetensors"

_KEY = "babyaipp"
_FORMAT = 1


@dataclass(frozen=True)
class TrainedAgent:
    """A policy and where it comes from."""

    policy: Policy
    task: Task
    """What it was trained on, with the sizes of the texts that it takes."""
    agent: str
    training: dict[str, Any]
    """Of its training: `level`, `split`, `text`, `seed`, `frames`, and all other settings."""

    @property
    def parameters(self) -> int:
        """How many numbers it learned."""
        return sum(each.numel() for each in self.policy.parameters())


def checkpoint_name(agent: str, level: str, split: str, seed: int) -> str:
    """File name of a trained agent, such as "grounded-CrossTwo-1.safetensors"."""
    return run_name(agent, level, split, seed) + SUFFIX


def run_name(agent: str, level: str, split: str, seed: int) -> str:
    """Name of a training, such as "grounded-CrossTwo-1"."""
    trained_on = level if split == "Train" else f"{level}-{split}"
    return f"{agent}-{trained_on}-{seed}"


def write_tensors(path: Path, tensors: Mapping[str, Tensor], told: Mapping[str, Any]) -> None:
    """Write tensors and what JSON can hold, all at once: a crash leaves the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = save(
        {name: each.detach().cpu().contiguous() for name, each in tensors.items()},
        metadata={_KEY: json.dumps({"format": _FORMAT, **told}, sort_keys=True)},
    )
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(data)
    temporary.replace(path)


def read_tensors(path: Path, device: Any = "cpu") -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What `write_tensors` wrote.

    Raises:
        ValueError: there is no such file, or it is none of these; the message says which.
    """
    if not path.is_file():
        raise ValueError(f"checkpoint {str(path)!r}: there is no such file")
    try:
        with safe_open(path, "pt", device=str(device)) as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except (SafetensorError, OSError) as error:
        raise ValueError(f"checkpoint {str(path)!r} is damaged: {error}") from None
    try:
        told = json.loads(metadata[_KEY])
    except (KeyError, json.JSONDecodeError):
        raise ValueError(f"checkpoint {str(path)!r} was not written by agents.train") from None
    if told.get("format") != _FORMAT:
        raise ValueError(f"checkpoint {str(path)!r} has format {told.get('format')!r}; this version reads {_FORMAT}")
    return tensors, told


def save_agent(path: Path, policy: Policy, training: Mapping[str, Any], task: Task) -> None:
    """Write a trained agent.

    Args:
        path: file.
        policy: its parameters are written.
        training: settings of the training, with `agent`, `preset`, `agent_options`, `seed`, and `frames`.
        task: with the sizes of the texts.
    """
    sizes = {name: getattr(task, name) for name in ("mission_words", "sentences", "sentence_words")}
    write_tensors(path, policy.state_dict(), {"training": dict(training), "sizes": sizes})


def load_agent_file(path: Path, device: Any = "cpu") -> TrainedAgent:
    """A trained agent.

    Raises:
        ValueError: no such file, or not one of a trained agent.
    """
    tensors, told = read_tensors(path, device)
    try:
        training, sizes = told["training"], told["sizes"]
        task = Task(training["level"], training["split"], training["text"], training["sentence_order"], **sizes)
        space, actions = spaces_of(task)
        policy = build_policy(training["agent"], training["preset"], training["agent_options"], space, actions)
        policy.load_state_dict(tensors)
    except (KeyError, TypeError, RuntimeError) as error:
        raise ValueError(f"checkpoint {str(path)!r} is none of this version's agents: {error}") from None
    return TrainedAgent(policy.to(device).eval(), task, training["agent"], training)


def spaces_of(task: Task) -> tuple[spaces.Dict, spaces.Discrete]:
    """Observations and actions of one environment of a task."""
    envs = task.make_vec(1)
    space, actions = envs.single_observation_space, envs.single_action_space
    envs.close()
    assert isinstance(space, spaces.Dict)
    assert isinstance(actions, spaces.Discrete)
    return space, actions


def sized_task(task: Task, space: Any) -> Task:
    """The task with the sizes of the texts that its observations have."""
    (mission_words,) = space["mission"].shape
    sentences, sentence_words = space["description"].shape
    return Task(
        task.level, task.split, task.text, task.sentence_order, int(mission_words), int(sentences), int(sentence_words)
    )


def generator_of(seed: int, device: torch.device) -> torch.Generator:
    """A random stream of torch on a device."""
    return torch.Generator(device).manual_seed(seed)
