"""The commands of the leaderboard, with as many episodes as the protocol has."""

from __future__ import annotations

from pathlib import Path

import pytest
from entries import (
    ANCHORS,
    EPISODES,
    edit,
    make_entry,
    write_report,
)
from played import records

from babyaipp.cli import main
from babyaipp.evaluation.protocol import EPISODES as PROTOCOL_EPISODES
from babyaipp.evaluation.records import load_records
from babyaipp.leaderboard import verify as verifying
from babyaipp.leaderboard.badges import REPLAYED, read_badges
from babyaipp.leaderboard.entry import ENTRY_FILE, EPISODES_FILE, parse_entry, read_entry, schema


@pytest.fixture
def folder(tmp_path) -> Path:
    return make_entry(tmp_path)


@pytest.fixture(scope="module")
def whole_report(tmp_path_factory) -> Path:
    return write_report(tmp_path_factory.mktemp("report"), records("reading", ("CrossTwo",), (3,), PROTOCOL_EPISODES))


@pytest.fixture
def submitted(whole_report, tmp_path, monkeypatch, capsys) -> Path:
    monkeypatch.setattr(verifying, "load_anchors", lambda: ANCHORS)
    monkeypatch.chdir(tmp_path)
    assert main(["leaderboard", "submit", str(whole_report), *SUBMISSION]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "drawn-actions: sound; 4000 episodes" in out
    assert "not ranked: lacks levels" in out
    return tmp_path / "leaderboards" / "v1" / "drawn-actions"


SUBMISSION = [
    *("--name", "drawn-actions", "--title", "Drawn <i>actions</i>", "--authors", "A. Author", "B. Author"),
    *("--code", "https://example.org/code", "--parameters", "0", "--frames", "5000000", "--hardware", "2 cores"),
    *("--date", "2026-01-31", "--privileged", "none"),
]


def test_the_commands_submit_and_verify(submitted, capsys):
    assert read_entry(submitted).authors == ("A. Author", "B. Author")
    assert main(["leaderboard", "verify", str(submitted.parent), "--reference", "--sample", "3", "--badges"]) == 0
    out = capsys.readouterr().out
    assert "sound; 4000 episodes, 3 of them also on the reference environment, " in out
    assert " steps/s; not ranked" in out
    assert read_badges(submitted.parent).of(read_entry(submitted)) == (REPLAYED,)
    assert 3 * 5 * len((submitted / EPISODES_FILE).read_bytes()) < 2 * 2**20  # 3 runs, 5 levels in the suite


def test_the_command_refuses_with_1_and_names_what_is_wrong(submitted, capsys):
    edit(submitted, title="", episodes_sha256="x")
    assert main(["leaderboard", "verify", str(submitted)]) == 1
    out, err = capsys.readouterr()
    assert err == ""
    assert [line.split("=")[0] for line in out.splitlines()] == [
        "drawn-actions: entry.json: title",
        "drawn-actions: entry.json: episodes_sha256",
        "drawn-actions: refused",
    ]


def test_one_refused_entry_among_others_is_enough(submitted, capsys):
    (submitted.parent / "zz").mkdir()
    assert main(["leaderboard", "verify", str(submitted.parent), "--badges"]) == 1
    out = capsys.readouterr().out
    assert "drawn-actions: sound" in out
    assert "zz: entry.json: is missing" in out
    assert list(read_badges(submitted.parent).entries) == ["drawn-actions"]


def test_the_command_plays_in_fresh_worlds(submitted, capsys):
    verify = ["leaderboard", "verify", str(submitted), "--badges", "--fresh", "200", "--agent"]
    assert main([*verify, "oracle"]) == 1
    assert "agent='random', but 'oracle' is to play" in capsys.readouterr().out
    edit(submitted, agent="oracle")
    assert main([*verify, "oracle"]) == 1
    assert "CrossTwo/HeldOut/true, seed 3: claimed 0.0" in (out := capsys.readouterr().out)
    assert "drawn-actions: not reproduced" in out
    assert read_badges(submitted.parent).of(read_entry(submitted)) == (REPLAYED,)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["verify", "nowhere"], "nowhere is no folder"),
        (["verify"], "needs PATH"),
        (["verify", ".", "--fresh", "5"], "needs --agent"),
        (["verify", ".", "--fresh", "0", "--agent", "random"], "--fresh 0: must be at least 1"),
        (["verify", ".", "--agent", "random"], "are for --fresh"),
        (["verify", ".", "--sample", "0"], "--sample 0 must be at least 1"),
        (["verify", ".", "--threads", "0"], "--threads 0: must be at least 1"),
        (["submit", "nowhere", *SUBMISSION], "nowhere does not hold report.json"),
        (["schema", "--root", "nowhere"], "No such file or directory"),
    ],
)
def test_usage_errors_exit_with_2(arguments, expected, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["leaderboard", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert expected in err


def test_the_command_writes_the_schema(tmp_path, capsys):
    assert main(["leaderboard", "schema", "--root", str(tmp_path)]) == 0
    assert (tmp_path / "schema.json").read_bytes() == schema()


def test_an_entry_survives_its_file(folder):
    entry = read_entry(folder)
    assert parse_entry(entry.to_bytes()) == entry
    assert entry.to_bytes() == (folder / ENTRY_FILE).read_bytes()
    assert load_records(folder / EPISODES_FILE, EPISODES).runs == entry.training_seeds
