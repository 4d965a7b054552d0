"""The agents learn from what they should, and training, resuming and evaluating them keep their promises."""

from __future__ import annotations

import itertools
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
from PIL import Image

from agents.cli import INTERRUPTED, run_command
from agents.demo import DemoConfig, run_demo
from agents.environments import EVALUATION_SEEDS, Task, WorkerVecEnv, training_seeds
from agents.evaluate import RANDOM, evaluate, load_subject
from agents.registry import agent_names, build_network, load_agent
from agents.rollouts import evaluation_seed, play, random_policy
from agents.runs import Run
from agents.sb3 import PPOConfig, load_model, new_model
from agents.train import TrainConfig, parse_frames, run_training, train
from babyaipp.texts import PADDING, PARAPHRASE_WORDS, WORD_IDS

ROOT = Path(__file__).parent.parent
TASKS = (Task("GoToRedBall"), Task("GoToSeq"))  # a room; a maze with more and longer sentences
TINY_PPO = PPOConfig(rollout_steps=16, minibatch_size=32, epochs=2)
TINY = ["--num-envs=4", "--num-workers=2", "--ppo.rollout-steps=16", "--ppo.minibatch-size=32"]


def observations(task: Task, count: int = 6) -> tuple[Any, dict[str, torch.Tensor]]:
    """The observation space, and a batch of what is seen at the start of episodes and after some steps."""
    env = task.make()
    seen = []
    for seed in range(count):
        observation, _ = env.reset(seed=seed)
        for action in range(seed % 3):
            observation, *_ = env.step(action)
        seen.append(observation)
    batch = {key: torch.as_tensor(np.stack([entry[key] for entry in seen])).long() for key in seen[0]}
    return env.observation_space, batch


def same_parameters(run: Run, other: Run) -> bool:
    first, second = (load_model(each.model_file()).policy.state_dict() for each in (run, other))
    return all(torch.equal(value, second[name]) for name, value in first.items())


def command(*arguments: str | Path, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *map(str, arguments)], cwd=cwd, capture_output=True, text=True, timeout=600, check=False
    )


# Networks


def test_the_baselines_are_found() -> None:
    assert {"attention_fusion", "image_only"} <= set(agent_names())
    with pytest.raises(ValueError, match="did you mean 'image_only'"):
        load_agent("image_onyl")


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.level)
@pytest.mark.parametrize("agent", agent_names())
def test_gradients_reach_every_parameter(agent: str, task: Task) -> None:
    space, batch = observations(task)
    network = build_network(agent, space, {})
    features = network(batch)
    assert features.shape == (6, network.num_features)
    features.square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.level)
def test_attention_is_a_distribution_over_the_sentences_that_are_there(task: Task) -> None:
    space, batch = observations(task)
    batch["description"][0, 1:] = PADDING
    batch["description"][1] = PADDING
    sentences = batch["description"].shape[1]
    _, weights = build_network("attention_fusion", space, {}).forward_with_attention(batch)
    assert weights.shape == (6, sentences + 1, 7, 7)
    torch.testing.assert_close(weights.sum(1), torch.ones(6, 7, 7))
    assert (weights[0, 1:sentences] == 0).all()
    assert (weights[0, 0] > 0).all()
    assert (weights[1, sentences] == 1).all()
    assert (weights[2] > 0).all()


def test_only_attention_fusion_reads() -> None:
    space, batch = observations(TASKS[0])
    told_otherwise = batch | {"description": batch["description"].clone()}
    told_otherwise["description"][:, 0, 3] = WORD_IDS["magic"]
    asked_otherwise = batch | {"mission": batch["mission"].flip(1)}
    for agent, reads in (("attention_fusion", True), ("image_only", False)):
        network = build_network(agent, space, {})
        for other in (told_otherwise, asked_otherwise):
            assert torch.equal(network(batch), network(other)) != reads


def test_a_sentence_means_the_same_whatever_else_is_in_the_batch() -> None:
    space, batch = observations(TASKS[1])
    sentence = build_network("attention_fusion", space, {}).sentence
    together = sentence(batch["mission"])
    alone = torch.cat([sentence(row[None]) for row in batch["mission"]])
    longer = sentence(torch.nn.functional.pad(batch["mission"], (0, 3), value=PADDING))
    torch.testing.assert_close(together, alone)
    torch.testing.assert_close(together, longer)


# Environments


