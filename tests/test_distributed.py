"""Several processes train as one with all of their environments would."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from distributed_work import CPU, learn, policy_of, share

from agents.checkpoints import generator_of, read_tensors
from agents.environments import Task, training_seeds
from agents.runs import Run
from agents.training.distributed import Ranks
from agents.training.ppo import Collector, PPOConfig, autocast_of

pytestmark = pytest.mark.usefixtures("one_thread")

ROOT = Path(__file__).parent.parent
WORK = ROOT / "tests" / "distributed_work.py"
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
TINY = ["--agent=image_only", "--evaluation-episodes=0", "--ppo.num-envs=4", "--ppo.rollout-steps=8"]
TINY += ["--ppo.minibatches=2"]
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
WAIT_SECONDS = 120


def torchrun(*arguments: str | Path) -> None:
    done = subprocess.run(
        [*TORCHRUN, *map(str, arguments)],
        cwd=ROOT,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=WAIT_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]


def trained(folder: Path) -> list[dict[str, torch.Tensor]]:
    """What each process saved."""
    return [read_tensors(Run(folder).training_file(rank))[0] for rank in range(2)]


def assert_same_policy(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    names = [name for name in one if name.startswith(("policy.", "optimizer."))]
    assert len(names) > 10
    for name in names:
        assert torch.equal(one[name], other[name]), name


def test_two_processes_have_the_gradients_of_one_with_twice_the_batch(tmp_path: Path) -> None:
    task, config = Task("CrossTwo"), PPOConfig(num_envs=8, rollout_steps=12, max_grad_norm=1e6)
    torch.manual_seed(0)
    policy = policy_of(task, "grounded")
    torch.nn.init.orthogonal_(policy.actor.weight)  # some actions are clearly better
    envs = task.make_vec(config.num_envs, output="torch", copy=False)
    envs.reset(seed=training_seeds(0, config.num_envs))
    autocast = autocast_of(CPU, False)
    collector = Collector(envs, policy, config.rollout_steps, config.gamma, generator_of(0, CPU), autocast)
    collector.collect()  # the next one begins with a memory
    rollout, _ = collector.collect()
    envs.close()
    # Of an untrained critic, the halves have nearly the same advantages; with these rewards they differ.
    rollout.rewards += torch.linspace(0, 2, config.num_envs) * torch.rand(rollout.rewards.shape)
    parameters = {name: each.clone() for name, each in policy.state_dict().items()}
    recorded = {"rollout": rollout, "task": task, "agent": "grounded", "config": config, "parameters": parameters}
    torch.save(recorded, tmp_path / "rollout.pt")

    torchrun(WORK, "gradients", tmp_path)
    first, second = (torch.load(tmp_path / f"learned-{rank}.pt") for rank in range(2))
    expected = learn(recorded, Ranks())
    half = learn(recorded | {"rollout": share(rollout, 0, 2)}, Ranks())
    assert first.keys() == expected.keys()
    differs = False
    for name, each in expected.items():
        assert torch.equal(first[name], second[name]), name
        if name.startswith("gradient"):
            scale = each.abs().max()
            assert (first[name] - each).abs().max() <= 1e-4 * scale, name
            differs |= bool((half[name] - each).abs().max() > 0.05 * scale)
    assert differs  # a process alone would have had other ones


def test_two_processes_train_one_policy_and_go_on_bit_for_bit(tmp_path: Path) -> None:
    torchrun(WORK, "trainings", tmp_path)
    assert Run(tmp_path / "part").read_progress()[-1]["frames"] == 64
    torchrun("-m", "agents.train", "--resume", tmp_path / "part")
    whole, parts = trained(tmp_path / "whole"), trained(tmp_path / "part")
    assert_same_policy(whole[0], whole[1])
    assert not torch.equal(whole[0]["worlds"], whole[1]["worlds"])  # each has environments of its own
    assert not torch.equal(whole[0]["generator.actions"], whole[1]["generator.actions"])
    for one, other in zip(whole, parts, strict=True):
        assert one.keys() == other.keys()
        for name, each in one.items():
            assert torch.equal(each, other[name]), name
    assert [line["frames"] for line in Run(tmp_path / "part").read_progress()] == [32, 64, 96, 128]


def test_ctrl_c_lets_all_processes_save(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    process = subprocess.Popen(
        [*TORCHRUN, "-m", "agents.train", *TINY, "--frames=100000000", f"--out={run.folder}"],
        cwd=ROOT,
        env=ENVIRONMENT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    until = time.monotonic() + WAIT_SECONDS
    while not run.read_progress():
        assert time.monotonic() < until
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    process.wait(WAIT_SECONDS)
    one, other = trained(run.folder)
    assert_same_policy(one, other)
    told = [read_tensors(run.training_file(rank))[1]["training"]["frames"] for rank in range(2)]
    assert told[0] == told[1] == run.read_progress()[-1]["frames"]
