"""Training: what PPO computes, that it learns, that it can be interrupted anywhere, and that it sees what it may."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from agents.checkpoints import read_tensors
from agents.cli import INTERRUPTED, run_command
from agents.environments import Task
from agents.policy import build_policy
from agents.registry import agent_names
from agents.runs import Run
from agents.train import Command, check_resumed, run_training, stored_config, train
from agents.training.config import TrainConfig, parse_frames
from agents.training.distributed import Ranks
from agents.training.ppo import PPO, Collector, PPOConfig, Rollout, advantages_and_returns, autocast_of
from agents.training.trainer import Trainer
from babyaipp.engine.state import FLOOR
from babyaipp.levels import LEVELS
from babyaipp.texts import VOCABULARY

ROOT = Path(__file__).parent.parent
TINY_PPO = PPOConfig(num_envs=4, rollout_steps=16, minibatches=2, epochs=2)
TINY = ["--ppo.num-envs=4", "--ppo.rollout-steps=16", "--ppo.minibatches=2", "--evaluation-episodes=0"]


def tiny_config(out: Path | None, **changes: Any) -> TrainConfig:
    settings: dict[str, Any] = {"frames": 256, "ppo": TINY_PPO, "evaluation_episodes": 0} | changes
    return TrainConfig(out=out, **settings)


def same_files(run: Run, other: Run) -> bool:
    (first, told), (second, told_too) = (read_tensors(each.training_file()) for each in (run, other))
    assert first.keys() == second.keys()
    return told["training"]["frames"] == told_too["training"]["frames"] and all(
        torch.equal(value, second[name]) for name, value in first.items()
    )


def collector_of(task: Task, num_envs: int, steps: int, same_size: bool = False, **arguments: Any) -> Collector:
    """Worlds, and a policy that always turns left and expects a return of 10."""
    envs = task.make_vec(num_envs, output="torch", copy=False, **arguments)
    policy = build_policy("image_only", "small", {}, envs.single_observation_space, envs.single_action_space)  # type: ignore[arg-type]
    with torch.no_grad():
        policy.actor.weight.zero_()
        policy.actor.bias.copy_(torch.tensor([50.0] + [0.0] * 6))
        policy.critic.weight.zero_()
        policy.critic.bias.fill_(10.0)
    generator = torch.Generator().manual_seed(0)
    return Collector(envs, policy, steps, 0.9, generator, autocast_of(torch.device("cpu"), bf16=False), same_size)


# What is computed


def test_advantages_are_generalised_ones() -> None:
    """Against their definition: sums of later surprises, up to the end of the episode."""
    generator = torch.Generator().manual_seed(0)
    steps, num_envs, gamma, gae_lambda = 9, 3, 0.9, 0.8
    values, rewards = (torch.rand(steps, num_envs, generator=generator) for _ in range(2))
    ends = torch.rand(steps, num_envs, generator=generator) < 0.3
    assert ends.any()
    after = torch.rand(num_envs, generator=generator)
    nothing = torch.zeros(steps, num_envs)
    rollout = Rollout({}, nothing.bool(), nothing[0], nothing.long(), nothing, values, rewards, ends, after)
    advantages, returns = advantages_and_returns(rollout, gamma, gae_lambda)
    following = torch.cat([values[1:], after[None]])
    for env in range(num_envs):
        for t in range(steps):
            expected, factor = 0.0, 1.0
            for later in range(t, steps):
                goes_on = not ends[later, env]
                surprise = rewards[later, env] + gamma * goes_on * following[later, env] - values[later, env]
                expected += factor * float(surprise)
                factor *= gamma * gae_lambda
                if not goes_on:
                    break
            assert float(advantages[t, env]) == pytest.approx(expected, abs=1e-5)
    torch.testing.assert_close(returns, advantages + values)


@pytest.mark.parametrize("same_size", [False, True])
def test_a_timeout_is_not_an_end(same_size: bool) -> None:
    """The value of the last observation is added to the reward where the time limit cut an episode off."""
    collector = collector_of(Task("GoToRedBall"), 8, 20, same_size, max_steps=10)
    collector.envs.reset(seed=0)
    rollout, sums = collector.collect()
    bootstrapped = rollout.rewards[rollout.ends]
    assert sums["timeout"] > 10
    assert int((bootstrapped == 0.9 * 10).sum()) == sums["timeout"]
    assert (rollout.rewards[~rollout.ends] == 0).all()
    assert sums["episodes"] == rollout.ends.sum()
    # The step after an end begins an episode.
    assert torch.equal(rollout.begins[1:], rollout.ends[:-1])
    assert rollout.begins[0].all()


def test_a_compiled_network_gets_batches_of_two_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is compiled for each size anew, and recorded as a CUDA graph."""
    asked: list[Any] = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self, **kwargs: asked.append(kwargs))
    ppo = replace(TINY_PPO, num_envs=128, rollout_steps=80, compile=True)  # longer than the level's time limit
    trainer = Trainer(tiny_config(None, ppo=ppo), Ranks())
    sizes = []
    trainer.policy.network.register_forward_pre_hook(lambda network, args: sizes.append(len(args[0]["direction"])))
    timeouts = trainer.update(0.0)["timeout"]
    trainer.close()
    assert timeouts > 0
    assert set(sizes) == {128, 64 * 80}
    assert asked == [{"mode": None, "dynamic": None}]


