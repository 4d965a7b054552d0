"""Episodes played again from seeds and actions: as on batches of the engine, and as files of records tell."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from played import drawn_actions, play, records, splits_of

from babyaipp import LEVELS, make_vec
from babyaipp.engine.replay import Outcomes, replay_episodes
from babyaipp.engine.state import CAUSES, NOT_ENDED, SUCCESS
from babyaipp.evaluation import replay as module
from babyaipp.evaluation.protocol import FIRST_SEED
from babyaipp.evaluation.records import RecordError, Records, load_records, save_records
from babyaipp.evaluation.replay import replay, replay_reference
from babyaipp.planners.protocol import make_planner
from babyaipp.planners.rollout import play_seeds

SEEDS = FIRST_SEED + np.array([0, 1, 999, 2, 500])
CASES = [(level, split) for level in LEVELS for split in splits_of(level)]


def joined(actions: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Actions and offsets of some episodes."""
    return np.concatenate(actions), np.cumsum([0, *map(len, actions)])


def assert_same(expected: Outcomes, got: Outcomes) -> None:
    for name, array in vars(expected).items():
        assert getattr(got, name).dtype == array.dtype
        np.testing.assert_array_equal(getattr(got, name), array, err_msg=name)


# The engine


@pytest.mark.parametrize(("level", "split"), CASES)
def test_episodes_end_as_they_did_whatever_the_text_told(level, split):
    played = [play(level, split, SEEDS, text, seed) for seed, text in enumerate(("true", "contradict", "lorem"))]
    expected = Outcomes(
        *(np.concatenate(arrays) for arrays in zip(*(vars(o).values() for o, _ in played), strict=True))
    )
    actions = [row for _, rows in played for row in rows]
    assert_same(expected, replay_episodes(LEVELS[level], split, SEEDS, *joined(actions)))
    more = [np.append(row, [2, 0, 5]).astype(np.uint8) for row in actions]  # which are not taken
    assert_same(expected, replay_episodes(LEVELS[level], split, SEEDS, *joined(more)))


@pytest.mark.parametrize(("level", "split"), CASES)
def test_every_step_takes_the_time_that_it_took(level, split):
    """Episodes of 0, 1, 2 ... of the same actions show what each step did to the clock, and where the end came."""
    steps = 60
    actions = drawn_actions(len(SEEDS), steps, seed=9)
    first = [row[:count] for count in range(steps + 1) for row in actions]
    got = replay_episodes(LEVELS[level], split, SEEDS, *joined(first))
    envs = make_vec(level, split, len(SEEDS), autoreset_mode="NextStep")
    envs.reset(seed=SEEDS.tolist())
    playing, cause = np.ones(len(SEEDS), np.bool_), np.zeros(len(SEEDS), np.uint8)
    half_steps, used, returns = np.zeros(len(SEEDS)), np.zeros(len(SEEDS)), np.zeros(len(SEEDS))
    for count in range(steps + 1):
        if count:
            _, rewards, terminations, truncations, infos = envs.step(actions[:, count - 1])
            half_steps[playing] = envs.state()["half_steps"][playing]
            used[playing] += 1
            for row in np.flatnonzero(playing & (terminations | truncations)).tolist():
                cause[row], returns[row] = CAUSES.index(infos["cause"][row]), rewards[row]
                playing[row] = False
        rows = slice(count * len(SEEDS), (count + 1) * len(SEEDS))
        np.testing.assert_array_equal(got.half_steps[rows], half_steps, err_msg=f"after {count} actions")
        np.testing.assert_array_equal(got.cause[rows], cause)
        np.testing.assert_array_equal(got.used[rows], used)
        np.testing.assert_array_equal(got.returns[rows], returns)


@pytest.mark.parametrize("level", ["GoToRedBallHard", "PutNext", "PickupLoc", "GoToSeq", "CrossMany", "Courier"])
def test_the_oracle_succeeds_again(level):
    split = splits_of(level)[1]
    told = play_seeds(make_planner("oracle", level, split), LEVELS[level], split, SEEDS.tolist())
    got = replay_episodes(LEVELS[level], split, SEEDS, told.actions, told.offsets)
    assert (got.cause == SUCCESS).any()
    np.testing.assert_array_equal(got.cause, told.cause)
    np.testing.assert_array_equal(got.half_steps, told.half_steps)
    np.testing.assert_array_equal(got.used, told.lengths)
    np.testing.assert_array_equal(got.returns, told.returns)


