"""Demonstrations: a file of episodes that a planner has played, from which anyone can play them again.

Worlds are reproducible, so that seeds and actions tell an episode whole, its observations included. A file is
NumPy's compressed `.npz` without pickles:

    format, format_version    "babyaipp demonstrations", 1
    package_version           of the package that wrote it
    id                        environment id
    planner                   what played
    seeds                     (n,) int64: episode k is that of `reset(seed=seeds[k])`
    actions                   (a,) uint8: those of all episodes, one after the other
    offsets                   (n + 1,) int64: episode k has `actions[offsets[k] : offsets[k + 1]]`
    success                   (n,) bool
    return                    (n,) float64
    half_steps                (n,) int32: time at the end, two a step
    cause                     (n,) uint8: index in `cause_names`
    cause_names               (c,) str: success, failure, timeout or a deadly property
"""

from __future__ import annotations

import errno
import io
import time
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from babyaipp import __version__
from babyaipp.engine.state import CAUSES
from babyaipp.files import check_writable, write_whole
from babyaipp.levels import Level, Split, parse_env_id
from babyaipp.planners.protocol import make_planner
from babyaipp.planners.rollout import BATCH, Episodes, check_run, play, play_seeds
from babyaipp.tiles import DONE

FORMAT, FORMAT_VERSION = "babyaipp demonstrations", 1

_SAVE_SECONDS = 20.0
_SCALARS = {"format": "U", "format_version": "i", "package_version": "U", "id": "U", "planner": "U"}
_ARRAYS = {
    "seeds": np.int64,
    "actions": np.uint8,
    "offsets": np.int64,
    "success": np.bool_,
    "return": np.float64,
    "half_steps": np.int32,
    "cause": np.uint8,
}
_NAMES = "cause_names"


@dataclass(frozen=True)
class Demonstrations:
    """What a file holds."""

    level: Level
    split: Split
    planner: str
    """Name of what played."""
    package_version: str
    """Of the package that wrote the file."""
    episodes: Episodes

    @property
    def env_id(self) -> str:
        """Environment id."""
        return self.level.env_id(self.split)


def partial_file(path: Path) -> Path:
    """Where an unfinished run keeps its episodes: a file like the finished one, but with fewer of them."""
    return path.with_name(f"{path.name}.partial")


def record_demos(
    path: Path,
    level: Level,
    split: Split,
    planner: str,
    episodes: int,
    seed: int = 0,
    overwrite: bool = False,
    on_episodes: Callable[[int], Any] = int,
    batch: int = BATCH,
) -> Demonstrations:
    """Play episodes and write them to a file.

    A run that was interrupted, even by an exception, goes on from the episodes in `partial_file(path)`, and comes to
    the same file as one that was not.

    Args:
        path: the file.
        level: the level.
        split: one that it has.
        planner: name of what plays.
        episodes: how many.
        seed: of the first one; episode k begins from `seed + k`.
        overwrite: write over a file that is there, and begin anew.
        on_episodes: told how many episodes there are, at the beginning and after each batch.
        batch: how many are played at once, which makes no difference to them.

    Raises:
        ValueError: no such planner or number of episodes; the unfinished run is another one.
        OSError: the file is there, or cannot be written.
    """
    check_run(episodes, seed)
    player = make_planner(planner, level, split)
    check_writable(path)
    partial = partial_file(path)
    if overwrite:
        partial.unlink(missing_ok=True)
    elif path.exists():
        raise FileExistsError(
            errno.EEXIST, "the file is there already; --overwrite, or overwrite=True, writes over it", str(path)
        )
    parts = []
    if partial.exists():
        parts.append(_earlier(partial, level, split, planner, episodes, seed))
    done = sum(map(len, parts))
    on_episodes(done)

    def demonstrations() -> Demonstrations:
        return Demonstrations(level, split, planner, __version__, Episodes.joined(parts))

    saved, saved_parts = time.monotonic(), len(parts)
    try:
        for part in play(player, level, split, episodes, seed, done, batch):
            parts.append(part)
            done += len(part)
            on_episodes(done)
            if time.monotonic() - saved > _SAVE_SECONDS:
                save_demos(partial, demonstrations())
                saved, saved_parts = time.monotonic(), len(parts)
    except BaseException:
        if len(parts) > saved_parts:
            save_demos(partial, demonstrations())
        raise
    save_demos(path, demonstrations())
    partial.unlink(missing_ok=True)
    return demonstrations()


def _earlier(partial: Path, level: Level, split: Split, planner: str, episodes: int, seed: int) -> Episodes:
    """The episodes of an unfinished run."""
    earlier = load_demos(partial)
    asked = {
        "id": level.env_id(split),
        "planner": planner,
        "first seed": seed,
        "version of the package": __version__,
    }
    found = {
        "id": earlier.env_id,
        "planner": earlier.planner,
        "first seed": int(earlier.episodes.seeds[0]),
        "version of the package": earlier.package_version,
    }
    for name, value in asked.items():
        if found[name] != value:
            raise ValueError(
                f"{partial} is of an unfinished run with {name} {found[name]}, not {value}; finish that one, or "
                "remove the file"
            )
    if len(earlier.episodes) > episodes:
        raise ValueError(
            f"{partial} is of an unfinished run with {len(earlier.episodes)} episodes so far, more than {episodes}; "
            "finish that one, or remove the file"
        )
    return earlier.episodes


