"""The command that makes this repository's entries: what it runs is what the documents say, and what is done stays."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import tyro

from agents.imitate import ImitateConfig
from babyaipp.cli import Evaluate
from babyaipp.evaluation.protocol import RANKED_SEEDS, get_suite
from babyaipp.leaderboard.cli import Submit
from babyaipp.leaderboard.entry import parse_entry
from benchmarks import entries

ROOT = Path(__file__).parent.parent
TRAINED = [name for name, subject in entries.SUBJECTS.items() if subject.trained]


@pytest.mark.parametrize("agent", entries.SUBJECTS)
def test_what_the_board_says_of_it_is_so(agent):
    committed = parse_entry((ROOT / "leaderboards" / "v1" / agent.replace("_", "-") / "entry.json").read_bytes())
    subject = entries.SUBJECTS[agent]
    assert (ROOT / subject.code).is_file()
    assert (committed.title, committed.code, committed.privileged or "") == (
        *(subject.title, subject.code),
        subject.privileged,
    )
    assert (committed.training_seeds, committed.greedy) == (subject.seeds, subject.greedy)
    assert len(committed.checkpoint_sha256) == (RANKED_SEEDS * len(committed.levels) if subject.trained else 0)


@pytest.mark.parametrize("agent", TRAINED)
@pytest.mark.parametrize("level", get_suite(entries.SUITE).levels)
def test_trainings_are_sound_commands(agent, level, tmp_path):
    file, command = entries.training(agent, level, 2, tmp_path)
    assert command[1:3] == ["-m", "agents.imitate"]
    config = tyro.cli(ImitateConfig, args=command[3:])
    config.check()
    assert (config.agent, config.level, config.seed, config.dagger) == (agent, level, 2, True)
    assert file == config.out / f"{agent}-{level}-2.safetensors"


@pytest.mark.parametrize("agent", entries.SUBJECTS)
def test_evaluations_are_sound_commands(agent, tmp_path):
    file, command = entries.evaluation(agent, tmp_path)
    assert command[1:4] == ["-m", "babyaipp", "evaluate"]
    asked = tyro.cli(Evaluate, args=command[4:])
    assert (asked.suite, asked.levels, asked.episodes) == ("reading", (), 1000)
    assert asked.seeds == entries.SUBJECTS[agent].seeds
    assert file.parent == asked.out


def test_what_is_done_stays_and_the_rest_is_run_in_its_order(tmp_path, monkeypatch):
    ran = []

    def run(command, **_):
        ran.append(command)
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(entries.subprocess, "run", run)
    monkeypatch.setattr(entries, "_commit", lambda: None)
    monkeypatch.setattr(entries, "_size", lambda file: (10, 2000 if "Courier" in file.name else 1000))
    done, _ = entries.training("film", "CrossTwo", 1, tmp_path)
    done.parent.mkdir()
    done.touch()
    assert entries.make_entries(entries.EntriesConfig(tmp_path, agents=("film",), processes=1)) == 0
    kinds = [command[2] if "agents" in command[2] else command[3] for command in ran]
    assert kinds == ["agents.imitate"] * 14 + ["evaluate", "leaderboard"]
    assert not [command for command in ran if str(done.parent) in command and "agents.imitate" in command]
    told = tyro.cli(Submit, args=ran[-1][5:])
    assert (told.name, told.parameters, told.frames, len(told.checkpoint)) == ("film", 10, 2000, 15)


def test_a_command_that_fails_ends_it_and_is_told(tmp_path, monkeypatch, capsys):
    def run(command, **_):
        raise subprocess.CalledProcessError(3, command)

    monkeypatch.setattr(entries.subprocess, "run", run)
    assert entries.main([str(tmp_path), "--agents", "random"]) == 1
    told = capsys.readouterr().err
    assert "exit status 3" in told
    assert "report-random.log" in told


def test_bad_arguments_are_told(capsys, tmp_path):
    assert entries.main([str(tmp_path), "--agents", "nobody"]) == 2
    assert "'nobody'" in capsys.readouterr().err
    assert entries.main([str(tmp_path), "--processes", "0"]) == 2
    assert "processes=0" in capsys.readouterr().err
