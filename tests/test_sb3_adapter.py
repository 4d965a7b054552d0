"""Stable-Baselines3 trains on the engine unchanged, and is told what its own vector environments tell."""

from __future__ import annotations

import subprocess
import sys
import warnings

import gymnasium as gym
import numpy as np
import pytest

from babyaipp import World, make_vec
from babyaipp.wrappers import TokenObservation

pytest.importorskip("stable_baselines3")

from stable_baselines3 import DQN, PPO
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecMonitor, VecNormalize

from babyaipp.engine.sb3 import WorldsVecEnv

pytestmark = pytest.mark.usefixtures("one_thread")

LIMIT = 12


def adapter(num_envs: int = 4, **kwargs) -> WorldsVecEnv:
    return WorldsVecEnv(make_vec("GoToRedBall", "All", num_envs, max_steps=LIMIT, **kwargs))


def reference(num_envs: int) -> DummyVecEnv:
    def make():
        return Monitor(TokenObservation(gym.make("BabyAIpp-GoToRedBall-All-v0", max_steps=LIMIT)))

    return DummyVecEnv([make] * num_envs)


def assert_same(expected, got) -> None:
    assert expected.keys() == got.keys()
    for key in expected:
        np.testing.assert_array_equal(expected[key], got[key])


def test_steps_are_those_of_the_reference_in_a_dummy_vec_env():
    one, other = reference(4), adapter(4)
    for envs in (one, other):
        assert envs.seed(3) == [3, 4, 5, 6]
    assert_same(one.reset(), other.reset())
    assert one.reset_infos == other.reset_infos
    rng, causes, cut_off = np.random.default_rng(0), set(), 0
    for _ in range(120):
        actions = rng.choice([0, 1, 2, 2, 2], 4)
        obs, rewards, dones, infos = one.step(actions)
        got, got_rewards, got_dones, got_infos = other.step(actions)
        assert_same(obs, got)
        np.testing.assert_array_equal(rewards, got_rewards)
        np.testing.assert_array_equal(dones, got_dones)
        assert (got_rewards.dtype, got_dones.dtype) == (rewards.dtype, dones.dtype)
        for done, info, told in zip(dones, infos, got_infos, strict=True):
            if not done:
                assert told == {}
                continue
            assert_same(info.pop("terminal_observation"), told.pop("terminal_observation"))
            assert told.pop("is_success") is info["success"]
            assert told["episode"].pop("t") >= 0
            del info["episode"]["t"]
            assert told == info
            causes.add(told["cause"])
            cut_off += told["TimeLimit.truncated"]
    assert causes == {"success", "timeout", "trap"}
    assert cut_off


def test_ppo_trains():
    env = adapter(8)
    model = PPO("MultiInputPolicy", env, n_steps=32, batch_size=64, n_epochs=1, seed=0, device="cpu")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.learn(1024)
        rewards, lengths = evaluate_policy(model, env, 8, return_episode_rewards=True)
    assert model.num_timesteps == 1024
    assert model.ep_info_buffer
    assert all("r" in episode for episode in model.ep_info_buffer)
    assert len(model.ep_success_buffer) > 0
    assert len(rewards) == 8
    assert max(lengths) <= 2 * LIMIT
    actions, _ = model.predict(env.reset(), deterministic=True)
    assert actions.shape == (8,)


def test_the_same_seed_trains_the_same_policy():
    def parameters(env):
        model = PPO("MultiInputPolicy", env, n_steps=16, batch_size=32, n_epochs=1, seed=5, device="cpu").learn(64)
        return np.concatenate([value.numpy().ravel() for value in model.policy.state_dict().values()])

    np.testing.assert_array_equal(parameters(adapter(4)), parameters(adapter(4)))
    np.testing.assert_array_equal(parameters(adapter(4)), parameters(reference(4)))


def test_dqn_trains():
    env = adapter(2)
    DQN("MultiInputPolicy", env, buffer_size=200, learning_starts=20, batch_size=16, device="cpu").learn(100)


