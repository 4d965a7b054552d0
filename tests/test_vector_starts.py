"""How episodes of a batch begin: seeds, rules, worlds, masks; and what is refused."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from batches import OBSERVATION, RED_BALL, assert_same, drawn_actions, engine, reference, rules_rows
from conftest import ALL_IDS

from babyaipp import LEVELS, BatchedWorlds, World, make_vec
from babyaipp.engine.rng import seed_words
from babyaipp.engine.seeding import words_of_seeds

torch = pytest.importorskip("torch")


def images(envs: BatchedWorlds, **kwargs: Any) -> list[bytes]:
    obs, _ = envs.reset(**kwargs)
    return [image.tobytes() for image in obs["image"]]


def test_seeds_count_up_or_are_listed():
    envs = engine(RED_BALL, 4)
    first = images(envs, seed=7)
    assert len(set(first)) == 4
    assert images(envs, seed=[7, 8, 9, 10]) == first
    assert images(envs, seed=np.int64(7)) == first
    assert images(envs, seed=np.arange(10, 6, -1)) == first[::-1]
    assert images(engine(RED_BALL, 2), seed=8) == first[1:3]


def test_seeds_of_any_size_are_numpys():
    large = np.random.default_rng(0).integers(2**63, size=500).tolist()
    for seeds in ([*range(500), 2**32 - 1, 2**32, 2**64 - 1, *large], [3, 2**64, 2**200 + 1], [7]):
        np.testing.assert_array_equal(words_of_seeds(seeds), [seed_words(seed) for seed in seeds])


def test_streams_go_on_where_no_seed_is_given():
    one, other = engine(RED_BALL, 3), reference(RED_BALL, 3)
    for seed in (4, None, None, [None, 2, None], None):
        assert_same(other.reset(seed=seed)[0], one.reset(seed=seed)[0])


def test_a_first_reset_without_seeds_draws_them():
    one, other = engine(RED_BALL, 3), engine(RED_BALL, 3)
    assert images(one) != images(other)
    one, other = engine(RED_BALL, 3), engine(RED_BALL, 3)
    for envs in (one, other):
        envs.np_random = np.random.default_rng(5)
    first = images(one)
    assert first == images(other)
    assert len(set(first)) == 3
    assert images(engine(RED_BALL, 2), seed=[None, 6])[1:] == images(engine(RED_BALL, 1), seed=6)


def test_one_seed_is_told_as_gymnasium_does():
    envs = engine(RED_BALL, 2)
    envs.reset(seed=12)
    assert envs.np_random_seed == 12
    assert envs.np_random.integers(1000) == np.random.Generator(np.random.PCG64(12)).integers(1000)


def test_rules_can_be_set():
    env_id = "BabyAIpp-GoToRedBallHard-All-v0"
    rules = {"green": "magic", "red": "trap"}
    envs = engine(env_id, 3)
    obs, infos = envs.reset(seed=3, options={"rules": rules})
    expected, told = reference(env_id, 3).reset(seed=3, options={"rules": rules})
    assert_same(expected, obs)
    np.testing.assert_array_equal(infos["rules"], rules_rows(told["rules"], 3))
    mixed, infos = envs.reset(seed=3, options={"rules": [rules, None, {}]})
    drawn, told = envs.reset(seed=3)
    for key in OBSERVATION:
        np.testing.assert_array_equal(mixed[key][0], obs[key][0])
        np.testing.assert_array_equal(mixed[key][1], drawn[key][1])
    np.testing.assert_array_equal(infos["rules"][1:], [told["rules"][1], [-1] * 6])
    assert not mixed["description"][2].any()


@pytest.mark.parametrize("env_id", ["BabyAIpp-PickupLoc-All-v0", "BabyAIpp-GoToSeq-HeldOut-v0"])
def test_worlds_start_again_exactly(env_id):
    kwargs = {"text": "withheld=1", "sentence_order": "shuffled"}
    made, one, other = reference(env_id, 3), reference(env_id, 3, **kwargs), engine(env_id, 3, **kwargs)
    made.reset(seed=20)
    worlds = [env.unwrapped.world for env in made.envs]
    worlds[2] = World.from_dict(worlds[0].to_dict() | {"max_steps": 9})
    for env, seed, world in zip(one.envs, (1, 2, 3), worlds, strict=True):
        env.reset(seed=seed, options={"world": world})
    other.reset(seed=[1, 2, 3], options={"world": worlds})
    assert [other.world(row) for row in range(3)] == worlds
    for actions in drawn_actions(60, 3):  # and the episodes that follow on these
        *expected, _ = one.step(actions)
        *got, _ = other.step(actions)
        for one_array, other_array in zip(expected, got, strict=True):
            assert_same(one_array, other_array)
    obs, _ = other.reset(options={"world": worlds[1]})
    assert (obs["image"] == obs["image"][0]).all()  # which sentences are withheld is drawn anew


@pytest.mark.parametrize("env_id", ALL_IDS)
def test_worlds_can_be_read(env_id):
    envs, single = engine(env_id, 2), gym.make(env_id).unwrapped
    envs.reset(seed=30)
    single.reset(seed=31)
    assert envs.world(1) == single.world
    assert World.from_ascii(envs.world(1).to_ascii()) == single.world


def test_a_mask_leaves_the_others_as_they_are():
    envs = engine(RED_BALL, 4)
    envs.reset(seed=0)
    for action in (0, 1, 0, 6, 0):
        obs, *_ = envs.step([action] * 4)
    before, mask = envs.state(), np.array([True, False, False, True])
    got, _ = envs.reset(seed=[9, 9, 9, None], options={"reset_mask": mask, "rules": {"blue": "trap"}})
    np.testing.assert_array_equal(before[1:3], envs.state()[1:3])
    for key in OBSERVATION:
        np.testing.assert_array_equal(obs[key][1:3], got[key][1:3])
    assert (envs.state()["steps"] == [0, 5, 5, 0]).all()
    expected, _ = engine(RED_BALL, 1).reset(seed=9, options={"rules": {"blue": "trap"}})
    np.testing.assert_array_equal(got["image"][0], expected["image"][0])
    assert envs.reset(options={"reset_mask": torch.tensor([False, True, True, False])})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seed": -1}, "seed=-1 must be an int of at least 0"),
        ({"seed": 1.5}, "seed=1.5 must be an int"),
        ({"seed": "1"}, "seed='1' must be an int"),
        ({"seed": True}, "seed=True must be an int"),
        ({"seed": [1, 2, 3]}, "3 seeds for 2 environments"),
        ({"seed": [1, -2]}, "seed=-2 must be"),
        ({"options": ["rules"]}, "must be a mapping with the keys rules, world, reset_mask"),
        ({"options": {"rule": {}}}, "unknown reset options .'rule'.; allowed: rules, world, reset_mask"),
        ({"options": {"rules": {"pink": "trap"}}}, "unknown colour 'pink'; allowed: blue, green"),
        ({"options": {"rules": [None, {"green": "lava"}]}}, "environment 1: .*unknown property 'lava' of green"),
        ({"options": {"rules": dict.fromkeys(("green", "blue", "red"), "trap")}}, "at most 2 floor colours; got 3"),
        ({"options": {"rules": [None] * 3}}, "'rules': 3 entries for 2 environments"),
        ({"options": {"rules": "green trap"}}, "rules must map floor colours to properties"),
        ({"options": {"world": {"level": "GoTo"}}}, "must be a babyaipp.World; got dict"),
        ({"options": {"world": "maze"}}, "22 x 22 cells with rooms of 8 do not fit level GoToRedBall: 8 x 8"),
        ({"options": {"world": "long"}}, "max_steps=2000000000 must be an int from 1 to"),
        ({"options": {"world": "sound", "rules": {}}}, "exclude each other"),
        ({"options": {"reset_mask": [True, False]}}, "'reset_mask' must be a bool array of shape .2,.; got .True"),
        ({"options": {"reset_mask": np.array([1, 0])}}, "must be a bool array of shape .2,.; got int64"),
        ({"options": {"reset_mask": np.ones(3, bool)}}, "got bool of shape .3,."),
        ({"options": {"reset_mask": np.zeros(2, bool)}}, "must be true somewhere"),
    ],
)
def test_bad_resets_are_refused_and_lose_nothing(arguments, message):
    worlds = {}
    for name, env_id in (("sound", RED_BALL), ("maze", "BabyAIpp-GoToRedBallMaze-All-v0")):
        env = gym.make(env_id)
        env.reset(seed=0)
        worlds[name] = env.unwrapped.world
    worlds["long"] = World.from_dict(worlds["sound"].to_dict() | {"max_steps": 2_000_000_000})
    if isinstance(arguments.get("options"), dict) and isinstance(arguments["options"].get("world"), str):
        arguments = {"options": {**arguments["options"], "world": worlds[arguments["options"]["world"]]}}
    envs = engine(RED_BALL, 2)
    envs.reset(seed=1)
    envs.step([2, 2])
    before, stream = envs.state(), envs.np_random.bit_generator.state
    with pytest.raises(ValueError, match=message):
        envs.reset(**{"seed": 3, **arguments})
    np.testing.assert_array_equal(envs.state(), before)
    assert envs.np_random.bit_generator.state == stream


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"level": "GoToRedBal"}, "unknown level 'GoToRedBal'; did you mean 'GoToRedBall'?"),
        ({"split": "Fixed"}, "unknown split 'Fixed' of level GoToRedBall; allowed: Train, HeldOut, All"),
        ({"num_envs": 0}, "num_envs=0 must be an int of at least 1"),
        ({"num_envs": 2.0}, "num_envs=2.0 must be an int"),
        ({"num_threads": 0}, "num_threads=0 must be an int of at least 1"),
        ({"text": "tru"}, "text='tru'; allowed: true, lorem"),
        ({"sentence_order": "random"}, "allowed: canonical, shuffled"),
        ({"max_steps": 0}, "max_steps=0 must be an int from 1 to"),
        ({"max_steps": 2**31}, "max_steps=2147483648 must be an int from 1 to"),
        ({"autoreset_mode": "same"}, "unknown autoreset_mode='same'; allowed: NextStep, SameStep, Disabled"),
        ({"device": "tpu"}, "unknown device='tpu'; allowed: cpu, cuda, cuda:<number>"),
        ({"output": "jax"}, "unknown output='jax'; allowed: numpy, torch"),
        ({"device": "cuda", "output": "numpy"}, "output='numpy': .*; allowed: torch"),
        ({"render_mode": "human"}, "render_mode='human': the engine does not render"),
    ],
)
def test_bad_arguments_are_refused(kwargs, message):
    with pytest.raises(ValueError, match=message):
        make_vec(**{"level": "GoToRedBall", "num_envs": 2, **kwargs})


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
def test_a_missing_gpu_is_told(device):
    with pytest.raises(RuntimeError, match="device='cuda'"):
        make_vec("GoToRedBall", device=device)


def test_a_level_can_be_given_as_a_row():
    assert make_vec(LEVELS["GoToRedBall"], "All").level is LEVELS["GoToRedBall"]
