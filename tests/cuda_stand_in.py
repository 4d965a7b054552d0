"""A stand-in for a GPU, for the tests: the kernels as Python functions, thread by thread, on tensors in main memory.

What it cannot show is that the CUDA target compiles the kernels to the same; for that there are the tests on a GPU.
"""

from __future__ import annotations

import ctypes
import sys
import threading
from contextlib import nullcontext
from types import ModuleType, SimpleNamespace
from typing import Any

import numba
import numpy as np
import torch
from numba.core.dispatcher import Dispatcher
from numba.np.numpy_support import as_dtype

from babyaipp.engine import cuda, cuda_kernels
from babyaipp.engine.compile import kernel

PROCESSORS = 2

# What kernels call, so that Python can.
_CALLED = {name: kernel(value.py_func) for name, value in vars(cuda_kernels).items() if isinstance(value, Dispatcher)}


class Device:
    """What kernels use of `numba.cuda`."""

    def __init__(self) -> None:
        self._thread = threading.local()
        self._grid = (0, 0)
        self._shared: dict[Any, np.ndarray] = {}
        self._barrier = threading.Barrier(1)
        self.shared = SimpleNamespace(array=self._shared_array)
        self.atomic = SimpleNamespace(add=_add)

    threadIdx = property(lambda self: SimpleNamespace(x=self._thread.number))
    blockIdx = property(lambda self: SimpleNamespace(x=self._thread.block))
    gridDim = property(lambda self: SimpleNamespace(x=self._grid[0]))

    def grid(self, dimensions: int) -> int:
        return self._thread.block * self._grid[1] + self._thread.number

    def gridsize(self, dimensions: int) -> int:
        return self._grid[0] * self._grid[1]

    def syncthreads(self) -> None:
        self._barrier.wait()

    def launch(self, function: Any, blocks: int, threads: int, arguments: tuple[Any, ...]) -> None:
        """Run a kernel, block by block; its threads at the same time only if they wait for each other."""
        self._grid = (blocks, threads)
        together = "syncthreads" in function.__code__.co_names
        for block in range(blocks):
            self._shared = {}
            if together:
                self._barrier = threading.Barrier(threads)
                running = [
                    threading.Thread(target=self._run, args=(function, block, number, arguments))
                    for number in range(threads)
                ]
                for thread in running:
                    thread.start()
                for thread in running:
                    thread.join()
            else:
                for number in range(threads):
                    self._run(function, block, number, arguments)

    def _run(self, function: Any, block: int, number: int, arguments: tuple[Any, ...]) -> None:
        self._thread.block, self._thread.number = block, number
        function(*arguments)

    def _shared_array(self, shape: Any, dtype: Any, alignment: int | None = None) -> np.ndarray:
        dtype = as_dtype(dtype) if isinstance(dtype, numba.types.Type) else np.dtype(dtype)
        return self._shared.setdefault((shape, dtype), _with_attributes(np.zeros(shape, dtype)))


class Torch:
    """The torch module, with a GPU whose memory is main memory."""

    class cuda:
        device = staticmethod(lambda device: torch.autograd.profiler.record_function("device"))
        current_device = staticmethod(lambda: 0)
        current_stream = staticmethod(lambda: SimpleNamespace(cuda_stream=0))
        get_device_properties = staticmethod(
            lambda device: SimpleNamespace(multi_processor_count=PROCESSORS, major=9, minor=0)
        )

    @staticmethod
    def device(*name: Any) -> torch.device:
        return torch.device("cpu")

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)


def install(monkeypatch: Any) -> None:
    """Let `cuda.Driver` work with the stand-in."""
    device = Device()

    def launch(stream: Any, config: Any, kernel: str, *arguments: int) -> None:
        device.launch(getattr(cuda_kernels, kernel), config.grid, config.block, _arrays(kernel, list(arguments)))

    core: Any = ModuleType("cuda.core")
    core.launch = launch
    core.LaunchConfig = SimpleNamespace
    core.Stream = SimpleNamespace(from_handle=lambda handle: handle)
    core.Device = lambda number: SimpleNamespace(set_current=lambda: None)
    monkeypatch.setitem(sys.modules, "cuda", ModuleType("cuda"))
    monkeypatch.setitem(sys.modules, "cuda.core", core)
    monkeypatch.setattr(cuda_kernels, "cuda", device)
    for name, called in _CALLED.items():
        monkeypatch.setattr(cuda_kernels, name, called)
    monkeypatch.setattr(cuda, "_loaded", lambda number, capability: {name: name for name in cuda.ARGUMENTS})
    monkeypatch.setattr(cuda, "_usable_torch", Torch)
    monkeypatch.setattr(numba.config, "LOOP_VECTORIZE", 0)  # compiles faster


class Graph:
    """A CUDA graph that holds nothing; what is recorded is done at once."""

    def replay(self) -> None:
        pass


def install_timing(monkeypatch: Any) -> None:
    """Let what is measured with torch's own calls be measured with the stand-in."""
    properties = SimpleNamespace(name="stand-in", total_memory=0)
    for name, value in {
        "synchronize": lambda: None,
        "memory_allocated": lambda: 0,
        "current_device": lambda: 0,
        "get_device_properties": lambda device: properties,
        "CUDAGraph": Graph,
        "graph": nullcontext,
    }.items():
        monkeypatch.setattr(torch.cuda, name, value)


def _arrays(kernel: str, words: list[int]) -> tuple[Any, ...]:
    """What a kernel sees in the words that it is launched with."""
    kinds = cuda.shapes(1, 1, 1, 1)
    found: list[Any] = []
    for name in cuda.ARGUMENTS[kernel]:
        if name not in kinds:
            found.append(words.pop(0))
            continue
        dimensions, dtype = len(kinds[name][0]), kinds[name][1]
        (_, _, size, item_bytes, pointer), words = words[:5], words[5:]
        shape, strides, words = words[:dimensions], words[dimensions : 2 * dimensions], words[2 * dimensions :]
        assert item_bytes == dtype.itemsize
        memory = np.ctypeslib.as_array((ctypes.c_uint8 * (size * item_bytes)).from_address(pointer))
        array = memory.view(dtype).reshape(shape)
        assert array.strides == tuple(strides)
        found.append(_with_attributes(array))
    assert not words
    return tuple(found)


def _with_attributes(array: np.ndarray) -> np.ndarray:
    """Fields of records as attributes, as kernels take them."""
    return array.view(np.recarray) if array.dtype.names else array


def _add(array: np.ndarray, index: int, value: int) -> int:
    before = int(array[index])
    array[index] += value
    return before
