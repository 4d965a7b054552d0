"""The CUDA driver: steps a batch of worlds on a GPU, on torch's tensors and torch's current stream.

It launches the kernels of `cuda_kernels.py`, and neither waits for them nor looks at what they write; so a rollout can
be captured in a CUDA graph. Numba compiles the kernels once a machine; loading and launching them is left to
`cuda.core`, as that takes a fraction of numba's time. Importing this module loads neither these nor torch.
"""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import math
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import numba
import numpy as np

from babyaipp.engine.compile import writable_cache_folder
from babyaipp.engine.cpu import Outputs
from babyaipp.engine.observe import IMAGE_BYTES
from babyaipp.engine.state import PARAMETERS, SCRATCH, WORLD
from babyaipp.tiles import COLORS, DONE

BLOCK = 128
"""Threads of a block, one a world."""

BEGIN_BLOCK = 32
"""Threads of a block of `begin_worlds`, which needs shared memory for each."""

_OBSERVATION = ("image", "direction", "mission", "description", "rules")
_FINAL = tuple(f"final_{name}" for name in _OBSERVATION)
_ENDS = ("reward", "terminated", "truncated", "cause", "length")
_TEXTS = ("mission_texts", "description_texts", "rules_texts")

ARGUMENTS: dict[str, tuple[str, ...]] = {
    "step_worlds": ("worlds", "parameters", "actions", "autoreset", *_ENDS, "begun", "num_begun"),
    "begin_worlds": (
        *("worlds", "parameters", "actions", "autoreset", "given_rules", "cause", "begun", "num_begun"),
        *_TEXTS,
        *_FINAL,
    ),
    "observe_worlds": ("worlds", "parameters", "num_begun", "image_words", *_TEXTS, *_OBSERVATION),
    "write_all_texts": ("worlds", "parameters", *_TEXTS),
    "write_action_masks": ("worlds", "parameters", "masks"),
}
"""What each kernel takes, in its order: arrays, see `shapes`, and the number `autoreset`."""

_ADVANCE = ("step_worlds", "begin_worlds", "observe_worlds")
_WORD = np.dtype(np.uint32)
BEGIN_REGISTERS = 168
"""Registers that a thread of `begin_worlds` may take; a test compiles it and looks."""
# As many as a processor of an H100 or H200 has room for: shared memory for their scratch, of which each block takes
# 1 KiB more, and registers.
BEGIN_BLOCKS_A_PROCESSOR = min(
    228 * 1024 // (SCRATCH * BEGIN_BLOCK * np.dtype(np.int32).itemsize + 1024),
    65_536 // (BEGIN_REGISTERS * BEGIN_BLOCK),
)
_MAX_REMEMBERED = 256  # torch hands out the same memory again and again; if it does not, arguments are forgotten


