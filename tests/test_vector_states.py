"""Actions and states of a batch: what is taken, what goes on exactly, what is refused and changes nothing."""

from __future__ import annotations

import copy
import dataclasses
import multiprocessing
import pickle
import warnings

import numpy as np
import pytest
from batches import RED_BALL, assert_same, drawn_actions, edited, engine
from gymnasium.error import ClosedEnvironmentError, ResetNeeded
from gymnasium.vector import AutoresetMode

from babyaipp import LEVELS, make_vec
from babyaipp.tiles import PROPERTIES

torch = pytest.importorskip("torch")


@pytest.mark.parametrize("output", ["numpy", "torch"])
@pytest.mark.parametrize(
    ("actions", "message"),
    [
        (np.array([0, 7]), "unknown action 7 of environment 1; allowed: integers from 0 to 6"),
        (np.array([-1, 0]), "unknown action -1 of environment 0"),
        (np.array([0, 255], np.uint8), "unknown action 255 of environment 1"),
        (np.array([0, 2**64 - 2], np.uint64), "unknown action 18446744073709551614 of environment 1"),
        (np.array([0, 1, 2]), "int64 of shape .3,.; allowed: integers of shape .2,."),
        (np.array([[0], [1]]), "int64 of shape .2, 1."),
        (3, "shape .."),
        (np.array([0.0, 1.0]), "float64 of shape .2,.; allowed: integers"),
        (np.array([True, False]), "bool of shape .2,.; allowed: integers"),
        ([None, 1], "object of shape .2,.; allowed: integers"),
        ([[1], [1, 2]], "must be an array of integers"),
        (torch.tensor([0, 8]), "unknown action 8 of environment 1"),
        (torch.tensor([0.0, 1.0]), "float32 of shape .2,.; allowed: integers"),
        (torch.tensor([0.0, 1.0], requires_grad=True), "float32 of shape .2,.; allowed: integers"),
        (torch.tensor([0, 1]).to_sparse(), "sparse_coo torch.int64 of shape .2,.; allowed: integers, dense"),
        (torch.zeros(2, dtype=torch.int64, device="meta"), "tensor on device meta; allowed: cpu"),
    ],
)
def test_bad_actions_are_refused_and_change_nothing(actions, message, output):
    envs = engine(RED_BALL, 2, output=output)
    envs.reset(seed=1)
    envs.step([2, 2])
    before = envs.state()
    with pytest.raises(ValueError, match=f"^actions.*{message}"):
        envs.step(actions)
    np.testing.assert_array_equal(envs.state(), before)


def test_all_kinds_of_integers_are_actions():
    envs = engine(RED_BALL, 3)
    envs.reset(seed=2)
    before, results = envs.state(), []
    actions = np.array([2, 1, 5])
    kinds = (np.int8, np.uint8, np.int32, np.uint64)
    for each in (actions, *map(actions.astype, kinds), actions.tolist(), torch.tensor(actions, dtype=torch.int16)):
        envs.set_state(before)
        envs.step(each)
        results.append(envs.state())
    given = np.array([9, 2, 9, 1, 9, 5])[1::2]  # not contiguous
    envs.set_state(before)
    envs.step(given)
    for result in results:
        np.testing.assert_array_equal(result, envs.state())


def test_there_must_be_episodes_to_step():
    envs = engine(RED_BALL, 2)
    for call in (lambda: envs.step([0, 0]), envs.observe, envs.state, envs.action_mask, lambda: envs.world(0)):
        with pytest.raises(ResetNeeded, match="reset must be called first"):
            call()
    with pytest.raises(ResetNeeded, match="first, all environments must be reset"):
        envs.reset(options={"reset_mask": np.array([True, False])})
    envs.reset()
    envs.step([0, 0])
    envs.close()
    envs.close()
    for call in (lambda: envs.step([0, 0]), envs.reset, lambda: envs.set_state(None)):
        with pytest.raises(ClosedEnvironmentError, match="closed"):
            call()