def test_a_drain_is_an_end() -> None:
    task = Task("CrossTwo", "All")
    drains = dict.fromkeys(("blue", "green", "grey"), "drain") | dict.fromkeys(("purple", "red", "yellow"), "slippery")
    envs = task.make_vec(256, output="torch")
    envs.reset(seed=0, options={"rules": drains})
    collector = collector_of(task, 256, 64)
    collector.envs.reset(seed=0)
    collector.envs.set_state(envs.state())
    envs.close()
    with torch.no_grad():  # it walks about
        collector._policy.actor.bias.copy_(torch.tensor([1.0, 1, 2.5] + [-50] * 4))
    rollout, sums = collector.collect()
    assert int((rollout.rewards[rollout.ends] == 0.9 * 10).sum()) == sums["timeout"]
    assert sums["episodes"] - sums["timeout"] - sums["success"] > 5  # some drained


@pytest.mark.parametrize(("agent", "text"), [*((name, "true") for name in agent_names()), ("grounded", "contradict")])
def test_what_is_held_out_is_never_shown(agent: str, text: str) -> None:
    """All that a training learns from, also where episodes end: the sentences tell rules of `Train` and no others."""
    config = tiny_config(
        None, agent=agent, level="CrossTwo", text=text, ppo=replace(TINY_PPO, num_envs=128, rollout_steps=64)
    )
    trainer = Trainer(config, Ranks())
    seen = set()
    for _ in range(2):
        trainer.update(0.0)
        kept = trainer.collector._kept
        texts = torch.cat([kept["description"].flatten(0, 1), kept["final_description"][kept["cut"]]])
        seen |= {rule_told(words) for words in texts.flatten(0, 1).unique(dim=0).tolist() if any(words)}
    trainer.close()
    assert seen == LEVELS["CrossTwo"].drawable_rules("Train")


def rule_told(words: list[int]) -> tuple[str, str]:
    """Colour and property of "blue floors are trap"."""
    color, floors, are, name = (VOCABULARY[word] for word in words)
    assert (floors, are) == ("floors", "are")
    return color, name