def test_worker_processes_change_nothing() -> None:
    actions = np.random.default_rng(0).integers(0, 7, (80, 3))
    seeds = training_seeds(0, 0, 3)
    assert max(seeds) < EVALUATION_SEEDS <= evaluation_seed(0, 0)
    env = WorkerVecEnv(TASKS[0], 3, 2)
    alone = [TASKS[0].make() for _ in seeds]
    try:
        env.seed_each(seeds)
        seen = env.reset()
        expected = [each.reset(seed=seed)[0] for each, seed in zip(alone, seeds, strict=True)]
        for row in actions:
            for i, observation in enumerate(expected):
                for key, value in observation.items():
                    np.testing.assert_array_equal(seen[key][i], value)
            seen, rewards, dones, infos = env.step(row)
            for i, single in enumerate(alone):
                expected[i], reward, terminated, truncated, _ = single.step(row[i])
                assert (rewards[i], dones[i]) == (np.float32(reward), terminated or truncated)
                if dones[i]:
                    np.testing.assert_array_equal(infos[i]["terminal_observation"]["image"], expected[i]["image"])
                    assert infos[i]["TimeLimit.truncated"] == (truncated and not terminated)
                    expected[i], _ = single.reset()
    finally:
        env.close()


def test_a_timeout_is_not_an_end() -> None:
    """The value of the last observation is added to the reward where an episode was truncated, and only there."""
    env = WorkerVecEnv(TASKS[0], 2, 1)
    try:
        model = new_model("image_only", {}, PPOConfig(rollout_steps=64, minibatch_size=128, epochs=1), env)
        with torch.no_grad():  # the agent only turns, and expects a return of 10
            model.policy.action_net.weight.zero_()
            model.policy.action_net.bias.copy_(torch.tensor([50.0] + [0.0] * 6))
            model.policy.value_net.weight.zero_()
            model.policy.value_net.bias.fill_(10.0)
        env.seed_each(_seeds_of_timeouts(2))
        model.learn(128)
        rewards = model.rollout_buffer.rewards.reshape(-1)
        np.testing.assert_allclose(sorted(rewards)[-2:], model.gamma * 10, rtol=1e-5)
        assert (np.sort(rewards)[:-2] == 0).all()
    finally:
        env.close()


def _seeds_of_timeouts(count: int) -> list[int]:
    found = []
    env = TASKS[0].make()
    for seed in range(100):
        env.reset(seed=seed)
        steps = 0
        while True:
            *_, terminated, truncated, _ = env.step(0)
            steps += 1
            if terminated or truncated:
                break
        if truncated and steps == 64:
            found.append(seed)
    return found[:count]


# Training


def tiny_config(out: Path | None, **changes: Any) -> TrainConfig:
    settings = {"agent": "attention_fusion", "frames": 256, "num_envs": 4, "ppo": TINY_PPO} | changes
    return TrainConfig(out=out, **settings)


@pytest.mark.parametrize("agent", agent_names())
def test_same_seed_same_parameters(agent: str, tmp_path: Path) -> None:
    first, same, other = (
        train(tiny_config(tmp_path / str(i), agent=agent, seed=seed)).run for i, seed in enumerate((0, 0, 1))
    )
    assert same_parameters(first, same)
    assert not same_parameters(first, other)


