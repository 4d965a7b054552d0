"""Batches on a GPU are those on the CPU.

Without a GPU, the kernels run as Python functions on tensors in main memory, with nothing compiled.
"""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from typing import Any

import cuda_stand_in
import gymnasium as gym
import numba
import numpy as np
import pytest
from batches import RED_BALL, assert_same, drawn_actions, edited, engine
from gymnasium.vector import AutoresetMode

from babyaipp.engine.state import WORLD

torch = pytest.importorskip("torch")


@pytest.fixture(params=["stand-in", pytest.param("gpu", marks=pytest.mark.gpu)])
def on_gpu(request, monkeypatch):
    """Makes a batch on a GPU."""
    if request.param == "stand-in":
        if not numba.config.DISABLE_JIT:
            pytest.skip("runs in another process, see test_what_needs_no_gpu_holds_without_one")
        cuda_stand_in.install(monkeypatch)
    elif not torch.cuda.is_available() or importlib.util.find_spec("numba_cuda") is None:
        pytest.skip("torch and numba-cuda find no GPU")
    return lambda env_id, num_envs, *mode, **kwargs: engine(env_id, num_envs, *mode, device="cuda", **kwargs)


@pytest.mark.skipif(numba.config.DISABLE_JIT, reason="is what runs the others")
def test_what_needs_no_gpu_holds_without_one():
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
        "-k",
        "stand-in",
        __file__,
    ]
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert re.search(r"\b12 passed", done.stdout)
    assert "skipped" not in done.stdout


def on_host(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: on_host(each) for key, each in value.items()}
    return value.cpu().numpy()


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_a_gpu_gives_the_same(on_gpu, mode):
    kwargs = {"max_steps": 5, "text": "withheld=1"}
    there, here = on_gpu(RED_BALL, 5, mode, **kwargs), engine(RED_BALL, 5, mode, output="torch", **kwargs)
    single = gym.make(RED_BALL)
    single.reset(seed=3)
    starts: list[dict[str, Any]] = [
        {},
        {"rules": [{"green": "magic"}, None, {}, None, {"blue": "trap"}]},
        {"world": [None, single.unwrapped.world, None, None, single.unwrapped.world]},
        {"rules": {"red": "sticky"}, "reset_mask": np.array([True, False, True, True, False])},
    ]
    for options, seed in zip(starts, (7, None, [1, None, 5, None, 2], None), strict=True):
        for kind in ({"seed": seed, "options": options}, {}):
            for one_result, other_result in zip(here.reset(**kind), there.reset(**kind), strict=True):
                assert_same(on_host(one_result), on_host(other_result))
        if mode == AutoresetMode.DISABLED:
            continue
        for actions in drawn_actions(7, 5):
            expected = here.step(torch.from_numpy(actions))
            got = there.step(torch.from_numpy(actions).to(there.device))
            if mode == AutoresetMode.SAME_STEP:  # rows that no mask tells of hold anything
                for results in (expected, got):
                    ended = results[-1]["_final_obs"]
                    for array in (*results[-1]["final_obs"].values(), results[-1]["final_info"]["rules"]):
                        array[~ended] = 0
            for one_result, other_result in zip(expected, got, strict=True):
                assert_same(on_host(one_result), on_host(other_result))
        np.testing.assert_array_equal(on_host(there.action_mask()), on_host(here.action_mask()))
        np.testing.assert_array_equal(on_host(there.state()).reshape(-1).view(WORLD), here.state())
        assert there.world(1) == here.world(1)


def test_the_report_finds_the_same_bits_on_a_gpu(on_gpu):
    from benchmarks.gpu import parity
    from benchmarks.gpu.device import Device

    row = parity.compare("GoToRedBallHard", "All", "withheld=1", 5, 5, 8, Device("cuda"))
    assert (row["same"], row["first_difference"], row["episodes"]) == (True, None, 5)