def test_without_autoreset_ended_episodes_are_not_stepped():
    envs = engine(RED_BALL, 3, AutoresetMode.DISABLED, max_steps=1)
    envs.reset(seed=0)
    *_, truncations, infos = envs.step([6, 6, 6])
    assert truncations.all()
    assert "final_obs" not in infos
    before = envs.state()
    with pytest.raises(ResetNeeded, match=r"environments \[0, 1, 2\] have ended"):
        envs.step([6, 6, 6])
    np.testing.assert_array_equal(envs.state(), before)
    envs.reset(options={"reset_mask": np.array([False, True, True])})
    with pytest.raises(ResetNeeded, match=r"environments \[0\] have ended"):
        envs.step([6, 6, 6])


def test_masked_actions_change_nothing_but_the_clock():
    clock = ("half_steps", "steps", "cell_steps", "color_steps", "verified", "gone", "hidden", "fulfilled")
    for env_id in (RED_BALL, "BabyAIpp-PutNextLocal-All-v0", "BabyAIpp-Unlock-All-v0"):
        envs = engine(env_id, 40)
        envs.reset(seed=0)
        masked = 0
        for actions in drawn_actions(30, 40):
            before, mask = envs.state(), envs.action_mask()
            assert mask.dtype == np.int8
            assert mask[:, [0, 1, 6]].all()
            for action in range(7):
                rows = np.flatnonzero(mask[:, action] == 0)
                masked += len(rows)
                _, _, terminations, truncations, _ = envs.step(np.full(40, action))
                rows = rows[~(terminations | truncations)[rows]]
                after = envs.state()
                for name in set(after.dtype.names) - set(clock):
                    np.testing.assert_array_equal(after[name][rows], before[name][rows])
                envs.set_state(before)
            envs.step(actions)
        assert masked > 1000
        assert envs.single_action_space.sample(mask=mask[0]) in range(7)


@pytest.mark.parametrize("text", ["lorem_any", "paraphrase", "contradict"])
def test_a_state_goes_on_exactly(text):
    env_id, kwargs = "BabyAIpp-GoToSeq-All-v0", {"max_steps": 15, "text": text, "sentence_order": "shuffled"}
    envs = engine(env_id, 4, **kwargs)
    obs, _ = envs.reset(seed=0)
    actions = drawn_actions(60, 4)
    for each in actions[:20]:
        obs, *_ = envs.step(each)
    state = envs.state()
    course = [envs.step(each) for each in actions[20:]]
    fresh = engine(env_id, 4, **kwargs)
    for one in (envs, fresh):
        one.set_state(state)
        assert_same(obs, one.observe())
        for each, expected in zip(actions[20:], course, strict=True):
            for one_result, other_result in zip(expected, one.step(each), strict=True):
                assert_same(one_result, other_result)


def test_one_world_can_be_put_everywhere():
    envs = engine(RED_BALL, 5)
    obs, _ = envs.reset(seed=0)
    envs.set_state(envs.state()[[3] * 5])
    for key, array in envs.observe().items():
        assert (array == obs[key][3]).all()
    obs, *_ = envs.step(range(5))
    assert len(np.unique(obs["direction"])) > 1


def test_ended_episodes_are_part_of_a_state():
    envs, other = (engine(RED_BALL, 2, AutoresetMode.NEXT_STEP, max_steps=1) for _ in range(2))
    envs.reset(seed=0)
    envs.step([6, 6])
    state = envs.state()
    other.set_state(state)
    for one_result, other_result in zip(envs.step([2, 2]), other.step([2, 2]), strict=True):
        assert_same(one_result, other_result)
    with pytest.raises(ValueError, match=r"world 0 is not one .* its episode has ended, and autoreset is in the same"):
        engine(RED_BALL, 2).set_state(state)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state[:2], "records WORLD of shape .2,. on cpu; allowed: records WORLD of shape .3,."),
        (lambda state: state[0], "shape .. on cpu"),
        (lambda state: state["rng"], "uint64 of shape .3, 5."),
        (lambda state: None, "NoneType; allowed"),
        (lambda state: torch.zeros(3), "torch.float32 of shape .3,. on cpu"),
        (lambda state: edited(state, "agent_x", 7), "world 1 .* GoToRedBall .* its agent_x"),
        (lambda state: edited(state, "agent_y", -3), "its agent_y"),
        (lambda state: edited(state, "agent_dir", 4), "its agent_dir"),
        (lambda state: edited(state, "max_steps", 0), "its max_steps"),
        (lambda state: edited(state, "kinds", [3, 0, 0, 0]), "its kinds"),
        (lambda state: edited(state, "kinds", [1, 1, 0, 0]), "its kinds"),
        (lambda state: edited(state, "kinds", 0), "its kinds"),
        (lambda state: edited(state, "joint", 1), "its joint"),
        (lambda state: edited(state, "descriptions", 1 << 6), "its descriptions"),
        (lambda state: edited(state, "rules", len(PROPERTIES)), "its rules"),
        (lambda state: edited(state, "described", 6), "its described"),
        (lambda state: edited(state, "num_described", 3), "its num_described"),
        (lambda state: edited(state, "seen", 1), "its seen"),
    ],
)
def test_bad_states_are_refused_and_lose_nothing(change, message):
    envs = engine(RED_BALL, 3)
    envs.reset(seed=0)
    before = envs.state()
    with pytest.raises(ValueError, match=f"^state: .*{message}"):
        envs.set_state(change(envs.state()))
    np.testing.assert_array_equal(envs.state(), before)