def test_wrappers_of_stable_baselines_fit():
    env = VecNormalize(adapter(3), norm_obs=False)
    env.reset()
    assert env.step(np.zeros(3, int))[1].shape == (3,)
    with pytest.warns(UserWarning, match="already wrapped with a `Monitor`"):
        VecMonitor(adapter(2))


def test_seeds_and_options_are_used_once():
    env = adapter(3)
    env.seed(1)
    first = env.reset()["image"]
    second = env.reset()["image"]
    assert not np.array_equal(first, second)
    env.seed(1)
    np.testing.assert_array_equal(env.reset()["image"], first)
    np.testing.assert_array_equal(env.reset()["image"], second)

    single = gym.make("BabyAIpp-GoToRedBall-All-v0")
    single.reset(seed=8)
    world = World.from_dict(single.unwrapped.world.to_dict())
    env.set_options([{"rules": {"green": "magic"}}, {}, {"world": world}])
    env.reset()
    assert env.reset_infos[0] == {"rules": {"green": "magic"}}
    assert env.reset_infos[2] == {"rules": dict(world.rules)}
    assert env.worlds.world(2) == world
    env.reset()
    assert env.worlds.world(2) != world
    env.set_options({"rules": {"green": "lava"}})
    with pytest.raises(ValueError, match="unknown property 'lava'"):
        env.reset()


def test_what_single_environments_are_asked():
    env = adapter(3)
    env.seed(0)
    env.reset()
    assert env.render_mode is None
    assert env.get_attr("render_mode", [0, 2]) == [None, None]
    assert env.get_attr("level", 1) == [env.worlds.level]
    assert env.get_attr("observation_space", 0) == [env.observation_space]
    assert env.env_is_wrapped(Monitor) == [True] * 3
    assert env.env_is_wrapped(TokenObservation, 0) == [False]
    assert env.get_images() == [None] * 3
    assert env.has_attr("action_masks")
    assert not env.has_attr("action_maskz")
    masks = np.stack(env.env_method("action_masks"))
    assert (masks.dtype, masks.shape) == (bool, (3, 7))
    np.testing.assert_array_equal(masks, env.worlds.action_mask())
    np.testing.assert_array_equal(env.env_method("action_masks", indices=[2]), masks[2:])
    np.testing.assert_array_equal(env.get_attr("action_masks", 1)[0](), masks[1])
    with pytest.raises(AttributeError, match="'max_steps' cannot be set"):
        env.set_attr("max_steps", 3)
    with pytest.raises(AttributeError, match="'step' cannot be called; allowed: action_masks"):
        env.env_method("step")
    with pytest.raises(ValueError, match="unknown action 9"):
        env.step(np.array([0, 0, 9]))
    env.close()


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"autoreset_mode": "NextStep"}, "autoreset_mode=.*; allowed: .*SAME_STEP"),
        ({"output": "torch"}, "output='torch'; allowed: 'numpy'"),
        ({"copy": False}, "copy=False; allowed: True"),
        ({"episode_statistics": False}, "episode_statistics=False; allowed: True"),
    ],
)
def test_other_batches_are_refused(kwargs, message):
    with pytest.raises(ValueError, match=message):
        adapter(2, **kwargs)


def test_things_that_are_no_batch_are_refused():
    with pytest.raises(ValueError, match="worlds must be a BatchedWorlds; got str"):
        WorldsVecEnv("GoToRedBall")


def test_a_missing_library_is_told():
    program = (
        "import sys\n"
        "sys.modules['stable_baselines3'] = None\n"
        "sys.modules['stable_baselines3.common.monitor'] = None\n"
        "import babyaipp.engine.vector\n"
        "import babyaipp.engine.sb3\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 1
    assert "ImportError: babyaipp.engine.sb3 needs Stable-Baselines3: pip install 'babyaipp[sb3]'" in done.stderr