def test_the_report_measures_steps_on_a_gpu(on_gpu, request, monkeypatch):
    """All that is launched; without a GPU, a graph is empty when it is replayed."""
    import benchmarks.cuda
    from benchmarks import subjects
    from benchmarks.gpu import stepping
    from benchmarks.gpu.device import Device

    if "stand-in" in request.node.name:
        cuda_stand_in.install_timing(monkeypatch)
        monkeypatch.setattr(benchmarks.cuda, "_GROUPS", 2)
        monkeypatch.setattr(benchmarks.cuda, "_BATCHES", 2)
        monkeypatch.setattr(subjects, "_GROUPS", 2)
        monkeypatch.setattr(subjects, "_STEPS_A_CALL", 4)
        for module in (benchmarks.cuda, subjects):
            monkeypatch.setattr(module, "time_limit", lambda level: 4)
    row = stepping.speed("GoToRedBall", 3, Device("cuda"), 0.0)
    assert row["steps_per_second"] > 0
    assert row["driver"]["steps_per_second"] > 0
    assert row["driver"]["graph_steps_per_second"] > 0
    assert all(spent > 0 for spent in row["driver"]["nanoseconds"].values())
    assert 0 <= row["driver"]["ends_a_step"] <= 1


def test_states_on_a_gpu_go_on_exactly_and_are_checked(on_gpu):
    envs = on_gpu(RED_BALL, 4)
    obs, _ = envs.reset(seed=0)
    state = envs.state()
    actions = torch.tensor([2, 0, 1, 2], device=envs.device)
    expected = on_host(envs.step(actions)[0])
    envs.set_state(state)
    assert_same(on_host(obs), on_host(envs.observe()))
    assert_same(expected, on_host(envs.step(actions)[0]))
    envs.set_state(state[[2, 2, 2, 2]])
    assert (envs.observe()["image"] == obs["image"][2]).all()
    before, host = envs.state(), engine(RED_BALL, 4)
    host.reset(seed=0)
    faults = {"agent_x": 70, "kinds": 4, "num_described": -1, "seen": 1, "max_steps": 0, "ended": True, "rules": 9}
    for name, value in faults.items():
        bad = torch.from_numpy(edited(host.state(), name, value).view(np.uint8).reshape(4, -1)).to(state.device)
        with pytest.raises(ValueError, match=f"world 1 .* {'episode has ended' if name == 'ended' else name}"):
            envs.set_state(bad)
    for bad in (state[:3], state.int(), host.state(), None):
        with pytest.raises(ValueError, match=r"^state: .*; allowed: uint8 of shape \(4, "):
            envs.set_state(bad)
    assert (envs.state() == before).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda actions: actions.cpu().numpy(), "must be a tensor on device .*; got ndarray"),
        (lambda actions: actions.to("meta"), "tensor on device meta; allowed"),
        (lambda actions: actions.float(), "float32 of shape .3,.; allowed: integers of shape .3,."),
        (lambda actions: actions.bool(), "bool of shape"),
        (lambda actions: actions[:2], "shape .2,.; allowed"),
        (lambda actions: actions[:, None], "shape .3, 1."),
    ],
)
def test_bad_actions_on_a_gpu_are_refused_and_change_nothing(on_gpu, change, message):
    envs = on_gpu(RED_BALL, 3)
    envs.reset(seed=0)
    before = envs.state()
    with pytest.raises(ValueError, match=f"^actions.*{message}"):
        envs.step(change(torch.zeros(3, dtype=torch.int64, device=envs.device)))
    assert (envs.state() == before).all()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no GPU")
def test_steps_on_a_gpu_wait_for_nothing_and_can_be_captured():
    envs, plain = (engine(RED_BALL, 500, device="cuda", copy=copy, max_steps=20) for copy in (False, True))
    for each in (envs, plain):
        each.reset(seed=0)
    batches = torch.zeros((8, 500), dtype=torch.int64, device="cuda")
    for actions in batches:  # as captures want it: everything has run once
        envs.step(actions)
        plain.step(actions)
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        plain.step(batches[0])
        plain.action_mask()
        plain.state()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    envs.set_state(plain.state())
    graph, rewards = torch.cuda.CUDAGraph(), torch.zeros((8, 500), device="cuda")
    with torch.cuda.graph(graph):
        for row, actions in zip(rewards, batches, strict=True):
            row.copy_(envs.step(actions)[1])
    for seed in range(5):
        batches.copy_(torch.from_numpy(np.random.default_rng(seed).integers(0, 7, (8, 500))))
        graph.replay()
        expected = torch.stack([plain.step(actions)[1] for actions in batches])
        assert (rewards == expected).all()
        assert (envs.state() == plain.state()).all()
