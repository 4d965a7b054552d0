"""The measured headroom is what the episodes say, and its file and tables tell it."""

from __future__ import annotations

import json

import numpy as np
import pytest
import scripted

from babyaipp import __version__
from babyaipp.cli import main
from babyaipp.levels import get_level
from babyaipp.planners import headroom, protocol, rollout
from babyaipp.statistics import mean_interval, paired_difference_interval, wilson_interval

LEVEL = get_level("GoToRedBall")
IDS = [LEVEL.env_id("Train"), LEVEL.env_id("HeldOut")]


@pytest.fixture(autouse=True)
def wanderers(monkeypatch):
    """Planners whose speed and skill do not matter here."""
    monkeypatch.setitem(protocol.PLANNERS, "oracle", scripted.WANDERER)
    monkeypatch.setitem(protocol.PLANNERS, "blind", scripted.STROLLER)


@pytest.fixture
def measured(monkeypatch) -> list[str]:
    """The ids that are measured, one after the other."""
    ids, measure = [], headroom.measure

    def noted(level, split, *args):
        ids.append(level.env_id(split))
        return measure(level, split, *args)

    monkeypatch.setattr(headroom, "measure", noted)
    return ids


def command(*arguments) -> int:
    return main(["headroom", *map(str, arguments)])


def test_the_numbers_are_those_of_the_episodes():
    entry = headroom.measure(LEVEL, "All", 300, 5)
    one, other = (
        rollout.Episodes.joined(list(rollout.play(planner(LEVEL, "All"), LEVEL, "All", 300, 5)))
        for planner in (scripted.Wanderer, scripted.Stroller)
    )
    assert (entry["id"], entry["episodes"], entry["seed"]) == (LEVEL.env_id("All"), 300, 5)
    assert 0 < other.success.mean() != one.success.mean() > 0
    for name, episodes in (("oracle", one), ("blind", other)):
        told = entry[name]
        rate = wilson_interval(int(episodes.success.sum()), 300)
        assert told["success"] == pytest.approx(episodes.success.mean(), abs=1e-6)
        assert told["success_interval"] == pytest.approx([rate.low, rate.high], abs=1e-6)
        for key, values in (("return", episodes.returns), ("steps", episodes.steps)):
            mean = mean_interval(values)
            assert told[key] == pytest.approx(values.mean(), abs=1e-6)
            assert told[f"{key}_interval"] == pytest.approx([mean.low, mean.high], abs=1e-6)
        assert told["causes"] == episodes.causes()
    difference = paired_difference_interval(one.success, other.success)
    assert entry["headroom"] == pytest.approx(entry["oracle"]["success"] - entry["blind"]["success"], abs=2e-6)
    assert entry["headroom_interval"] == pytest.approx([difference.low, difference.high], abs=1e-6)
    assert entry["solvable"] == entry["oracle"]["success"]


def test_the_file_holds_plain_numbers(tmp_path, capsys):
    path = tmp_path / "headroom.json"
    assert command(*IDS, "--episodes", 40, "--seed", 3, "--json", path) == 0
    entries = json.loads(path.read_text())
    assert [entry["id"] for entry in entries] == IDS
    for entry in entries:
        assert entry["episodes"] == 40
        assert entry["package_version"] == __version__
        numbers = [entry["solvable"], entry["headroom"]]
        numbers += [entry[name][key] for name in ("oracle", "blind") for key in ("success", "return", "steps")]
        assert all(type(number) is float for number in numbers)
    assert entries == [headroom.measure(LEVEL, split, 40, 3) for split in ("Train", "HeldOut")]
    assert [file.name for file in tmp_path.iterdir()] == ["headroom.json"]


def test_the_table_tells_what_the_file_does(tmp_path, capsys):
    path = tmp_path / "headroom.json"
    assert command(*IDS, "--episodes", 40, "--json", path) == 0
    lines = capsys.readouterr().out.splitlines()
    assert command(*IDS, "--episodes", 40, "--json", path, "--markdown") == 0
    rows = capsys.readouterr().out.splitlines()
    assert len(rows) == 2 + len(IDS)
    assert max(map(len, lines)) <= 120
    for entry in json.loads(path.read_text()):
        low, high = entry["headroom_interval"]
        cell = f"{entry['headroom']:.3f} [{low:.3f}, {high:.3f}]"
        first = next(i for i, line in enumerate(lines) if line.startswith(entry["id"]))
        assert f"{entry['oracle']['success']:.3f} [" in lines[first]
        assert f"{entry['blind']['steps']:.1f} [" in lines[first + 1]
        assert cell in lines[first + 2]
        name = entry["id"].removeprefix("BabyAIpp-").removesuffix("-v0")
        (row,) = [row for row in rows if f"| {name} |" in row]
        assert cell in row
        assert f"{entry['blind']['steps']:.1f} [" in row


