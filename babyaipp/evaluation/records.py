"""A file of evaluation episodes, `episodes.npz`: from it anyone can play them again and work out every score.

The arrays, without pickles; a *run* is an agent of one training seed, c cells, n episodes a cell:

    format, format_version    "babyaipp episodes", 1
    protocol                  version of the protocol
    package_version           of the package that wrote the file
    suite                     name of the suite
    cells                     (c,) str: level/split/text, in the suite's order
    runs                      (r,) int64: training seeds
    seeds                     (n,) int64: episode k of a cell is that of `reset(seed=seeds[k])`
    lengths                   (r, c, n) uint16: actions taken
    cause                     (r, c, n) uint8: how it ended, an index in `causes`
    half_steps                (r, c, n) uint16: time at the end, two a step
    causes                    (k,) str: success, timeout, failure or a deadly property
    packing                   how the actions are packed: see `packing.py`
    actions                   (b,) uint8: those of all episodes, run by run, cell by cell

Files come from strangers: sizes are checked before anything is unpacked, and nothing in them is run.
"""

from __future__ import annotations

import io
import math
import struct
import zipfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from babyaipp import __version__
from babyaipp.engine.state import CAUSES
from babyaipp.evaluation.packing import pack, unpack
from babyaipp.evaluation.protocol import EPISODES, FIRST_SEED, PROTOCOL, Cell, Suite, get_suite
from babyaipp.files import write_whole
from babyaipp.tiles import HALF_STEPS_PER_STEP

FORMAT, FORMAT_VERSION = "babyaipp episodes", 1
MOST_BYTES = 64 * 2**20
"""Of a file, and of what it unpacks to; larger ones are refused."""
MOST_ACTIONS = 2**28
"""Of a file: more than any agent has time for in the largest suite with `RANKED_SEEDS` runs."""
MOST_RUNS = 64

_END = struct.Struct("<4s4H2LH")  # of a zip archive, without a comment: how many members, in how many bytes
_LOCATOR_BYTES = 20  # of what may stand before it, and lead elsewhere
_MOST_DIRECTORY_BYTES = 2**16

_TEXTS = ("format", "protocol", "package_version", "suite", "packing")
_MOST_TEXT = 200
_ARRAYS: dict[str, Any] = {
    "runs": np.int64,
    "seeds": np.int64,
    "lengths": np.uint16,
    "cause": np.uint8,
    "half_steps": np.uint16,
    "actions": np.uint8,
}
_NAMES = ("cells", "causes")
_FIELDS = (*_TEXTS, "format_version", *_NAMES, *_ARRAYS)


class RecordError(ValueError):
    """A file is not a sound record of episodes; the message says where."""


@dataclass(frozen=True)
class Records:
    """What was played: r runs, c cells, n episodes a cell."""

    suite: Suite
    cells: tuple[Cell, ...]
    runs: tuple[int, ...]
    """Training seeds."""
    lengths: np.ndarray
    """(r, c, n) uint16, actions taken."""
    cause: np.ndarray
    """(r, c, n) uint8, how it ended: index in `babyaipp.engine.state.CAUSES`."""
    half_steps: np.ndarray
    """(r, c, n) uint16, time at the end."""
    actions: np.ndarray
    """(a,) uint8, the actions of all episodes, run by run, cell by cell."""
    protocol: str = PROTOCOL
    package_version: str = __version__

    @cached_property
    def offsets(self) -> np.ndarray:
        """(r * c * n + 1,) int64: episode k of all has `actions[offsets[k] : offsets[k + 1]]`."""
        return np.concatenate([[0], np.cumsum(self.lengths.reshape(-1), dtype=np.int64)])

    def actions_of(self, run: int, cell: int) -> tuple[np.ndarray, np.ndarray]:
        """The actions of a cell's episodes, (a,) uint8, and where they begin, (n + 1,) int64."""
        episodes = self.lengths.shape[2]
        first = (run * len(self.cells) + cell) * episodes
        offsets = self.offsets[first : first + episodes + 1]
        return self.actions[offsets[0] : offsets[-1]], offsets - offsets[0]

    @property
    def levels(self) -> tuple[str, ...]:
        """The levels that were played, in the suite's order."""
        return tuple(dict.fromkeys(cell.level for cell in self.cells))


def episode_seeds(episodes: int = EPISODES) -> np.ndarray:
    """(episodes,) int64, the environment seeds of a cell."""
    return np.arange(FIRST_SEED, FIRST_SEED + episodes, dtype=np.int64)