def shapes(
    num_envs: int, mission_words: int, sentences: int, sentence_words: int
) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
    """Shape and dtype of every array that a kernel takes; images lie one after the other."""
    outputs = Outputs.shapes(num_envs, mission_words, sentences, sentence_words)
    image_bytes = num_envs * IMAGE_BYTES
    kinds = {
        **outputs,
        "image": ((image_bytes,), np.uint8),
        "image_words": ((image_bytes // _WORD.itemsize,), _WORD),
        "final_image": ((image_bytes,), np.uint8),
        "reward": ((num_envs,), np.float32),
        "worlds": ((num_envs,), WORLD),
        "parameters": ((1,), PARAMETERS),
        "actions": ((num_envs,), np.int64),
        "given_rules": ((num_envs, len(COLORS)), np.int8),
        "begun": ((num_envs,), np.int32),
        "num_begun": ((1,), np.int32),
        "mission_texts": outputs["mission"],
        "description_texts": outputs["description"],
        "rules_texts": outputs["rules"],
        "masks": ((num_envs, DONE + 1), np.int8),
    }
    return {name: (shape, np.dtype(dtype)) for name, (shape, dtype) in kinds.items()}


def assemble(kernel: str, capability: tuple[int, int]) -> tuple[str, bytes, str]:
    """Compile a kernel.

    Args:
        kernel: its name.
        capability: what to compile for, (9, 0) for an H100 or H200.

    Returns:
        PTX, machine code (a cubin), and what the assembler says of registers and stack.
    """
    from cuda.core import Linker, LinkerOptions, ObjectCode
    from numba import cuda

    from babyaipp.engine import cuda_kernels

    arrays = {
        name: numba.types.Array(numba.from_dtype(dtype), len(shape), "C")
        for name, (shape, dtype) in shapes(1, 1, 1, 1).items()
    }
    types = numba.void(*(arrays.get(name, numba.int64) for name in ARGUMENTS[kernel]))
    ptx, _ = cuda.compile_ptx(getattr(cuda_kernels, kernel), types, cc=capability)
    (entry,) = re.findall(r"\.visible \.entry (\w+)\(", ptx)
    ptx = ptx.replace(entry, kernel)
    options = LinkerOptions(arch="sm_{}{}".format(*capability), ptxas_options=["-v"])
    linker = Linker(ObjectCode.from_ptx(ptx.encode()), options=options)
    cubin = bytes(linker.link("cubin").code)
    return ptx, cubin, linker.get_info_log()


class Driver:
    """A batch of worlds in the memory of a GPU; the same interface as `cpu.Driver`, with torch tensors.

    All calls return at once, while the GPU is still at work on torch's current stream.

    Args:
        parameters: (1,) `PARAMETERS`.
        num_envs: how many worlds.
        mission_words: word ids of an instruction.
        sentences: sentences of a description.
        sentence_words: word ids of a sentence.
        device: "cuda", torch's current GPU, or "cuda:<number>".

    Attributes:
        worlds: (n, bytes of a `WORLD` record) uint8 tensor; may be read, and written in place.

    Raises:
        RuntimeError: a package or a GPU is missing; says which.
    """

    def __init__(
        self,
        parameters: np.ndarray,
        num_envs: int,
        mission_words: int,
        sentences: int,
        sentence_words: int,
        device: Any = "cuda",
    ) -> None:
        self._torch = torch = _usable_torch()
        from cuda.core import Device, LaunchConfig

        named = torch.device(device)
        number = torch.cuda.current_device() if named.index is None else named.index
        self._device = torch.device("cuda", number)
        self._make_current = Device(number).set_current
        self._shapes = shapes(num_envs, mission_words, sentences, sentence_words)
        self._own = {name: self._zeros(name) for name in ("begun", "num_begun", *_TEXTS)}
        self._own["worlds"] = self.worlds = self._zeros("worlds").view(num_envs, WORLD.itemsize)
        self._own["parameters"] = torch.from_numpy(parameters.view(np.uint8).copy()).to(self._device)
        properties = torch.cuda.get_device_properties(self._device)
        blocks = dict.fromkeys(ARGUMENTS, (-(-num_envs // BLOCK), BLOCK))
        begin_blocks = min(num_envs, properties.multi_processor_count * BEGIN_BLOCKS_A_PROCESSOR)
        blocks["begin_worlds"] = (begin_blocks, BEGIN_BLOCK)
        with torch.cuda.device(self._device):
            self._make_current()
            loaded = _loaded(number, (properties.major, properties.minor))
        self._kernels = {
            name: (LaunchConfig(grid=grid, block=threads), loaded[name]) for name, (grid, threads) in blocks.items()
        }
        self._streams: dict[int, Any] = {}
        self._remembered: dict[tuple[Any, ...], tuple[Any, ...]] = {}

    def advance(self, actions: Any, rules: Any, autoreset: int, outputs: Outputs) -> None:
        """Step, reset or leave every world, and write what is seen then.

        Args:
            actions: (n,) int64, an action, or RESET, RESET_WITH_RULES, RESET_TO_WORLD or LEAVE.
            rules: (n, 6) int8, looked at for RESET_WITH_RULES.
            autoreset: SAME_STEP, NEXT_STEP or DISABLED.
            outputs: filled; `reward` is float32.

        Raises:
            ValueError: a tensor of another size or dtype, on another device, or not contiguous; nothing has happened.
        """
        self._launch(_ADVANCE, {**vars(outputs), "actions": actions, "given_rules": rules}, autoreset)

    def write_texts(self) -> None:
        """Write the texts and the rules of all worlds anew, after `worlds` was written."""
        self._launch(("write_all_texts",), {})

    def action_mask(self, out: Any) -> None:
        """Write which actions may do something; `out`: (n, 7) int8."""
        self._launch(("write_action_masks",), {"masks": out})

    def _launch(self, names: tuple[str, ...], tensors: dict[str, Any], autoreset: int = 0) -> None:
        """Launch kernels on torch's current stream of the device."""
        from cuda.core import launch

        key = (names, autoreset, *(tensor.data_ptr() for tensor in tensors.values()))
        calls = self._remembered.get(key)
        if calls is None:
            calls = self._calls(names, tensors, autoreset)
            if len(self._remembered) >= _MAX_REMEMBERED:
                self._remembered.clear()
            self._remembered[key] = calls
        with self._torch.cuda.device(self._device):
            self._make_current()  # in a new thread, torch has not done so
            stream = self._stream()
            for config, kernel, arguments in calls:
                launch(stream, config, kernel, *arguments)

    def _stream(self) -> Any:
        """torch's current stream."""
        handle = self._torch.cuda.current_stream().cuda_stream
        stream = self._streams.get(handle)
        if stream is None:
            from cuda.core import Stream

            stream = self._streams[handle] = Stream.from_handle(handle)
        return stream

    def _calls(self, names: tuple[str, ...], tensors: dict[str, Any], autoreset: int) -> tuple[Any, ...]:
        """What `launch` takes for each kernel. It does not keep the tensors, but names where they lie."""
        for name, tensor in tensors.items():
            self._check(name, tensor)
        tensors = {**self._own, **tensors}
        if "image" in tensors:
            tensors["image_words"] = tensors["image"]
        calls = []
        for kernel in names:
            arguments: list[int] = []
            for name in ARGUMENTS[kernel]:
                arguments += [autoreset] if name == "autoreset" else self._array(name, tensors[name])
            calls.append((*self._kernels[kernel], arguments))
        return tuple(calls)

    def _array(self, name: str, tensor: Any) -> list[int]:
        """An array as a kernel of numba's takes it: owner and parent (none), sizes, pointer, shape, strides."""
        shape, dtype = self._shapes[name]
        strides = [math.prod(shape[i + 1 :]) * dtype.itemsize for i in range(len(shape))]
        return [0, 0, math.prod(shape), dtype.itemsize, tensor.data_ptr(), *shape, *strides]

    def _check(self, name: str, tensor: Any) -> None:
        """Raise a ValueError if a tensor is not what a kernel takes."""
        size, dtype = self._size(name)
        sound = tensor.device == self._device and tensor.dtype == dtype and tensor.numel() == size
        aligned = name != "image" or tensor.data_ptr() % _WORD.itemsize == 0
        if not sound or not aligned or not tensor.is_contiguous():
            raise ValueError(
                f"{name}: {tensor.dtype} of shape {tuple(tensor.shape)} on {tensor.device}; "
                f"allowed: {size} contiguous and aligned {dtype} on {self._device}"
            )

    def _zeros(self, name: str) -> Any:
        size, dtype = self._size(name)
        return self._torch.zeros((size,), dtype=dtype, device=self._device)

    def _size(self, name: str) -> tuple[int, Any]:
        """How many numbers a tensor has, and torch's dtype of them; records are bytes."""
        shape, dtype = self._shapes[name]
        size = math.prod(shape)
        return (size * dtype.itemsize, self._torch.uint8) if dtype.names else (size, getattr(self._torch, dtype.name))


@functools.cache
def _loaded(number: int, capability: tuple[int, int]) -> dict[str, Any]:
    """The kernels on a GPU, by name; `number`: the current one."""
    from cuda.core import ObjectCode

    folder = writable_cache_folder()
    suffix = "sm_{}{}-{}".format(*capability, importlib.metadata.version("numba-cuda"))
    paths = {name: folder and folder / f"{name}-{suffix}.cubin" for name in ARGUMENTS}
    if not all(path and path.exists() for path in paths.values()):
        text = "babyaipp: compiling the engine for the GPU, once on this machine; takes up to a minute ..."
        print(text, file=sys.stderr, flush=True)
    return {
        name: ObjectCode.from_cubin(_cubin(name, capability, path)).get_kernel(name) for name, path in paths.items()
    }


def _cubin(kernel: str, capability: tuple[int, int], path: Path | None) -> bytes:
    """The machine code of a kernel, which is kept in a file."""
    if path is not None and path.exists():
        return path.read_bytes()
    _, cubin, _ = assemble(kernel, capability)
    if path is not None:
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
            file.write(cubin)
        Path(file.name).replace(path)
    return cubin


def _usable_torch() -> Any:
    """The torch module, if torch and numba can use a GPU.

    Raises:
        RuntimeError: they cannot; says why.
    """
    if importlib.util.find_spec("torch") is None:
        raise RuntimeError("device='cuda' needs torch, built for CUDA: pip install 'babyaipp[cuda]'")
    import torch

    if torch.version.cuda is None:
        raise RuntimeError(
            f"device='cuda': torch {torch.__version__} is built without CUDA; see https://pytorch.org/get-started/locally"
        )
    if not torch.cuda.is_available():
        raise RuntimeError("device='cuda': torch finds no GPU; see nvidia-smi, and CUDA_VISIBLE_DEVICES")
    if importlib.util.find_spec("numba_cuda") is None:  # numba itself has an outdated numba.cuda
        raise RuntimeError("device='cuda' needs numba-cuda: pip install 'babyaipp[cuda]'")
    return torch
