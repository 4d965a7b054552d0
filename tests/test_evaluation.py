"""Agents are evaluated as the protocol says: the episodes are those of anyone, and their scores follow from them."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from babyaipp.engine.state import CAUSES
from babyaipp.evaluation import report
from babyaipp.evaluation.agents import AgentError, RandomAgent, load_agent
from babyaipp.evaluation.anchors import Anchors, anchored
from babyaipp.evaluation.protocol import SUITES, Cell, check_training_seed, get_suite, track_of
from babyaipp.evaluation.records import Records, episode_seeds, load_records
from babyaipp.evaluation.replay import replay
from babyaipp.evaluation.report import Evaluation, fingerprint, markdown, run_evaluation
from babyaipp.evaluation.run import evaluate, play_cell, play_cell_by_planner
from babyaipp.evaluation.scores import Results, differences, score
from babyaipp.levels import LEVELS

EPISODES = 12
READING = get_suite("reading")
CELLS = READING.cells(("CrossTwo",))


class Walker:
    """Does what the cells before it tell, and counts how often it was asked; deterministic, a row apart."""

    def __init__(self) -> None:
        self.rows = 0

    def reset(self, num_envs: int) -> None:
        self.steps = np.zeros(num_envs, np.int64)

    def act(self, observations: Mapping[str, np.ndarray]) -> np.ndarray:
        self.rows += len(self.steps)
        self.steps += 1
        seen = observations["image"].reshape(len(self.steps), -1).sum(1, dtype=np.int64)
        drawn = seen + observations["description"].sum((1, 2), dtype=np.int64) + self.steps
        return np.array([2, 0, 2, 1, 2])[drawn % 5]


class KeepingWalker(Walker):
    """The same, which is told when episodes have ended."""

    def keep(self, mask: np.ndarray) -> None:
        self.steps = self.steps[mask]


def recorded(folder: Path, runs: tuple[int, ...]) -> Records:
    return evaluate(lambda level, seed: RandomAgent(0), None, READING, CELLS, runs, folder, {}, episodes=EPISODES)


def some_anchors() -> Anchors:
    """The oracle needs 8 steps and always succeeds, blind every other time."""
    every = np.full(EPISODES, 16, np.uint16)
    other = np.where(np.arange(EPISODES) % 2 == 0, every, 0).astype(np.uint16)
    planners = {"oracle": every, "blind": other}
    return Anchors({f"{name}/{level}/{split}": half for name, half in planners.items() for level, split in anchored()})


def test_suites_are_of_levels_and_splits_that_there_are():
    assert [len(SUITES[name].levels) for name in ("classic", "reading")] == [13, 5]
    for suite in SUITES.values():
        assert set(suite.levels) <= set(LEVELS)
        assert suite.main in suite.parts
        assert len(set(suite.cells())) == len(suite.levels) * len(suite.parts)
        for cell in suite.cells():
            assert cell.split in cell.row.splits
            assert cell.condition
    assert READING.cells(("Courier", "CrossTwo"))[0].level == "CrossTwo"  # the suite's order
    with pytest.raises(ValueError, match="did you mean 'CrossTwo'"):
        READING.cells(("CrosTwo",))


def test_training_and_evaluation_share_no_seed():
    assert episode_seeds().min() >= 1_000_000_000
    for seed in (0, 999_999_999):
        check_training_seed(seed)
    for seed in (-1, 1_000_000_000, int(episode_seeds()[5])):
        with pytest.raises(ValueError, match="is not for training"):
            check_training_seed(seed)
    assert [track_of(frames) for frames in (0, 5_000_000, 5_000_001)] == ["5M", "5M", "unlimited"]


@pytest.mark.parametrize("level", ["CrossTwo", "GoToLocal", "MinefieldHard"])
def test_what_was_played_can_be_played_again(level, tmp_path):
    suite = next(suite for suite in SUITES.values() if level in suite.levels)
    cells = suite.cells((level,))
    records = evaluate(lambda name, seed: Walker(), None, suite, cells, (3, 5), tmp_path, {}, episodes=EPISODES)
    assert records.lengths.shape == (2, len(cells), EPISODES)
    returns = replay(records)
    assert ((returns > 0) == (records.cause == CAUSES.index("success"))).all()


def test_texts_are_what_the_cell_says():
    seen = {}

    class Reader(Walker):
        def act(self, observations: Mapping[str, np.ndarray]) -> np.ndarray:
            seen.setdefault(name, observations["description"].copy())
            return super().act(observations)

    for cell in CELLS:
        name = f"{cell.split}/{cell.text}"
        play_cell(Reader(), cell, EPISODES)
    assert not (seen["HeldOut/true"] == seen["HeldOut/contradict"]).all()
    assert not (seen["HeldOut/true"] == seen["HeldOut/lorem"]).all()


def test_an_agent_that_keeps_plays_the_same_and_is_asked_less():
    walker, keeping = Walker(), KeepingWalker()
    cell = READING.cells(("Minefield",))[1]
    one, other = play_cell(walker, cell, 64), play_cell(keeping, cell, 64)
    for name in vars(one):
        assert np.array_equal(getattr(one, name), getattr(other, name)), name
    assert one.lengths.min() < one.lengths.max()
    assert keeping.rows < walker.rows


def test_a_run_that_is_cut_off_goes_on(tmp_path):
    whole = recorded(tmp_path / "whole", (0, 1))

    def cut(run: int, cell: Cell, played: Any) -> None:
        if (run, cell) == (1, CELLS[2]):
            raise KeyboardInterrupt

    arguments = (lambda level, seed: RandomAgent(0), None, READING, CELLS, (0, 1), tmp_path / "part", {})
    with pytest.raises(KeyboardInterrupt):
        evaluate(*arguments, episodes=EPISODES, on_cell=cut)
    played = []
    again = evaluate(
        *arguments, episodes=EPISODES, on_cell=lambda run, cell, found: played.append(cell) if found is None else None
    )
    assert played == list(CELLS[2:])
    for name in ("lengths", "cause", "half_steps", "actions"):
        assert np.array_equal(getattr(whole, name), getattr(again, name))
    with pytest.raises(ValueError, match="unfinished evaluation with another agent"):
        evaluate(*arguments[:-1], {"agent": "another"}, episodes=EPISODES)


@pytest.mark.parametrize(
    ("actions", "message"),
    [
        (np.full(EPISODES, 7), "gave actions 7 to 7; allowed: 0 to 6"),
        (np.full(EPISODES, -1), "gave actions -1 to -1"),
        (np.zeros(EPISODES - 1, np.int64), r"of shape \(11,\); must be \(12,\) integers"),
        (np.zeros(EPISODES), "gave float64"),
    ],
)
def test_what_are_no_actions_is_told(actions, message):
    class Wrong(Walker):
        def act(self, observations: Mapping[str, np.ndarray]) -> np.ndarray:
            return actions

    with pytest.raises(ValueError, match=message):
        play_cell(Wrong(), CELLS[0], EPISODES)


def test_scores_follow_from_the_episodes(tmp_path):
    records = recorded(tmp_path, (0, 1))
    cause = np.full_like(records.cause, CAUSES.index("trap"))
    success = CAUSES.index("success")
    for cell, successes in enumerate((12, 9, 6, 3)):  # Train; HeldOut with true, lorem, contradict
        cause[:, cell, :successes] = success
    cause[1, 1, :] = success  # the second agent: always, in HeldOut
    half_steps = np.full_like(records.half_steps, 24)
    made = Records(READING, CELLS, (0, 1), records.lengths, cause, half_steps, records.actions)
    found = score(Results(made, (cause == success) * 0.5), some_anchors())
    means = {name: each["mean"] for name, each in found["scores"].items()}
    assert means == {"success": 0.875, "gap": 0.125, "reading_gain": 0.375, "trust": 0.625, "reading_score": 0.75}
    assert found["scores"]["success"]["runs"] == [0.75, 1.0]
    assert found["scores"]["success"]["levels"] == {"CrossTwo": 0.875}
    assert not found["complete"]
    cell = found["runs"][0]["cells"]["CrossTwo/HeldOut/true"]
    assert (cell["success"], cell["return"], cell["steps"], cell["relative_steps"]) == (0.75, 0.375, 12.0, 1.5)
    assert cell["causes"] == {"success": 9, "trap": 3}
    again = json.loads(json.dumps(found))
    assert differences(found, again) == []
    again["runs"] = []
    again["scores"]["gap"]["iqm"] = 9
    assert differences(found, again) == [
        f"runs: {found['runs']!r} and []",
        f"scores.gap.iqm: {found['scores']['gap']['iqm']} and 9",
    ]


def test_planners_play_too():
    oracle, blind = (play_cell_by_planner(name, CELLS[1], 40) for name in ("oracle", "blind"))
    assert (oracle.cause == CAUSES.index("success")).all()
    assert 5 < (blind.cause == CAUSES.index("success")).sum() < 35


def test_the_folder_holds_what_is_promised(tmp_path, monkeypatch):
    monkeypatch.setattr(report, "load_anchors", some_anchors)
    asked = Evaluation("random", levels=("CrossTwo",), seeds=(0, 1), episodes=EPISODES)
    out = tmp_path / "report"
    told = run_evaluation(asked, out)
    assert {"episodes.npz", "report.json", "report.md"} <= {path.name for path in out.iterdir()}
    assert not (out / "unfinished").exists()
    assert json.loads((out / "report.json").read_text()) == told
    assert (told["agent"], told["greedy"], told["suite"]) == ("random", True, "reading")
    records = load_records(out / "episodes.npz", EPISODES)
    assert score(Results(records, replay(records)), some_anchors())["scores"] == told["scores"]
    assert "Not the whole suite" in markdown(told)
    with pytest.raises(ValueError, match="holds a report already"):
        run_evaluation(asked, out)
    run_evaluation(asked, out, overwrite=True)


class Broken(Walker):
    """Fails while it plays."""

    def act(self, observations: Mapping[str, np.ndarray]) -> np.ndarray:
        raise ValueError("shapes do not fit")


def test_an_agents_own_error_is_marked_as_such():
    with pytest.raises(AgentError, match="the agent failed in act, CrossTwo/Train/true") as caught:
        play_cell(Broken(), CELLS[0], EPISODES)
    assert "shapes do not fit" in str(caught.value.__cause__)


class Hoarder(Walker):
    """Keeps what it saw first."""

    def act(self, observations: Mapping[str, np.ndarray]) -> np.ndarray:
        if not hasattr(self, "first"):
            self.first = {name: (each, each.copy()) for name, each in observations.items()}
        return super().act(observations)


def test_what_an_agent_saw_stays():
    agent = Hoarder()
    play_cell(agent, CELLS[0], EPISODES)
    for kept, before in agent.first.values():
        assert np.array_equal(kept, before)


def test_random_agents_draw_other_actions_in_other_levels_and_the_same_in_the_same():
    def drawn(seed: int, level: str) -> list[int]:
        agent = load_agent("random")(None, suite="reading", level=level, seed=seed, greedy=True)
        agent.reset(100)
        return agent.act({"direction": np.zeros(100)}).tolist()

    assert drawn(1, "CrossTwo") == drawn(1, "CrossTwo")
    assert drawn(1, "CrossTwo") != drawn(1, "Courier")
    assert drawn(1, "CrossTwo") != drawn(2, "CrossTwo")


def test_another_checkpoint_of_the_same_name_is_told_apart(tmp_path):
    folder, file = tmp_path / "runs", tmp_path / "runs" / "deep" / "a.safetensors"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"parameters")
    of_folder, of_file = fingerprint(str(folder)), fingerprint(str(file))
    (folder / "log.txt").touch()  # tells nothing of the agent
    assert (fingerprint(str(folder)), fingerprint(str(file))) == (of_folder, of_file)
    file.write_bytes(b"PARAMETERS!")
    assert fingerprint(str(folder)) != of_folder
    assert fingerprint(str(file)) != of_file
    assert fingerprint(None) is fingerprint("an/address:of-its-own") is None


def test_loaders_are_checked_before_anything_is_played(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "mine", SimpleNamespace(Walker=Walker, load=lambda checkpoint, **_: object()))
    with pytest.raises(ValueError, match=r"must be callable as load\(checkpoint, suite="):
        load_agent("mine:Walker")
    asked = Evaluation("mine:load", levels=("CrossTwo",), episodes=EPISODES)
    with pytest.raises(ValueError, match="gave a object, which has no method reset"):
        run_evaluation(asked, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"agent": "agents.grouded:load"}, "no module named 'agents.grouded'"),
        ({"agent": "agents.grounded:lod"}, "has no attribute 'lod'"),
        ({"agent": "agents.grounded"}, "must be random, oracle, blind, or module:callable"),
        ({"agent": "random", "suite": "readin"}, "did you mean 'reading'"),
        ({"agent": "random", "seeds": (1, 1)}, "must be 1 to 64 different training seeds"),
        ({"agent": "random", "seeds": (10**9,)}, "is not for training"),
        ({"agent": "random", "episodes": 0}, "episodes=0 must be 1 to 1000"),
        ({"agent": "agents.grounded:load", "levels": ("CrossTwo",)}, "needs a checkpoint"),
        (
            {"agent": "agents.film:load", "checkpoint": "agents/checkpoints", "levels": ("Courier",)},
            "has no film-Courier-0",
        ),
    ],
)
def test_mistakes_are_told_before_anything_is_played(arguments, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        run_evaluation(Evaluation(**arguments), tmp_path / "report")
    assert not (tmp_path / "report").exists()


def test_trained_agents_play_by_the_protocol():
    pytest.importorskip("torch")
    checkpoints = str(Path(__file__).parent.parent / "agents" / "checkpoints")
    load = load_agent("agents.grounded:load")
    agent = load(checkpoints, suite="reading", level="CrossTwo", seed=0, greedy=True)
    rates = [(play_cell(agent, cell, 60).cause == CAUSES.index("success")).mean() for cell in CELLS]
    assert rates[0] > 0.95
    assert rates[1] > 0.95
    assert rates[3] < 0.05
    drawing = load(checkpoints, suite="reading", level="CrossTwo", seed=0, greedy=False)
    one, other = (play_cell(drawing, CELLS[1], 20) for _ in range(2))
    assert np.array_equal(one.actions, other.actions)
    with pytest.raises(ValueError, match="is of agent grounded, not film"):
        load_agent("agents.film:load")(
            f"{checkpoints}/grounded-CrossTwo-0.safetensors", suite="reading", level="CrossTwo", seed=0, greedy=True
        )
