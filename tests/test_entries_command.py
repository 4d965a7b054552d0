"""The command that makes this repository's entries: what it runs is what the documents say, and what is done stays."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import tyro

from agents.imitate import ImitateConfig
from agents.sweeps.plan import read_plan
from babyaipp.cli import Evaluate
from babyaipp.evaluation.protocol import get_suite
from babyaipp.leaderboard.cli import Submit
from babyaipp.leaderboard.entry import parse_entry
from benchmarks import entries
from benchmarks.boards import entries_of

ROOT = Path(__file__).parent.parent
BOARD = ROOT / "leaderboards" / "v1"
TRAINED = [name for name, subject in entries.SUBJECTS.items() if subject.trained]
SWEEP = read_plan(ROOT / "sweeps" / "baselines.toml", ROOT / "runs" / "baselines")


def _batch(folder: Path, **changes) -> entries.Batch:
    """What the command makes by default."""
    levels = get_suite("reading").levels
    given = {"suite": "reading", "agents": tuple(entries.SUBJECTS), "levels": levels, "seeds": (0, 1, 2)}
    return entries.Batch(folder, **(given | changes))


def _made() -> list[tuple[entries.Batch, str]]:
    """All entries that the repository has, as its commands make them."""
    folder = Path("runs")
    levels = get_suite("classic").levels
    planners = _batch(folder, suite="classic", agents=("oracle", "blind"), levels=levels)
    *_, trained = sweeps = entries.batches_of_sweep(SWEEP, folder)
    drawn = _batch(folder, suite="classic", agents=("random",), levels=trained.levels)
    batches = [_batch(folder), planners, drawn, *sweeps]
    return [(batch, agent) for batch in batches for agent in batch.agents]


@pytest.mark.parametrize(("batch", "agent"), [pytest.param(*made, id=made[0].name(made[1])) for made in _made()])
def test_what_the_board_says_of_it_is_so(batch, agent):
    committed = parse_entry((BOARD / batch.name(agent) / "entry.json").read_bytes())
    subject = entries.SUBJECTS[agent]
    assert (ROOT / subject.code).is_file()
    assert (committed.title, committed.code, committed.privileged or "") == (
        *(batch.title(agent), subject.code),
        batch.privileged(agent),
    )
    assert (committed.suite, tuple(committed.levels)) == (batch.suite, batch.levels)
    assert (committed.training_seeds, committed.greedy) == (batch.seeds_of(agent), subject.greedy)
    assert len(committed.checkpoint_sha256) == (len(batch.seeds) * len(batch.levels) if subject.trained else 0)


def test_what_docs_tell_of_is_what_these_commands_make():
    """Others may submit entries: docs do not tell of them."""
    assert {path.name for path in entries_of()} == {batch.name(agent) for batch, agent in _made()}
    assert not entries_of("Nobody")


def test_entries_of_a_sweep_have_the_levels_of_their_suite(tmp_path):
    reading, classic = entries.batches_of_sweep(SWEEP, tmp_path)
    assert (reading.suite, reading.levels) == ("reading", ("CrossTwo",))
    assert (classic.suite, classic.levels) == ("classic", ("GoToRedBall", "GoToRedBallHard", "GoToLocal"))
    assert (reading.name("film"), classic.name("film")) == ("film-ppo-small", "film-ppo-small-classic")
    assert classic.title("film") == "FiLM (PPO, small)"
    assert (classic.privileged("film"), "DAgger" in classic.privileged("grounded")) == ("", False)
    (few,) = entries.batches_of_sweep(read_plan(ROOT / "sweeps" / "fixed.toml", tmp_path), tmp_path, tag="x")
    assert (few.suite, few.split, few.name("image_only")) == ("fixed", "Fixed", "image-only-x-fixed")
    assert few.checkpoint("image_only", "GoToRedBallHard", 1).name == "image_only-GoToRedBallHard-Fixed-1.safetensors"


def test_trainings_of_a_sweep_that_differ_are_refused(tmp_path):
    file = tmp_path / "mixed.toml"
    file.write_text(
        'levels = ["CrossTwo"]\nagents = ["film", "image_only"]\nseeds = [0]\n'
        '[[overrides]]\nagent = "film"\nsettings.preset = "paper"\n'
    )
    with pytest.raises(ValueError, match="'mixed': trainings of one entry must have the same preset"):
        entries.batches_of_sweep(read_plan(file, tmp_path), tmp_path)
    with pytest.raises(ValueError, match="agents has 'random', which sweep 'baselines' has not; allowed: "):
        entries.batches_of_sweep(SWEEP, tmp_path, ("random",))


@pytest.mark.parametrize("agent", TRAINED)
@pytest.mark.parametrize("level", get_suite("reading").levels)
def test_trainings_are_sound_commands(agent, level, tmp_path):
    file, command = _batch(tmp_path, minutes=2.5).training(agent, level, 2)
    assert command[1:3] == ["-m", "agents.imitate"]
    config = tyro.cli(ImitateConfig, args=command[3:])
    config.check()
    assert (config.agent, config.level, config.seed, config.dagger) == (agent, level, 2, True)
    assert config.minutes == 2.5
    assert file == config.out / f"{agent}-{level}-2.safetensors"


@pytest.mark.parametrize(("batch", "agent"), [pytest.param(*made, id=made[0].name(made[1])) for made in _made()])
def test_evaluations_are_sound_commands(batch, agent):
    file, command = batch.evaluation(agent)
    assert command[1:4] == ["-m", "babyaipp", "evaluate"]
    asked = tyro.cli(Evaluate, args=command[4:])
    assert (asked.suite, asked.episodes) == (batch.suite, 1000)
    assert asked.levels in ((), batch.levels)
    assert asked.seeds == batch.seeds_of(agent)
    assert file.parent == asked.out


def _recorded(monkeypatch) -> list[list[str]]:
    """The commands that would be run."""
    ran: list[list[str]] = []

    def run(command, **_):
        ran.append(command)
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(entries.subprocess, "run", run)
    monkeypatch.setattr(entries, "_commit", lambda: None)
    monkeypatch.setattr(entries, "_size", lambda file: (10, 2000 if "Courier" in file.name else 1000))
    return ran


def test_what_is_done_stays_and_the_rest_is_run_in_its_order(tmp_path, monkeypatch):
    ran = _recorded(monkeypatch)
    done = _batch(tmp_path).checkpoint("film", "CrossTwo", 1)
    done.parent.mkdir()
    done.touch()
    assert entries.make_entries(entries.EntriesConfig(tmp_path, agents=("film",), processes=1)) == 0
    kinds = [command[2] if "agents" in command[2] else command[3] for command in ran]
    assert kinds == ["agents.imitate"] * 14 + ["evaluate", "leaderboard"]
    assert not [command for command in ran if str(done.parent) in command and "agents.imitate" in command]
    told = tyro.cli(Submit, args=ran[-1][5:])
    assert (told.name, told.parameters, told.frames, len(told.checkpoint)) == ("film", 10, 2000, 15)


def test_a_sweep_is_trained_by_its_own_command_and_becomes_an_entry_a_suite(tmp_path, monkeypatch):
    ran = _recorded(monkeypatch)
    sweep = ROOT / "sweeps" / "baselines.toml"
    assert entries.make_entries(entries.EntriesConfig(tmp_path, agents=("film",), sweep=sweep, processes=1)) == 0
    assert ran[0][1:] == ["-m", "agents.sweep", str(sweep), "--processes", "1", "--folder", str(tmp_path)]
    assert [command[3] for command in ran[1:]] == ["evaluate"] * 2 + ["leaderboard"] * 2
    told = [tyro.cli(Submit, args=command[5:]) for command in ran[-2:]]
    assert [each.name for each in told] == ["film-ppo-small", "film-ppo-small-classic"]
    assert [len(each.checkpoint) for each in told] == [3, 9]
    assert len({command[5] for command in ran[-2:]}) == 2  # reports


def test_what_a_sweep_has_not_finished_is_left_out(tmp_path, monkeypatch, capsys):
    ran = _recorded(monkeypatch)
    file = ROOT / "sweeps" / "baselines.toml"
    config = entries.EntriesConfig(tmp_path, agents=("film",), sweep=file, finished=True)
    monkeypatch.setattr(entries, "result_of", lambda job: None if job.name == "film-GoToLocal-1" else {})
    assert entries.make_entries(config) == 0
    assert [command[3] for command in ran] == ["evaluate"] * 2 + ["leaderboard"] * 2
    played = [tyro.cli(Evaluate, args=command[4:]).levels for command in ran[:2]]
    assert sorted(played) == [("CrossTwo",), ("GoToRedBall", "GoToRedBallHard")]
    monkeypatch.setattr(entries, "result_of", lambda job: None)
    assert entries.main([str(tmp_path), "--sweep", str(file), "--finished"]) == 2
    assert f"sweep 'baselines' has finished no level in {tmp_path}" in capsys.readouterr().err


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
    assert entries.main([str(tmp_path), "--tag", "mine"]) == 2
    assert "tag='mine' is for the entries of a sweep" in capsys.readouterr().err
    assert entries.main([str(tmp_path), "--finished"]) == 2
    assert "finished=True is for the entries of a sweep" in capsys.readouterr().err
    assert entries.main([str(tmp_path), "--sweep", str(ROOT / "sweeps" / "gpu.toml")]) == 2
    assert "sweep 'gpu' is trained on a GPU: tell with --hardware" in capsys.readouterr().err
    assert entries.main([str(tmp_path), "--minutes", "0"]) == 2
    assert "minutes=0 must be more than 0" in capsys.readouterr().err