def test_all_ways_to_end_are_among_these():
    """The comparisons above say something."""
    causes = set()
    for level, split in CASES[:8]:
        causes |= {CAUSES[cause] for cause in play(level, split, SEEDS, "true", 0)[0].cause}
    assert causes >= {"success", "timeout", "trap"}


@pytest.mark.parametrize("threads", [2, 5, 200])
@pytest.mark.parametrize("level", ["GoToSeq", "PickupLoc"])
def test_threads_do_not_matter(level, threads):
    seeds = np.arange(130)
    actions = joined(list(drawn_actions(2 * len(seeds), 50, seed=1)))
    alone = replay_episodes(LEVELS[level], "All", seeds, *actions)
    assert_same(alone, replay_episodes(LEVELS[level], "All", seeds, *actions, threads))


def test_neighbours_do_not_matter():
    """Worlds are made in the same memory, one after the other."""
    seeds = np.arange(40)
    rows = list(drawn_actions(len(seeds), 300, seed=2))
    for level in ("GoToSeq", "Unlock"):
        together = replay_episodes(LEVELS[level], "All", seeds, *joined(rows))
        order = np.random.default_rng(3).permutation(len(seeds))
        mixed = replay_episodes(LEVELS[level], "All", seeds[order], *joined([rows[k] for k in order]))
        for name, array in vars(together).items():
            np.testing.assert_array_equal(array[order], getattr(mixed, name))
        for k in (0, 39):
            alone = replay_episodes(LEVELS[level], "All", seeds[k : k + 1], *joined([rows[k]]))
            assert [each[0] for each in vars(alone).values()] == [each[k] for each in vars(together).values()]


def test_large_seeds_and_episodes_without_actions_will_do():
    seeds = np.array([0, 2**32, 2**63 - 1])
    rows = list(drawn_actions(3, 20, seed=1))
    got = replay_episodes(LEVELS["GoToRedBall"], "All", seeds, *joined([*rows, *[np.zeros(0, np.uint8)] * 3]))
    assert (got.used[:3] > 0).all()
    for name in ("cause", "half_steps", "used", "returns"):
        assert (getattr(got, name)[3:] == 0).all()


def test_arrays_that_may_not_be_written_or_have_gaps_will_do():
    rows = drawn_actions(4, 50, seed=1)
    seeds, (actions, offsets) = np.arange(4), joined(list(rows))
    expected = replay_episodes(LEVELS["Courier"], "All", seeds, actions, offsets)
    for array in (seeds, actions, offsets):
        array.flags.writeable = False
    assert_same(expected, replay_episodes(LEVELS["Courier"], "All", seeds, actions, offsets))
    spread = [np.repeat(array, 2)[::2] for array in (seeds, actions, offsets)]
    assert_same(expected, replay_episodes(LEVELS["Courier"], "All", *spread))


SOUND: dict[str, Any] = {
    "split": "All",
    "seeds": np.arange(2),
    "actions": np.zeros(6, np.uint8),
    "offsets": np.array([0, 3, 6]),
    "num_threads": 1,
}


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("split", "Some", "split"),
        ("seeds", np.array([0, -1]), "each at least 0"),
        ("seeds", np.zeros(0, np.int64), "seeds must be one or more"),
        ("seeds", np.arange(2.0), "seeds: float64 of shape (2,); allowed: int64"),
        ("seeds", np.arange(3), "offsets: of 2 episodes; allowed: a multiple of 3"),
        ("actions", np.full(6, 7, np.uint8), "actions: 7 is unknown; allowed: 0 to 6"),
        ("actions", np.zeros(6, np.int64), "actions: int64 of shape (6,); allowed: uint8"),
        ("actions", np.zeros((2, 3), np.uint8), "actions: uint8 of shape (2, 3)"),
        ("actions", np.zeros(5, np.uint8), "offsets must go from 0 to 5"),
        ("offsets", np.array([0, 7, 6]), "never back"),
        ("offsets", np.array([0, 2**62, -(2**63), -1, 6]), "never back"),
        ("offsets", np.array([-1, 3, 6]), "offsets must go from 0 to 6"),
        ("offsets", np.array([0, 3, 7]), "offsets must go from 0 to 6"),
        ("offsets", np.array([0]), "offsets: of 0 episodes"),
        ("num_threads", 0, "num_threads=0 must be"),
    ],
)
def test_unsound_arguments_are_refused(name, value, why):
    replay_episodes(LEVELS["GoToRedBall"], **SOUND)
    with pytest.raises(ValueError, match=re.escape(why)):
        replay_episodes(LEVELS["GoToRedBall"], **SOUND | {name: value})


