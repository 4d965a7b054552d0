"""What people see: a picture or a text screen of the world, with what the agent is told beside it."""

from __future__ import annotations

import functools
import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
from minigrid.core.world_object import Floor

from babyaipp.maps import COLOR_LETTERS, draw_map
from babyaipp.reference.grid import FloorGrid, walls_and_cells

# The panel beside a world of the smallest level, in pixels; beside a higher world everything is larger.
_PANEL_WIDTH = 300
_MIN_HEIGHT = 256
_MARGIN = 12
_FONT_SIZE = 14
_LINE_HEIGHT = 18
_PARAGRAPH_GAP = 7
_SCALED_FROM_HEIGHT = 320
_MAX_SCALE = 1.75
_INK, _PAPER = (30, 30, 30), (255, 255, 255)

_TEXT_WIDTH = 48
_CELL_COLUMNS = 3
# Colours of a terminal (the 256 of xterm): of things, and, darker, of the tiles under them.
_THING_COLORS = {"blue": 75, "green": 46, "grey": 248, "purple": 141, "red": 203, "yellow": 226}
_TILE_COLORS = {"blue": 19, "green": 22, "grey": 239, "purple": 54, "red": 88, "yellow": 58}
_WALL_COLOR = 244
_EMPTY_COLOR = 239
_WHITE, _BLACK = 231, 16


class Screen:
    """Lays out world and text, and keeps the window of the `human` render mode."""

    def __init__(self) -> None:
        self._window: Any = None
        self._clock: Any = None

    def as_image(self, world: np.ndarray, paragraphs: Sequence[str]) -> np.ndarray:
        """The picture of a world with the paragraphs to its right.

        Args:
            world: (height, width, 3) uint8.
            paragraphs: texts; empty ones are passed over.

        Returns:
            (height', width', 3) uint8; its size depends on that of `world` only.
        """
        from PIL import Image, ImageDraw

        height = max(world.shape[0], _MIN_HEIGHT)
        scale = min(max(height / _SCALED_FROM_HEIGHT, 1.0), _MAX_SCALE)
        image = Image.new("RGB", (world.shape[1] + round(scale * _PANEL_WIDTH), height), _PAPER)
        image.paste(Image.fromarray(world), (0, 0))
        draw = ImageDraw.Draw(image)
        lines, scale = _layout(tuple(filter(None, paragraphs)), scale, height)
        for y, line in lines:
            draw.text((world.shape[1] + round(scale * _MARGIN), y), line, _INK, _font(scale))
        return np.asarray(image)

    def as_text(self, cells: Sequence[Sequence[str]], paragraphs: Sequence[str], width: int = _TEXT_WIDTH) -> str:
        """The cells of a map, by row, with the paragraphs to their right.

        Args:
            cells: as `map_cells` makes them.
            paragraphs: texts; empty ones are passed over.
            width: characters of a line of text.
        """
        lines: list[str] = []
        for paragraph in filter(None, paragraphs):
            lines += [line for part in paragraph.split("\n") for line in textwrap.wrap(part, width)] + [""]
        rows = ["".join(row) for row in cells]
        rows += [" " * _CELL_COLUMNS * len(cells[0])] * (len(lines) - len(rows))
        lines += [""] * (len(rows) - len(lines))
        return "\n".join(f"{row}  {line}".rstrip() for row, line in zip(rows, lines, strict=True))

    def show(self, frame: np.ndarray, title: str, frames_per_second: int) -> Any:
        """Show a frame in a window, at most so many a second; returns the window."""
        import pygame

        size = (frame.shape[1], frame.shape[0])
        pygame.display.init()
        window: Any = pygame.display.get_surface()
        if window is None or window is not self._window or window.get_size() != size:
            window = self._window = pygame.display.set_mode(size)
            self._clock = pygame.time.Clock()
        pygame.display.set_caption(title)
        window.blit(pygame.surfarray.make_surface(frame.swapaxes(0, 1)), (0, 0))
        pygame.event.pump()
        self._clock.tick(frames_per_second)
        pygame.display.flip()
        return window


def map_cells(grid: FloorGrid, agent: tuple[int, int, int]) -> list[list[str]]:
    """The cells of an ASCII map by row, coloured for a terminal: letters as in `World.to_ascii`, and a space.

    A tile is the background of its cell, so that it shows under an object too.
    """
    walls, cells = walls_and_cells(grid)
    rows = [row.split(" ") for row in draw_map(grid.width, grid.height, walls, cells, agent)]
    return [
        [_colored(code, grid.tile_at(x, y), agent[:2] == (x, y)) for x, code in enumerate(row)]
        for y, row in enumerate(rows)
    ]


def _colored(code: str, tile: Floor | None, is_agent: bool) -> str:
    paper = _BLACK if tile is None else _TILE_COLORS[tile.color]
    if is_agent:
        ink = _WHITE
    elif code == "##":
        ink = paper = _WALL_COLOR
    elif code == "..":
        ink = _EMPTY_COLOR
    else:
        ink = next(_THING_COLORS[color] for color, letter in COLOR_LETTERS.items() if letter == code[1])
    return f"\x1b[1;38;5;{ink};48;5;{paper}m{code} \x1b[0m"


@functools.lru_cache(16)
def _layout(paragraphs: tuple[str, ...], scale: float, height: int) -> tuple[list[tuple[int, str]], float]:
    """Lines with their y, and the scale at which they fit: the wanted one, unless the picture is too small."""
    width = scale * (_PANEL_WIDTH - 2 * _MARGIN)
    while True:
        font = _font(scale)
        lines: list[tuple[int, str]] = []
        y = scale * _MARGIN
        for paragraph in paragraphs:
            for line in _wrap(paragraph, font, width):
                lines.append((round(y), line))
                y += scale * _LINE_HEIGHT
            y += scale * _PARAGRAPH_GAP
        if y - scale * _PARAGRAPH_GAP <= height:
            return lines, scale
        scale *= 0.9


@functools.cache
def _font(scale: float) -> Any:
    from PIL import ImageFont

    return ImageFont.load_default(scale * _FONT_SIZE)


def _wrap(text: str, font: Any, width: float) -> list[str]:
    """Break a text into lines that fit; each sentence begins a line of its own."""
    lines: list[str] = []
    for sentence in text.replace(". ", ".\n").split("\n"):
        line = ""
        for word in sentence.split():
            longer = f"{line} {word}".strip()
            if line and font.getlength(longer) > width:
                lines.append(line)
                longer = word
            line = longer
        lines.append(line)
    return lines
