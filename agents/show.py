"""Watch an agent: `python -m agents.show RUN` writes a film of each episode, and a picture of what it attends to.

The episodes are those of `agents.evaluate`, played on the reference environment. Of an agent that attends to sentences
film and picture show how: a bar in each cell that it sees is divided among the sentences as the cell's attention is, in
their colours; what is left dark goes to no sentence. A cell that attends mostly to one sentence has its colour and its
number. The picture is of the step at which most of what is seen attends to a sentence.
"""

from __future__ import annotations

import functools
import io
import sys
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import tyro
from minigrid.core.constants import DIR_TO_VEC, OBJECT_TO_IDX
from PIL import Image, ImageDraw, ImageFont
from tqdm import tqdm  # type: ignore[import-untyped]

from agents.checkpoints import run_name
from agents.cli import run_command, usage_errors
from agents.environments import evaluation_seed
from agents.evaluate import Subject, load_subject
from agents.rollouts import PolicyActor, drawn_actions
from babyaipp.files import write_whole
from babyaipp.levels import get_level, get_split
from babyaipp.play import ACTION_NAMES
from babyaipp.texts import TEXT_CONDITION_NAMES, split_sentences

_UNSEEN = OBJECT_TO_IDX["unseen"]
_FRAME_MS, _LAST_FRAME_MS = 400, 2500

_WORLD_PIXELS, _CELL_PIXELS = 640, (24, 64)
_PANEL_PIXELS, _MARGIN, _FONT_SIZE, _LINE, _DISC = 400, 18, 17, 23, 13
_MIN_HEIGHT = 480
_INK, _PAPER, _NO_SENTENCE = (30, 30, 30), (255, 255, 255), (45, 45, 45)
_PALETTE = (
    (255, 145, 0), (0, 215, 235), (255, 90, 190), (185, 240, 60), (160, 110, 60), (205, 175, 255),
)  # fmt: skip
"""Of the sentences; none is the colour of a tile."""
_OF_NOTE = 0.05
"""Cells that attend less than that to sentences get no bar."""