@pytest.mark.parametrize("level", ["CrossTwo", "GoToSeq"])
def test_exchanging_the_colours_of_floors_in_image_and_text_changes_nothing_for_grounded(level: str) -> None:
    """So it needs no augmentation, and none is made: a pair of words that is held out is as good as any other.

    All else keeps its colour, so that what is compared are worlds as they are.
    """
    envs = Task(level, "All").make_vec(32, output="torch")
    observation, _ = envs.reset(seed=0)
    policy = build_policy("grounded", "small", {}, envs.single_observation_space, envs.single_action_space)  # type: ignore[arg-type]
    names = policy.network.color_of_word
    word_of = {int(names[word]): word for word in names.ge(0).nonzero().flatten().tolist()}
    order = torch.tensor([3, 5, 0, 1, 2, 4])
    exchanged = {name: each.clone() for name, each in observation.items()}
    types, colors, _ = observation["image"].unbind(3)
    exchanged["image"][..., 1] = torch.where(types == FLOOR, order[colors.long()].to(torch.uint8), colors)
    for color, word in word_of.items():
        exchanged["description"][observation["description"] == word] = word_of[int(order[color])]
    assert not torch.equal(exchanged["image"], observation["image"])
    assert not torch.equal(exchanged["description"], observation["description"])
    torch.testing.assert_close(policy.network(exchanged), policy.network(observation))
    only_seen = observation | {"image": exchanged["image"]}
    assert not torch.allclose(policy.network(only_seen), policy.network(observation))


def test_a_policy_learns_what_pays() -> None:
    """PPO alone, without worlds: one action is rewarded."""
    torch.manual_seed(0)
    space = Task("GoToRedBall").make_vec(1)
    policy = build_policy(
        "image_only", "small", {"memory": 0}, space.single_observation_space, space.single_action_space
    )  # type: ignore[arg-type]
    observation = {name: torch.as_tensor(each) for name, each in space.reset(seed=0)[0].items()}
    generator = torch.Generator().manual_seed(0)
    config = PPOConfig(num_envs=32, rollout_steps=4, minibatches=2, epochs=3, gamma=0.0)
    ppo = PPO(policy, config, generator, Ranks(), autocast_of(torch.device("cpu"), bf16=False))
    batch = {name: each[None].expand(4, 32, *each.shape[1:]) for name, each in observation.items()}
    begins, state = torch.zeros(4, 32, dtype=torch.bool), policy.initial_state(32)
    for _ in range(15):
        with torch.no_grad():
            logits, values, _ = policy(batch, state, begins)
        actions = torch.distributions.Categorical(logits=logits).sample()
        log_probs = logits.log_softmax(2).gather(2, actions.unsqueeze(2)).squeeze(2)
        rewards = (actions == 3).float()
        ppo.update(Rollout(batch, begins, state, actions, log_probs, values, rewards, ~begins, values[0]), 0.0)
    assert policy(batch, state, begins).logits.softmax(2)[..., 3].mean() > 0.9


# Training


@pytest.mark.parametrize("agent", agent_names())
def test_an_interrupted_training_ends_as_one_that_was_not(agent: str, tmp_path: Path) -> None:
    """Bit for bit: parameters, optimiser, worlds, memory and random streams."""
    whole = train(tiny_config(tmp_path / "whole", agent=agent)).run
    parts = Run(tmp_path / "parts")
    stopped = tiny_config(parts.folder, agent=agent)
    trainer = Trainer(stopped, Ranks())
    for update in range(2):
        trainer.update(update / 4)
    parts.folder.mkdir()
    trainer.save(parts)
    trainer.close()
    parts.config_file.write_text(json.dumps(stopped.as_json()))
    outcome = train(stored_config(parts.folder), resume=parts.folder)
    assert outcome.frames == 256
    assert same_files(whole, parts)
    other = train(tiny_config(tmp_path / "other", agent=agent, seed=1)).run
    assert not same_files(whole, other)


def test_evaluations_and_checkpoints_do_not_change_a_training(tmp_path: Path) -> None:
    one = train(tiny_config(tmp_path / "one", agent="image_only", level="CrossTwo")).run
    other = train(
        tiny_config(
            tmp_path / "other",
            agent="image_only",
            level="CrossTwo",
            checkpoint_frames=64,
            evaluation_frames=64,
            evaluation_episodes=2,
        )
    ).run
    for name, value in read_tensors(one.training_file())[0].items():
        assert torch.equal(read_tensors(other.training_file())[0][name], value), name
    lines = other.read_progress()
    assert {"Train/success", "Val/success"} <= lines[-1].keys()
    assert not any("HeldOut" in name for line in lines for name in line)