def test_train_resume_evaluate(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    trained = command("agents.train", "--frames=1.28e2", "--out", run.folder, *TINY)
    assert trained.returncode == 0, trained.stderr
    resumed = command("agents.train", "--resume", run.folder, "--frames=320")
    assert resumed.returncode == 0, resumed.stderr
    progress = run.read_progress()
    assert [line["frames"] for line in progress] == [64, 128, 192, 256, 320]
    assert all(a["seconds"] < b["seconds"] for a, b in itertools.pairwise(progress))
    assert {"success_rate", "return", "fps", "value_loss"} <= set(progress[-1])
    assert run.model_file().name == "model.zip"
    assert not (run.folder / "checkpoint.zip").exists()
    assert list((run.folder / "tensorboard").iterdir())

    evaluated = command("agents.evaluate", run.folder, "--episodes=20", "--splits=Train,HeldOut")
    assert evaluated.returncode == 0, evaluated.stderr
    report = json.loads(run.report_file.read_text())
    assert report["training"] == {"split": "Train", "seed": 0, "frames": 320}
    assert report["greedy"] is True
    for split in ("Train", "HeldOut"):
        entry = report["splits"][split]
        assert entry["success"]["value"] == entry["causes"].get("success", 0) / 20
        assert sum(entry["causes"].values()) == entry["episodes"] == 20
        assert f"{entry['success']['value']:.3f}" in evaluated.stdout
    rates = [report["splits"][split]["success"]["value"] for split in ("Train", "HeldOut")]
    assert report["gap"]["value"] == pytest.approx(rates[0] - rates[1])

    elsewhere = command("agents.evaluate", run.folder, "--episodes=2", "--splits=Train", "--text=none")
    assert "give --json FILE to keep it" in elsewhere.stdout
    assert json.loads(run.report_file.read_text()) == report


def test_ctrl_c_leaves_a_checkpoint_to_resume(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    arguments = [sys.executable, "-m", "agents.train", "--frames=1e8", "--out", str(run.folder), *TINY]
    process = subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while len(run.read_progress()) < 2 and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    printed, errors = process.communicate(timeout=120)
    assert process.returncode == INTERRUPTED, errors
    assert f"python -m agents.train --resume {run.folder}" in printed
    assert "Traceback" not in errors
    saved = load_model(run.model_file()).num_timesteps
    assert saved == run.read_progress()[-1]["frames"]

    outcome = train(TrainConfig(resume=run.folder, frames=saved + 64))
    assert outcome.frames == saved + 64
    frames = [line["frames"] for line in run.read_progress()]
    assert frames == list(range(64, saved + 65, 64))


def test_a_run_that_was_killed_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    run = train(tiny_config(tmp_path / "run", frames=128)).run
    with run.progress_file.open("a") as lines:  # what was logged after the checkpoint, the last line cut off
        lines.write('{"frames": 192, "seconds": 1}\n{"frames": 25')
    train(TrainConfig(resume=run.folder, frames=256))
    assert [line["frames"] for line in run.read_progress()] == [64, 128, 192, 256]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--agent=attention_fusio"], "unknown agent 'attention_fusio'; did you mean 'attention_fusion'?"),
        (["--level=GoToRedBal"], "unknown level 'GoToRedBal'; did you mean 'GoToRedBall'?"),
        (["--split=HeldOut"], "split='HeldOut' is for evaluation; to train on: Train, Fixed"),
        (["--split=Fixed"], "unknown split 'Fixed' of level GoToRedBall; allowed: Train, HeldOut, All"),
        (["--text=flase"], "unknown text condition text='flase'; allowed: true,"),
        (["--agent-options", "chanels", "8"], "unknown option 'chanels' of agent attention_fusion; did you mean"),
        (["--minutes=0"], "minutes=0 must be more than 0"),
        (["--minutes=nan"], "minutes=nan must be more than 0"),
        (["--agent-options", "channels", "0"], "option channels=0 of agent attention_fusion must be at least 1"),
        (["--ppo.minibatch-size=1"], "ppo.minibatch_size=1 must be at least 2"),
        (["--ppo.learning-rate=nan"], "ppo.learning_rate=nan must be more than 0"),
        (["--ppo.gamma=2"], "ppo.gamma=2.0 must be between 0 and 1"),
        (["--out=/dev/null/run"], "/dev/null/run"),
        (["--resume=nowhere"], "'nowhere' is not a run folder"),
    ],
)
def test_a_typo_is_told_without_a_traceback(arguments: list[str], message: str, capsys: Any) -> None:
    assert run_command(TrainConfig, run_training, arguments) == 2
    assert message in capsys.readouterr().err


def test_agents_train_on_the_fixed_rules_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = train(tiny_config(None, frames=64, level="GoToRedBallHard", split="Fixed"))
    assert outcome.run.folder == Path("runs/attention_fusion-GoToRedBallHard-Fixed-0")
    subject = load_subject(str(outcome.run.folder))
    assert subject.training == {"split": "Fixed", "seed": 0, "frames": 64}


def test_a_run_folder_is_not_overwritten(tmp_path: Path) -> None:
    config = tiny_config(tmp_path / "run", frames=64)
    train(config)
    with pytest.raises(ValueError, match="holds a run already"):
        train(config)
    with pytest.raises(ValueError, match="seed=3 cannot be given with --resume"):
        train(TrainConfig(resume=tmp_path / "run", seed=3))


def test_a_training_that_saved_nothing_can_start_anew(tmp_path: Path) -> None:
    run = train(tiny_config(tmp_path / "run", frames=128)).run
    run.model_file().unlink()
    with pytest.raises(ValueError, match="no saved model"):
        train(TrainConfig(resume=run.folder))
    train(tiny_config(tmp_path / "run", frames=64, agent="image_only"))
    assert [line["frames"] for line in run.read_progress()] == [64]
    assert run.read_config()["agent"] == "image_only"


