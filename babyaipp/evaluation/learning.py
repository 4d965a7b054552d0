"""Learning curves, as whoever trained an agent may give them for the page of its evaluation.

A file has a JSON object a line, with at least `frames`, of the training so far, and `success`, a rate; lines without a
`success` are passed over. `agents.train` writes such a file as `progress.jsonl` of its run folder.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

from babyaipp.evaluation.charts import COLORS, Curve

_MOST_POINTS = 100
_MILLION = 1e6


def read_curves(files: Sequence[Path]) -> list[Curve]:
    """A curve of each file, over millions of frames, called as the folder in which the file lies.

    Many lines become 100 points, each the mean of as many neighbours.

    Raises:
        ValueError: a file is no such file, there are more than can be told apart, or two have one name.
        OSError: a file cannot be read.
    """
    if len(files) > COLORS:
        raise ValueError(f"curve names {len(files)} files; at most {COLORS} can be told apart")
    names = [file.absolute().parent.name for file in files]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"curve has two files in folders called {twice[0]!r}, which names them")
    return [Curve(name, _points(file)) for name, file in zip(names, files, strict=True)]


def _points(file: Path) -> tuple[tuple[float, float], ...]:
    found: list[tuple[float, float]] = []
    for number, line in enumerate(file.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        try:
            told = json.loads(line)
            frames, success = (told.get(name) for name in ("frames", "success"))
        except (ValueError, AttributeError, RecursionError):
            raise ValueError(f"{file}, line {number}: is no JSON object") from None
        if success is None:
            continue
        if not _number(frames) or not _number(success) or not 0 <= success <= 1:
            raise ValueError(f"{file}, line {number}: needs numbers, frames and success, the latter from 0 to 1")
        if frames < 0 or (found and frames / _MILLION < found[-1][0]):
            raise ValueError(f"{file}, line {number}: frames={frames} must not be below those of the line before")
        found.append((frames / _MILLION, float(success)))
    if not found:
        raise ValueError(f"{file} has no line with frames and success")
    size = math.ceil(len(found) / _MOST_POINTS)
    parts = (found[begin : begin + size] for begin in range(0, len(found), size))
    return tuple((sum(x for x, _ in part) / len(part), sum(y for _, y in part) / len(part)) for part in parts)


def _number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
