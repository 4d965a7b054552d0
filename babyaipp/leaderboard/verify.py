"""Verifies entries: plays every episode again on the engine, and works out every score anew, without the agent.

Nothing in an entry is run or unpacked before its size is checked, and nothing but `entry.json` and `episodes.npz` may
stand in its folder.
"""

from __future__ import annotations

import hashlib
import math
import os
import stat
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from babyaipp.engine.replay import replay_episodes
from babyaipp.evaluation.anchors import Anchors, load_anchors
from babyaipp.evaluation.protocol import EPISODES, RANKED_SEEDS
from babyaipp.evaluation.records import MOST_BYTES, Records, episode_seeds, load_records
from babyaipp.evaluation.replay import replay, replay_reference
from babyaipp.evaluation.scores import Results, differences, score
from babyaipp.leaderboard.entry import (
    BOARD,
    ENTRY_FILE,
    EPISODES_FILE,
    MOST_ENTRY_BYTES,
    Entry,
    EntryError,
    check_name,
    parse_entry,
    short,
)

BADGES_FILE = "badges.json"
FILES = (ENTRY_FILE, EPISODES_FILE)
_SUITE_BYTES = {"reading": 2 * 2**20}
"""Of `episodes.npz` with `RANKED_SEEDS` runs; in suites that are not named, and at most, `MOST_BYTES`."""
_MOST_NAMED = 10


@dataclass(frozen=True)
class Verdict:
    """What verifying an entry found.

    Attributes:
        name: of its folder.
        refusals: why it is refused, a line each, which names a file and a field or an episode; none: it is sound.
        entry: what it tells; None: that cannot be read.
        records: its episodes; None: they cannot be read.
        report: all scores, as `babyaipp.evaluation.scores.score` gives them; None: episodes go another way than told.
        unranked: why it is not ranked, a line each; none: it is, if it is sound.
        seconds: what playing the episodes again took.
        referenced: how many episodes were also played on the reference environment.
    """

    name: str
    refusals: tuple[str, ...]
    entry: Entry | None = None
    records: Records | None = None
    report: dict[str, Any] | None = field(default=None, repr=False)
    unranked: tuple[str, ...] = ()
    seconds: float = 0.0
    referenced: int = 0

    @property
    def sound(self) -> bool:
        """Whether all that can be verified is true."""
        return not self.refusals

    @property
    def ranked(self) -> bool:
        """Whether it is sound and takes part in the ranking."""
        return self.sound and not self.unranked

    @property
    def episodes(self) -> int:
        """How many episodes were played again."""
        return 0 if self.records is None else self.records.lengths.size

    @property
    def steps(self) -> int:
        """How many actions they have."""
        return 0 if self.records is None else len(self.records.actions)


def most_episode_bytes(suite: str, runs: int) -> int:
    """How large `episodes.npz` may be; entries with more than `RANKED_SEEDS` runs may have more."""
    return min(_SUITE_BYTES.get(suite, MOST_BYTES) * max(1, math.ceil(runs / RANKED_SEEDS)), MOST_BYTES)


def find_entries(path: Path) -> tuple[Path, ...]:
    """The folder of an entry itself, or all that stands in a folder of entries but the badges.

    Raises:
        ValueError: there are no entries.
        OSError: it cannot be read.
    """
    if not path.is_dir():
        raise ValueError(f"{path} is no folder")
    names = sorted(child.name for child in path.iterdir())
    if set(names) & set(FILES):
        return (path,)
    if BOARD in names:
        raise ValueError(f"{path} holds boards: give {path / BOARD}")
    folders = tuple(path / name for name in names if name != BADGES_FILE)
    if not folders:
        raise ValueError(f"{path} holds no entries")
    return folders


def verify_entry(
    folder: Path,
    *,
    anchors: Anchors | None = None,
    episodes: int = EPISODES,
    num_threads: int = 1,
    reference: int = 0,
    reference_seed: int = 0,
) -> Verdict:
    """Verify an entry.

    Args:
        folder: its folder.
        anchors: what the planners reach; None: those of the package.
        episodes: that each cell must have.
        num_threads: the verdict does not depend on it.
        reference: so many episodes are also played on the reference environment.
        reference_seed: of the draw of these.

    Raises:
        OSError: the package's anchors cannot be read; what is wrong with the entry is told in the verdict.
    """
    anchors = load_anchors() if anchors is None else anchors
    name = folder.resolve().name if folder.name in ("", "..") else folder.name
    verdict = Verdict(name if name.isascii() and name.isprintable() else short(name), ())
    try:
        data, size = _files(folder, name)
        entry = parse_entry(data)
    except (EntryError, OSError) as error:
        return replace(verdict, refusals=_lines(error))
    found = [] if entry.name == name else [f"{ENTRY_FILE}: name={entry.name!r} must be that of the folder"]
    verdict = replace(verdict, entry=entry, refusals=tuple(found))
    most = most_episode_bytes(entry.suite, len(entry.training_seeds))
    try:
        if size > most:
            raise EntryError(
                f"{EPISODES_FILE}: has {size} bytes; allowed for suite {entry.suite} and "
                f"{len(entry.training_seeds)} runs: {most}"
            )
        records = load_records(folder / EPISODES_FILE, episodes)
        found += _disagreements(entry, records, folder / EPISODES_FILE)
        verdict = replace(verdict, records=records, refusals=tuple(found))
        _compile(records)
        began = time.perf_counter()
        returns = replay(records, num_threads)
        verdict = replace(verdict, seconds=time.perf_counter() - began)
        report = score(Results(records, returns), anchors)
        found += _wrong_scores(entry, report)
        verdict = replace(verdict, report=report, unranked=_unranked(records), refusals=tuple(found))
        if reference:
            done = replay_reference(records, reference, reference_seed)
            verdict = replace(verdict, referenced=len(done))
    except (EntryError, ValueError, OSError) as error:
        found += [_without_path(line, folder / EPISODES_FILE) for line in _lines(error)]
    return replace(verdict, refusals=tuple(found))


