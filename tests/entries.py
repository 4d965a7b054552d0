"""Small entries of the leaderboard, made of episodes that were really played, for tests of what is done with them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from played import records

from babyaipp.evaluation.anchors import PLANNERS, Anchors, anchored
from babyaipp.evaluation.protocol import EPISODES as PROTOCOL_EPISODES
from babyaipp.evaluation.records import Records, save_records
from babyaipp.evaluation.replay import replay
from babyaipp.evaluation.report import EPISODES_FILE, REPORT_FILE
from babyaipp.evaluation.scores import Results, score
from babyaipp.leaderboard.entry import ENTRY_FILE
from babyaipp.leaderboard.submit import submit
from babyaipp.leaderboard.told import Told
from babyaipp.leaderboard.verify import Verdict, verify_entry

EPISODES = 3
NAME = "small-one"
TOLD = Told(
    name=NAME,
    title="Drawn actions",
    authors=("A. Author", "Bj\xf6rn B."),
    code="https://example.org/code/tree/main?x=1#top",
    parameters=0,
    frames=5_000_000,
    hardware="2 cores",
    date="2026-01-31",
    paper="https://example.org/paper.pdf",
    commit="0123456789" * 4,
    augmentation="none",
    privileged="knows <b>nothing</b>",
)


def _anchors() -> Anchors:
    """Of an oracle that always succeeds, and of a blind planner that does so in every fourth episode."""
    often = {"oracle": np.ones(PROTOCOL_EPISODES, bool), "blind": np.arange(PROTOCOL_EPISODES) % 4 == 0}
    return Anchors(
        {
            f"{planner}/{level}/{split}": (often[planner] * 24).astype(np.uint16)
            for planner in PLANNERS
            for level, split in anchored()
        }
    )


ANCHORS = _anchors()


@lru_cache
def small_records(runs: tuple[int, ...] = (3, 8), episodes: int = EPISODES) -> Records:
    """Records of one level of the suite reading."""
    return records("reading", ("CrossTwo",), runs, episodes)


def write_report(folder: Path, played: Records) -> Path:
    """What `babyaipp evaluate` would write of these episodes; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    told = {"agent": "random", "checkpoint": None, "greedy": True} | score(Results(played, replay(played)), ANCHORS)
    save_records(folder / EPISODES_FILE, played)
    (folder / REPORT_FILE).write_text(json.dumps(told))
    return folder


def make_entry(folder: Path, played: Records | None = None, told: Told = TOLD, **options: Any) -> Path:
    """An entry below this folder; returns its own."""
    played = small_records() if played is None else played
    report = write_report(folder / "report", played)
    options = {"anchors": ANCHORS, "episodes": played.lengths.shape[2]} | options
    return submit(report, told, folder / "leaderboards", **options)[0]


def verify(folder: Path, **options: Any) -> Verdict:
    """Verify such an entry."""
    return verify_entry(folder, **{"anchors": ANCHORS, "episodes": EPISODES} | options)


def edit(folder: Path, **changes: Any) -> None:
    """Change fields of `entry.json`."""
    file = folder / ENTRY_FILE
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def seal(folder: Path) -> None:
    """Write the hash of the episodes that are there into `entry.json`, as who forges them would."""
    edit(folder, episodes_sha256=hashlib.sha256((folder / EPISODES_FILE).read_bytes()).hexdigest())


def change_episodes(folder: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Change arrays of `episodes.npz`."""
    with np.load(folder / EPISODES_FILE) as archive:
        arrays = {name: archive[name].copy() for name in archive.files}
    np.savez_compressed(folder / EPISODES_FILE, **arrays | change(arrays))
    seal(folder)
