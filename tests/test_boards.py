"""Tables of the leaderboard in docs: each figure is that of the entry."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from boards import planned
from entries import ANCHORS, EPISODES, TOLD, make_entry, small_records
from played import records

from babyaipp.evaluation.records import Records
from babyaipp.leaderboard.verify import verify_entry
from benchmarks import boards


def _scored(folder: Path, name: str, agent: str, played: Records, *checkpoints: Path, title: str) -> boards.Scored:
    path = make_entry(folder / name, played, replace(TOLD, name=name, title=title), checkpoints=checkpoints)
    verdict = verify_entry(path, anchors=ANCHORS, episodes=played.lengths.shape[2])
    assert verdict.entry is not None
    assert verdict.report is not None
    entry = verdict.entry.model_copy(update={"agent": f"agents.{agent}:load"})
    return boards.Scored(entry, verdict.report, played)


@pytest.fixture
def board(tmp_path) -> list[boards.Scored]:
    """Random actions, of two training seeds and as if they were trained; and the oracle, of one."""
    trained = tmp_path / "some.safetensors"
    trained.write_bytes(b"an agent")
    other = records(runs=(1, 2), episodes=EPISODES)
    planner = planned("oracle", "reading", ("CrossTwo",), (0,), EPISODES)
    return [
        _scored(tmp_path, "one", "film", small_records(), trained, title="Some (PPO, small)"),
        _scored(tmp_path, "two", "image_only", other, trained, title="Other (PPO, small)"),
        _scored(tmp_path, "oracle", "oracle", planner, title="Oracle"),
    ]


def _cells(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()]


def test_a_level_has_a_row_an_entry_with_what_it_did(board):
    header, _, *rows = _cells(boards.level_table(board, "CrossTwo"))
    assert rows[-1][0] == "Oracle"  # who is trained comes first
    oracle = dict(zip(header, rows[-1], strict=True))
    assert (oracle["Train"], oracle["HeldOut"], oracle["gap"], oracle["died"], oracle["late"]) == (
        *("1.000", "1.000", "0.000", "0.000", "0.000"),
    )
    assert oracle["each seed"] == "-"
    low, high = board[2].cells("CrossTwo", "HeldOut")[0]["interval"]
    assert oracle["95% interval"] == f"{low:.3f} to {high:.3f}"  # of its episodes, as there is one seed
    some = dict(zip(header, next(row for row in rows if row[0] == "Some (PPO, small)"), strict=True))
    rates = board[0].rates("CrossTwo", "HeldOut")
    assert some["each seed"] == ", ".join(f"{rate:.3f}" for rate in rates)
    assert some["HeldOut"] == f"{sum(rates) / 2:.3f}"


def test_intervals_over_seeds_stay_between_0_and_1():
    found = boards.over_seeds([{"success": rate, "interval": [0.8, 1.0]} for rate in (0.9, 1.0, 1.0)])
    assert found.value == pytest.approx(2.9 / 3)
    assert found.low == pytest.approx(2.9 / 3 - 4.302653 * 0.0577350 / 3**0.5, abs=1e-6)
    assert found.high == 1.0


@pytest.mark.parametrize("seeds", [1, 3])
def test_where_seeds_do_not_differ_the_interval_is_over_episodes(seeds):
    found = boards.over_seeds([{"success": 1.0, "interval": [0.996, 1.0]}] * seeds)
    assert (found.value, found.low, found.high) == (1.0, 0.996, 1.0)


def test_ends_of_episodes_add_up(board):
    for each in board:
        causes = each.causes("CrossTwo", "HeldOut")
        assert sum(causes.values()) == pytest.approx(1)
        assert list(causes.values()) == sorted(causes.values(), reverse=True)
        others = sum(causes.get(cause, 0) for cause in ("success", "failure", "timeout"))
        assert boards.deaths(causes) == pytest.approx(1 - others)


def test_the_overview_has_what_was_played(board):
    header, _, *rows = _cells(boards.overview_table(board))
    assert header == ["entry", "CrossTwo"]
    assert [row[0] for row in rows] == ["Other (PPO, small)", "Some (PPO, small)", "Oracle"]
    assert rows[-1][1:] == ["1.000 / 1.000"]


def test_worlds_without_a_deadly_floor_are_left_out(board):
    header, _, *rows = _cells(boards.deadly_table(board, ["CrossTwo"], "PPO, small"))
    assert len(rows) == 2  # the oracle was not trained so
    assert header[2:4] == ["such worlds, Train", "HeldOut"]
    for row in rows:
        scored = next(each for each in board if each.title == row[1])
        assert row[2:4] == ["1.000", "1.000"]  # each world of this level has three deadly colours
        assert row[5] == f"{scored.success('CrossTwo', 'HeldOut').value:.3f}"
        assert row[7] == f"{boards.deaths(scored.causes('CrossTwo', 'HeldOut')):.3f}"


def test_differences_have_welchs_interval():
    found = boards.difference([0.5, 0.6, 0.7], [0.2, 0.2, 0.5])
    # The means differ by .3; variances .01 and .03 of three each: 2 * 3.2 / 2 degrees of freedom, t = 3.1824 at 3.2
    assert found.value == pytest.approx(0.3)
    assert found.low < 0 < found.high
    assert found.high - found.value == pytest.approx(found.value - found.low)
    assert found.high - found.value == pytest.approx(3.0729 * (0.04 / 3) ** 0.5, rel=1e-3)
    assert boards.difference([1.0, 1.0], [0.5, 0.5]).low == 0.5


def test_agents_that_were_trained_alike_are_compared_level_by_level(board):
    header, _, *rows = _cells(boards.order_table(board, (("film", "image_only"),)))
    assert header == ["level", "trained by", "film - image_only"]
    (row,) = rows
    one, other = (sum(each.rates("CrossTwo", "HeldOut")) / 2 for each in board[:2])
    assert row[:2] == ["CrossTwo", "PPO, small"]
    assert row[2].startswith(f"{one - other:+.3f} [")
    assert len(_cells(boards.order_table(board, (("film", "grounded"),)))) == 2  # nobody to compare with


def test_a_refused_entry_is_not_shown(tmp_path, board):
    with pytest.raises(ValueError, match="is refused: "):
        boards.load_entry(tmp_path / "one" / "leaderboards" / "v1" / "one")  # has too few episodes
