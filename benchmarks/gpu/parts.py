"""The parts of the report: which items they have, how each is measured, and how long they may take."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from agents.registry import agent_names
from agents.training.config import TrainConfig
from agents.training.ppo import PPOConfig
from benchmarks.gpu import card, correctness, parity, stepping, training
from benchmarks.gpu.device import Device

Row = dict[str, Any]
Items = Mapping[str, Callable[[], Row]]
_Asked = tuple[str, str, dict[str, Any]]  # agent, sizes, settings of PPO

LEVEL = "GoToRedBall"
"""On which is trained."""
FIRST_AGENT = "attention_fusion"
"""What is measured first, before the time is up."""


@dataclass(frozen=True)
class Scale:
    """How large everything is."""

    device: str
    """cpu or cuda."""
    matrix_edge: int
    copied_bytes: int
    images: int
    """Of a convolution."""
    seconds: float
    """A round of a measurement; there are five."""
    parity_worlds: int
    parity_steps: int
    levels: tuple[str, ...]
    """Whose steps are timed."""
    worlds: tuple[int, ...]
    compared: tuple[tuple[str, str], ...]
    """Agents and sizes whose losses are compared with the CPU's."""
    compared_ppo: PPOConfig
    trained: tuple[tuple[str, str], ...]
    """Agents and sizes whose training is timed, the most important ones first."""
    ppo: PPOConfig
    explained: tuple[tuple[str, str], ...]
    """Agents and sizes of which more is told than the speed."""
    other_num_envs: tuple[int, ...]
    """Also tried, with the first agent."""
    compiled: tuple[tuple[str, str], ...]
    """Agents and sizes that are timed compiled."""
    training_seconds: float
    rounds: int
    """Updates that are timed, at least."""


@dataclass(frozen=True)
class Part:
    """Some items of one kind."""

    title: str
    limit_seconds: float
    """For all items together."""
    item_seconds: float
    """What an item takes, more or less: with less time left, none is begun."""
    longest_seconds: float
    """An item that takes longer hangs, and is ended."""
    items: Items
    profiles: bool = False
    """Each item is the last of its process: after a profiler all that is launched takes longer."""


def cuda_scale(num_envs: int) -> Scale:
    """For one H100 or H200; `num_envs`: of the trainings that are timed."""
    agents = (FIRST_AGENT, *(name for name in agent_names() if name != FIRST_AGENT))
    subjects = tuple((agent, preset) for preset in ("paper", "small") for agent in agents)
    return Scale(
        device="cuda",
        matrix_edge=8192,
        copied_bytes=1 << 31,
        images=16_384,
        seconds=0.1,
        parity_worlds=1000,
        parity_steps=200,
        levels=(LEVEL, "CrossTwo"),
        worlds=(4_096, 65_536, 262_144, 1_048_576),
        compared=subjects,
        compared_ppo=PPOConfig(num_envs=16, rollout_steps=8, epochs=4),
        trained=subjects,
        ppo=PPOConfig(num_envs=num_envs, rollout_steps=32, epochs=4, minibatches=8),
        explained=((FIRST_AGENT, "paper"), ("grounded", "paper"), (FIRST_AGENT, "small"), ("grounded", "small")),
        other_num_envs=tuple(each for each in (1_024, 8_192) if each != num_envs),
        compiled=((FIRST_AGENT, "paper"), ("grounded", "small"), *subjects[1:]),
        training_seconds=1.0,
        rounds=2,
    )


def cpu_scale(num_envs: int) -> Scale:
    """Tiny, to see that everything runs."""
    subjects = (("image_only", "small"), (FIRST_AGENT, "small"))
    return Scale(
        device="cpu",
        matrix_edge=32,
        copied_bytes=1 << 16,
        images=2,
        seconds=0.001,
        parity_worlds=8,
        parity_steps=40,
        levels=(LEVEL,),
        worlds=(4, 16),
        compared=subjects,
        compared_ppo=PPOConfig(num_envs=4, rollout_steps=4, epochs=2, minibatches=2),
        trained=subjects,
        ppo=PPOConfig(num_envs=num_envs, rollout_steps=4, epochs=2, minibatches=2),
        explained=subjects[:1],
        other_num_envs=(2 * num_envs,),
        compiled=subjects[:1],
        training_seconds=0.0,
        rounds=2,
    )


