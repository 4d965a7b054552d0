"""Damages a sound entry of the leaderboard in thousands of ways: each is refused, or has the same scores.

`python tests/fuzz_entries.py [--count 10000] [--seed 0]` tells of each kind of damage how often it was refused, and
what took longest; the exit status is 1 if anything else came of one. `test_fuzz_entries.py` runs a part of it. Damage k
of a seed is always the same. Those of `fuzz_records.py` are among them: once as they are, and once with the hash of
the damaged file in `entry.json`, as a forger would write it.
"""

from __future__ import annotations

import argparse
import copy
import hashlib
import json
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fuzz_records
import numpy as np
from entries import EPISODES, NAME, make_entry, verify
from fuzz_records import Random, Tally, outcomes

from babyaipp.evaluation.protocol import SUITES
from babyaipp.leaderboard.entry import ENTRY_FILE, EPISODES_FILE, MOST_ENTRY_BYTES

_SLOW_SECONDS = 5  # of one damage
_MOST_LINE = 1500

Files = dict[str, bytes]
Damage = Callable[[Random, Files], Files]

_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 0.5, 1.0, -0.0, 1e-300, 1e300, 2**31, 2**53 + 1, 2**63, 2**64, -(2**63), 10**25),
    *("", "1", "1.0", "nan", "true", "../x", "<script>alert(1)</script>", "a\nb", "\0", "\u202e", "\ud800", "{}", "%s"),
    *([], {}, [[]], [0], [""], {"": 0}, {"__proto__": {}}, ["x"] * 200, "x" * 5000),
    *SUITES,
)
_RAW = ("NaN", "Infinity", "-Infinity", "1e999", "-1e999", "1" * 5000, "0x10", "01", "1.", "'x'", "[" * 5000, "\ufeff")


def scores(folder: Path) -> tuple[Any, ...] | None:
    """What the board would show of an accepted entry's results; None: it is refused.

    The scores as claimed, those worked out, and what these follow from.
    """
    verdict = verify(folder)
    if not verdict.sound:
        for line in verdict.refusals:
            assert line.isprintable(), f"a message that is no line: {line!r}"
            assert len(line) <= _MOST_LINE, f"a long message: {line!r}"
        return None
    assert verdict.entry is not None
    assert verdict.records is not None
    assert verdict.report is not None
    entry = verdict.entry
    claimed = entry.model_dump(
        mode="json", include={"summary", "protocol", "suite", "name", "levels", "training_seeds"}
    )
    worked_out = {name: value for name, value in verdict.report.items() if name != "package_version"}
    return claimed, worked_out, verdict.unranked, outcomes(folder / EPISODES_FILE)


# entry.json


def _bytes_damaged(random: Random, files: Files) -> Files:
    kind = (fuzz_records.flipped, fuzz_records.spliced, fuzz_records.cut)[int(random.integers(3))]
    return files | {ENTRY_FILE: kind(random, files[ENTRY_FILE])}


def _places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at, *(place for key, each in pairs for place in _places(each, (*at, key)))]


def _part(value: Any, at: tuple[Any, ...]) -> Any:
    for key in at:
        value = value[key]
    return value


def _drawn(random: Random, told: Any, summary: bool = False) -> tuple[Any, Any]:
    """A part of the entry that has parts, and the key of one of them."""
    places = [place for place in _places(told) if place and (not summary or place[0] == "summary")]
    *way, key = places[int(random.integers(len(places)))]
    return _part(told, tuple(way)), key


def value_changed(random: Random, files: Files) -> Files:
    """Another value in one place or a few."""
    told = json.loads(files[ENTRY_FILE])
    for _ in range(int(random.integers(1, 4))):
        part, key = _drawn(random, told)
        part[key] = copy.deepcopy(_VALUES[int(random.integers(len(_VALUES)))])
    return files | {ENTRY_FILE: json.dumps(told).encode()}


def value_edged(random: Random, files: Files) -> Files:
    """A number a little or much larger, a text longer, a list in another order."""
    told = json.loads(files[ENTRY_FILE])
    part, key = _drawn(random, told)
    value = part[key]
    if isinstance(value, str):
        at = int(random.integers(len(value) + 1))
        part[key] = value[:at] + str(random.choice(["a", " ", "\n", "\x1b", "\u2066", "<b>", "x" * 300])) + value[at:]
    elif isinstance(value, list):
        part[key] = [value[int(i)] for i in random.integers(len(value), size=int(random.integers(len(value) + 2)))]
    elif isinstance(value, (int, float)):
        part[key] = value + float(random.choice([1, -1, 0.5, 1e-5, -1e-5, 1e-16, 1e9]))
    elif isinstance(value, dict):
        part[key] = dict(reversed(value.items()))
    return files | {ENTRY_FILE: json.dumps(told).encode()}


