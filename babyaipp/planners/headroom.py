"""How much there is to gain by reading: what the oracle reaches on a level, and what the blind planner does.

Both play the same episodes, so that their difference is one of pairs. Results are plain data, an entry an id, as
`babyaipp headroom --json` writes them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from babyaipp import __version__
from babyaipp.files import check_writable, write_whole
from babyaipp.levels import ID_PREFIX, VERSION, Level, Split
from babyaipp.planners.protocol import make_planner
from babyaipp.planners.rollout import Episodes, check_run, play
from babyaipp.statistics import Estimate, mean_interval, paired_difference_interval, wilson_interval

PLAYERS = ("oracle", "blind")

Entry = dict[str, Any]
"""What was measured of an id: `id`, `episodes`, `seed`, `package_version`, `solvable`, `oracle` and `blind` with
`success`, `return`, `steps` and `causes`, `headroom`; beside each measured number its interval."""

_DIGITS = 6
_HEADER = ("id", "planner", "success", "return", "steps")
_MARKDOWN_HEADER = (
    *("id", "solvable", "oracle success", "blind success", "headroom"),
    *("oracle return", "blind return", "oracle steps", "blind steps"),
)


def measure(level: Level, split: Split, episodes: int, seed: int = 0, on_episodes: Callable[[int], Any] = int) -> Entry:
    """Let both planners play the same episodes.

    Args:
        level: the level.
        split: one that it has.
        episodes: how many each plays.
        seed: of the first episode; episode k begins from `seed + k`.
        on_episodes: told how many episodes have been played, at the beginning and after each batch.

    Raises:
        ValueError: no such number of episodes or seed.
    """
    check_run(episodes, seed)
    played: dict[str, Episodes] = {}
    done = 0
    on_episodes(done)
    for name in PLAYERS:
        parts = []
        for part in play(make_planner(name, level, split), level, split, episodes, seed):
            parts.append(part)
            done += len(part)
            on_episodes(done)
        played[name] = Episodes.joined(parts)
    oracle, blind = (played[name] for name in PLAYERS)
    return {
        "id": level.env_id(split),
        "episodes": episodes,
        "seed": seed,
        "package_version": __version__,
        **_told("solvable", _rate(oracle)),
        **{name: _summary(played[name]) for name in PLAYERS},
        **_told("headroom", paired_difference_interval(oracle.success, blind.success)),
    }


def _rate(episodes: Episodes) -> Estimate:
    return wilson_interval(int(np.count_nonzero(episodes.success)), len(episodes))


def _summary(episodes: Episodes) -> dict[str, Any]:
    return {
        **_told("success", _rate(episodes)),
        **_told("return", mean_interval(episodes.returns)),
        **_told("steps", mean_interval(episodes.steps)),
        "causes": episodes.causes(),
    }


def _told(name: str, estimate: Estimate) -> dict[str, Any]:
    low, high = round(estimate.low, _DIGITS), round(estimate.high, _DIGITS)
    return {name: round(estimate.value, _DIGITS), f"{name}_interval": [low, high]}


class Results:
    """A JSON file of entries that grows by one at a time, so that a run that was interrupted goes on.

    Args:
        path: the file; None: results are not kept.
        episodes: of this run.
        seed: of this run.
        overwrite: begin anew if the file is there.

    Raises:
        ValueError: the file is there and holds something else than results of such a run.
        OSError: the file cannot be read or written.
    """

    def __init__(self, path: Path | None, episodes: int, seed: int, overwrite: bool = False) -> None:
        self._path = path
        self._entries: list[Entry] = []
        if path is None:
            return
        check_writable(path)
        if path.exists() and not overwrite:
            self._entries = _read(path, {"episodes": episodes, "seed": seed, "package_version": __version__})

    def get(self, env_id: str) -> Entry | None:
        """The entry of an id, if the file has one."""
        return next((entry for entry in self._entries if entry["id"] == env_id), None)

    def add(self, entry: Entry) -> None:
        """Write the file with an entry more."""
        self._entries.append(entry)
        if self._path is not None:
            lines = ",\n".join(json.dumps(entry) for entry in self._entries)
            write_whole(self._path, f"[\n{lines}\n]\n".encode())


def _read(path: Path, run: Mapping[str, Any]) -> list[Entry]:
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        raise ValueError("there is a file that is not JSON; choose another one, or --overwrite") from None
    if not isinstance(entries, list) or not all(isinstance(entry, dict) and "headroom" in entry for entry in entries):
        raise ValueError("there is a file that holds no results of headroom; choose another one, or --overwrite")
    for entry in entries:
        for name, value in run.items():
            if entry.get(name) != value:
                raise ValueError(
                    f"there is a file with {name} {entry.get(name)}, not {value}; choose another one, or --overwrite"
                )
    return entries


def header(ids: Sequence[str], markdown: bool) -> str:
    """The first lines of a table of these ids."""
    if markdown:
        return "\n".join(f"| {' | '.join(row)} |" for row in (_MARKDOWN_HEADER, ["---"] * len(_MARKDOWN_HEADER)))
    return _line(_HEADER, ids)


def rows(entry: Entry, ids: Sequence[str], markdown: bool) -> str:
    """The lines of a table of these ids that tell of one."""
    oracle, blind = (entry[name] for name in PLAYERS)
    if markdown:
        cells = [
            entry["id"].removeprefix(f"{ID_PREFIX}-").removesuffix(f"-{VERSION}"),
            *(_cell(entry, "solvable"), _cell(oracle, "success"), _cell(blind, "success"), _cell(entry, "headroom")),
            *(_cell(oracle, "return"), _cell(blind, "return"), _cell(oracle, "steps"), _cell(blind, "steps")),
        ]
        return f"| {' | '.join(cells)} |"
    lines = [
        (entry["id"], "oracle", _cell(oracle, "success"), _cell(oracle, "return"), _cell(oracle, "steps")),
        ("", "blind", _cell(blind, "success"), _cell(blind, "return"), _cell(blind, "steps")),
        ("", "headroom", _cell(entry, "headroom"), "", ""),
        ("", "solvable", _cell(entry, "solvable"), "", ""),
    ]
    return "\n".join(_line(line, ids) for line in lines)


def _line(cells: Sequence[str], ids: Sequence[str]) -> str:
    widths = (max(map(len, ids)), 8, 22, 22, 0)
    return "  ".join(map(str.ljust, cells, widths)).rstrip()


def _cell(estimates: Mapping[str, Any], name: str) -> str:
    digits = 1 if name == "steps" else 3
    low, high = estimates[f"{name}_interval"]
    return f"{estimates[name]:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"
