"""`BatchedWorlds` is a vector environment as Gymnasium's own: the same episodes, spaces, infos."""

from __future__ import annotations

import subprocess
import sys
import warnings
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from batches import OBSERVATION, RED_BALL, assert_same, drawn_actions, engine, reference, rules_rows
from conftest import ALL_IDS
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers.vector import DictInfoToList, RecordEpisodeStatistics

import babyaipp
from babyaipp import BatchedWorlds
from babyaipp.engine.state import CAUSES
from babyaipp.texts import TEXT_CONDITIONS
from babyaipp.wrappers import TokenObservation

torch = pytest.importorskip("torch")

COMPARED = {  # id -> time limit, short enough for ends
    RED_BALL: 12,
    "BabyAIpp-GoToRedBallHard-Fixed-v0": 12,
    "BabyAIpp-PutNextLocal-HeldOut-v0": 15,
    "BabyAIpp-PickupLoc-Train-v0": 15,
    "BabyAIpp-GoToSeq-All-v0": 30,
    "BabyAIpp-GoToPartial-Train-v0": 30,
}


def assert_same_infos(expected: dict[str, Any], got: dict[str, Any]) -> None:
    """Infos of Gymnasium's vector environment over the reference, and the engine's."""
    num_envs = len(got["rules"])
    np.testing.assert_array_equal(got["rules"], rules_rows(expected["rules"], num_envs))
    assert set(got) - {"episode", "_episode"} == set(expected) - {"_rules"}
    for key in set(expected) - {"rules", "_rules", "final_info"}:
        assert_same(expected[key], got[key])
    if "final_info" in expected:
        final, given = dict(expected["final_info"]), dict(got["final_info"])
        np.testing.assert_array_equal(given.pop("rules"), rules_rows(final.pop("rules"), num_envs))
        assert_same(final, given)


def assert_play_alike(one: Any, other: Any, steps: int = 150, seed: Any = 5) -> set[str]:
    """Compare the reference's vector environment with the engine's; the causes of the ends that were seen."""
    (obs, infos), (got_obs, got_infos) = one.reset(seed=seed), other.reset(seed=seed)
    assert_same(obs, got_obs)
    assert_same_infos(infos, got_infos)
    causes: set[str] = set()
    for actions in drawn_actions(steps, one.num_envs):
        *expected, infos = one.step(actions)
        *got, got_infos = other.step(actions)
        for one_array, other_array in zip(expected, got, strict=True):
            assert_same(one_array, other_array)
        assert_same_infos(infos, got_infos)
        told = infos.get("final_info", infos)
        causes |= set(told.get("cause", ())) - {None}
        ended = expected[2] | expected[3]
        if one.metadata["autoreset_mode"] == AutoresetMode.DISABLED and ended.any():
            (obs, _), (got_obs, _) = (each.reset(options={"reset_mask": ended.copy()}) for each in (one, other))
            assert_same(obs, got_obs)
    return causes


@pytest.mark.parametrize("env_id", COMPARED)
def test_episodes_are_those_of_the_reference(env_id):
    limit = {"max_steps": COMPARED[env_id]}
    causes = assert_play_alike(reference(env_id, 3, **limit), engine(env_id, 3, **limit))
    if env_id == RED_BALL:
        assert causes == {"success", "timeout", "trap"}


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.DISABLED])
def test_other_autoresets_are_those_of_gymnasium(mode):
    limit = {"max_steps": 12}
    causes = assert_play_alike(reference(RED_BALL, 4, mode, **limit), engine(RED_BALL, 4, mode, **limit), 80)
    assert len(causes) > 1


@pytest.mark.parametrize("order", ["canonical", "shuffled"])
@pytest.mark.parametrize("text", [*TEXT_CONDITIONS, "withheld=1"])
def test_texts_are_those_of_the_reference(text, order):
    kwargs = {"text": text, "sentence_order": order, "max_steps": 3}
    env_id = "BabyAIpp-GoToRedBallHard-Fixed-v0"
    assert_play_alike(reference(env_id, 2, **kwargs), engine(env_id, 2, **kwargs), 12)


