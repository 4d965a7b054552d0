"""What is measured on: a GPU, or, where there is none, the CPU; its clock, its memory, its name."""

from __future__ import annotations

import gc
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

from benchmarks.measurement import machine

_QUERY_SECONDS = 10
_PACKAGES = ("numba-cuda", "cuda-core", "triton")


class Device:
    """A device of torch.

    Args:
        name: "cpu", or "cuda", torch's current GPU.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.torch = torch.device(name)
        self.is_cuda = self.torch.type == "cuda"

    def wait(self) -> None:
        """Return when all work is done."""
        if self.is_cuda:
            torch.cuda.synchronize()

    def mark(self) -> Any:
        """A moment: on a GPU when the work is done that it has been given so far, which is not waited for."""
        if not self.is_cuda:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def seconds(self, first: Any, last: Any) -> float:
        """Between two moments that have passed; `wait` first."""
        return first.elapsed_time(last) / 1e3 if self.is_cuda else last - first

    def forget_peak(self) -> None:
        """From now on, `peak_bytes` begins anew."""
        if self.is_cuda:
            torch.cuda.reset_peak_memory_stats()

    def peak_bytes(self) -> int | None:
        """The most memory that tensors took at a time; None where torch does not tell."""
        return torch.cuda.max_memory_allocated() if self.is_cuda else None

    def clean_up(self) -> None:
        """Give back the GPU's memory that is no longer used.

        Raises:
            RuntimeError: the GPU does not work any more in this process.
        """
        if self.is_cuda:
            gc.collect()
            torch.cuda.empty_cache()
            torch.cuda.synchronize()

    def describe(self) -> dict[str, Any]:
        """Name, memory, versions; None where a package is missing."""
        if not self.is_cuda:
            return {"name": machine()["processor"]}
        properties = torch.cuda.get_device_properties(torch.cuda.current_device())
        return {
            "name": properties.name,
            "memory_bytes": properties.total_memory,
            "processors": properties.multi_processor_count,
            "capability": f"{properties.major}.{properties.minor}",
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
            "driver": _driver_version(),
            "packages": {name: _version(name) for name in _PACKAGES},
        }


@contextmanager
def tf32_allowed(allowed: bool) -> Iterator[None]:
    """While inside, whether a GPU may round what it multiplies to TF32, in matrix products and in convolutions."""
    kinds: tuple[Any, Any] = (torch.backends.cuda.matmul, torch.backends.cudnn)
    before = [kind.allow_tf32 for kind in kinds]
    try:
        for kind in kinds:
            kind.allow_tf32 = allowed
        yield
    finally:
        for kind, value in zip(kinds, before, strict=True):
            kind.allow_tf32 = value


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _driver_version() -> str | None:
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_QUERY_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.split("\n")[0].strip() or None
