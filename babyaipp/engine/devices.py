"""Where the worlds of a batch are kept, in main memory or on a GPU: how actions and records get there and back."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np

from babyaipp.engine import cpu
from babyaipp.engine.arrays import CudaArrays, NumpyArrays, Settings, TorchArrays
from babyaipp.engine.convert import record_of
from babyaipp.engine.seeding import words_of_seeds
from babyaipp.engine.snapshots import check_worlds
from babyaipp.engine.state import WORLD
from babyaipp.levels import Level
from babyaipp.tiles import DONE
from babyaipp.world import World

OUTPUTS = ("numpy", "torch")

_RNG_BYTES = WORLD["rng"].itemsize  # the first field


class Host:
    """Worlds in main memory.

    Args:
        output: "numpy" or "torch".
        num_threads: that step them.
        sizes: `num_envs`, `mission_words`, `sentences`, `sentence_words`.
        parameters: (1,) `PARAMETERS`.
        settings: of the arrays.
    """

    name = "cpu"

    def __init__(
        self,
        output: str,
        num_threads: int,
        sizes: tuple[int, int, int, int],
        parameters: np.ndarray,
        settings: Settings,
    ) -> None:
        self.driver = cpu.Driver(parameters, *sizes, num_threads)
        self.output = output
        kind = TorchArrays if output == "torch" else NumpyArrays
        self.arrays = kind(cpu.Outputs.shapes(*sizes), settings)
        self._actions = np.zeros(sizes[0], np.int64)
        self._unsigned = self._actions.view(np.uint64)  # the same memory; negative ones are large

    def read_actions(self, actions: Any) -> np.ndarray:
        """(n,) int64, valid until the next call.

        Args:
            actions: (n,) integers: array, tensor on the CPU, or sequence.

        Raises:
            ValueError: other things, another shape, on another device, or an unknown action.
        """
        if type(actions) is not np.ndarray:
            actions = _as_numpy(actions)
        if actions.shape != self._actions.shape or actions.dtype.kind not in "iu":
            raise _unsuitable(actions, self._actions.shape)
        np.copyto(self._actions, actions, casting="unsafe")
        if self._unsigned.max() > DONE:
            row = int(np.argmax(self._unsigned > DONE))
            raise ValueError(
                f"actions: unknown action {actions[row]} of environment {row}; allowed: integers from 0 to {DONE}"
            )
        return self._actions

    def put(self, array: np.ndarray) -> Any:
        """An array for the driver."""
        return array

    def action_mask(self) -> Any:
        """(n, 7) int8: see `cpu.Driver.action_mask`."""
        mask = np.empty((len(self._actions), DONE + 1), np.int8)
        self.driver.action_mask(mask)
        return _import_torch("output='torch'").from_numpy(mask) if self.output == "torch" else mask

    def write_seeds(self, seeds: Mapping[int, int]) -> None:
        """Begin the random streams of some worlds anew: row -> seed."""
        if seeds:
            self.driver.worlds["rng"][list(seeds)] = words_of_seeds(list(seeds.values()))

    def write_worlds(self, worlds: Mapping[int, World], level: Level) -> None:
        """Put starts of episodes into the records, but for their random streams."""
        for row, world in worlds.items():
            record_of(world, level, self.driver.worlds[row])

    def record(self, row: int) -> np.void:
        """One record."""
        return self.driver.worlds[row]

    def ended(self) -> np.ndarray:
        """(n,) bool: whether the last episode has ended and no other one has begun."""
        return self.driver.worlds["ended"]

    def copy(self) -> Any:
        """All records."""
        # As bytes: NumPy would copy records field by field.
        return self.driver.worlds.view(np.uint8).copy().view(WORLD)

    def restore(self, worlds: Any, level: Level, with_ended: bool) -> None:
        """Put all records in the place of those there are.

        Args:
            worlds: what `copy` gives.
            level: of the environments.
            with_ended: episodes may have ended.

        Raises:
            ValueError: something else; nothing has changed then.
        """
        own = self.driver.worlds
        if not isinstance(worlds, np.ndarray) or worlds.dtype != own.dtype or worlds.shape != own.shape:
            raise ValueError(f"state: {_told(worlds)}; allowed: records WORLD of shape {own.shape}")
        check_worlds(worlds.__getitem__, level, with_ended)
        own.view(np.uint8)[:] = np.ascontiguousarray(worlds).view(np.uint8)
        self.driver.write_texts()

    def close(self) -> None:
        """End the threads."""
        self.driver.close()


class Cuda:
    """Worlds on a GPU, as (n, bytes of a record) uint8.

    Args:
        name: of the device, such as "cuda" or "cuda:1".
        sizes: `num_envs`, `mission_words`, `sentences`, `sentence_words`.
        parameters: (1,) `PARAMETERS`.
        settings: of the arrays.

    Raises:
        RuntimeError: a package or a GPU is missing; says which.
    """

    output = "torch"

    def __init__(self, name: str, sizes: tuple[int, int, int, int], parameters: np.ndarray, settings: Settings) -> None:
        from babyaipp.engine import cuda

        self.driver = cuda.Driver(parameters, *sizes, name)
        self._device = self.driver.worlds.device
        self.name = str(self._device)
        self._torch = torch = _import_torch("device='cuda'")
        self.arrays = CudaArrays(cpu.Outputs.shapes(*sizes), settings, self._device)
        self._shape = (sizes[0],)
        self._integers = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)

    def read_actions(self, actions: Any) -> Any:
        """(n,) int64 tensor. To check its values would make the CPU wait: unknown actions become the nearest.

        Args:
            actions: (n,) tensor of integers on the device.

        Raises:
            ValueError: other things, another shape, or on another device.
        """
        if not isinstance(actions, self._torch.Tensor):
            raise ValueError(f"actions must be a tensor on device {self.name}; got {type(actions).__name__}")
        if actions.device != self._device:
            raise ValueError(f"actions: tensor on device {actions.device}; allowed: {self.name}")
        if tuple(actions.shape) != self._shape or actions.dtype not in self._integers:
            raise _unsuitable(actions, self._shape)
        return actions.to(self._torch.int64).clamp(0, DONE).contiguous()

    def put(self, array: np.ndarray) -> Any:
        """An array for the driver."""
        return self._torch.from_numpy(array).to(self._device)

    def action_mask(self) -> Any:
        """(n, 7) int8: see `cuda.Driver.action_mask`."""
        mask = self._torch.empty((*self._shape, DONE + 1), dtype=self._torch.int8, device=self._device)
        self.driver.action_mask(mask)
        return mask

    def write_seeds(self, seeds: Mapping[int, int]) -> None:
        """Begin the random streams of some worlds anew: row -> seed."""
        if seeds:
            words = self.put(words_of_seeds(list(seeds.values())).view(np.uint8))
            self.driver.worlds[self._rows(seeds), :_RNG_BYTES] = words

    def write_worlds(self, worlds: Mapping[int, World], level: Level) -> None:
        """Put starts of episodes into the records, but for their random streams."""
        if worlds:
            records = np.zeros(len(worlds), WORLD)
            for record, world in zip(records, worlds.values(), strict=True):
                record_of(world, level, record)
            data = records.view(np.uint8).reshape(len(worlds), -1)
            self.driver.worlds[self._rows(worlds), _RNG_BYTES:] = self.put(data[:, _RNG_BYTES:].copy())

    def record(self, row: int) -> np.void:
        """A copy of one record."""
        return self.driver.worlds[row].cpu().numpy().view(WORLD)[0]

    def ended(self) -> np.ndarray:
        """(n,) bool: unknown without waiting for the GPU; so none."""
        return np.zeros(self._shape, np.bool_)

    def copy(self) -> Any:
        """All records."""
        return self.driver.worlds.clone()

    def restore(self, worlds: Any, level: Level, with_ended: bool) -> None:
        """As on the host. To check what the records hold, the CPU waits for the GPU."""
        own = self.driver.worlds
        sound = isinstance(worlds, self._torch.Tensor) and worlds.dtype == own.dtype and worlds.device == own.device
        if not sound or worlds.shape != own.shape:
            raise ValueError(f"state: {_told(worlds)}; allowed: uint8 of shape {tuple(own.shape)} on {self.name}")
        check_worlds(lambda name: self._field(worlds, name), level, with_ended)
        own.copy_(worlds)
        self.driver.write_texts()

    def close(self) -> None:
        """Nothing to end."""

    def _field(self, worlds: Any, name: str) -> Any:
        """A field of all records."""
        assert WORLD.fields is not None
        dtype, start = WORLD.fields[name][:2]
        signed = (
            np.dtype(f"i{dtype.base.itemsize}") if dtype.base.kind == "u" and dtype.base.itemsize > 1 else dtype.base
        )
        data = worlds[:, start : start + dtype.itemsize].contiguous()
        return data.view(getattr(self._torch, signed.name)).reshape(len(worlds), *dtype.shape)

    def _rows(self, rows: Mapping[int, Any]) -> Any:
        return self._torch.tensor(list(rows), device=self._device)


def parse_device(device: Any) -> str:
    """The name of a device: "cpu", "cuda" or "cuda:<number>".

    Raises:
        ValueError: another one.
    """
    name = str(device)
    if not re.fullmatch("cpu|cuda(:[0-9]+)?", name):
        raise ValueError(f"unknown device={name!r}; allowed: cpu, cuda, cuda:<number>")
    return name


def parse_output(output: str | None, device: str) -> str:
    """What kind of arrays callers get; None: what suits the device.

    Raises:
        ValueError: unknown, or not to be had from the device.
        RuntimeError: torch is not installed.
    """
    if output not in (None, *OUTPUTS):
        raise ValueError(f"unknown output={output!r}; allowed: {', '.join(OUTPUTS)}")
    if device == "cpu":
        if output == "torch":
            _import_torch("output='torch'")
        return output or "numpy"
    if output == "numpy":
        raise ValueError(f"output='numpy': worlds on device {device} give tensors; allowed: torch")
    return "torch"


def _import_torch(wanted_by: str) -> Any:
    try:
        import torch
    except ImportError:
        raise RuntimeError(f"{wanted_by} needs torch: pip install torch") from None
    return torch


def _as_numpy(actions: Any) -> np.ndarray:
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(actions, torch.Tensor):
        if actions.device.type != "cpu":
            raise ValueError(f"actions: tensor on device {actions.device}; allowed: cpu")
        if actions.layout != torch.strided or actions.dtype.is_floating_point or actions.dtype.is_complex:
            shape = tuple(actions.shape)
            raise ValueError(f"actions: {actions.layout} {actions.dtype} of shape {shape}; allowed: integers, dense")
        return actions.numpy()
    try:
        return np.asarray(actions)
    except ValueError:
        raise ValueError(f"actions must be an array of integers; got {actions!r}") from None


def _unsuitable(actions: Any, shape: tuple[int, ...]) -> ValueError:
    return ValueError(f"actions: {actions.dtype} of shape {tuple(actions.shape)}; allowed: integers of shape {shape}")


def _told(given: Any) -> str:
    if isinstance(given, np.ndarray | np.void) or hasattr(given, "device"):
        kind = "records WORLD" if given.dtype == WORLD else given.dtype
        return f"{kind} of shape {tuple(given.shape)} on {getattr(given, 'device', 'cpu')}"
    return type(given).__name__
