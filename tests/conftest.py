"""Shared by the tests: every id, and the recorded episodes."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("SDL_VIDEODRIVER", "dummy")  # windows open without a display

import pytest

from babyaipp import LEVELS

DATA = Path(__file__).parent / "data"
ALL_IDS = [level.env_id(split) for level in LEVELS.values() for split in level.splits]


def recorded_episodes() -> list[dict[str, Any]]:
    """The episodes recorded from the original program, in the order of the file."""
    with gzip.open(DATA / "original_episodes.jsonl.gz", "rt") as lines:
        return [json.loads(line) for line in lines]


def baseline_results() -> dict[str, Any]:
    """What the committed agents, and others, were found to do."""
    return json.loads((Path(__file__).parent.parent / "docs" / "results" / "baselines.json").read_text())


@pytest.fixture(scope="session")
def recordings() -> list[dict[str, Any]]:
    return recorded_episodes()


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """For networks as small as those of tests, a second thread costs more than it gives."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
