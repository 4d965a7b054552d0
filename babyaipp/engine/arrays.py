"""The arrays that a step hands out, and what `infos` tells of ended episodes: NumPy's, or torch's.

A driver fills `Outputs`, and callers get the same memory without a copy; so what they may keep is new every time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from babyaipp.engine.cpu import Outputs
from babyaipp.engine.state import CAUSES, NOT_ENDED, SUCCESS
from babyaipp.tiles import NONE

Shapes = dict[str, tuple[tuple[int, ...], Any]]
"""Shape and NumPy dtype of each array of `Outputs`."""

Step = tuple[dict[str, Any], Any, Any, Any, dict[str, Any]]
"""Observations, rewards, terminations, truncations, infos."""

OBSERVATION = ("image", "direction", "mission", "description")
_FINAL = tuple(f"final_{name}" for name in OBSERVATION)
_ENDS = ("reward", "terminated", "truncated")
_CAUSE_NAMES = np.array(CAUSES, object)


@dataclass(frozen=True)
class Settings:
    """What is handed out."""

    copy: bool
    """Callers may keep observations and rules; else the next step overwrites them."""
    final: bool
    """Infos tell the last observations of ended episodes, as the next ones have begun in the same step."""
    episodes: bool
    """Infos tell returns and lengths."""


class NumpyArrays:
    """NumPy arrays of these shapes."""

    def __init__(self, shapes: Shapes, settings: Settings) -> None:
        self._settings = settings
        self._arrays: dict[str, Any] = {}  # as callers get them
        self._outputs = Outputs(**dict.fromkeys(shapes))  # as the driver takes them
        for name, (shape, dtype) in shapes.items():
            self._make(name, shape, dtype)
        self._no_rules = np.full(shapes["rules"][0], NONE, np.int8)
        self._kept = [(name, *shapes[name]) for name in self._names_kept()]

    def renewed(self) -> Outputs:
        """Arrays for the driver to fill, new ones in the place of those that callers may keep."""
        for name, shape, dtype in self._kept:
            self._make(name, shape, dtype)
        return self._outputs

    def observation(self) -> dict[str, Any]:
        """What the driver has filled."""
        arrays = self._arrays
        return {
            "image": arrays["image"],
            "direction": arrays["direction"],
            "mission": arrays["mission"],
            "description": arrays["description"],
        }

    def rules(self) -> Any:
        """(n, 6) int8: what the driver has filled."""
        return self._arrays["rules"]

    def step(self) -> Step:
        """What the driver has filled, and infos."""
        arrays = self._arrays
        infos = {"rules": arrays["rules"]}
        if np.count_nonzero(arrays["cause"]):
            self._tell_ends(infos)
        return self.observation(), arrays["reward"], arrays["terminated"], arrays["truncated"], infos

    def _names_kept(self) -> tuple[str, ...]:
        # What infos tell of ended episodes is copied row by row.
        return (*_ENDS, *OBSERVATION, "rules") if self._settings.copy else _ENDS

    def _make(self, name: str, shape: tuple[int, ...], dtype: Any) -> None:
        self._arrays[name] = array = np.empty(shape, dtype)
        setattr(self._outputs, name, array)

    def _tell_ends(self, infos: dict[str, Any]) -> None:
        """Add what Gymnasium's vector environments tell of ended episodes."""
        arrays = self._arrays
        cause = arrays["cause"]
        ended = cause != NOT_ENDED
        rows = ended.nonzero()[0]
        names = np.empty(len(cause), object)
        names[rows] = _CAUSE_NAMES[cause[rows]]
        how = {"success": cause == SUCCESS, "_success": ended, "cause": names, "_cause": ended}
        if self._settings.final:
            images, directions, missions, descriptions = (arrays[name].take(rows, 0) for name in _FINAL)
            observations = np.empty(len(cause), object)
            observations[rows] = [  # as the environment alone gives them
                {"image": image, "direction": direction, "mission": mission, "description": description}
                for image, direction, mission, description in zip(
                    images, directions.tolist(), missions, descriptions, strict=True
                )
            ]
            rules = self._no_rules.copy()
            rules[rows] = arrays["final_rules"].take(rows, 0)
            infos["final_obs"] = observations
            infos["final_info"] = {"rules": rules, "_rules": ended, **how}
            infos["_final_obs"] = infos["_final_info"] = ended
        else:
            infos.update(how)
        if self._settings.episodes:
            lengths = arrays["length"].copy()
            infos["episode"] = {"r": arrays["reward"].copy(), "l": lengths, "_r": ended, "_l": ended}
            infos["_episode"] = ended


class TorchArrays(NumpyArrays):
    """torch tensors on the CPU, in the memory of NumPy arrays."""

    def __init__(self, shapes: Shapes, settings: Settings) -> None:
        import torch

        self._torch = torch
        super().__init__(shapes, settings)

    def step(self) -> Step:
        """What the driver has filled, and infos, which always tell of ends: to look for one would make a GPU wait."""
        arrays = self._arrays
        infos: dict[str, Any] = {"rules": arrays["rules"]}
        reward = arrays["reward"].float()
        cause = arrays["cause"]
        ended = cause != NOT_ENDED
        how = {"success": cause == SUCCESS, "_success": ended, "cause": cause, "_cause": ended}
        if self._settings.final:
            infos["final_obs"] = {name: arrays[final] for name, final in zip(OBSERVATION, _FINAL, strict=True)}
            infos["final_info"] = {"rules": arrays["final_rules"], "_rules": ended, **how}
            infos["_final_obs"] = infos["_final_info"] = ended
        else:
            infos.update(how)
        if self._settings.episodes:
            infos["episode"] = {"r": reward.clone(), "l": arrays["length"], "_r": ended, "_l": ended}
            infos["_episode"] = ended
        return self.observation(), reward, arrays["terminated"], arrays["truncated"], infos

    def _names_kept(self) -> tuple[str, ...]:
        if not self._settings.copy:
            return _ENDS
        final = (*_FINAL, "final_rules") if self._settings.final else ()
        return (*_ENDS, *OBSERVATION, "rules", "cause", "length", *final)

    def _make(self, name: str, shape: tuple[int, ...], dtype: Any) -> None:
        array = np.empty(shape, dtype)
        self._arrays[name] = self._torch.from_numpy(array)
        setattr(self._outputs, name, array)


class CudaArrays(TorchArrays):
    """torch tensors on a GPU."""

    def __init__(self, shapes: Shapes, settings: Settings, device: Any) -> None:
        self._device = device
        shape, _ = shapes["reward"]
        super().__init__({**shapes, "reward": (shape, np.float32)}, settings)

    def _make(self, name: str, shape: tuple[int, ...], dtype: Any) -> None:
        dtype = getattr(self._torch, np.dtype(dtype).name)
        self._arrays[name] = tensor = self._torch.empty(shape, dtype=dtype, device=self._device)
        setattr(self._outputs, name, tensor)
