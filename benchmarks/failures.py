"""Pictures of how trained agents fail, for docs/findings.md: `python -m benchmarks.failures`.

Each shows an episode of a leaderboard entry, played again on the reference environment: the world at its end, the way
that the agent took, from light to dark, and what it had been told.
"""

from __future__ import annotations

import io
import itertools
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from agents.cli import run_command
from babyaipp.engine.state import CAUSES
from babyaipp.evaluation.protocol import Cell
from babyaipp.evaluation.records import Records, episode_seeds
from babyaipp.files import write_whole
from babyaipp.leaderboard.entry import BOARD
from babyaipp.reference.env import make
from babyaipp.texts import split_sentences
from benchmarks.boards import ROOT, load_entry

IMAGES = ROOT.parent / "docs" / "images"
_WORLD, _TEXT_HEIGHT, _MARGIN, _FONT_SIZE, _LINE = 320, 184, 14, 14, 18
_COLUMNS = 4
_LIGHT, _DARK = np.array([255, 220, 120]), np.array([225, 60, 0])
_INK, _PAPER = (30, 30, 30), (255, 255, 255)


@dataclass(frozen=True)
class Failure:
    """An episode to show: of the first training seed, on held-out rules, the first that ended so."""

    entry: str
    level: str
    cause: str
    number: int = 0
    """Another one of those that ended so."""


FAILURES = (
    Failure("attention-fusion-ppo-small", "CrossTwo", "trap"),
    Failure("attention-fusion-ppo-small-classic", "GoToRedBall", "trap"),
    Failure("image-only-ppo-small-classic", "GoToLocal", "trap"),
    Failure("film-ppo-small-classic", "GoToRedBallHard", "timeout"),
    Failure("concat-fusion", "Minefield", "trap"),
    Failure("image-only", "CrossMany", "drain"),
    Failure("grounded", "MinefieldHard", "pit"),
    Failure("grounded", "MinefieldHard", "timeout"),
)
"""Of the picture in the page."""


@dataclass(frozen=True)
class FailuresConfig:
    """Draw how agents fail."""

    out: Path = IMAGES / "failures.png"
    """The picture."""


def find_episode(records: Records, failure: Failure) -> tuple[int, int, int]:
    """Where an episode stands in the records: indices of run, cell and episode.

    Raises:
        ValueError: no episode ended so.
    """
    number = records.cells.index(Cell(failure.level, "HeldOut"))
    those = np.flatnonzero(records.cause[0, number] == CAUSES.index(failure.cause))
    if failure.number >= len(those):
        raise ValueError(f"{failure.entry}, {failure.level}: {len(those)} episodes ended with {failure.cause!r}")
    return 0, number, int(those[failure.number])


def draw_episode(records: Records, at: tuple[int, int, int], title: str) -> Image.Image:
    """An episode, (height, width) pixels as all others.

    Args:
        records: of an evaluation.
        at: indices of run, cell and episode.
        title: what to write above what was told.
    """
    run, number, episode = at
    cell = records.cells[number]
    actions, offsets = records.actions_of(run, number)
    env: Any = make(cell.level, cell.split, text=cell.text)
    env.reset(seed=int(episode_seeds(records.lengths.shape[2])[episode]))
    way = [_place(env)]
    info: dict[str, Any] = {}
    for action in actions[offsets[episode] : offsets[episode + 1]].tolist():
        _, _, _, _, info = env.step(action)
        way.append(_place(env))
    size = _WORLD // max(env.width, env.height)
    world = Image.fromarray(env.get_frame(highlight=False, tile_size=size))
    _draw_way(world, way, size)
    drawing = Image.new("RGB", (_WORLD + 2 * _MARGIN, _WORLD + _TEXT_HEIGHT + _MARGIN), _PAPER)
    drawing.paste(world, (_MARGIN + (_WORLD - world.width) // 2, _MARGIN + (_WORLD - world.height) // 2))
    draw = ImageDraw.Draw(drawing)
    y = _WORLD + 2 * _MARGIN
    ends = f"{info['cause']} after {len(way) - 1} actions"
    for text, color in (
        (f"{title}: {ends}", (190, 40, 0)),
        (f"{env.mission}.", _INK),
        *((f"{sentence.rstrip('. ')}.", _INK) for sentence in split_sentences(env.description)),
    ):
        for line in textwrap.wrap(text, 46):
            draw.text((_MARGIN, y), line, color, ImageFont.load_default(_FONT_SIZE))
            y += _LINE
    env.close()
    return drawing


def _place(env: Any) -> tuple[int, int]:
    x, y = env.agent_pos
    return int(x), int(y)


def _draw_way(world: Image.Image, way: list[tuple[int, int]], size: int) -> None:
    draw = ImageDraw.Draw(world)
    steps = max(len(way) - 1, 1)
    places = [((x + 0.5) * size, (y + 0.5) * size) for x, y in way]
    for step, (start, end) in enumerate(itertools.pairwise(places)):
        share = step / steps
        color = tuple((_LIGHT + (_DARK - _LIGHT) * share).astype(int).tolist())
        draw.line((start, end), color, width=max(size // 9, 2))


def side_by_side(pictures: list[Image.Image], columns: int = _COLUMNS) -> Image.Image:
    """Pictures of one size in rows."""
    width, height = pictures[0].size
    rows = -(-len(pictures) // columns)
    whole = Image.new("RGB", (width * min(columns, len(pictures)), height * rows), _PAPER)
    for index, each in enumerate(pictures):
        whole.paste(each, (index % columns * width, index // columns * height))
    return whole


def draw_failures(config: FailuresConfig) -> int:
    """Write the picture; returns the exit status."""
    pictures = []
    for failure in FAILURES:
        scored = load_entry(ROOT / BOARD / failure.entry)
        title = f"{scored.title}, {failure.level}"
        pictures.append(draw_episode(scored.records, find_episode(scored.records, failure), title))
    data = io.BytesIO()
    side_by_side(pictures).quantize(128).save(data, "PNG", optimize=True)
    config.out.parent.mkdir(parents=True, exist_ok=True)
    write_whole(config.out, data.getvalue())
    print(f"written: {config.out}")
    return 0


if __name__ == "__main__":
    sys.exit(run_command(FailuresConfig, draw_failures))
