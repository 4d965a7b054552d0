"""Pictures of how agents fail: they show the episode that was recorded."""

from __future__ import annotations

import numpy as np
import pytest
from boards import planned
from PIL import Image
from played import records

from babyaipp.engine.state import CAUSES
from babyaipp.evaluation.protocol import Cell
from benchmarks import failures
from benchmarks.failures import FAILURES, Failure, draw_episode, draw_failures, find_episode, side_by_side

HELD_OUT = Cell("CrossTwo", "HeldOut")


def test_the_first_episode_that_ended_so_is_found():
    played = records(episodes=12)
    number = played.cells.index(HELD_OUT)
    cause = CAUSES[played.cause[0, number, -1]]
    those = np.flatnonzero(played.cause[0, number] == played.cause[0, number, -1])
    assert find_episode(played, Failure("some", "CrossTwo", cause)) == (0, number, those[0])
    assert find_episode(played, Failure("some", "CrossTwo", cause, len(those) - 1)) == (0, number, 11)
    with pytest.raises(ValueError, match=f"some, CrossTwo: {len(those)} episodes ended with '{cause}'"):
        find_episode(played, Failure("some", "CrossTwo", cause, len(those)))


def test_the_way_of_the_agent_is_drawn():
    played = planned("oracle", "reading", ("CrossTwo",), (0,), 1)
    still = records(runs=(0,), episodes=1)
    number = played.cells.index(HELD_OUT)
    pictures = [draw_episode(each, (0, number, 0), "An agent") for each in (played, still)]
    assert len({each.size for each in pictures}) == 1
    dark = np.array(pictures[0]).reshape(-1, 3)
    assert (np.abs(dark - np.array([225, 60, 0])).sum(1) < 40).any()  # the end of the way
    whole = side_by_side(pictures * 3, columns=4)
    assert whole.size == (4 * pictures[0].width, 2 * pictures[0].height)


def test_all_that_is_in_the_page_is_on_the_board(tmp_path, monkeypatch):
    monkeypatch.setattr(failures, "FAILURES", FAILURES[:1])
    assert draw_failures(failures.FailuresConfig(tmp_path / "failures.png")) == 0
    with Image.open(tmp_path / "failures.png") as image:
        assert image.size[0] > 300