def without_copies(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """The verdicts, in which entries are refused that share a run, action for action: one copies the other."""
    owners: dict[bytes, list[str]] = {}
    for verdict in verdicts:
        if verdict.records is not None:
            for run in dict.fromkeys(_run_digests(verdict.records)):
                owners.setdefault(run, []).append(verdict.name)
    found = []
    for verdict in verdicts:
        runs = [] if verdict.records is None else _run_digests(verdict.records)
        others = dict.fromkeys(name for run in runs for name in owners[run] if name != verdict.name)
        lines = tuple(
            f"{EPISODES_FILE}: has the actions of a run of the entry {name}: one of them is a copy" for name in others
        )
        found.append(replace(verdict, refusals=verdict.refusals + lines))
    return found


def _run_digests(records: Records) -> list[bytes]:
    """A hash of the actions of each run."""
    found = []
    for run in range(len(records.runs)):
        digest = hashlib.sha256(repr([cell.name for cell in records.cells]).encode())
        digest.update(records.lengths[run].tobytes())
        for cell in range(len(records.cells)):
            digest.update(records.actions_of(run, cell)[0].tobytes())
        found.append(digest.digest())
    return found


def _files(folder: Path, name: str) -> tuple[bytes, int]:
    """The contents of `entry.json`, and the size of `episodes.npz`, if the folder is one of an entry."""
    if not stat.S_ISDIR(folder.lstat().st_mode):
        raise EntryError("must be a folder, and no link to one")
    try:
        check_name(name)
    except ValueError as error:
        raise EntryError(f"the folder's name {error}") from None
    sizes = {}
    with os.scandir(folder) as files:
        for file in files:
            if file.name not in FILES:
                raise EntryError(f"holds {short(file.name)}; allowed: {', '.join(FILES)}")
            status = file.stat(follow_symlinks=False)
            if not stat.S_ISREG(status.st_mode):
                raise EntryError(f"{file.name}: must be a regular file")
            sizes[file.name] = status.st_size
    for missing in FILES:
        if missing not in sizes:
            raise EntryError(f"{missing}: is missing")
    for file_name, most in ((ENTRY_FILE, MOST_ENTRY_BYTES), (EPISODES_FILE, MOST_BYTES)):
        if sizes[file_name] > most:
            raise EntryError(f"{file_name}: has {sizes[file_name]} bytes; allowed: {most}")
    return (folder / ENTRY_FILE).read_bytes(), sizes[EPISODES_FILE]


def _disagreements(entry: Entry, records: Records, file: Path) -> list[str]:
    """Where the entry tells other things than the file of its episodes."""
    pairs: dict[str, tuple[Any, Any]] = {
        "protocol": (entry.protocol, records.protocol),
        "suite": (entry.suite, records.suite.name),
        "levels": (list(entry.levels), list(records.levels)),
        "training_seeds": (list(entry.training_seeds), list(records.runs)),
        "episodes_sha256": (entry.episodes_sha256, sha256_of(file)),
    }
    return [
        f"{ENTRY_FILE}: {name}={short(told)}, but {EPISODES_FILE} has {short(there)}"
        for name, (told, there) in pairs.items()
        if told != there
    ]


def _wrong_scores(entry: Entry, report: dict[str, Any]) -> list[str]:
    claimed = entry.model_dump(mode="json", include={"summary"})
    found = differences(claimed, {"summary": report["scores"]})
    return [f"{ENTRY_FILE}: {line} (claimed, and worked out from the episodes)" for line in found]


def _unranked(records: Records) -> tuple[str, ...]:
    """Why it is not ranked."""
    found = []
    missing = [level for level in records.suite.levels if level not in records.levels]
    if missing:
        more = f" and {len(missing) - _MOST_NAMED} more" if len(missing) > _MOST_NAMED else ""
        found.append(f"lacks levels of the suite: {', '.join(missing[:_MOST_NAMED])}{more}")
    if len(records.runs) < RANKED_SEEDS:
        seeds = "1 training seed" if len(records.runs) == 1 else f"{len(records.runs)} training seeds"
        found.append(f"has {seeds}; ranked are those with at least {RANKED_SEEDS}")
    same: dict[bytes, int] = {}
    for digest, seed in zip(_run_digests(records), records.runs, strict=True):
        other = same.setdefault(digest, seed)
        if other != seed:
            found.append(f"has the same actions in runs {other} and {seed}")
    return tuple(found)


def _compile(records: Records) -> None:
    """Play an episode, so that no time for compiling is measured."""
    cell = records.cells[0]
    actions, offsets = records.actions_of(0, 0)
    replay_episodes(cell.row, cell.split, episode_seeds(1), actions[: offsets[1]], offsets[:2])


def sha256_of(file: Path) -> str:
    """Hash of a file, in hexadecimal digits.

    Raises:
        OSError: it cannot be read.
    """
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _lines(error: Exception) -> tuple[str, ...]:
    if isinstance(error, EntryError):
        return error.refusals
    return (str(error.strerror) if isinstance(error, OSError) else str(error),)


def _without_path(line: str, path: Path) -> str:
    told = line.removeprefix(f"{path}: ")
    return told if told.startswith((ENTRY_FILE, EPISODES_FILE)) else f"{EPISODES_FILE}: {told}"