def test_all_ids_are_measured_by_default(measured, monkeypatch, tmp_path):
    from conftest import ALL_IDS

    monkeypatch.setattr(rollout, "make_vec", None)  # nothing is played
    monkeypatch.setattr(headroom, "play", lambda *args: iter([_nothing(args[3])]))
    path = tmp_path / "headroom.json"
    assert command("--episodes", 3, "--json", path) == 0
    assert measured == ALL_IDS
    assert [entry["id"] for entry in json.loads(path.read_text())] == ALL_IDS


def _nothing(count: int) -> rollout.Episodes:
    zeros = np.zeros(count)
    return rollout.Episodes(np.arange(count), zeros, zeros, np.full(count, 3, np.uint8), zeros, np.arange(count + 1))


def test_an_interrupted_run_goes_on_where_it_was(measured, monkeypatch, tmp_path, capsys):
    path = tmp_path / "headroom.json"
    arguments = (*IDS, "--episodes", 10, "--json", path)
    once = headroom.measure

    def interrupt(level, split, *args):
        if split == "HeldOut":
            raise KeyboardInterrupt
        return once(level, split, *args)

    with monkeypatch.context() as patched:
        patched.setattr(headroom, "measure", interrupt)
        assert command(*arguments) == 130
    assert [entry["id"] for entry in json.loads(path.read_text())] == IDS[:1]
    assert command(*arguments) == 0
    assert measured == IDS
    written = path.read_text()
    assert [entry["id"] for entry in json.loads(written)] == IDS
    assert command(*arguments) == 0
    assert measured == IDS
    assert path.read_text() == written
    assert command(*arguments, "--overwrite") == 0
    assert measured == [*IDS, *IDS]
    assert path.read_text() == written


def test_other_ids_are_added_to_a_file(measured, tmp_path):
    path = tmp_path / "headroom.json"
    for env_id in IDS:
        assert command(env_id, "--episodes", 5, "--json", path) == 0
    assert [entry["id"] for entry in json.loads(path.read_text())] == IDS


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("mine", "is not JSON"),
        ('{"a": 1}', "holds no results"),
        ('[{"id": 1}]', "holds no results"),
        (f'[{{"headroom": 0, "episodes": 6, "seed": 0, "package_version": "{__version__}"}}]', "episodes 6, not 5"),
        (f'[{{"headroom": 0, "episodes": 5, "seed": 1, "package_version": "{__version__}"}}]', "seed 1, not 0"),
        ('[{"headroom": 0, "episodes": 5, "seed": 0, "package_version": "0"}]', "package_version 0, not"),
    ],
)
def test_a_file_of_something_else_is_left_alone(measured, tmp_path, capsys, content, why):
    path = tmp_path / "headroom.json"
    path.write_text(content)
    assert command(IDS[0], "--episodes", 5, "--json", path) == 2
    err = capsys.readouterr().err
    assert f"--json {path}: " in err
    assert why in err
    assert path.read_text() == content
    assert command(IDS[0], "--episodes", 5, "--json", path, "--overwrite") == 0
    assert [entry["id"] for entry in json.loads(path.read_text())] == IDS[:1]


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("BabyAIpp-GoToRedBal-All-v0",), "did you mean 'BabyAIpp-GoToRedBall-All-v0'"),
        ((IDS[0], "--episodes", 0), "episodes=0 must be at least 1"),
        ((IDS[0], "--seed", -1), "seed=-1 must be"),
        ((IDS[0], "--json", "/"), "--json /: not a regular file"),
        ((IDS[0], "--json", "/nowhere/headroom.json"), "No such file or directory"),
    ],
)
def test_the_command_refuses(measured, capsys, arguments, why):
    assert command(*arguments) == 2
    out, err = capsys.readouterr()
    assert why in err
    assert err.count("\n") == 1
    assert out == ""
    assert measured == []