@dataclass(frozen=True)
class ShowConfig:
    """Film episodes of an agent, with its attention to the sentences if it has any."""

    checkpoint: Annotated[str, tyro.conf.Positional]
    """A .safetensors file, a run folder of `agents.train` or `agents.imitate`, or `random`."""
    episodes: int = 3
    split: str = "HeldOut"
    level: str | None = None
    """Default: the level trained on."""
    text: Annotated[
        str | None, tyro.conf.arg(help=f"What the description tells: {TEXT_CONDITION_NAMES}; default: as in training.")
    ] = None
    sentence_order: str | None = None
    """Default: as in training, or the other level's own."""
    seed: int = 0
    """Which block of episodes, as in `agents.evaluate`."""
    first: int = 0
    """Number of the first episode in the block."""
    sampled: bool = False
    """Draw the actions from the policy, instead of taking the likeliest."""
    out: Path = Path("show")
    """Folder to write to."""

    def check(self) -> None:
        """Raise ValueError, naming argument, value and what is allowed, if a setting makes no sense."""
        for name, least in (("episodes", 1), ("seed", 0), ("first", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name}={getattr(self, name)} must be at least {least}")


@dataclass(frozen=True)
class Moment:
    """A step of an episode, before the action."""

    drawing: np.ndarray
    """(height, width, 3) uint8: where something attends, the world alone; else with the text, as it is rendered."""
    seen: frozenset[tuple[int, int]]
    """World coordinates of the cells in view."""
    attention: Mapping[tuple[int, int], np.ndarray] | None
    """For each of them the weights of the sentences and of none, (sentences + 1,) float32; None: nothing attends."""
    notes: tuple[str, ...]
    """What a person should know."""


@dataclass(frozen=True)
class Film:
    """An episode."""

    seed: int
    success: bool
    cause: str
    actions: tuple[int, ...]
    mission: str
    sentences: tuple[str, ...]
    cell: int
    """Pixels of a cell."""
    moments: tuple[Moment, ...]

    def frames(self) -> list[Image.Image]:
        """A picture for each moment."""
        return [self.picture(moment) for moment in self.moments]

    def picture(self, moment: Moment) -> Image.Image:
        """The world at a moment, with the attention drawn over it and the sentences beside it."""
        if moment.attention is None:
            return Image.fromarray(moment.drawing)
        world = Image.fromarray(moment.drawing)
        draw_attention(world, moment.attention, moment.seen, self.cell)
        return _beside(world, self.mission, self.sentences, moment.notes)

    def most_read(self) -> Moment | None:
        """The moment at which most of what is seen attends to a sentence; None if nothing attends."""
        attending = [(each, each.attention.values()) for each in self.moments if each.attention is not None]
        if not attending:
            return None
        return max(attending, key=lambda each: sum(1 - float(weights[-1]) for weights in each[1]))[0]


def world_cell(position: Sequence[int], direction: int, x: int, y: int, view: int) -> tuple[int, int]:
    """Where in the world a cell of the view is.

    Args:
        position: the agent's, (x, y).
        direction: where the agent faces: 0 right, 1 down, 2 left, 3 up.
        x: column of the view, from the agent's left to its right.
        y: row of the view; the last one is the agent's own.
        view: cells of a side of the view.
    """
    ahead, aside = view - 1 - y, x - view // 2
    forward_x, forward_y = (int(each) for each in DIR_TO_VEC[direction])
    return (
        int(position[0]) + ahead * forward_x - aside * forward_y,
        int(position[1]) + ahead * forward_y + aside * forward_x,
    )


def seen_cells(env: Any, image: np.ndarray) -> dict[tuple[int, int], tuple[int, int]]:
    """World coordinates of the cells in view, and where in the view each is.

    Args:
        env: the reference environment.
        image: (X, Y, 3) of its observation.
    """
    inner = env.unwrapped
    columns, rows = np.nonzero(image[:, :, 0] != _UNSEEN)
    return {
        world_cell(inner.agent_pos, inner.agent_dir, x, y, len(image)): (x, y)
        for x, y in zip(columns.tolist(), rows.tolist(), strict=True)
    }


@torch.no_grad()
def film(subject: Subject, split: str, seed: int, greedy: bool = True) -> Film:
    """Play an episode on the reference environment.

    Args:
        subject: what plays.
        split: of the level.
        seed: of the environment.
        greedy: take the likeliest action instead of drawing one.
    """
    env = replace(subject.task, split=split).make(render_mode="rgb_array")
    observation, _ = env.reset(seed=seed)
    inner: Any = env.unwrapped
    mission, sentences = inner.mission, tuple(split_sentences(inner.description))
    least, most = _CELL_PIXELS
    cell = min(max(_WORLD_PIXELS // max(inner.width, inner.height), least), most)
    generator = np.random.default_rng(seed)
    subject.actor.reset(1)
    begins = torch.ones(1, dtype=torch.bool)
    moments: list[Moment] = []
    actions: list[int] = []
    note = ""
    ended = False
    while True:
        tensors = {name: torch.as_tensor(np.asarray(each)).unsqueeze(0) for name, each in observation.items()}
        seen = seen_cells(env, observation["image"])
        attention = _attention(subject, tensors)
        status = inner.status()[2:]  # the texts come first
        moments.append(
            Moment(
                inner.render() if attention is None else inner.get_frame(highlight=False, tile_size=cell),
                frozenset(seen),
                None if attention is None else {place: attention[:, x, y] for place, (x, y) in seen.items()},
                tuple(filter(None, (*status, note))),
            )
        )
        if ended:
            break
        probabilities = subject.actor.act(tensors, begins)
        chosen = probabilities.argmax(1) if greedy else drawn_actions(probabilities, [generator.random()])
        actions.append(int(chosen))
        observation, _, terminated, truncated, info = env.step(actions[-1])
        begins = torch.zeros(1, dtype=torch.bool)
        ended = terminated or truncated
        note = f"action: {list(ACTION_NAMES)[actions[-1]]}"
        if ended:
            note += f"; {info['cause']}"
    env.close()
    return Film(seed, bool(info["success"]), info["cause"], tuple(actions), mission, sentences, cell, tuple(moments))


def _attention(subject: Subject, observation: Mapping[str, torch.Tensor]) -> np.ndarray | None:
    """The weights (S + 1, X, Y), if the agent has any."""
    if not isinstance(subject.actor, PolicyActor):
        return None
    attention = getattr(subject.actor.policy.network, "attention", None)
    return None if attention is None else attention(observation)[0].float().numpy()


def draw_attention(
    world: Image.Image,
    attention: Mapping[tuple[int, int], np.ndarray],
    seen: frozenset[tuple[int, int]],
    cell: int,
) -> None:
    """Draw over the picture of a world what the cells attend to; cells that are out of view become darker.

    Args:
        world: RGB.
        attention: world coordinates and the weights of the sentences and of none.
        seen: world coordinates.
        cell: pixels of a cell.
    """
    draw = ImageDraw.Draw(world, "RGBA")
    for x in range(world.width // cell):
        for y in range(world.height // cell):
            if (x, y) not in seen:
                draw.rectangle((x * cell, y * cell, (x + 1) * cell - 1, (y + 1) * cell - 1), (0, 0, 0, 120))
    for (x, y), weights in attention.items():
        if 1 - weights[-1] < _OF_NOTE:
            continue
        left, top, right, bottom = x * cell, y * cell, (x + 1) * cell - 1, (y + 1) * cell - 1
        best = int(weights[:-1].argmax())
        if weights[best] >= 0.5:
            draw.rectangle((left, top, right, bottom), outline=(0, 0, 0), width=max(cell // 10, 3))
            draw.rectangle((left + 1, top + 1, right - 1, bottom - 1), outline=_color(best), width=max(cell // 16, 2))
            radius = min(_DISC, cell // 3)
            _disc(draw, left + radius + 3, top + radius + 3, best, radius)
        inset = max(cell // 10, 3)
        start, width = left + inset, cell - 2 * inset
        high = bottom - inset - max(cell // 7, 4)
        draw.rectangle((start - 1, high - 1, start + width, bottom - inset), _NO_SENTENCE)
        edges = start + width * np.concatenate([[0.0], weights[:-1].cumsum()])
        for index, (begin, end) in enumerate(zip(edges[:-1].round(), edges[1:].round(), strict=True)):
            if end > begin:
                draw.rectangle((begin, high, end - 1, bottom - inset - 1), _color(index))


def _beside(world: Image.Image, mission: str, sentences: Sequence[str], notes: Sequence[str]) -> Image.Image:
    """The world with the mission, the sentences in their colours, and notes to its right."""
    picture = Image.new("RGB", (world.width + _PANEL_PIXELS, max(world.height, _MIN_HEIGHT)), _PAPER)
    picture.paste(world, (0, 0))
    draw = ImageDraw.Draw(picture)
    font = _font(_FONT_SIZE)
    left, y = world.width + _MARGIN, _MARGIN
    per_line = int((_PANEL_PIXELS - 3 * _MARGIN - 2 * _DISC) / font.getlength("n"))

    def write(text: str, index: int | None = None) -> None:
        nonlocal y
        if index is not None:
            _disc(draw, left + _DISC, y + _DISC, index, _DISC)
        indent = 0 if index is None else 2 * _DISC + 10
        for line in textwrap.wrap(text, per_line) or [""]:
            draw.text((left + indent, y + 3), line, _INK, font)
            y += _LINE
        y += 9

    write(f"{mission}.")
    y += 6
    for index, sentence in enumerate(sentences):
        write(f"{sentence.rstrip('. ')}.", index)
    draw.rectangle((left, y + 3, left + 2 * _DISC, y + 3 + 18), _NO_SENTENCE)
    draw.text((left + 2 * _DISC + 10, y + 3), "no sentence", _INK, font)
    y += _LINE + 15
    for note in notes:
        write(note)
    return picture


def _disc(draw: ImageDraw.ImageDraw, x: float, y: float, index: int, radius: int) -> None:
    """The mark of a sentence: its number on its colour."""
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), _color(index), (0, 0, 0), 2)
    draw.text((x, y), str(index + 1), (0, 0, 0), _font(round(1.3 * radius)), anchor="mm")


def _color(index: int) -> tuple[int, int, int]:
    return _PALETTE[index % len(_PALETTE)]


@functools.cache
def _font(size: int) -> Any:
    return ImageFont.load_default(size)


def save_film(frames: Sequence[Image.Image], file: Path) -> None:
    """Write a GIF that rests on the last frame."""
    durations = [_FRAME_MS] * (len(frames) - 1) + [_LAST_FRAME_MS]
    data = io.BytesIO()
    frames[0].save(data, "GIF", save_all=True, append_images=frames[1:], duration=durations, loop=0)
    file.parent.mkdir(parents=True, exist_ok=True)
    write_whole(file, data.getvalue())


def save_picture(picture: Image.Image, file: Path) -> None:
    """Write a PNG."""
    data = io.BytesIO()
    picture.save(data, "PNG")
    file.parent.mkdir(parents=True, exist_ok=True)
    write_whole(file, data.getvalue())


def show(config: ShowConfig) -> list[Path]:
    """Play, and write films and pictures; returns the files.

    Raises:
        UsageError: a setting makes no sense, or there is no such agent.
    """
    with usage_errors():
        config.check()
        subject = load_subject(config.checkpoint, config.level, config.text, config.sentence_order)
        split = get_split(get_level(subject.task.level), config.split)
    training = subject.training or {}
    name = run_name(subject.agent, subject.task.level, "Train", training.get("seed", 0))
    files = []
    for index in tqdm(range(config.first, config.first + config.episodes), desc="episodes", leave=False):
        episode = film(subject, split, evaluation_seed(config.seed, index), not config.sampled)
        stem = config.out / f"{name}-{split}-{index}"
        files.append(stem.with_suffix(".gif"))
        save_film(episode.frames(), files[-1])
        told = f"{files[-1]}: {episode.mission}; {episode.cause} after {len(episode.actions)} actions"
        moment = episode.most_read()
        if moment is not None:
            files.append(stem.with_suffix(".png"))
            save_picture(episode.picture(moment), files[-1])
            told += f"; attention in {files[-1].name}"
        tqdm.write(told)
    return files


def run_show(config: ShowConfig) -> int:
    """Write films and pictures; returns the exit status."""
    show(config)
    return 0


if __name__ == "__main__":
    sys.exit(run_command(ShowConfig, run_show))
