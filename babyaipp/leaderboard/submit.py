"""Makes the folder of an entry from what `babyaipp evaluate` wrote, and from what only its authors know."""

from __future__ import annotations

import hashlib
import os
import shutil
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path

from babyaipp.evaluation.anchors import Anchors
from babyaipp.evaluation.protocol import EPISODES
from babyaipp.evaluation.records import MOST_BYTES, RecordError, load_records
from babyaipp.evaluation.report import REPORT_FILE
from babyaipp.leaderboard.entry import (
    BOARD,
    ENTRY_FILE,
    EPISODES_FILE,
    FORMAT_VERSION,
    Entry,
    EntryError,
    as_json,
    parse_entry,
    parse_json,
    short,
)
from babyaipp.leaderboard.told import Told
from babyaipp.leaderboard.verify import Verdict, sha256_of, verify_entry


def submit(
    report: Path,
    told: Told,
    root: Path,
    *,
    checkpoints: tuple[Path, ...] = (),
    overwrite: bool = False,
    anchors: Anchors | None = None,
    episodes: int = EPISODES,
    num_threads: int = 1,
) -> tuple[Path, Verdict]:
    """Make an entry, verify it, and only then put it in its place.

    Args:
        report: folder that `babyaipp evaluate` wrote.
        told: what only the authors know.
        root: folder of the boards.
        checkpoints: files of the agents' parameters, whose hashes the entry has.
        overwrite: put it in the place of one that is there.
        anchors: as `verify_entry` takes them.
        episodes: that each cell must have.
        num_threads: the result does not depend on it.

    Returns:
        The entry's folder, and what verifying it found.

    Raises:
        EntryError: it would be refused; says why, all of it.
        ValueError: there is one of that name, or no report, or one of fewer episodes, or two checkpoints of one name.
        OSError: something cannot be read or written.
    """
    entry, data = _entry(report, told, checkpoints, episodes)
    board = root / BOARD
    folder = board / entry.name
    if os.path.lexists(folder) and not overwrite:
        raise ValueError(f"{folder} is there already; overwrite it, or choose another name")
    board.mkdir(parents=True, exist_ok=True)
    partial = board / f".{entry.name}.{os.getpid()}.partial"
    made, before = partial / entry.name, partial / "before"
    try:
        made.mkdir(parents=True)
        (made / ENTRY_FILE).write_bytes(entry.to_bytes())
        (made / EPISODES_FILE).write_bytes(data)
        verdict = verify_entry(made, anchors=anchors, episodes=episodes, num_threads=num_threads)
        if not verdict.sound:
            raise EntryError(*verdict.refusals)
        if os.path.lexists(folder):
            folder.rename(before)
        try:
            made.rename(folder)
        except OSError:
            if os.path.lexists(before):
                before.rename(folder)
            raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder, verdict


def _entry(report: Path, told: Told, checkpoints: tuple[Path, ...], episodes: int) -> tuple[Entry, bytes]:
    """The entry, and the file of its episodes."""
    if not (report / REPORT_FILE).is_file() or not (report / EPISODES_FILE).is_file():
        raise ValueError(f"{report} does not hold {REPORT_FILE} and {EPISODES_FILE}, which `babyaipp evaluate` writes")
    try:
        found = parse_json((report / REPORT_FILE).read_bytes())
    except ValueError as error:
        raise ValueError(f"{report / REPORT_FILE} {error}") from None
    lacking = [name for name in ("agent", "greedy", "scores") if not isinstance(found, dict) or name not in found]
    if lacking:
        raise ValueError(f"{report / REPORT_FILE} has no {lacking[0]!r}: it is not what `babyaipp evaluate` writes")
    if found.get("episodes", episodes) != episodes:
        raise ValueError(f"{report} has {short(found['episodes'])} episodes a cell; the protocol asks for {episodes}")
    with (report / EPISODES_FILE).open("rb") as file:
        data = file.read(MOST_BYTES + 1)
    try:
        records = load_records(report / EPISODES_FILE, episodes)
    except RecordError as error:
        raise EntryError(str(error)) from None
    names = [file.name for file in checkpoints]
    if len(set(names)) != len(names):
        raise ValueError(f"checkpoints have the same name: {next(name for name in names if names.count(name) > 1)}")
    values = {each.name: getattr(told, each.name) for each in fields(Told)} | {
        "format_version": FORMAT_VERSION,
        "protocol": records.protocol,
        "suite": records.suite.name,
        "agent": found["agent"] if told.agent is None else told.agent,
        "date": told.date or datetime.now(UTC).date().isoformat(),
        "training_seeds": records.runs,
        "greedy": found["greedy"],
        "checkpoint_sha256": {file.name: sha256_of(file) for file in sorted(checkpoints, key=lambda file: file.name)},
        "episodes_sha256": hashlib.sha256(data).hexdigest(),
        "summary": found["scores"],
        "levels": records.levels,
    }
    return parse_entry(as_json({name: values[name] for name in Entry.model_fields})), data
