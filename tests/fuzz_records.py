"""Damages a sound file of episodes in thousands of ways: each is refused, or has the same outcomes.

`python tests/fuzz_records.py [--count 10000] [--seed 0]` tells of each kind of damage how often it was refused, and
what took longest; the exit status is 1 if anything else came of one than a `RecordError` or the same outcomes.
`test_fuzz_records.py` runs a part of it. Damage k of a seed is always the same.
"""

from __future__ import annotations

import argparse
import io
import lzma
import resource
import struct
import sys
import tempfile
import time
import traceback
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from played import records

from babyaipp.engine.state import CAUSES
from babyaipp.evaluation import packing
from babyaipp.evaluation.packing import BASE, LZMA
from babyaipp.evaluation.protocol import SUITES
from babyaipp.evaluation.records import RecordError, Records, load_records, save_records
from babyaipp.evaluation.replay import replay

EPISODES = 3
_SLOW_SECONDS, _MUCH_MEGABYTES = 5, 500  # of one damage; of all together

_SIGNATURES = (b"PK\1\2", b"PK\3\4", b"PK\5\6")
_HEADER_BYTES = 46
_EXTREMES = (0, 1, 2, 3, 7, 127, 128, 255, 256, 2**15, 2**16 - 1, 2**16, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1)
_DTYPES = (
    "?",
    "i1",
    "u1",
    "i2",
    "u2",
    "i4",
    "i8",
    "u8",
    "f2",
    "f8",
    "c16",
    "U0",
    "U3",
    "S3",
    "M8[s]",
    "V4",
    ">i8",
    "O",
)
_TEXTS = (*("", "1", "1.0", "nan", "\0", "\ud800", "\U0010ffff", "a" * 300, "../x", "<b>", "{}", "%s"), BASE, LZMA)

Random = np.random.Generator
Damage = Callable[[Random, bytes], bytes]


def outcomes(path: Path) -> tuple[Any, ...]:
    """What scores follow from, once a file has been checked and played again.

    Other actions, also more or fewer of them, may come to the same.
    """
    told = load_records(path, EPISODES)
    arrays = (replay(told), told.cause, told.half_steps)
    return (told.suite.name, tuple(cell.name for cell in told.cells), *(array.tolist() for array in arrays))


# The bytes of the file


def flipped(random: Random, data: bytes) -> bytes:
    """Some bits turned."""
    out = bytearray(data)
    for place in random.integers(0, len(out), random.integers(1, 9)).tolist():
        out[place] ^= 1 << int(random.integers(8))
    return bytes(out)


def spliced(random: Random, data: bytes) -> bytes:
    """Some bytes taken out, put in, written over, or moved."""
    at, size = int(random.integers(len(data))), int(random.choice((1, 2, 4, 40, 400)))
    there = data[at : at + size]
    other = int(random.integers(len(data)))
    new = random.choice(5)
    put = (b"", there * 2, bytes(len(there)), random.bytes(size), data[other : other + size])[new]
    return data[:at] + put + data[at + size :]


def cut(random: Random, data: bytes) -> bytes:
    """The beginning, or the end."""
    at = int(random.integers(len(data)))
    return data[:at] if random.random() < 0.7 else data[at:]


