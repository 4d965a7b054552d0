"""Builds the board from its folder: verifies all entries, and writes `README.md` and the site from what it found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from babyaipp.files import write_whole
from babyaipp.leaderboard.badges import read_badges
from babyaipp.leaderboard.entry import BOARD
from babyaipp.leaderboard.site import Shown, build, markdown, pages, top
from babyaipp.leaderboard.verify import Verdict, find_entries, verify_entry, without_copies

SITE, README = "site", "README.md"
_BEGIN, _END = "<!-- leaderboard: made by `babyaipp leaderboard build` -->\n", "<!-- end of leaderboard -->"
"""Between these, the project's own README shows the top of the board."""

_HEAD = """# Leaderboard

Made by `babyaipp leaderboard build` from the entries in `v1/`; do not edit. `site/index.html` has more: every score
with its interval, and replays. How results are measured: [docs/protocol.md](../docs/protocol.md); how to submit:
[docs/submitting.md](../docs/submitting.md).

Every entry is verified by playing all its episodes again: `babyaipp leaderboard verify leaderboards/v1`. *Reproduced*:
the maintainers let the agent play worlds that nobody had seen, and found what is claimed.

"""


def verify_board(root: Path, num_threads: int, tell: Callable[[Verdict], Any]) -> list[Shown]:
    """Verify all entries of a board.

    Args:
        root: folder of the board.
        num_threads: of the engine.
        tell: told what was found of each entry.

    Returns:
        What is to be shown of those that are sound; there are no others if none was refused.

    Raises:
        EntryError: `badges.json` is damaged.
        OSError: something cannot be read.
    """
    folder = root / BOARD
    badges = read_badges(folder)
    shown = []
    for verdict in without_copies([verify_entry(path, num_threads=num_threads) for path in find_entries(folder)]):
        tell(verdict)
        if verdict.sound and verdict.entry is not None and verdict.report is not None and verdict.records is not None:
            entry = verdict.entry
            info = entry.model_dump(mode="json")
            names = badges.of(entry) or ("replayed",)
            shown.append(Shown(verdict.name, info, verdict.report, verdict.records, verdict.ranked, names))
    return shown


def write_board(root: Path, entries: Sequence[Shown]) -> list[Path]:
    """Write the site, and the tables in Markdown; returns the latter's files."""
    build(entries, root / SITE)
    tables = _tables(root, entries)
    for path, text in tables.items():
        write_whole(path, text.encode())
    return list(tables)


def stale_files(root: Path, entries: Sequence[Shown]) -> list[Path]:
    """What of the tables and the site is not as it would be written."""
    wanted = {root / SITE / name: text for name, text in pages(entries).items()} | _tables(root, entries)
    stale = [path for path, text in wanted.items() if not path.is_file() or path.read_bytes() != text.encode()]
    there = [path for path in (root / SITE).rglob("*") if path.is_symlink() or not path.is_dir()]
    return sorted({*stale, *(path for path in there if path not in wanted or path.is_symlink())})


def _tables(root: Path, entries: Sequence[Shown]) -> dict[Path, str]:
    """Files in Markdown, and what is to stand in them; the README beside the board only if it has a place for it."""
    found = {root / README: readme(entries)}
    above = root.absolute().parent / README
    if above.is_file():
        before, begin, rest = above.read_text(encoding="utf-8").partition(_BEGIN)
        _, end, after = rest.partition(_END)
        if end:
            found[above] = f"{before}{begin}\n{top(entries)}\n{end}{after}"
    return found


def readme(entries: Sequence[Shown]) -> str:
    """The table as a page."""
    return _HEAD + markdown(entries).rstrip("\n") + "\n"