def summary_edited(random: Random, files: Files) -> Files:
    """The claims: another number, one left out, or one from elsewhere."""
    told = json.loads(files[ENTRY_FILE])
    part, key = _drawn(random, told, summary=True)
    match int(random.integers(4)):
        case 0 if isinstance(part[key], float):
            part[key] += float(random.choice([1e-5, -1e-5, 1e-12, 0.1, 1.0, -1.0]))
        case 1 if isinstance(part, dict):
            del part[key]
        case 2 if isinstance(part, dict):
            part[str(random.choice(["x", "CrossMany", "trust", "iqm"]))] = copy.deepcopy(part[key])
        case _:
            other, other_key = _drawn(random, told, summary=True)
            part[key] = copy.deepcopy(other[other_key])
    return files | {ENTRY_FILE: json.dumps(told).encode()}


def keys_changed(random: Random, files: Files) -> Files:
    """Fields left out, added, renamed, or there twice."""
    told = json.loads(files[ENTRY_FILE])
    text = json.dumps(told)
    part, key = _drawn(random, told)
    if not isinstance(part, dict):
        part, key = told, str(random.choice(list(told)))
    match int(random.integers(4)):
        case 0:
            del part[key]
        case 1:
            part[str(random.choice(["x", "", "curve", "badges", "replayed", "\x1b[0m", "a" * 300]))] = 1
        case 2:
            part[str(key).upper()] = part.pop(key)
        case _:
            field = json.dumps(str(key))
            value = json.dumps(_VALUES[int(random.integers(len(_VALUES)))])
            return files | {ENTRY_FILE: text.replace(f"{field}: ", f"{field}: {value}, {field}: ", 1).encode()}
    return files | {ENTRY_FILE: json.dumps(told).encode()}


def raw_json(random: Random, files: Files) -> Files:
    """What JSON does not have, or has too much of, in the place of a value."""
    told = json.loads(files[ENTRY_FILE])
    part, key = _drawn(random, told)
    part[key] = "@here@"
    raw = str(random.choice(_RAW))
    return files | {ENTRY_FILE: json.dumps(told).replace('"@here@"', raw, 1).encode()}


def encoded_otherwise(random: Random, files: Files) -> Files:
    """Another encoding, white space, or a size."""
    text = files[ENTRY_FILE].decode()
    match int(random.integers(5)):
        case 0:
            data = text.encode(str(random.choice(["utf-16", "utf-32", "utf-8-sig", "utf-7"])))
        case 1:
            data = text.encode("latin-1")
        case 2:
            data = json.dumps(json.loads(text), indent=int(random.integers(9))).encode()
        case 3:
            data = (text + " " * int(random.integers(2 * MOST_ENTRY_BYTES))).encode()
        case _:
            data = random.bytes(int(random.integers(1000)))
    return files | {ENTRY_FILE: data}


# episodes.npz


def _sealed(files: Files, episodes: bytes) -> Files:
    told = json.loads(files[ENTRY_FILE])
    told["episodes_sha256"] = hashlib.sha256(episodes).hexdigest()
    return {ENTRY_FILE: json.dumps(told).encode(), EPISODES_FILE: episodes}


def _of_records(damage: fuzz_records.Damage, sealed: bool) -> Damage:
    def damaged(random: Random, files: Files) -> Files:
        episodes = damage(random, files[EPISODES_FILE])
        return _sealed(files, episodes) if sealed else files | {EPISODES_FILE: episodes}

    damaged.__name__ = f"{damage.__name__}_{'sealed' if sealed else 'unsealed'}"
    return damaged


def swapped(random: Random, files: Files) -> Files:
    """Runs or cells changed places, with or without what tells which they are."""
    arrays = fuzz_records._arrays(files[EPISODES_FILE])
    names = [name for name in ("lengths", "cause", "half_steps") if random.random() < 0.8]
    axis = int(random.integers(3))
    order = random.permutation(arrays["lengths"].shape[axis])
    arrays |= {name: np.take(arrays[name], order, axis) for name in names}
    if axis == 0 and random.random() < 0.5:
        arrays["runs"] = arrays["runs"][order]
    return _sealed(files, fuzz_records._saved(random, arrays))