def lied(random: Random, data: bytes) -> bytes:
    """Numbers in what the archive tells of its members and of itself: sizes, checksums, places, methods."""
    out = bytearray(data)
    places = [at for signature in _SIGNATURES for at in _places(data, signature)]
    for at in random.choice(places, random.integers(1, 3)).tolist():
        size = int(random.choice((1, 2, 4)))
        begin = at + 4 + int(random.integers((_HEADER_BYTES - 4) // size)) * size
        if begin + size <= len(out):
            before = int.from_bytes(out[begin : begin + size], "little")
            value = int(random.choice((before + 1, before - 1, before * 2, int(random.choice(_EXTREMES)))))
            out[begin : begin + size] = (value % 256**size).to_bytes(size, "little")
    return bytes(out)


def inflated(random: Random, data: bytes) -> bytes:
    """A member of another size than it tells, wherever it tells it, and often with the checksum of what it tells."""
    parts = _members(data)
    name = str(random.choice(list(parts)))
    parts[name] += bytes(int(random.choice((1, 100, 10**6)))) if random.random() < 0.7 else b""
    told = int(random.choice((0, 1, 64, len(parts[name]) - 1, len(parts[name]) + 1, 2**25, 2**31, 2**32 - 1)))
    out = bytearray(_zipped(parts))
    checksum = zlib.crc32(parts[name][:told])
    for signature, crc_at, name_at in ((b"PK\1\2", 16, 46), (b"PK\3\4", 14, 30)):
        for at in _places(bytes(out), signature):
            if out[at + name_at :].startswith(name.encode()):
                out[at + crc_at + 8 : at + crc_at + 12] = struct.pack("<I", told)
                if random.random() < 0.8:
                    out[at + crc_at : at + crc_at + 4] = struct.pack("<I", checksum)
    return bytes(out)


# Its members


def rezipped(random: Random, data: bytes) -> bytes:
    """Members swapped, dropped, doubled, renamed, in another order, or in another compression."""
    parts = list(_members(data).items())
    one, other = random.choice(len(parts), 2, replace=False).tolist()
    method = zipfile.ZIP_DEFLATED
    match int(random.integers(6)):
        case 0:
            parts[one], parts[other] = (parts[one][0], parts[other][1]), (parts[other][0], parts[one][1])
        case 1:
            del parts[one]
        case 2:
            parts.insert(other, parts[one])
        case 3:
            names = ("x.npy", "../x.npy", "/x.npy", "", parts[other][0], parts[one][0].upper(), "\xfc.npy", "a" * 7000)
            parts[one] = (str(random.choice(names)), parts[one][1])
        case 4:
            random.shuffle(parts)
        case 5:
            method = int(random.choice((zipfile.ZIP_STORED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)))
    return _zipped(parts, method)


def member_damaged(random: Random, data: bytes) -> bytes:
    """The bytes of a member damaged, with the right checksum: an array's header, or what it holds."""
    parts = _members(data)
    name = str(random.choice(list(parts)))
    damage = (flipped, spliced, cut)[random.integers(3)]
    head = 128 if random.random() < 0.5 else len(parts[name])
    parts[name] = damage(random, parts[name][:head]) + parts[name][head:]
    return _zipped(parts)


# Its arrays


def element_changed(random: Random, data: bytes) -> bytes:
    """Elements of an array set to others."""
    arrays = _arrays(data)
    name = str(random.choice([name for name, array in arrays.items() if array.dtype.kind in "ui"]))
    array = arrays[name].reshape(-1).copy()
    for place in random.integers(0, len(array), random.integers(1, 4)).tolist():
        before = int(array[place])
        value = int(random.choice((before + 1, before - 1, int(random.choice(_EXTREMES)))))
        array[place] = value % 256**array.itemsize if array.dtype.kind == "u" else value % 2**63
    return _saved(random, arrays | {name: array.reshape(arrays[name].shape)})


def rearranged(random: Random, data: bytes) -> bytes:
    """An array turned, rolled, cut or repeated along an axis, or of another shape."""
    arrays = _arrays(data)
    name = str(random.choice([name for name, array in arrays.items() if array.ndim]))
    array = arrays[name]
    axis = int(random.integers(array.ndim))
    turned = (
        lambda: np.roll(array, 1, axis),
        lambda: np.flip(array, axis),
        lambda: np.delete(array, int(random.integers(array.shape[axis])), axis),
        lambda: np.repeat(array, 2, axis),
        lambda: np.moveaxis(array, axis, 0),
        lambda: array.reshape(-1),
        lambda: array[None],
        lambda: array.take([], axis),
        lambda: np.asfortranarray(array),
    )
    return _saved(random, arrays | {name: turned[random.integers(len(turned))]()})


def retyped(random: Random, data: bytes) -> bytes:
    """A field of another type, or of any value."""
    arrays = _arrays(data)
    name = str(random.choice(list(arrays)))
    dtype = str(random.choice(_DTYPES))
    if random.random() < 0.5:
        shape = tuple(random.integers(0, 4, random.integers(0, 4)).tolist())
        array = np.frombuffer(random.bytes(2**12), np.uint8)[: int(np.prod(shape, dtype=int)) * 8]
        array = np.resize(array, shape)
    else:
        array = arrays[name]
    try:
        array = array.astype(dtype) if random.random() < 0.7 else np.asarray(str(random.choice(_TEXTS)))
    except (TypeError, ValueError):
        array = np.full(array.shape, np.nan)
    return _saved(random, arrays | {name: array})


def claimed(random: Random, data: bytes) -> bytes:
    """What is told of an episode, or of many, made better."""
    arrays = _arrays(data)
    cause, half_steps, lengths = (arrays[name].copy() for name in ("cause", "half_steps", "lengths"))
    success = CAUSES.index("success")
    chosen = random.random(cause.shape) < random.choice((0.02, 0.1, 1))
    match int(random.integers(4)):
        case 0:
            cause[chosen] = success
        case 1:
            half_steps[chosen] = np.maximum(half_steps[chosen] // 2, 1)
        case 2:
            cause[chosen], half_steps[chosen] = success, 2 * lengths[chosen]
        case 3:
            cause[:], half_steps[:] = np.roll(cause, 1, 2), np.roll(half_steps, 1, 2)
    return _saved(random, arrays | {"cause": cause, "half_steps": half_steps})


def replayed(random: Random, data: bytes) -> bytes:
    """Other actions, soundly packed: some changed, put in, left out, or those of other episodes."""
    arrays = _arrays(data)
    lengths = arrays["lengths"].copy()
    flat = lengths.reshape(-1)
    actions = packing.unpack(str(arrays["packing"]), arrays["actions"], int(flat.sum()))
    episodes = np.split(actions, np.cumsum(flat)[:-1])
    one, other = random.choice(len(episodes), 2, replace=False).tolist()
    at = int(random.integers(len(episodes[one])))
    match int(random.integers(6)):
        case 0:
            episodes[one] = episodes[one].copy()
            episodes[one][at] = random.integers(7)
        case 1:
            episodes[one] = np.insert(episodes[one], at, random.integers(7))
        case 2:
            episodes[one] = np.delete(episodes[one], at)
        case 3:
            episodes[one], episodes[other] = episodes[other], episodes[one]
        case 4:
            episodes[one] = np.concatenate([episodes[one], episodes[other]])
        case 5:
            episodes[one], episodes[other] = np.append(episodes[one], episodes[other][:1]), episodes[other][1:]
    if random.random() < 0.8:
        flat[:] = [len(each) for each in episodes]
    kind, packed = _packed(np.concatenate(episodes), random)
    return _saved(random, arrays | {"lengths": lengths, "actions": packed, "packing": np.asarray(kind)})


def packed_otherwise(random: Random, data: bytes) -> bytes:
    """The packed actions damaged, unknown actions among them, or many more of them than are told."""
    arrays = _arrays(data)
    actions = packing.unpack(str(arrays["packing"]), arrays["actions"], int(arrays["lengths"].sum()))
    kind, packed = _packed(actions, random)
    match int(random.integers(4)):
        case 0:
            packed = np.frombuffer(flipped(random, packed.tobytes()), np.uint8)
        case 1:
            packed = np.frombuffer(spliced(random, packed.tobytes()), np.uint8)
        case 2:
            actions = actions.copy()
            actions[random.integers(len(actions))] = random.integers(7, 256)
            kind, packed = LZMA, _squeezed(actions)
        case 3:
            kind, packed = LZMA, _squeezed(np.zeros(int(random.choice((0, 1, 10**6, 10**7))), np.uint8))
            arrays["lengths"] = np.full_like(arrays["lengths"], random.choice((1, 2**15, 2**16 - 1)))
    return _saved(random, arrays | {"actions": packed, "packing": np.asarray(kind)})


def named_otherwise(random: Random, data: bytes) -> bytes:
    """Other cells, suites, causes, runs or seeds."""
    arrays = _arrays(data)
    cells = [cell.name for suite in SUITES.values() for cell in suite.cells()]
    match int(random.integers(5)):
        case 0:
            names = arrays["cells"].astype("U60")
            names[random.integers(len(names))] = random.choice(cells)
            change = {"cells": names}
        case 1:
            change = {"suite": np.asarray(str(random.choice([*SUITES, "none"])))}
        case 2:
            change = {"causes": random.permutation(arrays["causes"])[: random.integers(1, 20)]}
        case 3:
            change = {"runs": random.integers(-2, 5, len(arrays["runs"]))}
        case _:
            change = {"seeds": arrays["seeds"] + random.integers(-1, 2, len(arrays["seeds"]))}
    return _saved(random, arrays | change)


DAMAGES: tuple[Damage, ...] = (
    *(flipped, spliced, cut, lied, inflated, rezipped, member_damaged),
    *(element_changed, rearranged, retyped, claimed, replayed, packed_otherwise, named_otherwise),
)


# Reading and writing parts of archives


def _places(data: bytes, part: bytes) -> list[int]:
    places, at = [], data.find(part)
    while at >= 0:
        places.append(at)
        at = data.find(part, at + 1)
    return places


def _members(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _zipped(parts: dict[str, bytes] | list[tuple[str, bytes]], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name, content in parts.items() if isinstance(parts, dict) else parts:
            archive.writestr(zipfile.ZipInfo(name), content, method)
    return data.getvalue()


def _arrays(data: bytes) -> dict[str, np.ndarray]:
    with np.load(io.BytesIO(data)) as archive:
        return dict(archive)


def _saved(random: Random, arrays: dict[str, np.ndarray]) -> bytes:
    data = io.BytesIO()
    (np.savez if random.random() < 0.5 else np.savez_compressed)(data, **arrays)
    return data.getvalue()


def _squeezed(actions: np.ndarray) -> np.ndarray:
    data = lzma.compress(actions.tobytes(), lzma.FORMAT_RAW, filters=packing._FILTERS)
    return np.frombuffer(data, np.uint8)


def _packed(actions: np.ndarray, random: Random) -> tuple[str, np.ndarray]:
    if random.random() < 0.5:
        return LZMA, _squeezed(actions)
    return BASE, packing._pack_digits(actions)


# All of it


@dataclass
class Tally:
    """What came of it."""

    tried: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    """Those that neither were refused nor had the same outcomes."""
    slowest: tuple[float, str] = (0.0, "")


def sound_files(folder: Path) -> tuple[list[bytes], Records]:
    """The same records in the two packings, as this package and as NumPy save them."""
    told = records("reading", ("CrossTwo",), (3, 8), EPISODES)
    save_records(folder / "sound.npz", told)
    own = (folder / "sound.npz").read_bytes()
    arrays = _arrays(own)
    files = [own]
    for kind, data in ((BASE, packing._pack_digits(told.actions)), (LZMA, _squeezed(told.actions))):
        files.append(_saved(np.random.default_rng(0), arrays | {"packing": np.asarray(kind), "actions": data}))
    return files, told


def fuzz(folder: Path, count: int, seed: int = 0, on_damage: Callable[[int], Any] = int) -> Tally:
    """Damage files so many times, and look what comes of it.

    Args:
        folder: for files.
        count: of damages.
        seed: of the first one; damage k is that of the random stream (seed, k).
        on_damage: told how many have been tried, after each.
    """
    files, _ = sound_files(folder)
    path = folder / "damaged.npz"
    expected = []
    for data in files:
        path.write_bytes(data)
        expected.append(outcomes(path))
    assert expected[0] == expected[1] == expected[2]
    tally = Tally()
    for k in range(count):
        random = np.random.default_rng((seed, k))
        damage = DAMAGES[k % len(DAMAGES)]
        name = damage.__name__
        data = files[random.integers(len(files))]
        damaged = damage(random, data)
        while random.random() < 0.1:
            damaged = flipped(random, damaged) if damaged else damaged
        path.write_bytes(damaged)
        tally.tried[name] += 1
        began = time.monotonic()
        try:
            got = outcomes(path)
        except RecordError as error:
            tally.refused[name] += 1
            if len(str(error)) > 1500 or not str(error).isprintable():
                tally.wrong.append(f"damage {k} of seed {seed}, {name}: a message that is no line: {str(error)!r}")
        except Exception:
            tally.wrong.append(f"damage {k} of seed {seed}, {name}:\n{traceback.format_exc()}")
        else:
            if got != expected[0]:
                tally.wrong.append(f"damage {k} of seed {seed}, {name}: accepted with other outcomes")
        tally.slowest = max(tally.slowest, (time.monotonic() - began, f"damage {k}, {name}"))
        on_damage(k + 1)
    return tally


def main() -> int:
    """Run it; 1 if anything is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        fuzz(Path(folder), 1)  # compiles
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        tally = fuzz(Path(folder), arguments.count, arguments.seed)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    for damage in DAMAGES:
        name = damage.__name__
        print(f"{name:18} {tally.tried[name]:6} tried, {tally.refused[name]:6} refused")
    print(f"{sum(tally.refused.values())} of {arguments.count} refused, the others have the same outcomes")
    print(f"slowest: {tally.slowest[0]:.2f} s, {tally.slowest[1]}; memory grew by {grown:.0f} MB at most")
    for wrong in tally.wrong:
        print(f"WRONG: {wrong}")
    return int(bool(tally.wrong) or tally.slowest[0] > _SLOW_SECONDS or grown > _MUCH_MEGABYTES)


if __name__ == "__main__":
    sys.exit(main())
