"""Episodes that a person watches or plays by keyboard, in a window or in a terminal; the command line's other half."""

from __future__ import annotations

import os
import re
import select
import shutil
import sys
from collections.abc import Mapping

import numpy as np

from babyaipp.reference.env import FloorDynamics
from babyaipp.reference.rendering import Screen, map_cells
from babyaipp.tiles import DONE, DROP, FORWARD, LEFT, PICKUP, RIGHT, TOGGLE
from babyaipp.world import World

ACTION_NAMES: Mapping[str, int] = {
    "left": LEFT,
    "right": RIGHT,
    "forward": FORWARD,
    "pickup": PICKUP,
    "drop": DROP,
    "toggle": TOGGLE,
    "done": DONE,
}
# Keys by the names that pygame gives them.
_ACTION_KEYS: Mapping[str, str] = {
    "left": "left",
    "right": "right",
    "up": "forward",
    **dict.fromkeys(("p", "page up", "tab"), "pickup"),
    **dict.fromkeys(("d", "page down", "left shift", "right shift"), "drop"),
    "space": "toggle",
    **dict.fromkeys(("return", "enter"), "done"),
}
_NEW_EPISODE_KEYS = ("r", "backspace")
_QUIT_KEYS = ("q", "escape")
_HELP = "arrows move, p pick up, d drop, space toggle, enter done, r new episode, q quit"
_NEXT_HELP = "any key: next episode, q: quit"

_TERMINAL_KEYS: Mapping[str, str] = {
    **{
        f"\x1b{start}{letter}": name
        for start in "[O"
        for letter, name in zip("ACD", ("up", "right", "left"), strict=True)
    },
    "\x1b[5~": "page up",
    "\x1b[6~": "page down",
    "\x1b": "escape",
    "\t": "tab",
    "\r": "return",
    "\n": "return",
    "\x7f": "backspace",
    "\b": "backspace",
    " ": "space",
}
_KEY_SEQUENCE = re.compile(r"\x1b[\[O][0-9;]*[A-Za-z~]|.", re.DOTALL)
_ESCAPE_SECONDS = 0.05
"""How long the rest of a key's sequence may take; an escape alone is the escape key."""

# Alternate screen, no cursor, no wrapping of long lines; and back.
_ENTER_SCREEN, _LEAVE_SCREEN = "\x1b[?1049h\x1b[?25l\x1b[?7l", "\x1b[?7h\x1b[?25h\x1b[?1049l"
_TEXT_COLUMNS = (30, 48)
_CELL_COLUMNS = 3
_FRAMES_PER_SECOND = 30
_POLL_MILLISECONDS = 200
"""How long Ctrl-C may have to wait for the window."""


class NoScreenError(Exception):
    """There is no window or terminal to play in."""