@pytest.mark.parametrize("env_id", ALL_IDS)
def test_spaces_are_those_of_the_reference(env_id):
    with_tokens, envs = TokenObservation(gym.make(env_id)), engine(env_id, 2)
    assert envs.single_observation_space == with_tokens.observation_space
    assert envs.single_action_space == with_tokens.action_space
    obs, _ = envs.reset(seed=0)
    assert envs.observation_space.contains(obs)
    assert envs.action_space == gym.vector.utils.batch_space(with_tokens.action_space, 2)


def test_token_sizes_can_be_raised_but_not_cut():
    envs = engine(RED_BALL, 2, mission_words=24, sentences=6, sentence_words=9)
    obs, _ = envs.reset(seed=0)
    assert obs["mission"].shape == (2, 24)
    assert obs["description"].shape == (2, 6, 9)
    assert not obs["mission"][:, 5:].any()
    assert not obs["description"][:, 2:].any()
    assert not obs["description"][:, :, 4:].any()
    assert envs.observation_space.contains(obs)
    with pytest.raises(ValueError, match="sentences=1 is too small for level GoToRedBall; at least 2"):
        engine(RED_BALL, 2, sentences=1)
    with pytest.raises(ValueError, match="sentence_words=3 is too small for level GoToRedBall; at least 4"):
        engine(RED_BALL, 2, sentence_words=3)


@pytest.mark.parametrize("mode", [None, "vector_entry_point"])
def test_gymnasium_makes_the_engine(mode):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        envs = gym.make_vec(RED_BALL, 3, vectorization_mode=mode, text="lorem", autoreset_mode="NextStep")
    assert isinstance(envs, BatchedWorlds)
    assert envs.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
    assert BatchedWorlds.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    again = gym.make_vec(envs.spec)
    assert isinstance(again, BatchedWorlds)
    assert (again.num_envs, again.text_condition) == (3, envs.text_condition)
    assert repr(again) == f"BatchedWorlds({RED_BALL}, num_envs=3)"


def test_gymnasium_still_makes_vectors_of_the_reference():
    envs = gym.make_vec(RED_BALL, 2, vectorization_mode="sync", wrappers=[TokenObservation])
    assert isinstance(envs, SyncVectorEnv)
    expected, _ = engine(RED_BALL, 2).reset(seed=1)
    assert_same(envs.reset(seed=1)[0], expected)