def test_a_limit_of_time_ends_the_training_as_planned(tmp_path: Path) -> None:
    outcome = train(tiny_config(tmp_path / "run", frames=10**8, minutes=0.03))
    assert 0 < outcome.frames < 10**6
    assert not outcome.interrupted
    assert outcome.run.model_file().name == "model.zip"
    assert 0 <= outcome.run.read_progress()[-1]["learning_rate"] < 0.2 * TINY_PPO.learning_rate


def test_the_demonstration_leaves_an_episode_and_a_report(tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text("{}")
    assert run_demo(DemoConfig(frames=64, episodes=4, out=tmp_path)) == 0
    printed = capsys.readouterr().out
    assert "it is replaced" in printed
    reports = json.loads((tmp_path / "report.json").read_text())["reports"]
    assert [(report["agent"], report["greedy"]) for report in reports] == [
        ("attention_fusion", False), (RANDOM, False), ("attention_fusion", True),
    ]  # fmt: skip
    assert all(report["splits"].keys() == {"Train", "HeldOut", "All"} for report in reports)
    with Image.open(tmp_path / "episode.gif") as film:
        assert film.n_frames > 1  # type: ignore[attr-defined]
        assert film.width > film.height  # the text is beside the world


@pytest.mark.parametrize(("text", "frames"), [("3e5", 300_000), ("300_000", 300_000), ("12", 12)])
def test_frames_are_read(text: str, frames: int) -> None:
    assert parse_frames(text) == frames


@pytest.mark.parametrize("text", ["abc", "1.5", "0", "-3", "inf", "nan"])
def test_what_is_no_number_of_frames_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"whole number|convert"):
        parse_frames(text)


# Evaluation


@pytest.mark.parametrize("greedy", [True, False])
def test_an_episode_does_not_depend_on_how_many_are_played(greedy: bool, tmp_path: Path) -> None:
    run = train(tiny_config(tmp_path / "run", frames=64)).run
    subject = load_subject(str(run.folder))
    many = play(subject.task, subject.policy, 70, greedy=greedy)
    few = play(subject.task, subject.policy, 5, greedy=greedy)
    assert many[:5] == few
    assert [episode.seed for episode in many] == [evaluation_seed(0, index) for index in range(70)]


def test_the_random_agent_is_evaluated_as_any_other() -> None:
    subject = load_subject(RANDOM, level="PutNextLocal")
    report = evaluate(subject, 10, ("Train", "HeldOut", "All"))
    assert (report["agent"], report["level"], report["greedy"]) == (RANDOM, "PutNextLocal", False)
    other_seed = play(Task("GoToRedBall"), random_policy, 3, seed=1, greedy=False)
    assert [episode.seed for episode in other_seed] == [evaluation_seed(1, index) for index in range(3)]


def test_a_damaged_run_is_told_without_a_traceback(tmp_path: Path) -> None:
    for text, message in (("{", "is not JSON"), ("{}", "it lacks agent, level")):
        (tmp_path / "config.json").write_text(text)
        with pytest.raises(ValueError, match=message):
            load_subject(str(tmp_path))


def test_an_agent_is_evaluated_on_shorter_texts(tmp_path: Path) -> None:
    """And on longer ones, if it was trained with room for them."""
    config = tiny_config(tmp_path / "run", frames=64)
    for trained_on, words in (("paraphrase", None), ("true", PARAPHRASE_WORDS)):
        run = train(replace(config, out=tmp_path / trained_on, text=trained_on, sentence_words=words)).run
        for text in ("true", "paraphrase", "paraphrase_heldout", "contradict", "none"):
            subject = load_subject(str(run.folder), text=text)
            assert len(play(subject.task, subject.policy, 2)) == 2


def test_an_agent_cannot_be_evaluated_on_texts_that_do_not_fit(tmp_path: Path) -> None:
    run = train(tiny_config(tmp_path / "run", frames=64)).run
    with pytest.raises(ValueError, match="level='GoToSeq'"):
        load_subject(str(run.folder), level="GoToSeq")
    with pytest.raises(ValueError, match=r"text='paraphrase'.*training on .* with text='true'; description: "):
        load_subject(str(run.folder), text="paraphrase")
    with pytest.raises(ValueError, match="did you mean 'PutNext'"):
        load_subject(str(run.folder), level="PutNxt")
