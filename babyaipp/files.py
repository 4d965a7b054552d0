"""Files that are written whole or not at all."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path


def write_whole(path: Path, data: bytes) -> None:
    """Write a file in the place of the one before; whatever happens, there is the old one or the new one.

    Raises:
        OSError: it cannot be written, or is there and not a regular file.
    """
    target = path.resolve()
    _check_regular(target)
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        partial.write_bytes(data)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def check_writable(path: Path) -> None:
    """Raise OSError, before anything is worked out, if `write_whole` could not write the file."""
    target = path.resolve()
    _check_regular(target)
    with tempfile.NamedTemporaryFile(dir=target.parent, prefix=f".{target.name}."):
        pass


def _check_regular(target: Path) -> None:
    if target.exists() and not target.is_file():
        raise OSError(errno.EINVAL, "not a regular file", str(target))