def parts(scale: Scale) -> dict[str, Part]:
    """All parts, by name, in the order in which they are measured: what compiles networks comes late."""
    device, seconds = Device(scale.device), scale.seconds
    return {
        "start": Part("First step, engine compiled if need be", 300, 5, 300, _start(device)),
        "card": Part("What the device can do", 30, 3, 20, _card(scale, device)),
        "parity": Part("The engine against the engine on the CPU", 60, 5, 30, _parity(scale, device)),
        "environment": Part(
            "Environment steps",
            80,
            8,
            40,
            {
                f"{level}, {worlds:,} worlds": partial(stepping.speed, level, worlds, device, seconds)
                for level in scale.levels
                for worlds in scale.worlds
            },
        ),
        "correctness": Part("Losses against the CPU's", 60, 5, 40, _correctness(scale, device)),
        "training": Part("Training", 100, 8, 40, _training(scale, device)),
        "update": Part("Where the time of an update goes", 80, 15, 40, _update(scale, device), profiles=True),
        "compiled": Part("Training with compiled networks", 240, 60, 150, _compiled(scale, device), profiles=True),
        "float32": Part("Training in float32", 60, 8, 40, _float32(scale, device)),
    }


def _start(device: Device) -> Items:
    return {"engine": partial(parity.first_step, device)}


def _card(scale: Scale, device: Device) -> Items:
    edge, seconds = scale.matrix_edge, scale.seconds
    return {
        "matrix bf16": partial(card.matrix_rate, device, torch.bfloat16, edge, True, seconds),
        "matrix tf32": partial(card.matrix_rate, device, torch.float32, edge, True, seconds),
        "matrix fp32": partial(card.matrix_rate, device, torch.float32, edge // 2, False, seconds),
        "convolution bf16": partial(card.convolution_rate, device, scale.images, False, seconds),
        "convolution bf16, channels last": partial(card.convolution_rate, device, scale.images, True, seconds),
        "copy": partial(card.copy_rate, device, scale.copied_bytes, seconds),
        "launch": partial(card.launch_cost, device, seconds),
    }


def _parity(scale: Scale, device: Device) -> Items:
    size = scale.parity_worlds, scale.parity_steps
    return {f"{run[0]} {run[1]}, {run[2]}": partial(parity.compare, *run, *size, device) for run in parity.RUNS}


def _correctness(scale: Scale, device: Device) -> Items:
    ppo = scale.compared_ppo
    return {
        f"{agent} {preset}": partial(correctness.compare, agent, LEVEL, preset, ppo, device)
        for agent, preset in scale.compared
    }


def _training(scale: Scale, device: Device) -> Items:
    """In bfloat16; the first agent also with other numbers of environments."""
    first, *others = scale.trained
    asked: list[_Asked] = [(*first, {"bf16": True, "num_envs": n}) for n in (scale.ppo.num_envs, *scale.other_num_envs)]
    asked += [(*each, {"bf16": True}) for each in others]
    return _trainings(scale, device, asked, explained=False)


def _float32(scale: Scale, device: Device) -> Items:
    return _trainings(scale, device, [(*each, {"bf16": False}) for each in scale.trained], explained=False)


def _update(scale: Scale, device: Device) -> Items:
    return _trainings(scale, device, [(*each, {"bf16": True}) for each in scale.explained], explained=True)


def _compiled(scale: Scale, device: Device) -> Items:
    """Compiled for each, on a GPU also as CUDA graphs, which come first."""
    modes: list[dict[str, Any]] = [{"cuda_graphs": True}, {}] if device.is_cuda else [{}]
    asked = [(*each, {"bf16": True, "compile": True} | mode) for each in scale.compiled for mode in modes]
    return _trainings(scale, device, asked, explained=True)


def _trainings(scale: Scale, device: Device, asked: Sequence[_Asked], explained: bool) -> Items:
    items = {}
    for agent, preset, changes in asked:
        ppo = PPOConfig(**vars(scale.ppo) | changes)
        config = TrainConfig(agent, LEVEL, preset=preset, ppo=ppo, device=device.name)
        name = f"{agent} {preset} {training.precision_of(ppo)} {training.mode_of(ppo)}, {ppo.num_envs:,} environments"
        items[name] = partial(training.measure, config, device, scale.training_seconds, scale.rounds, explained)
    return items