def success_claimed(random: Random, files: Files) -> Files:
    """Episodes that are told to end well, and now and then scores that say so, too."""
    arrays = fuzz_records._arrays(files[EPISODES_FILE])
    success = arrays["causes"].tolist().index("success")
    cause = arrays["cause"].copy()
    chosen = random.random(cause.shape) < random.choice([0.05, 0.5, 1.0])
    cause[chosen] = success
    made = _sealed(files, fuzz_records._saved(random, arrays | {"cause": cause}))
    return summary_edited(random, made) if random.random() < 0.3 else made


# The folder


def files_exchanged(random: Random, files: Files) -> Files:
    """Files renamed, left out, added or empty."""
    one = str(random.choice(list(files)))
    match int(random.integers(5)):
        case 0:
            return {name: data for name, data in files.items() if name != one}
        case 1:
            return files | {str(random.choice(["x", ".x", "curve.json", "badges.json", "entry.json.bak"])): b"{}"}
        case 2:
            return files | {one: b""}
        case 3:
            return {ENTRY_FILE: files[EPISODES_FILE], EPISODES_FILE: files[ENTRY_FILE]}
        case _:
            return {name.upper() if name == one else name: data for name, data in files.items()}


_OF_ENTRY: tuple[Damage, ...] = (
    *(_bytes_damaged, value_changed, value_edged, summary_edited, keys_changed, raw_json, encoded_otherwise),
    *(swapped, success_claimed, files_exchanged),
)
DAMAGES: tuple[Damage, ...] = (
    *_OF_ENTRY,
    *(_of_records(damage, sealed=True) for damage in fuzz_records.DAMAGES),
    *(_of_records(damage, sealed=False) for damage in fuzz_records.DAMAGES[:3]),
)


def fuzz(folder: Path, count: int, seed: int = 0, on_damage: Callable[[int], Any] = int) -> Tally:
    """Damage an entry so many times, and look what comes of it.

    Args:
        folder: for files.
        count: of damages.
        seed: of the first one; damage k is that of the random stream (seed, k).
        on_damage: told how many have been tried, after each.
    """
    entry = make_entry(folder / "sound")
    files = {file.name: file.read_bytes() for file in entry.iterdir()}
    expected = scores(entry)
    assert expected is not None
    tally = Tally()
    for k in range(count):
        random = np.random.default_rng((seed, k))
        damage = DAMAGES[k % len(DAMAGES)]
        name = damage.__name__
        damaged = damage(random, files)
        while random.random() < 0.1:
            damaged = summary_edited(random, files | damaged) if _is_whole(damaged) else damaged
        made = folder / "damaged" / NAME
        made.mkdir(parents=True)
        for file, data in damaged.items():
            (made / file).write_bytes(data)
        tally.tried[name] += 1
        began = time.monotonic()
        try:
            got = scores(made)
        except Exception:
            tally.wrong.append(f"damage {k} of seed {seed}, {name}:\n{traceback.format_exc()}")
        else:
            if got is None:
                tally.refused[name] += 1
            elif got != expected:
                tally.wrong.append(f"damage {k} of seed {seed}, {name}: accepted with other scores")
        tally.slowest = max(tally.slowest, (time.monotonic() - began, f"damage {k}, {name}"))
        shutil.rmtree(made)
        on_damage(k + 1)
    return tally


def _is_whole(files: Files) -> bool:
    """Whether the entry can still be read, so that its summary can be edited besides."""
    try:
        told = json.loads(files[ENTRY_FILE])
        return isinstance(told["summary"], dict) and bool(told["summary"])
    except (KeyError, TypeError, ValueError, RecursionError):
        return False


def main() -> int:
    """Run it; 1 if anything is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        fuzz(Path(folder), 1)  # compiles
    with tempfile.TemporaryDirectory() as folder:
        tally = fuzz(Path(folder), arguments.count, arguments.seed)
    for damage in DAMAGES:
        name = damage.__name__
        print(f"{name:28} {tally.tried[name]:6} tried, {tally.refused[name]:6} refused")
    print(f"{sum(tally.refused.values())} of {arguments.count} refused, the others have the same scores")
    print(f"slowest: {tally.slowest[0]:.2f} s, {tally.slowest[1]}; {EPISODES} episodes a cell")
    for wrong in tally.wrong:
        print(f"WRONG: {wrong}")
    return int(bool(tally.wrong) or tally.slowest[0] > _SLOW_SECONDS)


if __name__ == "__main__":
    sys.exit(main())
