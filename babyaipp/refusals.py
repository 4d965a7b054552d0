"""How a command of the command line refuses: with a line that says why, not with a traceback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class CommandError(Exception):
    """Something that the user asked for cannot be done; the message says why."""


@contextmanager
def needs_extra(name: str) -> Iterator[None]:
    """Say what to install, if a module that comes with an extra of the package is not there."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise CommandError(
            f"needs {error.name}: pip install 'babyaipp[{name}]', or in a clone: pip install -e '.[{name}]'"
        ) from None


@contextmanager
def refusals(prefix: str = "") -> Iterator[None]:
    """Turn the refusal of an argument into a message for the user.

    Args:
        prefix: names the argument; without it a file that cannot be read or written is named.

    Raises:
        CommandError: what is done raised ValueError or OSError.
    """
    try:
        yield
    except OSError as error:
        named = f"{error.filename}: " if error.filename is not None and not prefix else prefix
        raise CommandError(f"{named}{error.strerror or error}") from None
    except ValueError as error:
        raise CommandError(f"{prefix}{error}") from None