def test_states_of_levels_that_have_other_worlds_are_refused():
    """Nowhere does a level take worlds that its arrays have no room for."""
    states = {}
    for level in LEVELS.values():
        envs = make_vec(level, "All", 40)
        envs.reset(seed=0)
        states[level.name] = envs.state()
    for level in LEVELS.values():
        envs = make_vec(level, "All", 40)
        envs.set_state(states[level.name])
        for name, state in states.items():
            other = LEVELS[name]
            same_size = (other.width, other.height) == (level.width, level.height)
            told = other.num_sentences - other.withheld <= level.num_sentences
            if not same_size or not told or (other.grammar.sequences and not level.grammar.sequences):
                with pytest.raises(ValueError, match=f"not one that level {level.name} can have"):
                    envs.set_state(state)


@pytest.mark.parametrize("output", ["numpy", "torch"])
@pytest.mark.parametrize("begun", [True, False])
def test_copies_go_on_alike_and_check_alike(output, begun):
    envs = engine(RED_BALL, 3, output=output, num_threads=2, text="lorem", max_steps=9)
    if begun:
        envs.reset(seed=5)
        envs.step([2, 2, 2])
    for duplicate in (copy.deepcopy, lambda envs: pickle.loads(pickle.dumps(envs))):
        other = duplicate(envs)
        if not begun:
            other.reset(seed=5)
            envs.reset(seed=5)
        for actions in drawn_actions(30, 3):
            for expected, got in zip(envs.step(actions)[1:4], other.step(actions)[1:4], strict=True):
                np.testing.assert_array_equal(got, expected)
        np.testing.assert_array_equal(envs.state(), other.state())
        with pytest.raises(ValueError, match="unknown action -3"):
            other.step([0, -3, 0])


def test_threads_go_on_in_a_forked_process():
    envs = engine(RED_BALL, 8, num_threads=2)
    envs.reset(seed=0)
    envs.step([0] * 8)
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forking where there are threads
        process = context.Process(target=lambda: queue.put((envs.step([2] * 8), envs.state())))
        process.start()
    _, state = queue.get(timeout=60)
    process.join()
    envs.step([2] * 8)
    np.testing.assert_array_equal(envs.state(), state)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"room_size": 14}, "1600 cells are more than the engine's 961"),
        ({"room_size": 4, "num_rows": 10, "num_cols": 9}, "90 rooms are more than the engine's 9"),
        ({"num_objects": 99}, "99 objects are more than the engine's 32"),
        ({"generator": "Other"}, "the engine has no generator 'Other'; it has GoToRedBallNoDists"),
    ],
)
def test_levels_that_the_engine_cannot_hold_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        make_vec(dataclasses.replace(LEVELS["GoTo"], **changes))


@pytest.mark.parametrize(
    ("field", "value"), [("carried", 255), ("carried", 3), ("steps", 2**31 - 1), ("cell_steps", 99)]
)
def test_states_with_impossible_values_are_refused(field, value):
    envs = engine(RED_BALL, 2)
    envs.reset(seed=1)
    envs.step([2, 2])
    state = envs.state()
    state[field][1] = value
    with pytest.raises(ValueError, match=rf"state: world 1 .*its {field}"):
        envs.set_state(state)
    state = envs.state()
    state["seen"][1, 9] = 7 | 6 << 3  # a box of a colour that there is not
    with pytest.raises(ValueError, match=r"state: world 1 .*its seen"):
        envs.set_state(state)
