"""The tables of docs/baselines.md: made from runs, and current; the speed of training is measured as documented."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from conftest import baseline_results

from agents.checkpoints import checkpoint_name, save_agent, spaces_of
from agents.cli import run_command
from agents.environments import Task
from agents.policy import build_policy
from agents.runs import write_json
from agents.training.config import TrainConfig
from benchmarks import baselines, training
from benchmarks.baselines import CONDITIONS, BaselinesConfig, run_baselines
from benchmarks.training import TrainingSpeedConfig, measure, speed_table

ROOT = Path(__file__).parent.parent


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """Two finished runs of untrained agents, and one that is not finished."""
    for agent, seed in (("grounded", 0), ("image_only", 1)):
        config = TrainConfig(agent, "CrossTwo", seed=seed, frames=30)
        folder = tmp_path / "sweep" / f"{agent}-CrossTwo-{seed}"
        torch.manual_seed(seed)
        policy = build_policy(agent, "small", {}, *spaces_of(config.task))
        settings = config.as_json()
        task = Task("CrossTwo", mission_words=9, sentences=6, sentence_words=4)
        save_agent(folder / checkpoint_name(agent, "CrossTwo", "Train", seed), policy, settings, task)
        write_json(folder / "config.json", settings)
        lines = [{"frames": 10 * (i + 1), "seconds": i + 1, "episodes": i, "success": 0.5 * i} for i in range(3)]
        (folder / "progress.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        told = {"level": "CrossTwo", "agent": agent, "seed": seed, "frames": 30, "seconds": 1.0, "command": "train"}
        write_json(folder / "result.json", told)
    (tmp_path / "sweep" / "film-CrossTwo-0").mkdir()
    return tmp_path / "sweep"


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A page with places for the tables, instead of the repository's."""
    file = tmp_path / "docs" / "page.md"
    file.parent.mkdir()
    names = [f"CrossTwo{kind}, {mode}" for kind in ("", ", other texts") for mode in ("greedy", "sampled")]
    file.write_text(
        "before\n" + "".join(f"<!-- {name} -->\nold\n<!-- end of {name} -->\n" for name in names) + "after\n"
    )
    monkeypatch.setattr(baselines, "PAGE", file)
    monkeypatch.setattr(baselines, "README", file.parent / "README.md")
    baselines.README.write_text("<!-- baselines -->\n<!-- end of baselines -->\n")
    monkeypatch.setattr(baselines, "IMAGES", file.parent / "images")
    monkeypatch.setattr(baselines, "RESULTS", file.parent / "results.json")
    return file


def test_tables_and_curves_are_made_from_the_runs_of_a_sweep(sweep, page, capsys):
    pytest.importorskip("matplotlib")
    assert run_baselines(BaselinesConfig(sweep, episodes=8, processes=1)) == 0
    results = json.loads((page.parent / "results.json").read_text())
    assert [(run["agent"], run["seed"]) for run in results["runs"]] == [("grounded", 0), ("image_only", 1)]
    for run in results["runs"]:
        assert run["curve"] == [[20, 2, 0.5], [30, 3, 1.0]]  # nothing had ended at the first point
        played = [(each["condition"], each["split"], each["greedy"]) for each in run["evaluations"]]
        assert played == [
            (name, split, greedy)
            for name, condition in CONDITIONS.items()
            for greedy in (True, False)
            for split in condition["splits"]
        ]
        assert all(each["episodes"] == 8 for each in run["evaluations"])
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    assert text.count("| `grounded`") == text.count("| `image_only`") == 4
    assert "<svg" in (page.parent / "images" / "curves-CrossTwo.svg").read_text()
    assert "CrossTwo, greedy" in capsys.readouterr().out

    before = {file: file.stat().st_mtime_ns for file in sweep.glob("*/conditions.json")}
    assert len(before) == 2
    assert run_baselines(BaselinesConfig(sweep, episodes=8, processes=1)) == 0  # nothing is evaluated again
    assert {file: file.stat().st_mtime_ns for file in sweep.glob("*/conditions.json")} == before
    assert page.read_text() == text
    first = next(iter(before))
    baselines.evaluate_run(first.parent, episodes=9)
    assert first.stat().st_mtime_ns != before[first]


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


def test_the_page_is_current():
    results = baseline_results()
    page = baselines.PAGE.read_text()
    assert all(part.text in page and part.put(page) == page for part in baselines.tables(results))
    readme = baselines.README.read_text()
    assert baselines.overview(results).put(readme) == readme
    for level in {run["level"] for run in results["runs"]}:
        assert f"curves-{level}.svg" in page
        assert "<svg" in (baselines.IMAGES / f"curves-{level}.svg").read_text()


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