def save_demos(path: Path, demos: Demonstrations) -> None:
    """Write a file, whole or not at all.

    Raises:
        OSError: it cannot be written.
    """
    e = demos.episodes
    fields: dict[str, Any] = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "package_version": demos.package_version,
        "id": demos.env_id,
        "planner": demos.planner,
        "seeds": e.seeds,
        "actions": e.actions,
        "offsets": e.offsets,
        "success": e.success,
        "return": e.returns,
        "half_steps": e.half_steps,
        "cause": e.cause,
        _NAMES: CAUSES,
    }
    data = io.BytesIO()
    np.savez_compressed(data, **fields)
    write_whole(path, data.getvalue())


def load_demos(path: Path | str) -> Demonstrations:
    """Read a file and check all that can be checked without playing; `replay` does the rest.

    Raises:
        ValueError: not such a file, of another version, or damaged; says what is wrong.
        OSError: it cannot be read.
    """
    fields = _read(Path(path))
    try:
        return _checked(fields)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _read(path: Path) -> dict[str, np.ndarray]:
    not_one = ValueError(f"{path} is not a file of demonstrations, or damaged")
    with path.open("rb") as file:
        if not zipfile.is_zipfile(file):
            raise not_one
        try:
            with np.load(file, allow_pickle=False) as archive:
                return {name: archive[name] for name in archive.files}
        except (ValueError, KeyError, EOFError, OSError, zipfile.BadZipFile, zlib.error, NotImplementedError):
            raise not_one from None


def _checked(fields: dict[str, np.ndarray]) -> Demonstrations:
    if "format" not in fields or str(fields["format"]) != FORMAT:
        raise ValueError("not a file of demonstrations")
    version = fields.get("format_version", np.array("none"))
    if str(version) != str(FORMAT_VERSION):
        raise ValueError(f"format version {version}; this package reads {FORMAT_VERSION}")
    known = {*_SCALARS, *_ARRAYS, _NAMES}
    if set(fields) != known:
        missing, unknown = sorted(known - set(fields)), sorted(set(fields) - known)
        raise ValueError(f"missing fields {missing}, unknown fields {unknown}")
    for name, kind in (*_SCALARS.items(), (_NAMES, "U")):
        if fields[name].dtype.kind != kind or fields[name].ndim != (name == _NAMES):
            raise ValueError(f"{name}: {_told(fields[name])}; allowed: {'text' if kind == 'U' else 'an integer'}")
    count = len(np.atleast_1d(fields["seeds"]))
    for name, dtype in _ARRAYS.items():
        length = {"actions": fields["actions"].size, "offsets": count + 1}.get(name, count)
        if fields[name].dtype != dtype or fields[name].shape != (length,):
            allowed = f"{np.dtype(dtype).name} of shape {(length,)}"
            raise ValueError(f"{name}: {_told(fields[name])}; allowed: {allowed}")
    level, split = parse_env_id(str(fields["id"]))
    names = fields[_NAMES].tolist()
    causes, lengths = fields["cause"], np.diff(fields["offsets"])
    for sound, why in (
        (count > 0, "no episodes"),
        ((fields["seeds"] >= 0).all(), "seeds must be at least 0"),
        (fields["offsets"][0] == 0 and fields["offsets"][-1] == len(fields["actions"]), "offsets do not fit actions"),
        ((lengths > 0).all(), "offsets must grow: no episode is without actions"),
        ((fields["actions"] <= DONE).all(), f"actions must be 0 to {DONE}"),
        (set(names) <= set(CAUSES), f"cause_names must be of {', '.join(filter(None, CAUSES))}; got {names}"),
        ((causes < len(names)).all(), "cause does not fit cause_names"),
    ):
        if not sound:
            raise ValueError(why)
    numbers = np.array([CAUSES.index(name) for name in names], np.uint8)
    episodes = Episodes(
        seeds=fields["seeds"],
        half_steps=fields["half_steps"],
        returns=fields["return"],
        cause=numbers[causes],
        actions=fields["actions"],
        offsets=fields["offsets"],
    )
    if (episodes.cause == 0).any() or (episodes.success != fields["success"]).any():
        raise ValueError("cause does not fit success")
    return Demonstrations(level, split, str(fields["planner"]), str(fields["package_version"]), episodes)


def _told(array: np.ndarray) -> str:
    return f"{array.dtype} of shape {array.shape}"


def replay(demos: Demonstrations, batch: int = BATCH) -> None:
    """Play demonstrations again on the engine.

    Raises:
        ValueError: an episode goes another way than they say; names it.
    """
    told = demos.episodes
    for start in range(0, len(told), batch):
        rows = range(start, min(start + batch, len(told)))
        played = play_seeds(_Recorded(told, rows), demos.level, demos.split, told.seeds[start : rows.stop].tolist())
        for k, row in enumerate(rows):
            one, other = _outcome(told, row), _outcome(played, k)
            if one != other:
                raise ValueError(
                    f"episode {row}, seed {told.seeds[row]} of {demos.env_id}: the engine gives {other}, the "
                    f"demonstrations tell {one}"
                )


class _Recorded:
    """A planner that does what some episodes tell, and after their end nothing."""

    def __init__(self, episodes: Episodes, rows: range) -> None:
        self._actions, self._first = episodes.actions, episodes.offsets[rows.start : rows.stop]
        self._last = episodes.offsets[rows.start + 1 : rows.stop + 1] - 1

    def reset(self, worlds: np.ndarray) -> None:
        """Nothing to forget."""

    def act(self, worlds: np.ndarray) -> np.ndarray:
        """(n,) int64."""
        places = self._first + worlds["steps"]
        over = places > self._last
        return np.where(over, DONE, self._actions[np.where(over, 0, places)]).astype(np.int64)


def _outcome(episodes: Episodes, row: int) -> str:
    return (
        f"{CAUSES[episodes.cause[row]]} with return {episodes.returns[row]:.17g} after {episodes.lengths[row]} actions "
        f"and {episodes.half_steps[row] / 2:g} steps"
    )
