"""What is drawn over the world is what the agent attends to, and the films are the episodes of the evaluation."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from minigrid.core.constants import OBJECT_TO_IDX
from PIL import Image
from torch import Tensor, nn

import agents.demo as demo
from agents.checkpoints import checkpoint_name, save_agent, spaces_of
from agents.cli import run_command
from agents.demo import DemoConfig, run_demo
from agents.environments import Task, evaluation_seed
from agents.evaluate import Subject, load_subject
from agents.policy import Policy, build_policy
from agents.rollouts import PolicyActor, play
from agents.show import ShowConfig, draw_attention, film, run_show, seen_cells, world_cell
from agents.training.config import TrainConfig

TASK = Task("CrossTwo")
BALL = OBJECT_TO_IDX["ball"]
LEFT = 0


class SeesBalls(nn.Module):
    """Attends to the second sentence where it sees a ball, elsewhere to none; turns left, always."""

    num_features = 1

    def forward(self, observation: Mapping[str, Tensor]) -> Tensor:
        return torch.zeros(len(observation["direction"]), 1)

    def attention(self, observation: Mapping[str, Tensor]) -> Tensor:
        balls = (observation["image"][..., 0] == BALL).float()  # (B, X, Y)
        weights = torch.zeros(len(balls), observation["description"].shape[1] + 1, *balls.shape[1:])
        weights[:, 1] = balls
        weights[:, -1] = 1 - balls
        return weights


def sees_balls(task: Task = TASK) -> Subject:
    policy = Policy(SeesBalls(), 0, 7)
    nn.init.zeros_(policy.actor.weight)
    policy.actor.bias.data[LEFT] = 1.0
    return Subject("sees_balls", PolicyActor(policy), task, None)


def saved_agent(folder: Path, agent: str, level: str = "CrossTwo") -> Path:
    torch.manual_seed(0)
    task = Task(level)
    space, actions = spaces_of(task)
    file = folder / checkpoint_name(agent, level, "Train", 0)
    config = TrainConfig(agent=agent, level=level)
    save_agent(file, build_policy(agent, "small", {}, space, actions), config.as_json() | {"frames": 0}, task)
    return file


def test_attention_lands_on_the_cells_it_belongs_to() -> None:
    """In all four directions, as the agent turns on the spot."""
    directions = set()
    task = Task("GoToRedBall")
    for index in range(4):
        seed = evaluation_seed(0, index)
        env = task.make()
        env.reset(seed=seed)
        inner: Any = env.unwrapped
        balls = {
            (x, y)
            for x in range(inner.width)
            for y in range(inner.height)
            if (thing := inner.grid.get(x, y)) is not None and thing.type == "ball"
        }
        assert balls
        episode = film(sees_balls(task), "Train", seed)
        before = inner.agent_dir
        for step, moment in enumerate(episode.moments[:4]):
            assert moment.attention is not None
            marked = {place for place, weights in moment.attention.items() if weights[1] == 1}
            assert marked == balls & set(moment.attention)
            if marked:
                directions.add((before - step) % 4)
    assert directions == {0, 1, 2, 3}


def test_cells_of_the_view_are_where_minigrid_has_them() -> None:
    env = Task("GoToSeq").make()
    env.reset(seed=3)
    inner: Any = env.unwrapped
    view = inner.agent_view_size
    for direction in range(4):
        inner.agent_dir = direction
        observation = inner.gen_obs()
        for x in range(view):
            for y in range(view):
                place = world_cell(inner.agent_pos, direction, x, y, view)
                assert tuple(inner.get_view_coords(*place)) == (x, y)
        assert world_cell(inner.agent_pos, direction, view // 2, view - 1, view) == tuple(inner.agent_pos)
        for (x, y), (i, j) in seen_cells(env, observation["image"]).items():
            assert inner.in_view(x, y)
            if (i, j) != (view // 2, view - 1):  # where the view shows what the agent carries
                thing = inner.grid.get(x, y)
                assert observation["image"][i, j, 0] == OBJECT_TO_IDX["empty" if thing is None else thing.type]


def test_only_cells_that_attend_to_a_sentence_are_drawn_over() -> None:
    cell = 32
    world = Image.new("RGB", (4 * cell, 3 * cell), (10, 20, 30))
    none, second, divided = np.array([0, 0, 1.0]), np.array([0, 1.0, 0]), np.array([0.3, 0.3, 0.4])
    attention = {(0, 0): none, (2, 1): second, (3, 2): divided}
    drawn = world.copy()
    draw_attention(drawn, attention, frozenset({*attention, (1, 1)}), cell)
    cells = np.asarray(drawn).reshape(3, cell, 4, cell, 3).swapaxes(1, 2)  # (3, 4, cell, cell, 3)
    plain = (cells == (10, 20, 30)).all((2, 3, 4))
    assert [(x, y) for y, x in zip(*np.nonzero(plain), strict=True)] == [(0, 0), (1, 1)]
    dark = (cells < (10, 20, 30)).all((2, 3, 4))
    assert {(x, y) for y, x in zip(*np.nonzero(dark), strict=True)} == {(x, y) for x in range(4) for y in range(3)} - {
        *attention,
        (1, 1),
    }
    bars = {place: set(map(tuple, cells[place[1], place[0], -6].tolist())) for place in ((2, 1), (3, 2))}
    mark = {place: set(map(tuple, cells[place[1], place[0], 1].tolist())) for place in ((2, 1), (3, 2))}
    colors = [(255, 145, 0), (0, 215, 235)]
    assert [color in bars[2, 1] for color in colors] == [False, True]
    assert [color in bars[3, 2] for color in colors] == [True, True]
    assert colors[1] in mark[2, 1]  # most of its attention goes to one sentence
    assert not mark[3, 2] & set(colors)


def test_a_film_is_the_episode_of_the_evaluation(tmp_path: Path) -> None:
    subject = load_subject(str(saved_agent(tmp_path, "image_only")), level="GoToRedBall", text="none")
    for greedy in (True, False):
        task = replace(subject.task, split="HeldOut")
        for episode in play(task, subject.actor, 1, seed=4, greedy=greedy):
            shown = film(subject, "HeldOut", episode.seed, greedy)
            assert (shown.actions, shown.success, shown.cause) == (episode.actions, episode.success, episode.cause)
            assert len(shown.moments) == episode.steps + 1


@pytest.mark.parametrize("agent", ["grounded", "attention_fusion", "image_only"])
def test_the_command_writes_films_and_pictures(agent: str, tmp_path: Path, capsys: Any) -> None:
    out = tmp_path / "out"
    arguments = [str(saved_agent(tmp_path, agent)), "--episodes=1", "--first=3", "--split=Val", "--out", str(out)]
    assert run_command(ShowConfig, run_show, arguments) == 0
    attends = agent != "image_only"
    stem = f"{agent}-CrossTwo-0-Val-3"
    assert {file.name for file in out.iterdir()} == {f"{stem}.gif"} | ({f"{stem}.png"} if attends else set())
    assert f"{stem}.gif: go to the red ball; " in capsys.readouterr().out
    with Image.open(out / f"{stem}.gif") as shown:
        assert shown.n_frames > 1  # type: ignore[attr-defined]
        assert shown.width > shown.height  # the text is beside the world


def test_the_picture_is_of_the_step_with_the_most_to_read() -> None:
    episode = film(sees_balls(), "Train", evaluation_seed(0, 0))
    balls = [sum(weights[1] for weights in (each.attention or {}).values()) for each in episode.moments]
    assert min(balls) < max(balls)
    most = episode.most_read()
    assert most is episode.moments[balls.index(max(balls))]
    assert episode.picture(most).width > most.drawing.shape[1]
    assert len(episode.sentences) == 6


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.safetensors"], "'nowhere.safetensors': there is no such file"),
        (["random", "--episodes=0"], "episodes=0 must be at least 1"),
        (["random", "--split=Tset"], "unknown split 'Tset'"),
        (["random", "--level=CrossTw"], "unknown level 'CrossTw'"),
    ],
)
def test_a_typo_is_told_without_a_traceback(arguments: list[str], message: str, capsys: Any) -> None:
    assert run_command(ShowConfig, run_show, arguments) == 2
    assert message in capsys.readouterr().err


# The demonstration


def check_demonstration(folder: Path, printed: str) -> None:
    reports = json.loads((folder / "report.json").read_text())["reports"]
    played = {(report["agent"], report["level"]) for report in reports}
    assert played == {(agent, level) for agent in ("grounded", "image_only") for level in ("CrossTwo", "GoToRedBall")}
    for report in reports:
        assert report["splits"].keys() == {"Train", "HeldOut"}
        assert f"{report['splits']['HeldOut']['success']:.3f} [" in printed
    with Image.open(folder / "episode.gif") as shown:
        assert shown.n_frames > 1  # type: ignore[attr-defined]
    with Image.open(folder / "attention.png") as picture:
        assert picture.width > picture.height


def test_the_demonstration_trains_compares_and_films(tmp_path: Path, capsys: Any) -> None:
    former = tmp_path / "grounded-CrossTwo"
    former.mkdir()
    (former / "config.json").write_text("{}")
    assert run_demo(DemoConfig(minutes=0.005, episodes=4, out=tmp_path)) == 0
    printed = capsys.readouterr().out
    assert "it is replaced" in printed
    check_demonstration(tmp_path, printed)
    for part in demo.PARTS:
        assert json.loads((tmp_path / part.name / "config.json").read_text())["agent"] == part.agent


def test_the_demonstration_starts_from_checkpoints(
    tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "CHECKPOINTS", tmp_path)
    arguments = ["--from=checkpoints", "--episodes=4", f"--out={tmp_path / 'demo'}"]
    assert run_command(DemoConfig, run_demo, arguments) == 2
    assert "from='checkpoints': there is no " in capsys.readouterr().err
    for part in demo.PARTS:
        saved_agent(tmp_path, part.agent, part.level)
    assert run_command(DemoConfig, run_demo, arguments) == 0
    check_demonstration(tmp_path / "demo", capsys.readouterr().out)


def test_a_training_of_the_demonstration_that_fails_is_told(
    tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = demo.Part("image_only", "CrossTwo", 1.0)
    monkeypatch.setattr(demo, "LANES", ((broken,),))
    monkeypatch.setattr(DemoConfig, "check", lambda self: None)
    assert run_command(DemoConfig, run_demo, ["--minutes=-1", "--out", str(tmp_path)]) == 2
    assert f"the training of {broken.name} failed; see {tmp_path / broken.name}.log" in capsys.readouterr().err
    assert "minutes=-1 must be more than 0" in (tmp_path / f"{broken.name}.log").read_text()