def save_records(path: Path, records: Records) -> None:
    """Write a file, whole or not at all; the same records give the same bytes.

    Raises:
        RecordError: `load_records` would refuse them; says why.
        OSError: it cannot be written.
    """
    packing, actions = pack(records.actions)
    values: dict[str, Any] = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "protocol": records.protocol,
        "package_version": records.package_version,
        "suite": records.suite.name,
        "cells": [cell.name for cell in records.cells],
        "runs": np.array(records.runs, np.int64),
        "seeds": episode_seeds(records.lengths.shape[2]),
        "lengths": records.lengths,
        "cause": records.cause,
        "half_steps": records.half_steps,
        "causes": CAUSES,
        "packing": packing,
        "actions": actions,
    }
    fields = {name: np.asarray(value, order="C") for name, value in values.items()}
    _checked(fields, records.lengths.shape[2])
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name in _FIELDS:
            array = io.BytesIO()
            np.lib.format.write_array(array, fields[name], (1, 0), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), array.getvalue(), zipfile.ZIP_DEFLATED, 9)
    write_whole(path, data.getvalue())


def load_records(path: Path, episodes: int = EPISODES) -> Records:
    """Read a file and check all that can be checked without playing; `replay.py` does the rest.

    Args:
        path: the file.
        episodes: that each cell must have.

    Raises:
        RecordError: not such a file, of another version, incomplete or damaged; says what is wrong, and where.
        OSError: it cannot be read.
    """
    try:
        return _checked(_read(path), episodes)
    except RecordError as error:
        raise RecordError(f"{path}: {error}") from None


def _read(path: Path) -> dict[str, np.ndarray]:
    with path.open("rb") as file:
        data = file.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise RecordError(f"has more than {MOST_BYTES} bytes, which are allowed")
    _check_directory(data)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            infos = archive.infolist()
            names = sorted(info.filename for info in infos)
            if names != sorted(f"{name}.npy" for name in _FIELDS):
                raise RecordError(f"must hold {', '.join(_FIELDS)}, each once; got {', '.join(map(repr, names))[:500]}")
            if sum(info.file_size for info in infos) > MOST_BYTES:
                raise RecordError(f"unpacks to more than {MOST_BYTES} bytes, which are allowed")
            return {info.filename.removesuffix(".npy"): _array(archive, info) for info in infos}
    except RecordError:
        raise
    except Exception as error:  # a damaged archive can be wrong in more ways than `zipfile` has errors for
        raise RecordError(f"is not a file of episodes, or damaged: {type(error).__name__}") from None


def _check_directory(data: bytes) -> None:
    """Refuse an archive whose list of members is longer than ours can be: `zipfile` would read all of it."""
    if len(data) >= _END.size:
        signature, _, _, _, count, size, _, comment = _END.unpack(data[-_END.size :])
        locator = data[-_END.size - _LOCATOR_BYTES : -_END.size]
        if signature == b"PK\5\6" and comment == 0 and not locator.startswith(b"PK\6\7"):
            if count == len(_FIELDS) and size <= _MOST_DIRECTORY_BYTES:
                return
            raise RecordError(f"lists {count} members in {size} bytes; must hold {', '.join(_FIELDS)}, each once")
    raise RecordError("is not a file of episodes, or damaged: it does not end as such files do")


