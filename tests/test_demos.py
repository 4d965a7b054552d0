"""Files of demonstrations hold what was played, whatever interrupts it, and nothing that is not so is believed."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
import scripted

from babyaipp.cli import main
from babyaipp.engine.state import CAUSES
from babyaipp.levels import get_level
from babyaipp.planners import demos, protocol, rollout
from babyaipp.planners.progress import duration

LEVEL = get_level("GoToRedBall")
ENV_ID = LEVEL.env_id("All")
MAZE = get_level("GoToNoDist")


@pytest.fixture(autouse=True)
def wanderers(monkeypatch):
    """Planners whose speed and skill do not matter here."""
    monkeypatch.setitem(protocol.PLANNERS, "oracle", scripted.WANDERER)
    monkeypatch.setitem(protocol.PLANNERS, "blind", scripted.STROLLER)


def played(level=LEVEL, split="All", episodes=30, seed=7, **kwargs) -> rollout.Episodes:
    planner = scripted.Wanderer(level, split)
    return rollout.Episodes.joined(list(rollout.play(planner, level, split, episodes, seed, **kwargs)))


def assert_equal(one: rollout.Episodes, other: rollout.Episodes) -> None:
    for name, value in vars(one).items():
        assert value.dtype == getattr(other, name).dtype
        np.testing.assert_array_equal(value, getattr(other, name), name)


@pytest.mark.parametrize("level", [LEVEL, MAZE], ids=lambda level: level.name)
def test_every_episode_can_be_had_alone_on_the_reference(level):
    episodes = played(level, episodes=8)
    env = gym.make(level.env_id("All"))
    assert {"success", "timeout"} & set(episodes.causes())
    for k in range(len(episodes)):
        env.reset(seed=7 + k)
        assert episodes.seeds[k] == 7 + k
        for i, action in enumerate(episodes.actions_of(k), 1):
            _, reward, terminated, truncated, info = env.step(action)
            assert (terminated or truncated) == (i == episodes.lengths[k])
        assert info["cause"] == CAUSES[episodes.cause[k]]
        assert info["success"] == episodes.success[k]
        assert reward == episodes.returns[k]
        limit = env.unwrapped.max_steps
        if episodes.success[k]:
            assert reward == pytest.approx(1 - 0.9 * episodes.steps[k] / limit)
        elif info["cause"] == "timeout":
            assert limit <= episodes.steps[k] <= limit + 0.5


def test_what_is_played_beside_an_episode_makes_no_difference():
    whole = played(episodes=30)
    assert_equal(played(episodes=30, batch=7), whole)
    assert_equal(played(episodes=30, first=11, batch=30), played(episodes=19, seed=18))
    assert_equal(whole.head(12), played(episodes=12))
    assert len(set(whole.causes())) == 3


@pytest.mark.parametrize(
    ("episodes", "seed", "why"),
    [(0, 0, "episodes=0 must be at least 1"), (3, -1, "seed=-1 must be 0 to"), (3, 2**63 - 2, "must be 0 to")],
)
def test_runs_without_seeds_are_refused(episodes, seed, why):
    with pytest.raises(ValueError, match=why):
        played(episodes=episodes, seed=seed)


def test_a_file_gives_back_what_was_written(tmp_path):
    path = tmp_path / "demos.npz"
    written = demos.record_demos(path, MAZE, "HeldOut", "oracle", 12, seed=3)
    read = demos.load_demos(path)
    assert (read.level, read.split, read.planner, read.env_id) == (MAZE, "HeldOut", "oracle", MAZE.env_id("HeldOut"))
    assert_equal(read.episodes, written.episodes)
    assert_equal(read.episodes, played(MAZE, "HeldOut", 12, 3))
    demos.replay(read, batch=5)
    assert [file.name for file in tmp_path.iterdir()] == ["demos.npz"]
    with np.load(path, allow_pickle=False) as fields:
        for name in fields.files:
            assert f"\n    {name}" in demos.__doc__ or f", {name} " in demos.__doc__, name


def test_a_finished_file_is_not_lost(tmp_path):
    path = tmp_path / "demos.npz"
    demos.record_demos(path, LEVEL, "All", "oracle", 3)
    before = path.read_bytes()
    with pytest.raises(FileExistsError, match="there already"):
        demos.record_demos(path, LEVEL, "All", "oracle", 4)
    assert path.read_bytes() == before
    demos.record_demos(path, LEVEL, "All", "oracle", 4, overwrite=True)
    assert len(demos.load_demos(path).episodes) == 4


class Stop:
    """Interrupts a run once so many episodes have been played."""

    def __init__(self, at: int) -> None:
        self.at = at
        self.told = []

    def __call__(self, done: int) -> None:
        self.told.append(done)
        if done >= self.at:
            raise KeyboardInterrupt


def interrupted(path, at, **kwargs):
    stop = Stop(at)
    with pytest.raises(KeyboardInterrupt):
        demos.record_demos(path, LEVEL, "All", "oracle", 20, seed=5, batch=4, on_episodes=stop, **kwargs)
    return stop.told


def test_an_interrupted_run_goes_on_where_it_was(tmp_path):
    path, straight = tmp_path / "demos.npz", tmp_path / "straight.npz"
    demos.record_demos(straight, LEVEL, "All", "oracle", 20, seed=5)
    assert interrupted(path, 8) == [0, 4, 8]
    assert not path.exists()
    assert len(demos.load_demos(demos.partial_file(path)).episodes) == 8
    assert interrupted(path, 16) == [8, 12, 16]
    assert interrupted(path, 0) == [16]
    demos.record_demos(path, LEVEL, "All", "oracle", 20, seed=5)
    assert path.read_bytes() == straight.read_bytes()
    assert not demos.partial_file(path).exists()


def test_a_long_run_keeps_its_episodes_on_the_way(tmp_path, monkeypatch):
    """What a crash would leave, which nothing can react to."""
    path = tmp_path / "demos.npz"
    monkeypatch.setattr(demos, "_SAVE_SECONDS", -1)
    kept = []

    def look(done: int) -> None:
        partial = demos.partial_file(path)
        kept.append(len(demos.load_demos(partial).episodes) if partial.exists() else 0)

    demos.record_demos(path, LEVEL, "All", "oracle", 12, batch=4, on_episodes=look)
    assert kept == [0, 0, 4, 8]


@pytest.mark.parametrize(
    ("split", "planner", "seed", "why"),
    [
        ("Train", "oracle", 5, f"id {ENV_ID}, not"),
        ("All", "blind", 5, "planner oracle, not blind"),
        ("All", "oracle", 6, "first seed 5, not 6"),
    ],
)
def test_another_run_does_not_go_on_from_it(tmp_path, split, planner, seed, why):
    path = tmp_path / "demos.npz"
    interrupted(path, 8)
    before = demos.partial_file(path).read_bytes()
    with pytest.raises(ValueError, match=why):
        demos.record_demos(path, LEVEL, split, planner, 20, seed=seed)
    assert demos.partial_file(path).read_bytes() == before
    demos.record_demos(path, LEVEL, split, planner, 5, seed=seed, overwrite=True)
    assert [file.name for file in tmp_path.iterdir()] == ["demos.npz"]


def test_a_shorter_run_does_not_take_what_a_longer_one_left(tmp_path):
    path = tmp_path / "demos.npz"
    interrupted(path, 8)
    left = demos.partial_file(path).read_bytes()
    with pytest.raises(ValueError, match="8 episodes so far, more than 6; finish that one, or remove the file"):
        demos.record_demos(path, LEVEL, "All", "oracle", 6, seed=5)
    assert demos.partial_file(path).read_bytes() == left
    assert not path.exists()


def fields_of(tmp_path) -> dict[str, np.ndarray]:
    demos.record_demos(tmp_path / "sound.npz", LEVEL, "All", "oracle", 5)
    with np.load(tmp_path / "sound.npz") as archive:
        return {name: archive[name] for name in archive.files}


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"format": np.array("other")}, "not a file of demonstrations"),
        ({"format": None}, "not a file of demonstrations"),
        ({"format_version": np.array(2)}, "format version 2; this package reads 1"),
        ({"seeds": None}, r"missing fields \['seeds'\]"),
        ({"more": np.zeros(2)}, r"unknown fields \['more'\]"),
        ({"planner": np.array(1)}, "planner: int64"),
        ({"id": np.array("BabyAIpp-GoToRedBal-All-v0")}, "did you mean 'BabyAIpp-GoToRedBall-All-v0'"),
        ({"seeds": np.arange(5.0)}, r"seeds: float64 of shape \(5,\); allowed: int64 of shape \(5,\)"),
        ({"seeds": np.arange(6)}, r"offsets: int64 of shape \(6,\); allowed: int64 of shape \(7,\)"),
        ({"seeds": np.arange(5) - 1}, "seeds must be at least 0"),
        ({"return": np.zeros((5, 1))}, "return"),
        ({"offsets": np.arange(6)}, "offsets do not fit actions"),
        ({"cause": np.full(5, 99, np.uint8)}, "cause does not fit cause_names"),
        ({"cause": np.zeros(5, np.uint8)}, "cause does not fit success"),
        ({"success": np.array([True, False] * 2 + [True])}, "cause does not fit success"),
        ({"cause_names": np.array(["", "success", "failure", "luck"])}, "cause_names must be of"),
    ],
)
def test_a_file_that_is_unsound_is_refused(tmp_path, changes, why):
    fields = fields_of(tmp_path) | changes
    path = tmp_path / "unsound.npz"
    np.savez_compressed(path, **{name: value for name, value in fields.items() if value is not None})
    with pytest.raises(ValueError, match=why) as error:
        demos.load_demos(path)
    assert str(path) in str(error.value)


def test_an_unknown_action_is_refused(tmp_path):
    fields = fields_of(tmp_path)
    fields["actions"][3] = 7
    np.savez_compressed(tmp_path / "unsound.npz", **fields)
    with pytest.raises(ValueError, match="actions must be 0 to 6"):
        demos.load_demos(tmp_path / "unsound.npz")


def test_files_that_are_damaged_or_something_else_are_refused(tmp_path):
    path = tmp_path / "sound.npz"
    written = demos.record_demos(path, LEVEL, "All", "oracle", 50)
    data = path.read_bytes()
    np.savez(tmp_path / "pickle.npz", format=np.array([{"a": 1}], object))
    for content in (b"", b"text", data[: len(data) // 2], (tmp_path / "pickle.npz").read_bytes()):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="demonstrations"):
            demos.load_demos(path)
    refused = 0
    for place in range(0, len(data), 41):
        path.write_bytes(data[:place] + bytes([data[place] ^ 0x55]) + data[place + 1 :])
        try:
            read = demos.load_demos(path)
        except ValueError:
            refused += 1
        else:  # a byte that does not matter
            assert_equal(read.episodes, written.episodes)
    assert refused > 0.5 * len(range(0, len(data), 41))
    with pytest.raises(FileNotFoundError):
        demos.load_demos(tmp_path / "none.npz")


@pytest.mark.parametrize(
    ("name", "value"), [("actions", 6), ("return", 0.5), ("half_steps", 3), ("cause", CAUSES.index("failure"))]
)
def test_replay_finds_what_is_not_so(tmp_path, name, value):
    fields = fields_of(tmp_path)
    row = int(np.flatnonzero(~fields["success"])[0])
    fields[name][fields["offsets"][row] if name == "actions" else row] = value
    if name == "actions":
        fields[name][fields["offsets"][row] : fields["offsets"][row + 1]] = value
        fields["cause"][row] = CAUSES.index("trap")
    np.savez_compressed(tmp_path / "false.npz", **fields)
    false = demos.load_demos(tmp_path / "false.npz")
    with pytest.raises(ValueError, match=f"episode {row}, seed {row} of {ENV_ID}: the engine gives"):
        demos.replay(false)


def command(*arguments) -> int:
    return main(["demos", *map(str, arguments)])


def test_the_command_writes_what_the_function_does(tmp_path, capsys):
    path, same = tmp_path / "demos.npz", tmp_path / "same.npz"
    assert command(ENV_ID, "--episodes", 9, "--out", path, "--seed", 4, "--planner", "blind") == 0
    demos.record_demos(same, LEVEL, "All", "blind", 9, seed=4)
    assert path.read_bytes() == same.read_bytes()
    assert f"{ENV_ID}, blind, 9 episodes: timeout" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("BabyAIpp-GoToRedBal-All-v0", "--episodes", 3), "did you mean 'BabyAIpp-GoToRedBall-All-v0'"),
        ((ENV_ID, "--episodes", 0), "episodes=0 must be at least 1"),
        ((ENV_ID, "--episodes", 3, "--seed", -1), "seed=-1 must be"),
    ],
)
def test_the_command_refuses(tmp_path, capsys, arguments, why):
    assert command(*arguments, "--out", tmp_path / "demos.npz") == 2
    out, err = capsys.readouterr()
    assert why in err
    assert err.count("\n") == 1
    assert out == ""
    assert list(tmp_path.iterdir()) == []


def test_the_command_refuses_files_that_it_cannot_write(tmp_path, capsys):
    there = tmp_path / "there.npz"
    there.write_text("mine")
    for out, why in (
        (tmp_path, "not a regular file"),
        (tmp_path / "none" / "demos.npz", "No such file"),
        (there, "there already; --overwrite, or overwrite=True, writes over it"),
    ):
        assert command(ENV_ID, "--episodes", 3, "--out", out) == 2
        err = capsys.readouterr().err
        assert f"--out {out}: " in err
        assert why in err
    assert there.read_text() == "mine"
    assert command(ENV_ID, "--episodes", 3, "--out", there, "--overwrite") == 0


def test_ctrl_c_keeps_what_there_is_and_says_so(tmp_path, capsys, monkeypatch):
    path = tmp_path / "demos.npz"
    act = scripted.Wanderer.act
    acted = []

    def interrupt(self, worlds):
        acted.append(1)
        if len(worlds) < rollout.BATCH:  # in the second batch
            raise KeyboardInterrupt
        return act(self, worlds)

    arguments = (ENV_ID, "--episodes", rollout.BATCH + 5, "--out", path)
    with monkeypatch.context() as patched:
        patched.setattr(scripted.Wanderer, "act", interrupt)
        assert command(*arguments) == 130
    assert f"the same command goes on from what is in {path}.partial" in capsys.readouterr().err
    assert len(demos.load_demos(demos.partial_file(path)).episodes) == rollout.BATCH
    acted.clear()
    assert command(*arguments) == 0
    assert_equal(demos.load_demos(path).episodes, played(episodes=rollout.BATCH + 5, seed=0))


def test_progress_is_told_on_stderr(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("babyaipp.planners.progress._SECONDS", {True: 0, False: 0})
    assert command(ENV_ID, "--episodes", 8, "--out", tmp_path / "demos.npz") == 0
    assert f"{ENV_ID}: 8 of 8 episodes, " in capsys.readouterr().err
    assert [duration(seconds) for seconds in (59.4, 185, 7650)] == ["59 s", "3 min 5 s", "2 h 7 min"]
