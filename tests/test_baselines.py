"""The tables of docs/baselines.md: made from runs, and current; the speed of training is measured as documented."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from agents.checkpoints import checkpoint_name, run_name, save_agent, sized_task, spaces_of
from agents.cli import run_command
from agents.policy import build_policy
from agents.runs import write_json
from agents.training.config import TrainConfig
from benchmarks import baselines, training
from benchmarks.baselines import CONDITIONS, BaselinesConfig, run_baselines
from benchmarks.training import TrainingSpeedConfig, measure, speed_table

ROOT = Path(__file__).parent.parent


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """Three finished runs of untrained agents, and one that is not finished."""
    for agent, level, split, seed in (
        ("grounded", "CrossTwo", "Train", 0),
        ("image_only", "CrossTwo", "Train", 1),
        ("image_only", "GoToRedBallHard", "Train", 1),
    ):
        _finished_run(tmp_path / "sweep", agent, level, split, seed)
    (tmp_path / "sweep" / "film-CrossTwo-0").mkdir()
    return tmp_path / "sweep"


def _finished_run(sweep: Path, agent: str, level: str, split: str, seed: int) -> None:
    config = TrainConfig(agent, level, split, seed=seed, frames=30)
    folder = sweep / run_name(agent, level, split, seed)
    torch.manual_seed(seed)
    policy = build_policy(agent, "small", {}, *spaces_of(config.task))
    settings = config.as_json()
    task = sized_task(config.task, spaces_of(config.task)[0])
    save_agent(folder / checkpoint_name(agent, level, split, seed), policy, settings, task)
    write_json(folder / "config.json", settings)
    lines = [{"frames": 10 * (i + 1), "seconds": i + 1, "episodes": i, "success": 0.5 * i} for i in range(3)]
    (folder / "progress.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    told = {"level": level, "agent": agent, "seed": seed, "frames": 30, "seconds": 1.0, "command": "train"}
    write_json(folder / "result.json", told)


PARTS = ("overview", "CrossTwo", "sweep, CrossTwo, sampled", "sweep, CrossTwo, greedy, other texts")


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A page that asks for some tables, instead of the repository's; and an empty leaderboard."""
    file = tmp_path / "docs" / "page.md"
    file.parent.mkdir()
    asked = "".join(f"<!-- table: {name} -->\nold\n<!-- end of {name} -->\n" for name in PARTS)
    file.write_text(f"before\n{asked}after\n")
    monkeypatch.setattr(baselines, "PAGES", (file,))
    monkeypatch.setattr(baselines, "IMAGES", file.parent / "images")
    monkeypatch.setattr(baselines, "RESULTS", file.parent / "results")
    monkeypatch.setattr(baselines, "load_board", list)
    return file


def test_tables_and_curves_are_made_from_the_runs_of_a_sweep(sweep, page, capsys):
    pytest.importorskip("matplotlib")
    assert run_baselines(BaselinesConfig(sweep, episodes=8, processes=1)) == 0
    results = json.loads((page.parent / "results" / "sweep.json").read_text())
    runs = [(run["agent"], run["level"], run["seed"]) for run in results["runs"]]
    assert runs == [("grounded", "CrossTwo", 0), ("image_only", "CrossTwo", 1), ("image_only", "GoToRedBallHard", 1)]
    for run in results["runs"]:
        assert run["curve"] == [[20, 2, 0.5], [30, 3, 1.0]]  # nothing had ended at the first point
        played = [(each["condition"], each["split"], each["greedy"]) for each in run["evaluations"]]
        assert played == [
            (name, split, greedy)
            for name, condition in baselines.conditions_of(run["level"], "Train").items()
            for greedy in (True, False)
            for split in condition["splits"]
        ]
        assert all(each["episodes"] == 8 for each in run["evaluations"])
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    assert text.count("| `grounded`") == text.count("| `image_only`") == 2
    for level in ("CrossTwo", "GoToRedBallHard"):
        assert "<svg" in (page.parent / "images" / f"curves-sweep-{level}.svg").read_text()
    assert str(page) in capsys.readouterr().out

    before = {file: file.stat().st_mtime_ns for file in sweep.glob("*/conditions.json")}
    assert len(before) == 3
    assert run_baselines(BaselinesConfig(sweep, episodes=8, processes=1)) == 0  # nothing is evaluated again
    assert {file: file.stat().st_mtime_ns for file in sweep.glob("*/conditions.json")} == before
    assert page.read_text() == text
    first = next(iter(before))
    baselines.evaluate_run(first.parent, episodes=9)
    assert first.stat().st_mtime_ns != before[first]


