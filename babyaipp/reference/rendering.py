"""What people see: a picture or a text screen of the world, with what the agent is told beside it."""

from __future__ import annotations

import functools
import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np

_PANEL_WIDTH = 272
_MIN_HEIGHT = 224
_MARGIN = 14
_FONT_SIZE = 15
_LINE_HEIGHT = 20
_PARAGRAPH_GAP = 8
_INK, _PAPER = (30, 30, 30), (255, 255, 255)
_TEXT_WIDTH = 48


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
        image = Image.new("RGB", (world.shape[1] + _PANEL_WIDTH, height), _PAPER)
        image.paste(Image.fromarray(world), (0, 0))
        draw = ImageDraw.Draw(image)
        font = _font()
        y = _MARGIN
        for paragraph in filter(None, paragraphs):
            for line in _wrap(paragraph, lambda text: draw.textlength(text, font) <= _PANEL_WIDTH - 2 * _MARGIN):
                draw.text((world.shape[1] + _MARGIN, y), line, _INK, font)
                y += _LINE_HEIGHT
            y += _PARAGRAPH_GAP
        return np.asarray(image)

    def as_text(self, rows: Sequence[str], paragraphs: Sequence[str]) -> str:
        """The rows of a map with the paragraphs to their right."""
        lines: list[str] = []
        for paragraph in filter(None, paragraphs):
            lines += [*textwrap.wrap(paragraph, _TEXT_WIDTH), ""]
        height = max(len(rows), len(lines))
        width = len(rows[0])
        padded = [*rows, *[" " * width] * (height - len(rows))]
        return "\n".join(
            f"{row}   {line}".rstrip()
            for row, line in zip(padded, [*lines, *[""] * (height - len(lines))], strict=True)
        )

    def show(self, frame: np.ndarray, title: str, frames_per_second: int) -> Any:
        """Show a frame in a window, at most so many a second; returns the window."""
        import pygame

        size = (frame.shape[1], frame.shape[0])
        if self._window is None or self._window.get_size() != size or not pygame.display.get_init():
            pygame.display.init()
            self._window = pygame.display.set_mode(size)
            pygame.display.set_caption(title)
            self._clock = pygame.time.Clock()
        self._window.blit(pygame.surfarray.make_surface(frame.swapaxes(0, 1)), (0, 0))
        pygame.event.pump()
        self._clock.tick(frames_per_second)
        pygame.display.flip()
        return self._window


@functools.cache
def _font() -> Any:
    from PIL import ImageFont

    return ImageFont.load_default(_FONT_SIZE)


def _wrap(text: str, fits: Any) -> list[str]:
    """Break a text into lines that fit; each sentence begins a line of its own."""
    lines: list[str] = []
    for sentence in text.replace(". ", ".\n").split("\n"):
        line = ""
        for word in sentence.split():
            longer = f"{line} {word}".strip()
            if line and not fits(longer):
                lines.append(line)
                longer = word
            line = longer
        lines.append(line)
    return lines
