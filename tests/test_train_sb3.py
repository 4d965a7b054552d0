"""Stable-Baselines3 trains every agent: as a features extractor, with and without memory, saved, resumed, evaluated."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from agents.cli import INTERRUPTED, run_command
from agents.environments import Task, evaluation_seed, training_seeds
from agents.registry import agent_names
from agents.rollouts import play
from agents.train_sb3 import SB3Config, check_resumed, run_training, stored_config, train
from agents.training.ppo import PPOConfig

pytest.importorskip("stable_baselines3")
pytest.importorskip("sb3_contrib")

from agents.sb3 import POLICIES, RECURRENT, FeaturesExtractor, SB3Actor, SeededWorlds, load_model, new_model

pytestmark = pytest.mark.usefixtures("one_thread")

ROOT = Path(__file__).parent.parent
TINY_PPO = PPOConfig(num_envs=4, rollout_steps=8, minibatches=2)
TINY = ["--ppo.num-envs=4", "--ppo.rollout-steps=8", "--ppo.minibatches=2"]
WAIT_SECONDS = 120


def tiny(out: Path | None, **changes: Any) -> SB3Config:
    return SB3Config(**{"agent": "image_only", "frames": 64, "episodes": 0, "out": out, "ppo": TINY_PPO} | changes)


def parameters(model: Any) -> dict[str, torch.Tensor]:
    return {name: each.clone() for name, each in model.policy.state_dict().items()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(each, other[name]) for name, each in one.items())


# As a features extractor


@pytest.mark.parametrize("algorithm", POLICIES)
@pytest.mark.parametrize("agent", agent_names())
def test_every_agent_learns(agent: str, algorithm: str) -> None:
    """Gradients of both heads reach all that the features are made of."""
    config = tiny(None, agent=agent).training
    env = SeededWorlds(config.task.make_vec(4))
    model = new_model(algorithm, config, env)
    before = parameters(model)
    model.learn(64)  # the learning rate of the last update is zero
    network = dict(model.policy.features_extractor.network.named_parameters())
    moved = [name for name in network if not torch.equal(network[name], before[f"features_extractor.network.{name}"])]
    assert moved
    for name, each in network.items():
        assert each.grad is not None, name
    env.close()


@pytest.mark.parametrize("agent", agent_names())
def test_features_are_those_of_the_network(agent: str) -> None:
    """What comes by way of Stable-Baselines3, floats and one-hot, is what the engine gave."""
    config = tiny(None, agent=agent).training
    env = SeededWorlds(config.task.make_vec(8))
    env.seed(0)
    observations = env.reset()
    model = new_model("ppo", config, env)
    extractor = model.policy.features_extractor
    assert isinstance(extractor, FeaturesExtractor)
    tensors = {name: torch.as_tensor(each) for name, each in observations.items()}
    with torch.no_grad():
        expected = extractor.network({name: each.long() for name, each in tensors.items()})
        got = model.policy.extract_features(model.policy.obs_to_tensor(observations)[0])
        raw = model.policy.extract_features(tensors)  # as the actor gives them
    torch.testing.assert_close(got, expected)
    torch.testing.assert_close(raw, expected)
    assert expected.std(0).sum() > 0
    env.close()


def test_worlds_begin_with_the_training_seeds_of_the_run() -> None:
    task = Task("GoToRedBall")
    env, worlds = SeededWorlds(task.make_vec(4)), task.make_vec(4)
    assert env.seed(3) == training_seeds(3, 4)
    expected, _ = worlds.reset(seed=training_seeds(3, 4))
    for name, each in env.reset().items():
        np.testing.assert_array_equal(each, expected[name])
    env.close()
    worlds.close()


@pytest.mark.parametrize("algorithm", POLICIES)
def test_the_actor_decides_as_the_model(algorithm: str) -> None:
    """With its memory, and emptying it where an episode begins, as `predict` of Stable-Baselines3."""
    config = tiny(None, level="CrossTwo").training
    env = SeededWorlds(config.task.make_vec(4, max_steps=6))
    model = new_model(algorithm, config, env)
    env.seed(0)
    observations = env.reset()
    begins = np.ones(4, dtype=bool)
    actor, state = SB3Actor(model), None
    actor.reset(4)
    with torch.no_grad():  # no action is preferred from the start, so that what is seen decides
        model.policy.action_net.weight.normal_()
        probabilities = actor.act({name: torch.as_tensor(each) for name, each in observations.items()}, torch.ones(4))
        model.policy.action_net.bias.sub_(probabilities.log().mean(0))
    actor.reset(4)
    rng, decided = np.random.default_rng(0), set()
    for _ in range(20):
        expected, state = model.predict(observations, state=state, episode_start=begins, deterministic=True)
        probabilities = actor.act(
            {name: torch.as_tensor(each) for name, each in observations.items()}, torch.as_tensor(begins)
        )
        torch.testing.assert_close(probabilities.sum(1), torch.ones(4))
        np.testing.assert_array_equal(probabilities.argmax(1).numpy(), expected)
        decided.update(expected.tolist())
        observations, _, begins, _ = env.step(rng.integers(0, 3, 4))
    assert len(decided) > 1
    assert (state is not None) == (algorithm == RECURRENT)
    env.close()


# Training


@pytest.mark.parametrize("algorithm", POLICIES)
def test_same_seed_same_parameters(algorithm: str, tmp_path: Path) -> None:
    first, again, other = (
        parameters(train(tiny(tmp_path / str(i), algorithm=algorithm, seed=seed)).model)
        for i, seed in enumerate((0, 0, 1))
    )
    assert same(first, again)
    assert not same(first, other)


@pytest.mark.parametrize("algorithm", POLICIES)
def test_train_resume_and_evaluate(algorithm: str, tmp_path: Path, capsys: Any) -> None:
    folder = tmp_path / "run"
    arguments = ["--algorithm", algorithm, "--agent=image_only", "--frames=0.64e2", f"--out={folder}", *TINY]
    assert run_command(SB3Config, run_training, [*arguments, "--episodes=0"]) == 0
    file = folder / "image_only-GoToRedBall-0.zip"
    assert zipfile.is_zipfile(file)
    before = parameters(load_model(algorithm, file))
    assert run_command(SB3Config, run_training, arguments) == 2
    assert "holds a run already" in capsys.readouterr().err
    resume = ["--resume", str(folder)]
    assert run_command(SB3Config, run_training, [*resume, "--frames=128", "--episodes=4"]) == 0
    printed = capsys.readouterr().out
    assert "HeldOut" in printed
    assert f"--resume {folder} --frames 256" in printed
    after = load_model(algorithm, file)
    assert after.num_timesteps == 128
    assert not same(before, parameters(after))
    progress = [json.loads(line) for line in (folder / "progress.jsonl").read_text().splitlines()]
    assert [line["frames"] for line in progress] == [32, 64, 96, 128]
    seconds = [line["seconds"] for line in progress]
    assert seconds == sorted(seconds)
    report = json.loads((folder / "report.json").read_text())
    assert report["splits"].keys() == {"Train", "HeldOut"}
    assert {entry["episodes"] for entry in report["splits"].values()} == {4}
    assert (report["training"]["algorithm"], report["training"]["frames"]) == (algorithm, 128)
    assert list(folder.glob("tensorboard/*/events*"))

    episodes = play(Task("GoToRedBall", "HeldOut"), SB3Actor(after), 4)
    assert [each.seed for each in episodes] == [evaluation_seed(0, index) for index in range(4)]
    rate = sum(each.success for each in episodes) / 4
    assert report["splits"]["HeldOut"]["success"] == rate

    # Frames are done: nothing is trained, only evaluated.
    assert run_command(SB3Config, run_training, [*resume, "--episodes=2"]) == 0
    assert json.loads((folder / "report.json").read_text())["splits"]["Train"]["episodes"] == 2
    assert same(parameters(after), parameters(load_model(algorithm, file)))


def test_ctrl_c_saves(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    process = subprocess.Popen(
        [sys.executable, "-m", "agents.train_sb3", "--agent=image_only", "--frames=1e8", "--out", folder, *TINY],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=ROOT,
    )
    until = time.monotonic() + WAIT_SECONDS
    progress = folder / "progress.jsonl"
    while not (progress.exists() and progress.read_text().count("\n") > 2):
        assert time.monotonic() < until
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=WAIT_SECONDS)
    assert process.returncode == INTERRUPTED
    assert f"go on with: python -m agents.train_sb3 --resume {folder}" in out
    frames = load_model("ppo", folder / "image_only-GoToRedBall-0.zip").num_timesteps
    assert frames >= 96
    resumed = train(replace(stored_config(folder), frames=frames + 32))
    assert resumed.frames >= frames + 32


# Mistakes


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--agent=image_onyl"], "did you mean 'image_only'"),
        (["--level=GoToRedBal"], "did you mean 'GoToRedBall'"),
        (["--split=HeldOut"], "split='HeldOut' is for evaluation"),
        (["--episodes=-1"], "episodes=-1 must not be negative"),
        (["--ppo.bf16"], "ppo.bf16=True: Stable-Baselines3 cannot do that"),
        (["--ppo.num-envs=6"], "ppo.minibatches=4 must divide ppo.num_envs=6"),
        (["--algorithm=recurrent_ppo", "--agent-options", "memory", "0"], "needs a memory"),
        (["--resume=nowhere"], "'nowhere' is not a run folder"),
    ],
)
def test_a_mistake_is_told_without_a_traceback(arguments: list[str], message: str, capsys: Any) -> None:
    assert run_command(SB3Config, run_training, arguments) == 2
    assert message in capsys.readouterr().err


def test_a_run_goes_on_as_it_was_started(tmp_path: Path) -> None:
    train(tiny(tmp_path / "run"))
    with pytest.raises(ValueError, match="seed=3 cannot be given with --resume"):
        check_resumed(replace(stored_config(tmp_path / "run"), seed=3), tmp_path / "run")
    with pytest.raises(ValueError, match="algorithm='recurrent_ppo' cannot be given with --resume"):
        check_resumed(replace(stored_config(tmp_path / "run"), algorithm="recurrent_ppo"), tmp_path / "run")


@pytest.mark.parametrize(("package", "algorithm"), [("stable_baselines3", "ppo"), ("sb3_contrib", "recurrent_ppo")])
def test_a_missing_package_is_told(package: str, algorithm: str) -> None:
    program = (
        f"import sys\nsys.modules[{package!r}] = None\n"
        "from agents.cli import run_command\n"
        "from agents.train_sb3 import SB3Config, run_training\n"
        f"sys.exit(run_command(SB3Config, run_training, ['--algorithm', {algorithm!r}]))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 2
    assert f"algorithm={algorithm!r} needs {package}" in done.stderr
    assert "Traceback" not in done.stderr