def test_agents_of_rules_that_never_change_are_compared_with_those_of_rules_that_do(tmp_path):
    for name, split in (("fixed", "Fixed"), ("baselines", "Train")):
        _finished_run(tmp_path / name, "image_only", "GoToRedBallHard", split, 1)
        for folder in (tmp_path / name).iterdir():
            baselines.evaluate_run(folder, episodes=8)
    sweeps = {name: baselines.gather(tmp_path / name, 8) for name in ("fixed", "baselines")}
    assert {each["split"] for each in sweeps["fixed"]["runs"][0]["evaluations"]} == {"Fixed", "All"}
    rows = baselines.tables(sweeps, [])["fixed rules"]().splitlines()[2:]
    assert [[cell.strip() for cell in row.split("|")][1:4] for row in rows] == [
        ["GoToRedBallHard", "`image_only`", "Fixed"],
        ["GoToRedBallHard", "`image_only`", "Train"],
    ]


def test_a_page_gets_what_it_asks_for():
    page = "a <!-- table: one --> b\n<!-- table: one -->\nold\n<!-- end of one --> c <!-- end of two -->\n"
    page = page.replace("a <!-- table: one --> b", "a")
    assert baselines.fill(page, {"one": lambda: "new", "two": lambda: "unused"}) == page.replace(
        "\nold\n", "\n\nnew\n\n"
    )
    with pytest.raises(ValueError, match="there is no table 'one'; allowed: three, two"):
        baselines.fill(page, {"two": str, "three": str})
    with pytest.raises(ValueError, match="table 'one' has no end: <!-- end of one -->"):
        baselines.fill("<!-- table: one -->\n", {"one": str})


def test_what_is_told_differs_from_condition_to_condition():
    conditions = {name: condition.get("text", "true") for name, condition in CONDITIONS.items()}
    assert conditions == {
        name: "true" if name in (baselines.OTHER_ORDER, baselines.SWAPPED) else name for name in CONDITIONS
    }


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nowhere"], "sweep='nowhere' holds no finished run"),
        ([], "give either the folder of a sweep, or --render"),
        (["nowhere", "--render"], "give either the folder of a sweep, or --render"),
        (["nowhere", "--episodes", "0"], "episodes=0 must be at least 1"),
    ],
)
def test_mistakes_are_told(arguments, told, capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["baselines", *arguments])
    assert run_command(BaselinesConfig, run_baselines) == 2
    assert told in capsys.readouterr().err


def test_the_pages_are_current():
    sweeps = baselines.read_results()
    made = baselines.tables(sweeps, baselines.load_board())
    for page in baselines.PAGES:
        text = page.read_text()
        assert baselines.fill(text, made) == text, page
    for sweep, results in sweeps.items():
        for level in {run["level"] for run in results["runs"]}:
            assert "<svg" in (baselines.IMAGES / baselines.curves_file(sweep, level)).read_text()


def test_the_speed_of_training_is_measured_beside_sb3(monkeypatch):
    pytest.importorskip("stable_baselines3")
    tiny = training.PPOConfig(num_envs=4, rollout_steps=4, epochs=1, minibatches=1)
    monkeypatch.setattr(training, "PAPER_PPO", tiny)
    report = measure(TrainingSpeedConfig(agents=("image_only",), small=(), rounds=2))
    (row,) = report["rows"]
    assert {row[name]["median"] > 0 for name in ("ours", "ours, bf16", "SB3", "ours_over_sb3")} == {True}
    assert row["original"] == 1100
    assert "| `image_only` | paper |" in speed_table(report["rows"])
    with pytest.raises(ValueError, match="unknown agent 'image'; allowed: "):
        TrainingSpeedConfig(agents=("image",)).check()
