"""The engine on the device against the engine on the CPU: the same bits, after every step."""

from __future__ import annotations

import hashlib
import time
from typing import Any

import numpy as np
import torch

from agents.checkpoints import generator_of
from babyaipp.engine.state import WORLD
from babyaipp.engine.vector import BatchedWorlds, make_vec
from babyaipp.tiles import DONE
from benchmarks.gpu.device import Device

RUNS: tuple[tuple[str, str, str, int | None], ...] = (
    ("GoToRedBall", "Train", "true", 20),
    ("GoToRedBallHard", "All", "withheld=1", 20),
    ("CrossTwo", "HeldOut", "true", None),
    ("Minefield", "Train", "paraphrase", 20),
    ("Courier", "Train", "contradict", 20),
    ("PutNextLocal", "All", "true", 40),
    ("Unlock", "Train", "true", 40),
    ("GoToSeq", "All", "true", 20),
)
"""Level, split, text and time limit of what is compared; None: the level's own limit."""


def first_step(device: Device) -> dict[str, Any]:
    """Seconds of the first step with the engine on the CPU and on the device, compiling included where it has to be."""
    row = {}
    for name in dict.fromkeys(("cpu", device.name)):
        began = time.perf_counter()
        envs = make_vec("GoToRedBall", num_envs=2, device=name, output="torch")
        envs.reset(seed=0)
        envs.step(torch.zeros(2, dtype=torch.int64, device=envs.device))
        device.wait()
        row[name] = time.perf_counter() - began
        envs.close()
    return row


def compare(
    level: str, split: str, text: str, max_steps: int | None, num_envs: int, steps: int, device: Device
) -> dict[str, Any]:
    """Step the same worlds in both places with the same random actions.

    On the CPU, where both places are one, the second engine runs with two threads.

    Returns:
        `cpu` and `device`: SHA-256 of everything that `reset` and `step` returned and of the worlds in the end; `same`;
        `first_difference`: step and names of arrays, or None; `steps` and `episodes` that were compared.
    """
    kind: dict[str, Any] = {"output": "torch", "text": text, "max_steps": max_steps}
    here = make_vec(level, split, num_envs, **kind)
    there = make_vec(level, split, num_envs, device=device.name, num_threads=1 if device.is_cuda else 2, **kind)
    digests = hashlib.sha256(), hashlib.sha256()
    generator = generator_of(0, torch.device("cpu"))
    first_difference: dict[str, Any] | None = None
    episodes = 0

    def check(step: int, *found: dict[str, np.ndarray]) -> None:
        nonlocal first_difference
        for digest, arrays in zip(digests, found, strict=True):
            for name, array in arrays.items():
                digest.update(f"{name} {array.dtype} {array.shape}".encode())
                digest.update(array.tobytes())
        if first_difference is None:
            one, other = found
            names = [name for name, array in one.items() if not np.array_equal(array, other[name])]
            first_difference = {"step": step, "arrays": names} if names else None

    try:
        check(0, *(_of_reset(envs.reset(seed=0)) for envs in (here, there)))
        for step in range(1, steps + 1):
            actions = torch.randint(0, DONE + 1, (num_envs,), generator=generator)
            found = [_of_step(envs.step(actions.to(envs.device))) for envs in (here, there)]
            episodes += int(np.count_nonzero(found[0]["cause"]))
            check(step, *found)
        check(steps, *(_of_worlds(envs) for envs in (here, there)))
    finally:
        here.close()
        there.close()
    cpu, other = (digest.hexdigest() for digest in digests)
    return {
        **{"level": level, "split": split, "text": text, "steps": num_envs * steps, "episodes": episodes},
        **{"cpu": cpu, "device": other, "same": cpu == other, "first_difference": first_difference},
    }


def _of_reset(result: tuple[dict[str, Any], dict[str, Any]]) -> dict[str, np.ndarray]:
    observation, infos = result
    return _arrays(observation | {"rules": infos["rules"]})


def _of_step(result: tuple[Any, ...]) -> dict[str, np.ndarray]:
    """What a step returned; what is told of ended episodes is zero where none has ended."""
    observation, reward, terminated, truncated, infos = result
    final, told = infos["final_info"], infos["episode"]
    ended = final["_cause"]
    ends = {f"final_{name}": each for name, each in infos["final_obs"].items()} | {"final_rules": final["rules"]}
    named = observation | {"reward": reward, "terminated": terminated, "truncated": truncated, "rules": infos["rules"]}
    named |= {"cause": final["cause"], "success": final["success"], "return": told["r"], "length": told["l"]}
    return _arrays(named | {name: torch.where(_like(ended, each), each, 0) for name, each in ends.items()})


def _of_worlds(envs: BatchedWorlds) -> dict[str, np.ndarray]:
    state = envs.state()
    records = state.cpu().numpy().reshape(-1).view(WORLD) if isinstance(state, torch.Tensor) else state
    assert WORLD.names is not None
    worlds = {f"worlds.{name}": records[name] for name in WORLD.names}  # without what lies between the fields
    return worlds | _arrays({"action_mask": envs.action_mask()})


def _like(mask: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    return mask.view(-1, *(1,) * (values.dim() - 1))


def _arrays(tensors: dict[str, Any]) -> dict[str, np.ndarray]:
    return {name: each.cpu().numpy().copy() for name, each in tensors.items()}