def _array(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> np.ndarray:
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise RecordError(f"{info.filename} is compressed in a way that is not allowed")
    with archive.open(info) as file:
        data = file.read(info.file_size + 1)
    if len(data) != info.file_size:
        raise RecordError(f"{info.filename} does not unpack to the size that it tells")
    stream = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(stream)
        if version != (1, 0):
            raise RecordError(f"{info.filename} has version {version}; allowed: (1, 0)")
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
    except RecordError:
        raise
    except Exception as error:  # a header is parsed as Python text, and can be wrong in many ways
        raise RecordError(f"{info.filename} has no sound header: {type(error).__name__}") from None
    plain = dtype.kind in "uiU" and dtype.isnative and dtype.itemsize > 0
    if not plain or fortran or len(shape) > 3 or any(side < 1 for side in shape):
        raise RecordError(f"{info.filename} holds {str(dtype)[:100]} of shape {shape}, which is not allowed")
    rest = data[stream.tell() :]
    if len(rest) != math.prod(shape) * dtype.itemsize:
        raise RecordError(f"{info.filename} has {len(rest)} bytes, not those of {dtype} of shape {shape}")
    return np.frombuffer(rest, dtype).reshape(shape)


def _checked(fields: dict[str, np.ndarray], episodes: int) -> Records:
    texts = {name: _text(fields[name], name) for name in _TEXTS}
    if texts["format"] != FORMAT:
        raise RecordError("is not a file of episodes")
    version = fields["format_version"]
    if version.shape != () or version.dtype.kind not in "ui" or int(version) != FORMAT_VERSION:
        raise RecordError(f"format_version={str(version)[:20]!r}; this package reads {FORMAT_VERSION}")
    if texts["protocol"] != PROTOCOL:
        raise RecordError(f"protocol={texts['protocol']!r}; this package verifies {PROTOCOL!r}")
    try:
        suite = get_suite(texts["suite"])
    except ValueError as error:
        raise RecordError(str(error)) from None
    cells = _cells(fields["cells"], suite)
    runs, count = fields["runs"], len(np.atleast_1d(fields["runs"]))
    shape = (count, len(cells), episodes)
    shapes = {"runs": (count,), "seeds": (episodes,), "actions": (fields["actions"].size,)}
    for name, dtype in _ARRAYS.items():
        allowed = shapes.get(name, shape)
        if fields[name].dtype != dtype or fields[name].shape != allowed:
            raise RecordError(
                f"{name} is {fields[name].dtype} of shape {fields[name].shape}; must be {np.dtype(dtype).name} of "
                f"shape {allowed}: {count} runs, {len(cells)} cells, {episodes} episodes a cell"
            )
    if not 1 <= count <= MOST_RUNS:
        raise RecordError(f"{count} runs; allowed: 1 to {MOST_RUNS}")
    if (runs < 0).any() or len(set(runs.tolist())) != count:
        raise RecordError(f"runs={runs.tolist()} must be different training seeds, 0 or more")
    wrong = np.flatnonzero(fields["seeds"] != episode_seeds(episodes))
    if len(wrong):
        raise RecordError(
            f"episode {wrong[0]} has seed {fields['seeds'][wrong[0]]}; the protocol's is {FIRST_SEED + wrong[0]}"
        )
    names = _text_list(fields["causes"], "causes")
    if not set(names) <= set(CAUSES) or len(set(names)) != len(names):
        raise RecordError(f"causes={str(names)[:500]} must be of {', '.join(filter(None, CAUSES))}")
    cause = fields["cause"]

    def first(bad: np.ndarray) -> str:
        run, cell, episode = (int(each[0]) for each in np.nonzero(bad))
        return told(int(runs[run]), cells[cell], episode)

    for bad, why in (
        (cause >= len(names), "has a cause without a name"),
        (fields["lengths"] == 0, "has no actions"),
        (fields["half_steps"] == 0, "took no time"),
    ):
        if bad.any():
            raise RecordError(f"{first(bad)} {why}")
    numbers = np.array([CAUSES.index(name) for name in names], np.uint8)
    cause = numbers[cause]
    if (cause == 0).any():
        raise RecordError(f"{first(cause == 0)} did not end")
    total = int(fields["lengths"].sum(dtype=np.int64))
    if total > MOST_ACTIONS:
        raise RecordError(f"{total} actions are too many; allowed: {MOST_ACTIONS}")
    try:
        actions = unpack(texts["packing"], fields["actions"], total)
    except ValueError as error:
        raise RecordError(str(error)) from None
    return Records(
        suite,
        cells,
        tuple(runs.tolist()),
        fields["lengths"],
        cause,
        fields["half_steps"],
        actions,
        texts["protocol"],
        texts["package_version"],
    )


def told(run: int, cell: Cell, episode: int) -> str:
    """Names an episode in messages."""
    return f"episode {episode} of {cell.name}, run {run}, seed {FIRST_SEED + episode},"


def _cells(array: np.ndarray, suite: Suite) -> tuple[Cell, ...]:
    names = _text_list(array, "cells")
    known = {cell.name: cell for cell in suite.cells()}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise RecordError(f"cell {unknown[0]!r} is not in suite {suite.name}")
    levels = tuple({known[name].level for name in names})
    cells = suite.cells(levels)
    if not names or [cell.name for cell in cells] != names:
        raise RecordError(f"cells must be all of each level, in the suite's order; got {', '.join(names)[:500]}")
    return cells


def _text(array: np.ndarray, name: str) -> str:
    if array.shape:
        raise RecordError(f"{name} has shape {array.shape}; must be one text")
    return _text_list(array.reshape(1), name)[0]


def _text_list(array: np.ndarray, name: str) -> list[str]:
    if array.ndim != 1 or array.dtype.kind != "U" or array.dtype.itemsize > 4 * _MOST_TEXT or len(array) > 1000:
        raise RecordError(f"{name} is {array.dtype} of shape {array.shape}; must be a list of short texts")
    points = array.view(np.uint32)  # NumPy fails at numbers that are no characters
    texts = array.tolist() if points.max() < 128 else None
    if texts is None or not all(text.isprintable() for text in texts):
        raise RecordError(f"{name} has characters that are not allowed")
    return texts


def steps(records: Records) -> np.ndarray:
    """(r, c, n) float64, time at the end in steps."""
    return records.half_steps / HALF_STEPS_PER_STEP
