"""Sweeps: what a file asks for is what is run, once; what is cut off goes on; what fails is told."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import tyro

from agents.checkpoints import read_tensors
from agents.cli import INTERRUPTED, run_command
from agents.sweep import SweepConfig, means, run_sweep
from agents.sweeps.launchers import SubmititLauncher
from agents.sweeps.plan import Cluster, Job, arguments, read_plan
from agents.sweeps.work import Ended, frames_of, result_of, work
from agents.train import Command
from agents.training.config import TrainConfig

ROOT = Path(__file__).parent.parent
AXES = 'levels = ["GoToRedBall"]\nagents = ["image_only"]\nseeds = [1]\n'
TINY = "evaluation_episodes = 0\nppo = {num_envs = 4, rollout_steps = 8, minibatches = 2}\n"
WAIT_SECONDS = 120


def written(folder: Path, text: str) -> Path:
    path = folder / "tiny.toml"
    path.write_text(text)
    return path


def only_job(folder: Path, text: str) -> Job:
    (job,) = read_plan(written(folder, text), folder / "runs").jobs
    return job


def run(path: Path, *more: str) -> int:
    return run_command(SweepConfig, run_sweep, [str(path), "--folder", str(path.parent / "runs"), *more])


def commands_of(job: Job) -> list[str]:
    """What was run for a job, as its log tells."""
    return [line for line in (job.run.folder / "log.txt").read_text().splitlines() if line.startswith("$ ")]


def wait_for(condition: Any) -> None:
    until = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.1)


# What a file asks for


def test_level_agent_and_seed_are_crossed_and_overridden(tmp_path: Path) -> None:
    text = """
        levels = ["CrossTwo", "GoToRedBall"]
        agents = ["grounded", "film"]
        seeds = [1, 2]
        [settings]
        frames = 1e5
        agent_options = {memory = 0}
        ppo.num_envs = 64
        ppo.compile = true
        [[overrides]]
        agent = "film"
        settings = {preset = "paper", ppo = {rollout_steps = 16}}
        [[overrides]]
        agent = "film"
        level = "CrossTwo"
        settings.frames = 2e5
    """
    jobs = read_plan(written(tmp_path, text), tmp_path / "runs").jobs
    assert len({job.name for job in jobs}) == len(jobs) == 8
    for job in jobs:
        film, cross = job.config.agent == "film", job.config.level == "CrossTwo"
        assert job.name == f"{job.config.agent}-{job.config.level}-{job.config.seed}"
        assert job.config.preset == ("paper" if film else "small")
        assert job.config.frames == (200_000 if film and cross else 100_000)
        assert (job.config.ppo.num_envs, job.config.ppo.rollout_steps) == (64, 16 if film else 32)


def test_the_command_line_of_a_run_gives_its_settings(tmp_path: Path) -> None:
    text = (
        AXES
        + """
        [settings]
        frames = 1e5
        text = "shuffled"
        sentence_words = 12
        agent_options = {channels = 8, memory = 0}
        ppo = {num_envs = 64, learning_rate = 1e-3, compile = true, gamma = 1}
    """
    )
    job = only_job(tmp_path, text.replace('text = "shuffled"', 'text = "none"'))
    command = tyro.cli(Command, args=[*arguments(job.config), "--out", str(job.config.out)])
    assert TrainConfig(**{name: value for name, value in vars(command).items() if name != "resume"}) == job.config
    assert command.ppo.compile
    assert command.agent_options == {"channels": 8, "memory": 0}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("levels = [", "is not TOML"),
        ("seeds = [1]", "levels, agents must be given"),
        (AXES + "sead = 1", "unknown key sead; did you mean 'seeds'?"),
        (AXES.replace("[1]", "[1, 1]"), "seeds has 1 more than once"),
        (AXES.replace("[1]", "[]"), "seeds must not be empty"),
        (AXES.replace("[1]", '["1"]'), r"seeds[0]='1' must be a whole number"),
        (AXES.replace("image_only", "image_onyl"), "did you mean 'image_only'"),
        (AXES.replace("GoToRedBall", "GoToRedBal"), "did you mean 'GoToRedBall'"),
        (AXES + 'evaluate = ["Val"]', "Val"),
        (AXES + "episodes = 0", "episodes=0 must be at least 1"),
        (AXES + "settings.frame = 5", "unknown key settings.frame; did you mean 'frames'?"),
        (AXES + "settings.frames = 1.5", "settings.frames=1.5 must be a whole number"),
        (AXES + "settings.preset = 1", "settings.preset=1 must be a string"),
        (AXES + 'settings.preset = "tiny"', "run image_only-GoToRedBall-1: unknown preset 'tiny'"),
        (AXES + "settings.seed = 3", "settings.seed cannot be given: it is one of 'seeds'"),
        (AXES + "settings.minutes = 3", "settings.minutes cannot be given"),
        (AXES + "settings.ppo.num_env = 3", "unknown key settings.ppo.num_env; did you mean 'num_envs'?"),
        (AXES + "settings.ppo.num_envs = 6", "run image_only-GoToRedBall-1: ppo.minibatches=4 must divide"),
        (AXES + "settings.ppo.bf16 = 1", "settings.ppo.bf16=1 must be true or false"),
        (AXES + "settings.ppo = 1", "settings.ppo=1 must be a table"),
        (AXES + "settings.agent_options.channels = 0", "channels=0"),
        (AXES + "[[overrides]]\nseed = 2\nsettings.frames = 5", "overrides[0].seed=2 is none of the seeds: 1"),
        (AXES + "[[overrides]]\nseed = 1", "overrides[0] must have settings"),
        (AXES + "[cluster]\npartitoin = 'gpu'", "unknown key cluster.partitoin; did you mean 'partition'?"),
        (AXES + "[cluster]\nminutes = 0", "cluster.minutes=0 must be at least 1"),
    ],
)
def test_a_mistake_in_the_file_is_told_without_a_traceback(
    text: str, message: str, tmp_path: Path, capsys: Any
) -> None:
    assert run(written(tmp_path, text)) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"error: {tmp_path / 'tiny.toml'}")
    assert message in told
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("path", sorted((ROOT / "sweeps").glob("*.toml")), ids=lambda path: path.stem)
def test_the_sweeps_that_come_with_it_can_be_run(path: Path, tmp_path: Path) -> None:
    assert read_plan(path, tmp_path, here=False).jobs


def test_a_cluster_may_have_a_device_that_this_machine_lacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    path = written(tmp_path, AXES + 'settings = {device = "cuda", ppo = {compile = true, cuda_graphs = true}}')
    with pytest.raises(ValueError, match="finds no GPU"):
        read_plan(path, tmp_path)
    (job,) = read_plan(path, tmp_path, here=False).jobs
    assert (job.config.device, job.config.ppo.cuda_graphs) == ("cuda", True)


# Running it


def test_a_sweep_trains_and_evaluates_once_and_goes_on_for_more_frames(tmp_path: Path, capsys: Any) -> None:
    head = AXES + 'evaluate = ["Train", "HeldOut"]\nepisodes = 8\n[settings]\n' + TINY
    path = written(tmp_path, head + "frames = 64\n")
    assert run(path) == 0
    job = only_job(tmp_path, head + "frames = 64\n")
    first = result_of(job)
    assert first is not None
    assert (first["frames"], first["splits"]["HeldOut"]["episodes"]) == (64, 8)
    assert "image_only  1" in capsys.readouterr().out
    assert len(commands_of(job)) == 2  # training and evaluation

    assert run(path) == 0  # nothing is left
    assert len(commands_of(job)) == 2

    longer = only_job(tmp_path, head + "frames = 96\n")
    assert result_of(longer) is None
    assert run(path) == 0
    assert sum("--resume" in command for command in commands_of(job)) == 1
    assert [line["frames"] for line in job.run.read_progress()] == [32, 64, 96]
    summary = json.loads((tmp_path / "runs" / "summary-tiny.json").read_text())
    assert (summary["runs"], summary["done"], summary["failures"]) == (1, 1, [])
    assert summary["results"] == [result_of(longer)]

    written(tmp_path, head + "frames = 64\n")
    assert run(path) == 2
    assert "was trained with frames=96, and frames=64 is asked for" in capsys.readouterr().err
    written(tmp_path, head.replace("num_envs = 4", "num_envs = 8") + "frames = 96\n")
    assert run(path) == 2
    assert "was trained with ppo.num_envs=4, and ppo.num_envs=8 is asked for" in capsys.readouterr().err


def test_ctrl_c_lets_trainings_save_and_the_next_call_goes_on(tmp_path: Path) -> None:
    text = AXES + "[settings]\nframes = 1e8\n" + TINY
    path = written(tmp_path, text)
    job = only_job(tmp_path, text)
    frames = 0
    for call in range(2):
        process = subprocess.Popen(
            [sys.executable, "-m", "agents.sweep", str(path), "--folder", str(tmp_path / "runs")],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=ROOT,
        )
        wait_for(lambda frames=frames: any(line["frames"] > frames for line in job.run.read_progress()))
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=WAIT_SECONDS)
        assert process.returncode == INTERRUPTED
        assert "0 of 1 runs are done" in out
        assert "the same command goes on" in out
        saved = read_tensors(job.run.training_file())[1]["training"]["frames"]
        assert saved == job.run.read_progress()[-1]["frames"] > frames
        with (job.run.folder / "lock").open() as lock:  # no process is left
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        assert sum("--resume" in command for command in commands_of(job)) == call
        frames = saved
    assert result_of(job) is None


def test_a_run_that_fails_is_tried_again_and_told(tmp_path: Path, capsys: Any) -> None:
    path = written(tmp_path, AXES.replace("[1]", "[1, 2]") + "retries = 1\n[settings]\nframes = 32\n" + TINY)
    failing = tmp_path / "runs" / "image_only-GoToRedBall-1"
    failing.mkdir(parents=True)
    (failing / "tensorboard").write_text("in the way of the folder")
    assert run(path, "--processes", "2") == 1
    told = capsys.readouterr().out
    assert "1 of 2 runs are done" in told
    assert "failed: image_only-GoToRedBall-1, tried 2 times" in told
    assert "File exists" in told
    failed, _ = read_plan(path, tmp_path / "runs").jobs
    assert len(commands_of(failed)) == 2
    (failure,) = json.loads((tmp_path / "runs" / "summary-tiny.json").read_text())["failures"]
    assert (failure["run"], failure["tries"]) == (failing.name, 2)
    assert "File exists" in failure["error"]


def test_no_two_processes_work_on_a_run(tmp_path: Path) -> None:
    job = only_job(tmp_path, AXES)
    job.run.folder.mkdir(parents=True)
    with (job.run.folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        asked = iter([False, False])
        assert work(job, lambda: next(asked, True)) == Ended("interrupted")
    assert [path.name for path in job.run.folder.iterdir()] == ["lock"]


def test_means_are_over_seeds() -> None:
    results = [
        {"level": "A", "agent": agent, "seed": seed, "seconds": seed, "splits": {"Train": {"success": rate}}}
        for agent, seed, rate in (("x", 1, 0.5), ("x", 3, 1.0), ("y", 1, 0.25))
    ]
    x, y = means(results)
    assert (x["seeds"], x["seconds"], x["success"]) == ([1, 3], 2, {"Train": {"mean": 0.75, "least": 0.5}})
    assert (y["agent"], y["success"]) == ("y", {"Train": {"mean": 0.25, "least": 0.25}})


# On a cluster


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds the process by /proc")
def test_a_job_goes_on_after_it_was_preempted(tmp_path: Path) -> None:
    """With submitit's local executor: its signal, as Slurm sends it before the time is up, and the queue again."""
    pytest.importorskip("submitit")
    job = only_job(tmp_path, AXES + "[settings]\nframes = 6400\n" + TINY)
    launcher = SubmititLauncher(Cluster("local", minutes=5), tmp_path / "submitit")
    handle = launcher.start(job)
    wait_for(lambda: frames_of(job) > 0)
    controller = launcher.jobs[0].job_id  # a process id, of the parent of the one that works
    children = Path(f"/proc/{controller}/task/{controller}/children")
    os.kill(int(children.read_text().split()[0]), signal.SIGUSR2)
    wait_for(handle.done)
    assert handle.result() == Ended("done")
    result = result_of(job)
    assert result is not None
    assert result["frames"] == 6400
    assert ["--resume" in command for command in commands_of(job)] == [False, True]


def test_slurm_is_asked_for_what_the_file_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a stand-in for Slurm's programs: what is submitted is the script."""
    pytest.importorskip("submitit")
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, program in (
        ("srun", "true"),
        ("sbatch", f'cp "$1" {tmp_path}/submitted; echo Submitted batch job 12'),
        ("sacct", "true"),
        ("scancel", f'echo "$@" > {tmp_path}/cancelled'),
    ):
        (programs / name).write_text(f"#!/bin/sh\n{program}\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    text = AXES + '[cluster]\npartition = "fast"\ngpus = 1\ncpus = 3\nmemory_gb = 8\nminutes = 90\n'
    plan = read_plan(written(tmp_path, text), tmp_path / "runs", here=False)
    launcher = SubmititLauncher(plan.cluster, tmp_path / "submitit")
    handle = launcher.start(plan.jobs[0])
    script = (tmp_path / "submitted").read_text()
    for option in ("partition=fast", "gpus-per-node=1", "cpus-per-task=3", "mem=8GB", "time=90", "job-name=babyaipp"):
        assert f"#SBATCH --{option}\n" in script

    launcher.stop()
    assert (tmp_path / "cancelled").read_text() == "12\n"
    assert handle.done()
    assert handle.result() == Ended("interrupted")
