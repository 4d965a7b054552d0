"""Agents play in fresh worlds, which must agree with what their entries claim; badges tell what was found."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from entries import (
    EPISODES,
    NAME,
    edit,
    make_entry,
    small_records,
    verify,
)

from babyaipp.engine.state import SUCCESS
from babyaipp.evaluation.agents import RandomAgent
from babyaipp.evaluation.protocol import FIRST_SEED, FRESH_SEEDS, Cell, get_suite
from babyaipp.evaluation.records import Records
from babyaipp.evaluation.run import play_cell, play_cell_by_planner
from babyaipp.leaderboard import fresh
from babyaipp.leaderboard.badges import REPLAYED, REPRODUCED, Badges, read_badges, write_badges
from babyaipp.leaderboard.entry import Entry, EntryError, read_entry


@pytest.fixture
def folder(tmp_path) -> Path:
    return make_entry(tmp_path)


def claiming(success: float, runs: tuple[int, ...] = (0, 1)) -> Records:
    """Records that claim so much success; only their causes matter to the comparison."""
    claimed = small_records(runs)
    cause = np.where(np.arange(claimed.cause.size).reshape(claimed.cause.shape) % 100 < 100 * success, 1, 2)
    return dataclasses.replace(claimed, cause=cause.astype(np.uint8))


def test_fresh_seeds_are_beyond_those_that_anyone_can_have_played():
    drawn = fresh.fresh_seeds(1000)
    assert len(set(drawn)) == 1000
    assert min(drawn) >= FRESH_SEEDS
    assert max(drawn) < 2**63
    assert not set(drawn) & set(fresh.fresh_seeds(1000))


def test_an_agent_that_plays_as_claimed_is_reproduced_and_one_that_does_not_is_not(folder):
    entry = read_entry(folder).model_copy(update={"agent": "oracle"})
    asked: list[int] = []

    def draw(count):
        asked.append(count)
        return range(FRESH_SEEDS + 100 * len(asked), FRESH_SEEDS + 100 * len(asked) + count)

    honest = fresh.play_fresh(entry, claiming(1.0), "oracle", None, 20, draw=draw)
    assert asked == [20] * 8
    cells = get_suite("reading").cells(("CrossTwo",))
    assert [(each.cell, each.seed) for each in honest] == [(cell, seed) for cell in cells for seed in (0, 1)]
    assert {(each.fresh_episodes, each.episodes) for each in honest} == {(20, EPISODES)}
    assert min(each.fresh for each in honest) > 0.8
    assert fresh.differing(honest) == ()
    by_chance = entry.model_copy(update={"agent": "random"})
    boasting = fresh.play_fresh(by_chance, claiming(1.0), "random", None, 20, draw=draw)
    assert max(each.fresh for each in boasting) < 0.5
    assert len(fresh.differing(boasting)) > 4
    with pytest.raises(EntryError, match="agent='random', but 'oracle' is to play"):
        fresh.play_fresh(by_chance, claiming(1.0), "oracle", None, 20, draw=draw)
    modest = fresh.play_fresh(entry, claiming(0.0), "oracle", None, 20, draw=draw)
    assert fresh.differing(modest) == modest


def test_the_seeds_that_are_drawn_are_played(folder):
    told = read_entry(folder).model_copy(update={"agent": "oracle"})
    drawn = range(FIRST_SEED, FIRST_SEED + 8)
    planned = fresh.play_fresh(told, small_records(), "oracle", None, 8, draw=lambda count: drawn[:count])
    protocols = play_cell_by_planner("oracle", Cell("CrossTwo", "HeldOut"), 8)
    held_out = next(each for each in planned if each.cell == Cell("CrossTwo", "HeldOut"))
    assert held_out.fresh_successes == int((protocols.cause == SUCCESS).sum())
    cell, agent = Cell("CrossTwo", "Train"), RandomAgent(5)
    starts: dict = {}
    one, other = play_cell(agent, cell, 8, starts=starts), play_cell(agent, cell, starts=starts, seeds=drawn)
    for name, values in vars(one).items():
        assert (values == getattr(other, name)).all()
    elsewhere = play_cell(agent, cell, starts=starts, seeds=range(8))
    assert len(elsewhere.lengths) == 8
    assert not np.array_equal(elsewhere.lengths, one.lengths)


def compared(level: str, *counts: int) -> fresh.Compared:
    return fresh.Compared(Cell(level, "HeldOut"), 3, *counts)


def test_the_more_levels_are_compared_the_more_one_must_differ():
    close = compared("CrossTwo", 500, 1000, 440, 1000)
    assert 0.01 / 9 < close.p < 0.01
    assert fresh.differing([close]) == (close,)
    assert fresh.differing([close] + [compared("Courier", 5, 10, 5, 10)] * 8) == ()


def test_the_checkpoint_must_be_that_of_the_entry(tmp_path):
    file = tmp_path / "runs" / "deep" / "a.safetensors"
    file.parent.mkdir(parents=True)
    file.write_text("parameters")
    entry = read_entry(make_entry(tmp_path, checkpoints=(file,)))
    (file.parent / "training.pt").write_text("what the agent could read instead")
    with fresh.checkpoint_of(entry, file) as given:
        assert given == str(file)
    with fresh.checkpoint_of(entry, tmp_path / "runs") as given:
        copies = [path for path in Path(given).rglob("*") if path.is_file()]
        assert copies == [Path(given) / "deep" / "a.safetensors"]
        assert copies[0].read_text() == "parameters"
    assert not Path(given).exists()
    without = entry.model_copy(update={"checkpoint_sha256": {}})
    with fresh.checkpoint_of(without, None) as given:
        assert given is None

    def refusal(entry: Entry, path: Path | None) -> str:
        with pytest.raises((EntryError, ValueError)) as caught, fresh.checkpoint_of(entry, path):
            pass
        return str(caught.value)

    assert "names checkpoints, but none is given" in refusal(entry, None)
    assert "names no checkpoint, but one is given" in refusal(without, file)
    assert "does not exist" in refusal(entry, tmp_path / "nothing")
    file.write_text("other parameters")
    assert "a.safetensors is another one" in refusal(entry, tmp_path / "runs")
    file.rename(file.with_name("b.safetensors"))
    assert "there is no such file" in refusal(entry, tmp_path / "runs")


def test_badges_are_of_what_was_verified(folder, tmp_path):
    board, verdict = folder.parent, verify(folder)
    assert read_badges(board) == Badges()
    same, other = compared("CrossTwo", 900, 1000, 180, 200), compared("CrossTwo", 900, 1000, 18, 200)
    assert Badges().after(verdict, [compared("CrossTwo", 900, 1000, 179, 199)]).of(verdict.entry) == (REPLAYED,)
    badges = Badges().after(verdict)
    assert badges.of(verdict.entry) == (REPLAYED,)
    badges = badges.after(verdict, [same])
    assert badges.of(verdict.entry) == (REPLAYED, REPRODUCED)
    assert badges.after(verdict).of(verdict.entry) == (REPLAYED, REPRODUCED)  # as nothing has changed
    write_badges(board, badges)
    assert read_badges(board) == badges
    assert badges.after(verdict, [other]).of(verdict.entry) == (REPLAYED,)
    retitled = verdict.entry.model_copy(update={"title": "Another"})
    assert badges.of(retitled) == (REPLAYED, REPRODUCED)
    for changes in (
        {"episodes_sha256": "0" * 64},
        {"checkpoint_sha256": {"x": "0" * 64}},
        {"greedy": False},
        {"code": "agents/film.py"},
    ):
        changed = verdict.entry.model_copy(update=changes)
        assert badges.of(changed) == ()
        assert badges.after(dataclasses.replace(verdict, entry=changed)).of(changed) == (REPLAYED,)
    forged = badges.entries[NAME].model_copy(update={"reproduced": {}})
    assert Badges(entries={NAME: forged}).of(verdict.entry) == (REPLAYED,)
    edit(folder, parameters=-1)
    assert badges.after(verify(folder)).entries == {}


def test_damaged_badges_are_refused(tmp_path):
    for text in ("{", '{"format_version": 2}', '{"entries": {"x": {}}}', '{"x": 1}', "[" * 10**5):
        (tmp_path / "badges.json").write_text(text)
        with pytest.raises(EntryError, match=r"badges\.json: "):
            read_badges(tmp_path)