def digest() -> str:
    """Of what becomes of some episodes."""
    found = hashlib.sha256()
    for level in ("PickupLoc", "GoToSeq", "CrossMany"):
        rows = list(drawn_actions(6, 40, seed=4))
        outcomes = replay_episodes(LEVELS[level], "HeldOut", np.arange(3), *joined(rows), 2)
        for array in vars(outcomes).values():
            found.update(array.tobytes())
    return found.hexdigest()


def test_without_compilation_it_is_the_same():
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1"}
    done = subprocess.run([sys.executable, __file__], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == digest()


# Files of records


@pytest.fixture(scope="module")
def sound() -> Records:
    return records("reading", ("CrossTwo", "Courier"), (3, 8), 6)


def returns_of(told: Records) -> np.ndarray:
    """(r, c, n) float64, as batches of the engine give them for the same actions."""
    found = np.zeros(told.lengths.shape)
    for run, training_seed in enumerate(told.runs):
        for number, cell in enumerate(told.cells):
            seeds = FIRST_SEED + np.arange(found.shape[2])
            went, _ = play(cell.level, cell.split, seeds, cell.text, 1000 * training_seed + number)
            found[run, number] = went.returns
    return found


@pytest.mark.parametrize("threads", [1, 3])
def test_sound_records_give_their_returns(sound, threads):
    told: list[int] = []
    got = replay(sound, threads, told.append)
    assert told == [12, 48, 60, 96]  # a split at a time
    assert got.dtype == np.float64
    np.testing.assert_array_equal(got, returns_of(sound))
    assert ((got > 0) == (sound.cause == SUCCESS)).all()
    assert (got > 0).any()


def test_records_that_were_saved_and_loaded_replay(sound, tmp_path):
    save_records(tmp_path / "episodes.npz", sound)
    loaded = load_records(tmp_path / "episodes.npz", 6)
    np.testing.assert_array_equal(replay(loaded), replay(sound))
    assert len(replay_reference(loaded, 2, 0)) == 2


def test_records_of_mazes_replay():
    told = records("classic", ("GoToRedBall", "GoToSeq"), (0,), 2)
    np.testing.assert_array_equal(replay(told, 2).shape, (1, 8, 2))


AT = (1, 6, 4)  # second run, Courier/HeldOut/lorem
NAMED = f"episode 4 of Courier/HeldOut/lorem, run 8, seed {FIRST_SEED + 4}, "


def with_changed(told: Records, name: str, value: int) -> Records:
    array = getattr(told, name).copy()
    array[AT] = value
    return replace(told, **{name: array})


def with_actions(told: Records, actions: np.ndarray) -> Records:
    """The actions of one episode replaced by others."""
    k = int(np.ravel_multi_index(AT, told.lengths.shape))
    parts = [told.actions[: told.offsets[k]], actions, told.actions[told.offsets[k + 1] :]]
    lengths = told.lengths.copy()
    lengths[AT] = len(actions)
    return replace(told, actions=np.concatenate(parts).astype(np.uint8), lengths=lengths)


def actions_at(told: Records) -> np.ndarray:
    actions, offsets = told.actions_of(*AT[:2])
    return actions[offsets[AT[2]] : offsets[AT[2] + 1]]


def problem(told: Records) -> str:
    with pytest.raises(RecordError) as caught:
        replay(told)
    message = str(caught.value)
    with pytest.raises(RecordError) as caught:
        replay_reference(told, told.lengths.size, 0)  # as many as there are
    assert str(caught.value) == f"{message} on the reference environment"
    return message


def test_another_cause_is_found(sound):
    cause = CAUSES[sound.cause[AT]]
    other = "success" if cause != "success" else "failure"
    told = with_changed(sound, "cause", CAUSES.index(other))
    assert problem(told) == f"{NAMED}ends by {cause}, not by {other}"


@pytest.mark.parametrize("change", [1, -1, 2])
def test_another_time_is_found(sound, change):
    steps = sound.half_steps[AT] / 2
    told = with_changed(sound, "half_steps", int(sound.half_steps[AT]) + change)
    assert problem(told) == f"{NAMED}ends after {steps:g} steps, not {steps + change / 2:g}"


def test_an_episode_that_ends_early_is_found(sound):
    actions = actions_at(sound)
    told = with_actions(sound, np.append(actions, [0, 2]))
    cause = CAUSES[sound.cause[AT]]
    assert problem(told) == f"{NAMED}ends after {len(actions)} of its {len(actions) + 2} actions, by {cause}"


def test_an_episode_that_does_not_end_is_found(sound):
    actions = actions_at(sound)
    for other in (actions[:-1], actions[:1]):
        assert problem(with_actions(sound, other)) == f"{NAMED}has not ended after its {len(other)} actions"


def test_episodes_of_other_seeds_are_found(sound):
    """All actions of a cell moved on by one episode."""
    k = int(np.ravel_multi_index((*AT[:2], 0), sound.lengths.shape))
    first, last = sound.offsets[k], sound.offsets[k + 6]
    moved = np.roll(sound.actions[first:last], -int(sound.lengths[(*AT[:2], 0)]))
    arrays = {name: getattr(sound, name).copy() for name in ("lengths", "cause", "half_steps", "actions")}
    for name in ("lengths", "cause", "half_steps"):
        arrays[name][AT[:2]] = np.roll(arrays[name][AT[:2]], -1)
    arrays["actions"][first:last] = moved
    assert "of Courier/HeldOut/lorem, run 8, seed" in problem(replace(sound, **arrays))


def test_the_first_wrong_episode_of_the_file_is_named(sound):
    """Not the first that is played: runs, and cells of the same worlds, are played together."""
    half_steps = sound.half_steps.copy()
    for at in ((1, 0, 0), (0, 7, 5), (0, 7, 1), (0, 4, 3), (0, 3, 2)):
        half_steps[at] += 1
        run, cell, episode = at
        with pytest.raises(RecordError) as caught:
            replay(replace(sound, half_steps=half_steps))
        name = f"episode {episode} of {sound.cells[cell].name}, run {sound.runs[run]}, seed {FIRST_SEED + episode},"
        assert str(caught.value).startswith(name)


# The reference


def test_the_reference_plays_a_seeded_sample(sound):
    told: list[int] = []
    played = replay_reference(sound, 10, 5, told.append)
    assert told == list(range(1, 11))
    assert played == replay_reference(sound, 10, 5)
    assert played != replay_reference(sound, 10, 6)
    assert played == tuple(sorted(set(played)))
    assert len(replay_reference(sound, 1000, 0)) == sound.lengths.size


@pytest.mark.parametrize("level", ["PutNextLocal", "PickupLoc", "GoToHard", "GoToSeq"])
def test_the_reference_agrees_on_other_levels(level):
    told = records("classic", (level,), (0,), 2)
    assert len(replay_reference(told, 4, 1)) == 4
    assert (replay(told) >= 0).all()


def test_a_return_that_the_reference_does_not_give_is_found(sound, monkeypatch):
    def other(*args: Any) -> Outcomes:
        outcomes = replay_episodes(*args)
        return replace(outcomes, returns=outcomes.returns + 1e-12)

    monkeypatch.setattr(module, "replay_episodes", other)
    with pytest.raises(RecordError, match=r"episode .* of .* has return .* on the reference, .* on the engine"):
        replay_reference(sound, 3, 0)


def test_only_sampled_episodes_are_played_on_the_reference(sound):
    told = with_changed(sound, "half_steps", 1)  # no episode ends so soon
    for seed in range(20):
        if AT not in replay_reference(sound, 3, seed):
            replay_reference(told, 3, seed)
            return
    raise AssertionError("the episode is in every sample")


@pytest.mark.parametrize(("sample", "seed"), [(0, 0), (-1, 0), (3, -1)])
def test_unsound_samples_are_refused(sound, sample, seed):
    with pytest.raises(ValueError, match=f"sample={sample} must be at least 1, and seed={seed} at least 0"):
        replay_reference(sound, sample, seed)


def test_records_end(sound):
    """As the tests above take it."""
    assert (sound.cause != NOT_ENDED).all()
    assert len(np.unique(sound.cause)) > 2


if __name__ == "__main__":
    print(digest())