def test_names_of_the_engine_load_it_when_they_are_used():
    program = (
        "import sys, babyaipp\n"
        "print('numba' in sys.modules)\n"
        "from babyaipp import BatchedWorlds, make_vec\n"
        "print('numba' in sys.modules, 'torch' in sys.modules, 'minigrid' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False\nTrue False False\n"
    with pytest.raises(AttributeError, match="no attribute 'make_vek'"):
        _ = babyaipp.make_vek


def test_what_is_returned_may_be_kept():
    envs = engine(RED_BALL, 3, max_steps=6)
    kept, copies = [], []
    for step in range(20):
        results = envs.step([2, 2, 1]) if step else envs.reset(seed=0)
        flat = [*results[0].values(), *results[1:-1], results[-1]["rules"]]
        if "final_obs" in results[-1]:
            flat += [array for obs in results[-1]["final_obs"] if obs for array in obs.values()]
            flat += [*results[-1]["episode"].values(), results[-1]["final_info"]["rules"]]
        kept.append(flat)
        copies.append([np.copy(array) for array in flat])
    for one, other in zip(kept, copies, strict=True):
        for array, copied in zip(one, other, strict=True):
            np.testing.assert_array_equal(array, copied)


@pytest.mark.parametrize("output", ["numpy", "torch"])
def test_without_copies_memory_is_used_again(output):
    plain, envs = engine(RED_BALL, 3, max_steps=6), engine(RED_BALL, 3, max_steps=6, copy=False, output=output)
    first, _ = envs.reset(seed=0)
    plain.reset(seed=0)
    for actions in drawn_actions(30, 3):
        obs, rewards, *_, infos = envs.step(actions)
        expected, expected_rewards, *_, expected_infos = plain.step(actions)
        for key in OBSERVATION:
            assert obs[key] is first[key]
            np.testing.assert_array_equal(obs[key], expected[key])
            for row in np.flatnonzero(expected_infos.get("_final_obs", [])):
                last = infos["final_obs"][row][key] if output == "numpy" else infos["final_obs"][key][row]
                np.testing.assert_array_equal(last, expected_infos["final_obs"][row][key])
        np.testing.assert_allclose(rewards, expected_rewards, rtol=1e-6)


def test_returns_and_lengths_are_those_of_gymnasiums_wrapper():
    told = engine(RED_BALL, 5, max_steps=9)
    wrapped = RecordEpisodeStatistics(engine(RED_BALL, 5, max_steps=9, episode_statistics=False))
    told.reset(seed=0)
    wrapped.reset(seed=0)
    ends = 0
    for actions in drawn_actions(60, 5):
        infos, expected = told.step(actions)[-1], wrapped.step(actions)[-1]
        assert ("_episode" in infos) == ("_episode" in expected)
        if "_episode" in infos:
            np.testing.assert_array_equal(infos["_episode"], expected["_episode"])
            for key in ("r", "l"):
                np.testing.assert_array_equal(infos["episode"][key], expected["episode"][key])
                np.testing.assert_array_equal(infos["episode"][f"_{key}"], infos["_episode"])
            assert (infos["episode"]["r"].dtype, infos["episode"]["l"].dtype) == (np.float64, np.int32)
            ends += infos["_episode"].sum()
    assert ends > 20


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_infos_can_be_listed(mode):
    envs = DictInfoToList(engine(RED_BALL, 3, mode, max_steps=2))
    envs.reset(seed=0)
    assert all(set(info) == {"rules"} for info in envs.step([6, 6, 6])[-1])
    for info in envs.step([6, 6, 6])[-1]:
        told = info["final_info"] if mode == AutoresetMode.SAME_STEP else info
        assert (told["cause"], told["success"]) == ("timeout", False)
        assert (info["episode"]["r"], info["episode"]["l"]) == (0, 2)
        assert ("final_obs" in info) == (mode == AutoresetMode.SAME_STEP)


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_tensors_hold_the_same(mode):
    plain, tensors = (engine(RED_BALL, 6, mode, max_steps=8, output=output) for output in ("numpy", "torch"))
    for key, array in tensors.reset(seed=2)[0].items():
        np.testing.assert_array_equal(array.numpy(), plain.reset(seed=2)[0][key])
    dtypes = {"image": torch.uint8, "direction": torch.int64, "mission": torch.int32, "description": torch.int32}
    ends = 0
    for actions in drawn_actions(60, 6):
        obs, rewards, terminations, truncations, infos = tensors.step(torch.from_numpy(actions))
        expected, *ends_expected, told = plain.step(actions)
        assert {key: array.dtype for key, array in obs.items()} == dtypes
        assert (rewards.dtype, terminations.dtype, truncations.dtype) == (torch.float32, torch.bool, torch.bool)
        for key in OBSERVATION:
            np.testing.assert_array_equal(obs[key].numpy(), expected[key])
        np.testing.assert_array_equal(rewards.numpy(), ends_expected[0].astype(np.float32))
        np.testing.assert_array_equal(terminations.numpy(), ends_expected[1])
        np.testing.assert_array_equal(truncations.numpy(), ends_expected[2])
        np.testing.assert_array_equal(infos["rules"].numpy(), told["rules"])
        ended = ends_expected[1] | ends_expected[2]
        ends += ended.sum()
        np.testing.assert_array_equal(infos["_episode"].numpy(), ended)
        final = infos["final_info"] if mode == AutoresetMode.SAME_STEP else infos
        for row in np.flatnonzero(ended):
            expected_final = told["final_info"] if mode == AutoresetMode.SAME_STEP else told
            assert CAUSES[final["cause"][row]] == expected_final["cause"][row]
            assert final["success"][row] == expected_final["success"][row]
            assert infos["episode"]["l"][row] == told["episode"]["l"][row]
            assert infos["episode"]["r"][row] == rewards[row]
            if mode == AutoresetMode.SAME_STEP:
                np.testing.assert_array_equal(final["rules"][row].numpy(), expected_final["rules"][row])
                for key in OBSERVATION:
                    np.testing.assert_array_equal(infos["final_obs"][key][row], told["final_obs"][row][key])
        if mode == AutoresetMode.DISABLED and ended.any():
            for envs in (plain, tensors):
                envs.reset(options={"reset_mask": ended})
    assert ends > 20
    np.testing.assert_array_equal(tensors.action_mask().numpy(), plain.action_mask())
    np.testing.assert_array_equal(tensors.state(), plain.state())
