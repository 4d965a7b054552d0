"""Entries of a leaderboard, of episodes that were really played, for tests of what shows them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from played import records

from babyaipp.evaluation.anchors import Anchors
from babyaipp.evaluation.protocol import Cell, get_suite
from babyaipp.evaluation.records import Records
from babyaipp.evaluation.replay import replay
from babyaipp.evaluation.run import play_cell_by_planner
from babyaipp.evaluation.scores import Results, score
from babyaipp.leaderboard.site import Shown

MARKUP = "<script>alert(1)</script> <img src=x onerror=alert(2)> \"'&{{ 7 * 7 }} | ![x](http://evil.example)"
INFO: dict[str, Any] = {
    "title": "An agent",
    "authors": ["A. Author", "B. Author"],
    "paper": "https://example.org/paper",
    "code": "https://example.org/code",
    "commit": "0123abc",
    "agent": "agents.some:load",
    "parameters": 1_234_567,
    "frames": 5_000_000,
    "training_seeds": [3, 8],
    "hardware": "2 cores",
    "augmentation": "colours of floors and sentences are exchanged",
    "privileged": "none",
    "greedy": True,
    "suite": "reading",
    "levels": ["CrossTwo"],
    "date": "2026-01-01",
}


def made_up_anchors(cells: Sequence[Cell], episodes: int) -> Anchors:
    """As if the oracle always succeeded, and the blind planner in every other episode."""
    half_steps: dict[str, np.ndarray] = {}
    for cell in cells:
        half_steps[f"oracle/{cell.level}/{cell.split}"] = np.full(episodes, 20, np.uint16)
        half_steps[f"blind/{cell.level}/{cell.split}"] = np.where(np.arange(episodes) % 2, 30, 0).astype(np.uint16)
    return Anchors(half_steps)


def report_of(played: Records) -> dict[str, Any]:
    """Its scores."""
    anchors = made_up_anchors(played.cells, played.lengths.shape[2])
    return score(Results(played, replay(played)), anchors)


def planned(planner: str, suite: str, levels: tuple[str, ...], runs: tuple[int, ...], episodes: int = 4) -> Records:
    """Records of a planner, the same ones in each run."""
    cells = get_suite(suite).cells(levels)
    played = [play_cell_by_planner(planner, cell, episodes) for cell in cells] * len(runs)
    shape = (len(runs), len(cells), episodes)
    lengths, cause, half_steps = (
        np.stack([getattr(each, name) for each in played]).reshape(shape) for name in ("lengths", "cause", "half_steps")
    )
    actions = np.concatenate([each.actions for each in played])
    return Records(get_suite(suite), cells, runs, lengths, cause, half_steps, actions)


def entry(
    name: str = "some",
    *,
    suite: str = "reading",
    levels: tuple[str, ...] = ("CrossTwo",),
    runs: tuple[int, ...] = (3, 8),
    ranked: bool = True,
    badges: tuple[str, ...] = ("replayed",),
    planner: str | None = None,
    info: dict[str, Any] | None = None,
) -> Shown:
    """An entry of random actions that differ by training seed, or of a planner's; `info` replaces fields of `INFO`."""
    played = records(suite, levels, runs) if planner is None else planned(planner, suite, levels, runs)
    told = INFO | {"suite": suite, "levels": list(levels), "training_seeds": list(runs)} | (info or {})
    return Shown(name, told, report_of(played), played, ranked, badges)


def hostile(text: str = MARKUP) -> dict[str, Any]:
    """Every field with markup in it, and one more."""
    return dict.fromkeys((*INFO, "another <b>field</b>"), text) | {"frames": text, "authors": [text]}