def test_a_run_leaves_what_is_promised(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    assert run_command(Command, run_training, ["--frames=250", f"--out={run.folder}", "--seed=3", *TINY]) == 0
    assert run.agent_file().name == "grounded-GoToRedBall-3.safetensors"
    progress = run.read_progress()
    assert [line["frames"] for line in progress] == [64, 128, 192, 256]
    assert {"seconds", "fps", "episodes", "policy_loss", "value_loss", "entropy", "kl", "explained"} <= set(
        progress[-1]
    )
    assert list((run.folder / "tensorboard").iterdir())
    assert not list(run.folder.glob(".*"))
    with pytest.raises(ValueError, match="holds a run already"):
        train(tiny_config(run.folder))
    with pytest.raises(ValueError, match="are done"):
        train(stored_config(run.folder), resume=run.folder)
    with pytest.raises(ValueError, match=r"seed=4 cannot be given with --resume: .* with 3"):
        check_resumed(replace(stored_config(run.folder), seed=4), run.folder)


def test_going_on_takes_what_is_given_and_keeps_what_is_not(tmp_path: Path, capsys: Any) -> None:
    """Also where it is the default of a new run: a million frames, one thread, seed 0."""
    folder = str(tmp_path / "run")
    started = ["--frames=64", f"--out={folder}", "--seed=3", "--threads=2", "--evaluation-frames=64", *TINY]
    assert run_command(Command, run_training, started) == 0
    assert run_command(Command, run_training, ["--resume", folder, "--frames=128"]) == 0
    kept = Run(Path(folder)).read_config()
    assert (kept["frames"], kept["threads"], kept["seed"], kept["evaluation_frames"]) == (128, 2, 3, 64)
    assert run_command(Command, run_training, ["--resume", folder, "--frames=192", "--threads=1"]) == 0
    assert Run(Path(folder)).read_config()["threads"] == 1
    capsys.readouterr()
    assert run_command(Command, run_training, ["--resume", folder, "--frames=256", "--seed=0"]) == 2
    assert "seed=0 cannot be given with --resume" in capsys.readouterr().err
    assert run_command(Command, run_training, ["--resume", folder]) == 2
    assert "are done" in capsys.readouterr().err


def test_ctrl_c_leaves_a_checkpoint_to_resume(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    arguments = [sys.executable, "-m", "agents.train", "--frames=1e8", "--out", str(run.folder), *TINY]
    process = subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 240
    while len(run.read_progress()) < 2 and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    printed, errors = process.communicate(timeout=120)
    assert process.returncode == INTERRUPTED, errors
    assert f"python -m agents.train --resume {run.folder}" in printed
    assert "Traceback" not in errors
    saved = read_tensors(run.training_file())[1]["training"]["frames"]
    assert saved == run.read_progress()[-1]["frames"]
    config = replace(stored_config(run.folder), frames=saved + 64)
    assert train(config, resume=run.folder).frames == saved + 64
    assert [line["frames"] for line in run.read_progress()] == list(range(64, saved + 65, 64))


def test_a_run_that_was_killed_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    run = train(tiny_config(tmp_path / "run", frames=128)).run
    with run.progress_file.open("a") as lines:  # what was logged after the checkpoint, the last line cut off
        lines.write('{"frames": 192, "seconds": 1}\n{"frames": 25')
    train(replace(stored_config(run.folder), frames=256), resume=run.folder)
    assert [line["frames"] for line in run.read_progress()] == [64, 128, 192, 256]


def test_a_limit_of_time_ends_the_training_as_planned(tmp_path: Path) -> None:
    outcome = train(tiny_config(tmp_path / "run", frames=10**8, minutes=0.03))
    assert 0 < outcome.frames < 10**6
    assert not outcome.interrupted
    assert outcome.run.agent_file().exists()


def test_agents_train_on_the_fixed_rules_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = train(tiny_config(None, agent="film", frames=64, level="GoToRedBallHard", split="Fixed")).run
    assert run.folder == Path("runs/film-GoToRedBallHard-Fixed-0")
    assert run.agent_file().name == "film-GoToRedBallHard-Fixed-0.safetensors"


@pytest.mark.parametrize("flag", ["bf16", "compile"])
def test_faster_arithmetic_computes_nearly_the_same(flag: str) -> None:
    """The loss of a minibatch, and its gradients' direction."""
    figures = []
    for faster in (False, True):
        config = tiny_config(None, agent="attention_fusion", ppo=replace(TINY_PPO, **{flag: faster}))
        trainer = Trainer(config, Ranks())
        plain = Trainer(replace(config, ppo=TINY_PPO), Ranks())
        rollout, _ = plain.collector.collect()
        advantages, returns = advantages_and_returns(rollout, 0.99, 0.95)
        loss, _ = trainer.ppo.loss(rollout, advantages, returns)
        loss.backward()
        gradient = torch.cat([each.grad.flatten() for each in trainer.policy.parameters() if each.grad is not None])
        figures.append((float(loss.detach()), gradient))
        trainer.close()
        plain.close()
    (loss, gradient), (other_loss, other_gradient) = figures
    assert other_loss == pytest.approx(loss, abs=0.02)
    assert torch.nn.functional.cosine_similarity(gradient, other_gradient, dim=0) > 0.99


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--agent=attention_fusio"], "unknown agent 'attention_fusio'; did you mean 'attention_fusion'?"),
        (["--level=GoToRedBal"], "unknown level 'GoToRedBal'; did you mean 'GoToRedBall'?"),
        (["--split=HeldOut"], "split='HeldOut' is for evaluation; to train on: Train, Fixed"),
        (["--split=Fixed"], "unknown split 'Fixed' of level GoToRedBall; allowed: Train, HeldOut, All"),
        (["--text=flase"], "unknown text condition text='flase'; allowed: true,"),
        (["--preset=big"], "unknown preset 'big' of agent grounded; allowed: paper, small"),
        (["--agent-options", "chanels", "8"], "unknown option 'chanels' of agent grounded; did you mean"),
        (["--agent-options", "channels", "0"], "option channels=0 of agent grounded must be at least 1"),
        (["--minutes=0"], "minutes=0 must be more than 0"),
        (["--minutes=nan"], "minutes=nan must be more than 0"),
        (["--device=cuda"], "device='cuda': torch finds no GPU"),
        (["--device=mps"], "unknown device='mps'; allowed: cpu, cuda, cuda:<number>"),
        (["--text=shuffled_rules"], "text='shuffled_rules' is for evaluation: it tells pairs that are held out"),
        (["--ppo.minibatches=3"], "ppo.minibatches=3 must divide ppo.num_envs=256"),
        (["--ppo.learning-rate=nan"], "ppo.learning_rate=nan must be more than 0"),
        (["--ppo.gamma=2"], "ppo.gamma=2.0 must be between 0 and 1"),
        (["--ppo.cuda-graphs"], "ppo.cuda_graphs=True needs ppo.compile=True"),
        (["--out=/dev/null/run"], "/dev/null/run"),
        (["--resume=nowhere"], "'nowhere' is not a run folder"),
    ],
)
def test_a_typo_is_told_without_a_traceback(
    arguments: list[str], message: str, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    assert run_command(Command, run_training, arguments) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(("text", "frames"), [("3e5", 300_000), ("300_000", 300_000), ("12", 12)])
def test_frames_are_read(text: str, frames: int) -> None:
    assert parse_frames(text) == frames


@pytest.mark.parametrize("text", ["abc", "1.5", "0", "-3", "inf", "nan"])
def test_what_is_no_number_of_frames_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"whole number|convert"):
        parse_frames(text)


def test_worlds_of_a_training_are_all_different() -> None:
    trainer = Trainer(tiny_config(None), Ranks())
    starts = trainer.collector.envs.state()["rng"]
    trainer.close()
    assert len(np.unique(starts, axis=0)) == 4
