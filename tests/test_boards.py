"""Tables of the leaderboard in docs: each figure is that of the entry."""

from __future__ import annotations

from dataclasses import replace

import pytest
from boards import planned
from entries import ANCHORS, EPISODES, TOLD, make_entry, small_records
from played import records

from babyaipp.leaderboard.told import Told
from babyaipp.leaderboard.verify import verify_entry
from benchmarks import boards


def _scored(folder, name: str, played, **told) -> boards.Scored:
    episodes = played.lengths.shape[2]
    path = make_entry(folder / name, played, Told(**(vars(replace(TOLD, name=name)) | told)))
    verdict = verify_entry(path, anchors=ANCHORS, episodes=episodes)
    assert verdict.entry is not None
    assert verdict.report is not None
    return boards.Scored(verdict.entry, verdict.report)


@pytest.fixture
def board(tmp_path) -> list[boards.Scored]:
    """Random actions, of two training seeds; and the oracle, of one."""
    return [
        _scored(tmp_path, "film-ppo-small", small_records(), title="Some"),
        _scored(tmp_path, "image-only-ppo-small", records(runs=(1, 2), episodes=EPISODES), title="Other"),
        _scored(tmp_path, "oracle", planned("oracle", "reading", ("CrossTwo",), (0,), EPISODES), title="Oracle"),
    ]


def _cells(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()]


def test_a_level_has_a_row_an_entry_with_what_it_did(board):
    header, _, *rows = _cells(boards.level_table(board, "CrossTwo"))
    assert rows[0][0] == "Oracle"
    oracle = dict(zip(header, rows[0], strict=True))
    assert (oracle["Train"], oracle["HeldOut"], oracle["gap"], oracle["died"], oracle["late"]) == (
        *("1.000", "1.000", "0.000", "0.000", "0.000"),
    )
    assert oracle["each seed"] == "-"
    low, high = board[2].cells("CrossTwo", "HeldOut")[0]["interval"]
    assert oracle["95% interval"] == f"{low:.3f} to {high:.3f}"  # of its episodes, as there is one seed
    some = dict(zip(header, next(row for row in rows if row[0] == "Some"), strict=True))
    rates = board[0].rates("CrossTwo", "HeldOut")
    assert some["each seed"] == ", ".join(f"{rate:.3f}" for rate in rates)
    assert some["HeldOut"] == f"{sum(rates) / 2:.3f}"


def test_intervals_over_seeds_stay_between_0_and_1():
    found = boards.over_seeds([0.9, 1.0, 1.0])
    assert found.value == pytest.approx(2.9 / 3)
    assert found.low == pytest.approx(2.9 / 3 - 4.302653 * 0.0577350 / 3**0.5, abs=1e-6)
    assert found.high == 1.0


def test_ends_of_episodes_add_up(board):
    for each in board:
        causes = each.causes("CrossTwo", "HeldOut")
        assert sum(causes.values()) == pytest.approx(1)
        assert list(causes.values()) == sorted(causes.values(), reverse=True)
        others = sum(causes.get(cause, 0) for cause in ("success", "failure", "timeout"))
        assert boards.deaths(causes) == pytest.approx(1 - others)


def test_the_overview_has_what_was_played(board):
    header, _, *rows = _cells(boards.overview_table(board, ["CrossTwo", "Courier"]))
    assert header == ["entry", "CrossTwo", "Courier"]
    assert sorted(row[0] for row in rows) == ["Oracle", "Other", "Some"]
    assert next(row for row in rows if row[0] == "Oracle")[1:] == ["1.000 / 1.000", "-"]


def test_differences_have_welchs_interval():
    found = boards.difference([0.5, 0.6, 0.7], [0.2, 0.2, 0.5])
    # The means differ by .3; variances .01 and .03 of three each: 2 * 3.2 / 2 degrees of freedom, t = 3.1824 at 3.2
    assert found.value == pytest.approx(0.3)
    assert found.low < 0 < found.high
    assert found.high - found.value == pytest.approx(found.value - found.low)
    assert found.high - found.value == pytest.approx(3.0729 * (0.04 / 3) ** 0.5, rel=1e-3)
    assert boards.difference([1.0, 1.0], [0.5, 0.5]).low == 0.5


def test_agents_are_compared_level_by_level(board):
    header, _, *rows = _cells(boards.order_table(board, ("-ppo-small", ""), (("film", "image-only"),)))
    assert header == ["level", "taught by", "film - image-only"]
    (row,) = rows
    one, other = (sum(each.rates("CrossTwo", "HeldOut")) / 2 for each in board[:2])
    assert row[:2] == ["CrossTwo", "PPO"]
    assert row[2].startswith(f"{one - other:+.3f} [")


def test_a_refused_entry_is_not_shown(tmp_path, board):
    with pytest.raises(ValueError, match="is refused: "):
        boards.load_board(tmp_path / "film-ppo-small" / "leaderboards")  # has too few episodes
