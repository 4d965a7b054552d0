"""What the command lines of this folder share: arguments from a dataclass, errors without a traceback, Ctrl-C."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import tyro

INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells expect it."""
_WRONG_ARGUMENTS = 2

Config = TypeVar("Config")


class UsageError(ValueError):
    """An argument makes no sense; the message names it, its value and what is allowed."""


@contextmanager
def usage_errors() -> Iterator[None]:
    """Marks a ValueError raised inside as the caller's mistake, not the program's."""
    try:
        yield
    except ValueError as error:
        raise UsageError(str(error)) from error


@contextmanager
def signals_set_a_flag() -> Iterator[Callable[[], bool]]:
    """While inside, the first SIGINT or SIGTERM only sets a flag; a second one acts as usual."""
    received: list[int] = []

    def note(number: int, frame: Any) -> None:
        received.append(number)
        restore()

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(received)
    finally:
        restore()


def run_command(config: type[Config], body: Callable[[Config], int], arguments: Sequence[str] | None = None) -> int:
    """Parse the arguments and run a command; returns the exit status.

    Where a config has a method `defaults`, and that gives a config, options that were not given are as there: so a run
    that goes on keeps its settings.
    """
    try:
        parsed = tyro.cli(config, args=arguments)
        with usage_errors():
            others = parsed.defaults() if hasattr(parsed, "defaults") else None
        return body(parsed if others is None else tyro.cli(config, args=arguments, default=others))
    except (UsageError, OSError) as error:  # OSError: a file or folder that cannot be read or written
        print(f"error: {error}", file=sys.stderr)
        return _WRONG_ARGUMENTS
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return INTERRUPTED
