"""Imitation learns what the teacher does, from the splits and seeds that it may, and says what it cannot use."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from agents.checkpoints import load_agent_file, spaces_of
from agents.cli import INTERRUPTED, run_command
from agents.environments import EVALUATION_SEEDS, Task
from agents.evaluate import load_subject
from agents.imitate import ImitateConfig, imitate, run_imitation
from agents.policy import Policy, build_policy
from agents.runs import Run
from agents.train import Command, run_training
from agents.training.imitation import Classroom, Teacher, drawn_episodes, loss_of, recorded_episodes
from babyaipp.levels import get_level
from babyaipp.planners.demos import record_demos

LEVEL = "GoToRedBall"
TASK = Task(LEVEL)
ENVS = 8


def tiny(out: Path, **changes: Any) -> ImitateConfig:
    settings = {"agent": "image_only", "level": LEVEL, "episodes": 30, "num_envs": ENVS, "rollout_steps": 8}
    return ImitateConfig(out=out, minibatches=2, evaluation_episodes=0, **settings | changes)


def policy_of(agent: str = "image_only") -> Policy:
    torch.manual_seed(0)
    return build_policy(agent, "small", {}, *spaces_of(TASK))


def classroom(teacher: Teacher, policy: Policy, task: Task = TASK) -> Classroom:
    return Classroom(task, teacher, policy, ENVS, torch.Generator().manual_seed(0), 1)


def same_parameters(run: Run, other: Run) -> bool:
    first, second = (load_agent_file(each.agent_file()).policy.state_dict() for each in (run, other))
    return all(torch.equal(value, second[name]) for name, value in first.items())


def test_the_oracle_succeeds_and_its_actions_are_the_labels() -> None:
    room = classroom(Teacher(LEVEL, drawn_episodes(0), ENVS), policy_of())
    lessons = [room.lesson(16, agent_share=0) for _ in range(4)]
    room.envs.close()
    episodes, successes, left = (
        sum(each.figures[name] for each in lessons) for name in ("episodes", "successes", "left")
    )
    assert episodes > 3 * ENVS
    assert successes == episodes
    assert left == sum(int((each.labels == -1).sum()) for each in lessons)
    begins = torch.cat([each.begins for each in lessons])
    assert begins[0].all()
    assert int(begins[1:].sum()) <= episodes + left
    assert set(torch.cat([each.labels for each in lessons]).unique().tolist()) >= {0, 1, 2}


def test_the_oracle_corrects_an_agent_that_leaves_its_plan() -> None:
    """Whatever the agent has done, the label begins a fastest plan from the state that this led to."""
    policy = policy_of()
    teacher = Teacher(LEVEL, drawn_episodes(1), ENVS)
    room = classroom(teacher, policy)
    after = TASK.make_vec(ENVS, autoreset_mode="Disabled")
    corrected = 0
    for _ in range(30):
        before = room.envs.state()
        plans = [teacher._oracle.plan(before, row) for row in range(ENVS)]
        labels = room.lesson(1, agent_share=1).labels[0].numpy()
        after.set_state(before)
        after.step(np.maximum(labels, 0))
        state = after.state()
        for row, (plan, label) in enumerate(zip(plans, labels.tolist(), strict=True)):
            assert plan.solved == (label != -1)
            if plan.solved and not state["ended"][row]:  # as told, it takes as long as the fastest plan
                rest = teacher._oracle.plan(state, row)
                assert state["half_steps"][row] - before["half_steps"][row] + rest.half_steps == plan.half_steps
                corrected += 1
    after.close()
    room.envs.close()
    assert corrected > 100


def test_the_teacher_keeps_a_plan_only_as_long_as_it_is_followed() -> None:
    teacher = Teacher(LEVEL, iter([(7, np.array([0, 1, 2])), (8, np.array([2]))]), 2)
    assert [teacher.begin(0), teacher.begin(1)] == [7, 8]
    envs = TASK.make_vec(2, autoreset_mode="Disabled")
    envs.reset(seed=[7, 8])
    assert teacher.labels(envs).tolist() == [0, 2]
    teacher.follow(np.array([0, 2]), np.array([0, 2]))
    assert teacher.labels(envs).tolist() == [1, -1]  # what was recorded is over
    teacher.follow(np.array([1, -1]), np.array([5, -1]))
    expected = teacher._oracle.plan(envs.state(), 0).actions[0]
    assert teacher.labels(envs)[0] == expected
    envs.close()


def test_worlds_are_left_where_the_teacher_knows_no_way() -> None:
    nothing = np.zeros(0, np.int64)
    room = classroom(Teacher(LEVEL, ((seed, nothing) for seed in range(10**6)), ENVS), policy_of())
    lesson = room.lesson(5, agent_share=0)
    room.envs.close()
    assert (lesson.labels == -1).all()
    assert lesson.begins.all()
    assert lesson.figures["left"] == 5 * ENVS
    assert loss_of(policy_of(), lesson, torch.arange(ENVS)).item() == 0


def test_the_memory_goes_on_from_lesson_to_lesson() -> None:
    """The same steps in one lesson and in two: same observations and labels, and the state in between fits."""
    policy = policy_of()
    whole = classroom(Teacher(LEVEL, drawn_episodes(2), ENVS), policy)
    halves = classroom(Teacher(LEVEL, drawn_episodes(2), ENVS), policy)
    long, first, second = whole.lesson(12, 0), halves.lesson(6, 0), halves.lesson(6, 0)
    whole.envs.close()
    halves.envs.close()
    for name, each in long.observations.items():
        assert torch.equal(each, torch.cat([first.observations[name], second.observations[name]]))
    assert torch.equal(long.labels, torch.cat([first.labels, second.labels]))
    with torch.no_grad():
        state = policy(first.observations, first.state, first.begins).state
    torch.testing.assert_close(state, second.state)
    assert second.state.abs().sum() > 0


def test_training_seeds_are_below_those_of_evaluation() -> None:
    seeds = [seed for seed, _ in islice(drawn_episodes(0), 10_000)]
    assert 0 <= min(seeds) < 10**6 < EVALUATION_SEEDS - 10**6 < max(seeds) < EVALUATION_SEEDS


@pytest.mark.parametrize("dagger", [False, True])
def test_same_seed_same_parameters(dagger: bool, tmp_path: Path) -> None:
    first, same, other = (
        imitate(tiny(tmp_path / str(i), dagger=dagger, seed=seed)).run for i, seed in enumerate((0, 0, 1))
    )
    assert same_parameters(first, same)
    assert not same_parameters(first, other)


def test_the_agent_learns_to_do_what_the_oracle_does(tmp_path: Path) -> None:
    settings = {"agent": "image_only", "level": LEVEL, "num_envs": 32, "minibatches": 2}
    outcome = imitate(ImitateConfig(**settings, episodes=5000, out=tmp_path / "run", evaluation_episodes=64))
    lines = outcome.run.read_progress()
    assert lines[0]["agreement"] < 0.5 < 0.7 < lines[-1]["agreement"]
    assert lines[-1]["loss"] < lines[0]["loss"] / 2
    assert lines[-1]["frames"] == outcome.frames
    assert sum(line["episodes"] for line in lines) == outcome.episodes >= 5000
    assert outcome.success["Train/success"] == lines[-1]["Train/success"] > 0.15  # an untrained agent: 0
    subject = load_subject(str(outcome.run.folder))
    assert subject.training is not None
    assert (subject.agent, subject.training["frames"]) == ("image_only", outcome.frames)
    assert not list(outcome.run.folder.glob(".*"))


def test_with_dagger_the_agent_takes_over(tmp_path: Path) -> None:
    outcome = imitate(tiny(tmp_path / "run", episodes=300, dagger=True, dagger_share=0.5))
    shares = [line["agent_share"] for line in outcome.run.read_progress()]
    assert shares[0] == 0
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert any(line.get("success", 1) < 1 for line in outcome.run.read_progress())


def test_from_a_file_of_demonstrations(tmp_path: Path) -> None:
    file = tmp_path / "demos.npz"
    level = get_level(LEVEL)
    demos = record_demos(file, level, "Train", "oracle", 20, seed=5)
    taken = list(islice(recorded_episodes(demos, 0), 40))
    assert sorted(seed for seed, _ in taken[:20]) == list(range(5, 25))
    assert sorted(seed for seed, _ in taken[20:]) == list(range(5, 25))
    assert [seed for seed, _ in taken[:20]] != [seed for seed, _ in taken[20:]]

    room = classroom(Teacher(LEVEL, recorded_episodes(demos, 0), ENVS), policy_of())
    lesson = room.lesson(60, agent_share=0)
    room.envs.close()
    assert lesson.figures["left"] == 0
    assert lesson.figures["successes"] == lesson.figures["episodes"] > 20

    run = imitate(tiny(tmp_path / "run", level=None, demos=file)).run
    config = run.read_config()
    assert (config["level"], config["split"], config["demos"]) == (LEVEL, "Train", str(file))
    with pytest.raises(ValueError, match=r"level='PutNext': the demonstrations are of GoToRedBall"):
        imitate(tiny(tmp_path / "other", level="PutNext", demos=file))

    held_out = tmp_path / "heldout.npz"
    record_demos(held_out, level, "HeldOut", "oracle", 2)
    with pytest.raises(ValueError, match=r"split='HeldOut' is for evaluation; to train on: Train, Fixed"):
        imitate(tiny(tmp_path / "other", demos=held_out))
    kept = tmp_path / "kept.npz"
    record_demos(kept, level, "Train", "oracle", 2, seed=EVALUATION_SEEDS - 1)
    with pytest.raises(ValueError, match=r"seeds of 1,000,000,000 and more, which are kept for evaluation"):
        imitate(tiny(tmp_path / "other", demos=kept))
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--agent=grunded"], "unknown agent 'grunded'; did you mean 'grounded'?"),
        (["--level=CrossTw"], "unknown level 'CrossTw'; did you mean"),
        (["--split=HeldOut"], "split='HeldOut' is for evaluation; to train on: Train, Fixed"),
        (["--episodes=0"], "episodes=0 must be at least 1"),
        (["--num-envs=6"], "minibatches=4 must divide num_envs=6"),
        (["--learning-rate=nan"], "learning_rate=nan must be more than 0"),
        (["--minutes=0"], "minutes=0 must be more than 0"),
        (["--dagger-share=0"], "dagger_share=0.0 must be more than 0 and at most 1"),
        (["--demos=nowhere.npz"], "nowhere.npz"),
    ],
)
def test_a_typo_is_told_without_a_traceback(arguments: list[str], message: str, capsys: Any) -> None:
    assert run_command(ImitateConfig, run_imitation, arguments) == 2
    assert message in capsys.readouterr().err


def test_a_run_folder_is_not_overwritten_nor_resumed(tmp_path: Path, capsys: Any) -> None:
    config = tiny(tmp_path / "run")
    imitate(config)
    with pytest.raises(ValueError, match="holds a run already; choose another --out"):
        imitate(replace(config, seed=1))
    assert run_command(Command, run_training, ["--resume", str(config.out)]) == 2
    assert "is not a run of agents.train, and cannot be resumed" in capsys.readouterr().err


def test_ctrl_c_saves_the_agent(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    arguments = ["--agent=image_only", "--episodes=1000000", "--num-envs=8", "--out", str(run.folder)]
    process = subprocess.Popen(
        [sys.executable, "-m", "agents.imitate", *arguments],
        cwd=Path(__file__).parent.parent,
        env=dict(os.environ),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 120
    while not (run.progress_file.exists() and len(run.read_progress()) >= 2) and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    printed, errors = process.communicate(timeout=120)
    assert process.returncode == INTERRUPTED, errors
    assert f"saved {run.agent_file()}" in printed
    assert "Traceback" not in errors
    assert load_agent_file(run.agent_file()).training["frames"] == run.read_progress()[-1]["frames"]
    assert json.loads(run.config_file.read_text())["split"] == "Train"
