"""Compiling the engine: how functions are marked, where compiled code is kept, what the user is told meanwhile.

The functions of the engine are plain Python on records and integers. With `NUMBA_DISABLE_JIT=1` they run as such.
"""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import numba
import numpy as np
from numba.extending import intrinsic

_DEVICE_OPTIONS: dict[str, Any] = {
    "error_model": "numpy",
    "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
    "_nrt": False,
}


def device_function(function: Callable[..., Any]) -> Any:
    """Marks a function that kernels call: compiled into each of them, for the CPU and for CUDA.

    Python cannot call it, unless compiling is disabled.
    """
    return _once_a_type(numba.njit(**_DEVICE_OPTIONS)(function))


def inlined_function(function: Callable[..., Any]) -> Any:
    """Marks one that is copied to where it is called, so that what is constant there is so inside, too."""
    return numba.njit(inline="always", **_DEVICE_OPTIONS)(function)


def _once_a_type(dispatcher: Any) -> Any:
    """Compile a function once for all constants of a type, not, as Numba does, for each of them anew."""
    if not numba.config.DISABLE_JIT:
        get_call_template = dispatcher.get_call_template
        dispatcher.get_call_template = lambda args, kws: get_call_template(
            tuple(numba.types.unliteral(arg) for arg in args), kws
        )
    return dispatcher


unsigned = np.uint64
"""Marks an index that is not negative, which spares the code for negative ones."""

_PACKAGE = Path(__file__).parents[1]
_COMPILED_SOURCES = (
    *(
        "bits.py",
        "floors.py",
        "instructions.py",
        "levels.py",
        "paraphrases.py",
        "reading.py",
        "texts.py",
        "tiles.py",
        "engine/compile.py",
        "engine/cpu.py",
    ),
    *("engine/cuda_kernels.py", "engine/drive.py", "engine/generate.py", "engine/instruct.py", "engine/observe.py"),
    *("engine/rng.py", "engine/shared.py", "engine/state.py", "engine/step.py"),
)


def rebound(modules: tuple[ModuleType, ...], names: tuple[str, ...], replaced: Mapping[str, Any]) -> dict[str, Any]:
    """Compiled copies of functions of modules that are plain Python, calling each other and what is put in place.

    Args:
        modules: where the functions and the constants that they use are looked up; their names must not clash.
        names: the functions, each after those that it calls.
        replaced: functions that take the place of the modules' own.

    Returns:
        The compiled functions by name.
    """
    namespace = {name: value for module in modules for name, value in vars(module).items()} | dict(replaced)
    for name in names:
        source = namespace[name]
        namespace[name] = device_function(FunctionType(source.__code__, namespace, name, source.__defaults__))
    return {name: namespace[name] for name in names}


@intrinsic
def _fetch_add(typing_context: Any, array: Any, amount: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        first = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        return builder.atomic_rmw("add", first, arguments[1], "monotonic")

    return numba.types.int64(array, numba.types.int64), generate


def _fetch_add_in_python(array: np.ndarray, amount: int) -> int:
    before = int(array[0])
    array[0] += amount
    return before


fetch_add = _fetch_add_in_python if numba.config.DISABLE_JIT else _fetch_add
"""Add to the one element of an (1,) int64 array and give what it was before; compiled, at once for all threads."""


def cache_folder(*more: str) -> Path:
    """Where compiled code is kept, if it can be: a folder that belongs to exactly these sources.

    Numba looks for a changed kernel only in the kernel's own file; so the folder is named by a hash of all files
    that end up in it: the engine's, and `more`, paths in the package.
    """
    digest = hashlib.sha256()
    for name in (*_COMPILED_SOURCES, *more):
        digest.update(name.encode() + b"\0" + (_PACKAGE / name).read_bytes() + b"\0")
    home = os.path.expanduser("~")  # noqa: PTH111 - Path.home() fails where a user has none
    base = os.environ.get("NUMBA_CACHE_DIR") or os.environ.get("XDG_CACHE_HOME") or f"{home}/.cache"
    return Path(base) / "babyaipp" / f"engine-{digest.hexdigest()[:16]}"


def kernel(function: Callable[..., Any]) -> Any:
    """Marks a function that drivers call: compiled once a machine, and runs without the interpreter's lock."""
    return kernel_from()(function)


def kernel_from(*more: str) -> Callable[[Callable[..., Any]], Any]:
    """As `kernel`, for one that is made from further files of the package, too."""

    def mark(function: Callable[..., Any]) -> Any:
        folder = writable_cache_folder(*more)
        options: dict[str, Any] = {"error_model": "numpy", "nogil": True, "cache": folder is not None}
        with configured(CACHE_DIR="" if folder is None else str(folder)):
            return numba.njit(**options)(function)

    return mark


def compile_kernel(
    kernel: Any, arguments: tuple[Any, ...], seconds: int = 0, what: str = "the engine", more: tuple[str, ...] = ()
) -> None:
    """Compile a kernel for these arguments, or load it.

    Loops are not vectorised: they are too short to gain by it, and it takes most of the time to compile.

    Args:
        kernel: what is compiled.
        arguments: as it will be called with.
        seconds: how long that takes about; told to the user, if it is long and has not been done before.
        what: what is compiled, for the user.
        more: as the kernel was marked with.
    """
    if numba.config.DISABLE_JIT:
        return
    signature = tuple(numba.typeof(argument) for argument in arguments)
    if signature in kernel.signatures:
        return
    folder = cache_folder(*more)
    if seconds and not any(folder.rglob(f"*{kernel.__name__}*.nbc")):
        how_often = "once on this machine"
        if writable_cache_folder(*more) is None:
            how_often = f"in every process, as {folder} cannot be written (set NUMBA_CACHE_DIR)"
        print(
            f"babyaipp: compiling {what}, {how_often}; takes some {seconds} seconds ...",
            file=sys.stderr,
            flush=True,
        )
    with configured(LOOP_VECTORIZE=0):
        kernel.compile(signature)


def viewed(records: np.ndarray) -> Any:
    """Records whose fields are attributes for compiled code, and for Python where compiling is disabled."""
    return records.view(np.recarray) if numba.config.DISABLE_JIT else records


@contextmanager
def configured(**settings: Any) -> Iterator[None]:
    """Numba's settings while something is compiled."""
    before = {name: getattr(numba.config, name) for name in settings}
    for name, value in settings.items():
        setattr(numba.config, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(numba.config, name, value)


def writable_cache_folder(*more: str) -> Path | None:
    """The folder where compiled code is kept (`cache_folder`); None if it cannot be written to."""
    folder = cache_folder(*more)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError:
        return None
