"""The trained agents in agents/checkpoints: each loads, and plays as docs/results/baselines.json says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from conftest import baseline_results

from agents.checkpoints import checkpoint_name
from agents.demo import CHECKPOINTS
from agents.evaluate import evaluate, load_subject

FILES = sorted(CHECKPOINTS.glob("*.safetensors"))
pytestmark = pytest.mark.usefixtures("one_thread")

MIB = 1 << 20
LEVELS = ("CrossTwo", "GoToRedBall")


def recorded(file: Path) -> dict[str, Any]:
    """The run that made a checkpoint."""
    runs = baseline_results()["runs"]
    return next(run for run in runs if checkpoint_name(run["agent"], run["level"], "Train", run["seed"]) == file.name)


def test_there_is_one_of_each_agent_on_two_levels():
    runs = [run for run in baseline_results()["runs"] if run["seed"] == 0 and run["level"] in LEVELS]
    assert [file.name for file in FILES] == sorted(
        checkpoint_name(run["agent"], run["level"], "Train", 0) for run in runs
    )


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_checkpoint_plays_as_reported(file):
    """The same episodes: where computers round alike, to the last one."""
    assert file.stat().st_size < 2 * MIB
    run = recorded(file)
    subject = load_subject(str(file))
    assert subject.training is not None
    assert (subject.training["frames"], subject.training["split"]) == (run["frames"], "Train")
    (reported,) = [
        each
        for each in run["evaluations"]
        if (each["condition"], each["split"], each["greedy"]) == ("true", "HeldOut", True)
    ]
    found = evaluate(subject, reported["episodes"], ["HeldOut"])["splits"]["HeldOut"]
    low, high = reported["interval"]
    assert low <= found["success"] <= high