class Game:
    """One episode after another of an environment, and what a person should see of it.

    Args:
        env: the environment.
        seed: of the first episode; the others follow in the same random stream.
        world: what every episode starts from, if not drawn.
    """

    def __init__(self, env: FloorDynamics, seed: int, world: World | None = None) -> None:
        self.env = env
        self.seed = seed
        self._options = None if world is None else {"world": world}
        self._screen = Screen()
        self.episode = 0
        self._begin(seed)

    def act(self, name: str) -> None:
        """Take the action of this name."""
        _, reward, terminated, truncated, info = self.env.step(ACTION_NAMES[name])
        self._action = f"action: {name}"
        if terminated or truncated:
            self.outcome = f"end: {info['cause']}, reward {reward:.3g}"

    def press(self, key: str) -> bool:
        """React to a key; returns whether the game goes on."""
        if key in _QUIT_KEYS:
            return False
        if self.outcome or key in _NEW_EPISODE_KEYS:
            self._begin(None)
        elif key in _ACTION_KEYS:
            self.act(_ACTION_KEYS[key])
        return True

    @property
    def paragraphs(self) -> list[str]:
        """The text beside the world."""
        return [*self.env.status(), self._action, self.outcome]

    def picture(self, *more: str) -> np.ndarray:
        """(height, width, 3) uint8: the world with its text, and more paragraphs, beside it."""
        world = self.env.get_frame(self.env.highlight, self.env.tile_size)
        return self._screen.as_image(world, [*self.paragraphs, *more])

    def play_in_window(self) -> None:
        """Play until the window is closed or a key ends it.

        Raises:
            NoScreenError: no window can be opened.
        """
        import pygame

        try:
            try:
                pygame.display.init()
            except pygame.error as error:
                raise NoScreenError(f"cannot open a window: {error}; use --terminal") from None
            if pygame.display.get_driver() == "offscreen":  # what SDL falls back to
                raise NoScreenError("cannot open a window: there is no display; use --terminal")
            going = True
            while going:
                title = f"{self.env.level.env_id(self.env.split)}, seed {self.seed}, episode {self.episode}"
                self._screen.show(self.picture(self._help), title, _FRAMES_PER_SECOND)
                event = pygame.event.wait(_POLL_MILLISECONDS)
                while event.type not in (pygame.KEYDOWN, pygame.QUIT, pygame.WINDOWEXPOSED):
                    event = pygame.event.wait(_POLL_MILLISECONDS)
                if event.type == pygame.KEYDOWN:
                    going = self.press(pygame.key.name(event.key))
                elif event.type == pygame.QUIT:
                    going = False
        finally:
            pygame.quit()

    def play_in_terminal(self) -> None:
        """Play until a key or the end of the input ends it; the terminal is left as it was.

        Raises:
            NoScreenError: input and output are not a terminal.
        """
        try:
            import termios
            import tty
        except ImportError:
            raise NoScreenError("this system has no terminal that --terminal can use") from None
        if not (sys.stdin.isatty() and sys.stdout.isatty()):
            raise NoScreenError("--terminal needs a terminal as its input and output")
        keyboard = sys.stdin.fileno()
        settings = termios.tcgetattr(keyboard)
        try:
            tty.setcbreak(keyboard)
            print(_ENTER_SCREEN, end="")
            going = True
            while going:
                print(self._terminal_screen(*shutil.get_terminal_size()), end="", flush=True)
                going = all(map(self.press, _read_keys(keyboard)))
        finally:
            print(_LEAVE_SCREEN, end="", flush=True)
            termios.tcsetattr(keyboard, termios.TCSADRAIN, settings)

    @property
    def _help(self) -> str:
        return _NEXT_HELP if self.outcome else _HELP

    def _begin(self, seed: int | None) -> None:
        self.env.reset(seed=seed, options=self._options)
        self.episode += 1
        self._action = self.outcome = ""

    def _terminal_screen(self, columns: int, lines: int) -> str:
        """What to print, from the top left corner: of a world that is too large, the part around the agent."""
        x, y, direction = int(self.env.agent_pos[0]), int(self.env.agent_pos[1]), int(self.env.agent_dir)
        cells = map_cells(self.env.grid, (x, y, direction))
        text_columns = min(max(columns - _CELL_COLUMNS * len(cells[0]) - 2, _TEXT_COLUMNS[0]), _TEXT_COLUMNS[1])
        shown = _around(x, len(cells[0]), (columns - text_columns - 2) // _CELL_COLUMNS)
        cells = [row[shown] for row in cells[_around(y, len(cells), lines)]]
        text = self._screen.as_text(
            cells, [*self.paragraphs, f"seed {self.seed}, episode {self.episode}", self._help], text_columns
        )
        return "\x1b[H" + "\n".join(f"{line}\x1b[K" for line in text.split("\n")[:lines]) + "\x1b[J"


def _around(center: int, length: int, shown: int) -> slice:
    """A slice of `shown` of `length` cells with the center in its middle, as far as the edges allow."""
    start = max(min(center - shown // 2, length - shown), 0)
    return slice(start, start + max(shown, 1))


def _read_keys(keyboard: int) -> list[str]:
    """Wait for keys; their names. At the end of the input: the escape key."""
    data = os.read(keyboard, 1024)
    while data.endswith((b"\x1b", b"\x1b[", b"\x1bO")) and select.select([keyboard], [], [], _ESCAPE_SECONDS)[0]:
        data += os.read(keyboard, 1024)
    keys = _KEY_SEQUENCE.findall(data.decode(errors="replace"))
    return [_TERMINAL_KEYS.get(key, key.lower()) for key in keys] or ["escape"]
