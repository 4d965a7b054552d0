"""What the maintainers have found of entries: `badges.json` beside them, which no entry can write to.

    replayed      every episode was played again, and every score worked out anew
    reproduced    besides, the agent plays in worlds that nobody has seen as it claims to

A badge is of what was verified (`Entry.seal`): an entry that then gets other episodes, checkpoints or seeds has none.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ValidationError

from babyaipp import __version__
from babyaipp.files import write_whole
from babyaipp.leaderboard.entry import (
    CONFIG,
    Count,
    Entry,
    EntryError,
    LevelName,
    Line,
    Number,
    Sha256,
    as_json,
    parse_json,
)
from babyaipp.leaderboard.fresh import LEAST_EPISODES, Compared, differing
from babyaipp.leaderboard.verify import BADGES_FILE, Verdict

REPLAYED, REPRODUCED = "replayed", "reproduced"


class FreshLevel(BaseModel):
    """A level in worlds that nobody has seen: its cells and runs together."""

    model_config = CONFIG

    claimed: Number
    """Success that the entry claims."""
    fresh: Number
    """Success in fresh worlds."""
    episodes: Count
    """Fresh ones."""
    p: Number
    """The least of Fisher's exact tests, of each cell and run, that the two are the same."""


class Badge(BaseModel):
    """What was found of an entry."""

    model_config = CONFIG

    seal: Sha256
    """Of what was verified."""
    replayed: Line
    """Version of the package that played the episodes again."""
    reproduced: dict[LevelName, FreshLevel] | None = None
    """The levels, if the agent plays as it claims."""


class Badges(BaseModel):
    """The file."""

    model_config = CONFIG

    format_version: Literal[1] = 1
    entries: dict[str, Badge] = {}
    """Name of an entry -> what was found of it."""

    def of(self, entry: Entry) -> tuple[str, ...]:
        """The names of an entry's badges."""
        badge = self.entries.get(entry.name)
        if badge is None or badge.seal != entry.seal:
            return ()
        return (REPLAYED, REPRODUCED) if tuple(badge.reproduced or ()) == entry.levels else (REPLAYED,)

    def after(self, verdict: Verdict, compared: Sequence[Compared] = ()) -> Badges:
        """The badges after verifying an entry: those of a refused one are taken away.

        Args:
            verdict: what was found.
            compared: how its agent played in fresh worlds; none: it was not asked to, and keeps what it had.
        """
        others = {name: badge for name, badge in self.entries.items() if name != verdict.name}
        if not verdict.sound or verdict.entry is None:
            return Badges(entries=others)
        reproduced = None
        if compared and not differing(compared) and min(each.fresh_episodes for each in compared) >= LEAST_EPISODES:
            reproduced = {level: _level(compared, level) for level in verdict.entry.levels}
        elif not compared and REPRODUCED in self.of(verdict.entry):
            reproduced = self.entries[verdict.name].reproduced
        badge = Badge(seal=verdict.entry.seal, replayed=__version__, reproduced=reproduced)
        return Badges(entries=dict(sorted((others | {verdict.name: badge}).items())))


def _level(compared: Sequence[Compared], level: str) -> FreshLevel:
    those = [each for each in compared if each.cell.level == level]
    fresh = sum(each.fresh_episodes for each in those)
    return FreshLevel(
        claimed=round(sum(each.successes for each in those) / sum(each.episodes for each in those), 5),
        fresh=round(sum(each.fresh_successes for each in those) / fresh, 5),
        episodes=fresh,
        p=round(min(each.p for each in those), 5),
    )


def read_badges(board: Path) -> Badges:
    """The badges of a folder of entries; none, if there is no such file.

    Raises:
        EntryError: it is damaged.
        OSError: it cannot be read.
    """
    file = board / BADGES_FILE
    if not file.exists():
        return Badges()
    try:
        return Badges.model_validate_json(as_json(parse_json(file.read_bytes())))
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        raise EntryError(f"{BADGES_FILE}: {ascii(first['loc'])[:200]}: {first['msg']}") from None
    except (ValueError, RecursionError) as error:
        raise EntryError(f"{BADGES_FILE}: {error}") from None


def write_badges(board: Path, badges: Badges) -> None:
    """Write them.

    Raises:
        OSError: it cannot be written.
    """
    write_whole(board / BADGES_FILE, as_json(badges.model_dump(mode="json")))
