"""Tells on stderr how far a long run is: a line that is written over on a terminal, else one now and then."""

from __future__ import annotations

import sys
import time
from types import TracebackType

_SECONDS = {True: 0.2, False: 15.0}  # between two lines, on a terminal and elsewhere


class Progress:
    """A context in which episodes are counted.

    Args:
        name: what is done.
        total: episodes in all.
    """

    def __init__(self, name: str, total: int) -> None:
        self._name, self._total = name, total
        self._terminal = sys.stderr.isatty()
        self._told = time.monotonic()
        self._first: tuple[int, float] | None = None

    def __enter__(self) -> Progress:
        return self

    def at(self, done: int) -> None:
        """Note that so many episodes have been played; from the first call on, time is measured."""
        now = time.monotonic()
        if self._first is None:
            self._first = done, now
        before, begun = self._first
        if done > before and now - self._told >= _SECONDS[self._terminal]:
            self._told = now
            rate = (done - before) / (now - begun)
            left = duration((self._total - done) / rate)
            line = f"{self._name}: {done} of {self._total} episodes, {rate:.0f} a second, {left} left"
            print(f"\r{line}\x1b[K" if self._terminal else f"{line}\n", end="", file=sys.stderr, flush=True)

    def note(self, line: str) -> None:
        """Tell something else."""
        self._clear()
        print(f"{self._name}: {line}", file=sys.stderr, flush=True)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._clear()

    def _clear(self) -> None:
        if self._terminal:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def duration(seconds: float) -> str:
    """Such as 59 s, 3 min 5 s, 2 h 7 min."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
