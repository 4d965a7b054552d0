"""`babyaipp leaderboard ...`: the commands of the leaderboard, which `babyaipp/cli.py` takes up as one.

What they need is imported when they run: Pydantic and SciPy come with the extra `leaderboard`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from babyaipp.files import write_whole
from babyaipp.leaderboard.told import Told
from babyaipp.refusals import CommandError, needs_extra, refusals

if TYPE_CHECKING:
    from babyaipp.leaderboard.fresh import Compared
    from babyaipp.leaderboard.verify import Verdict

_REFUSED = 1
_SCHEMA_FILE = "schema.json"


@dataclass(frozen=True, kw_only=True)
class Submit(Told):
    """Make the folder of an entry from what `babyaipp evaluate` wrote, and verify it."""

    report: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="REPORT")]
    """Folder that `babyaipp evaluate` wrote."""
    checkpoint: Annotated[tuple[Path, ...], tyro.conf.arg(metavar="FILE")] = ()
    """Files of the agents' parameters; the entry has their hashes."""
    root: Annotated[Path, tyro.conf.arg(metavar="DIR")] = Path("leaderboards")
    """Folder of the boards."""
    threads: int | None = None
    """Of the engine; as many as there are cores, if not given."""
    overwrite: bool = False
    """Put it in the place of an entry of that name."""

    def run(self) -> int:
        """Make and verify it; returns the exit status."""
        threads = _threads(self.threads)
        with needs_extra("leaderboard"):
            from babyaipp.leaderboard.entry import EntryError
            from babyaipp.leaderboard.submit import submit
        try:
            with refusals():
                folder, verdict = submit(
                    *(self.report, self, self.root),
                    checkpoints=self.checkpoint,
                    overwrite=self.overwrite,
                    num_threads=threads,
                )
        except EntryError as error:
            return _refuse(ascii(self.name)[1:-1], error.refusals)
        _tell(verdict)
        print(f"written to {folder}")
        return 0


@dataclass(frozen=True, kw_only=True)
class Verify:
    """Play the episodes of entries again, and work out their scores anew.

    The exit status is 0 if all are sound, 1 if one is refused, and 2 for a mistake in the arguments.
    """

    paths: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="PATH")]
    """Folders of entries, or of many, such as leaderboards/v1."""
    reference: bool = False
    """Play a sample on the reference environment, Minigrid's, too."""
    sample: int = 100
    """Episodes of an entry that --reference plays."""
    sample_seed: int = 0
    """Of the draw of these."""
    threads: int | None = None
    """Of the engine; as many as there are cores, if not given."""
    badges: bool = False
    """For maintainers: write what is found to badges.json beside the entries."""
    fresh: int | None = None
    """For maintainers: let the agent of the entry play so many episodes of each level, split, text and training seed in
    worlds that nobody has seen, and compare; a badge needs 200."""
    agent: Annotated[str | None, tyro.conf.arg(metavar="MODULE:CALLABLE")] = None
    """What makes the agent for --fresh; or random, oracle, blind. It is run: read it first."""
    checkpoint: Annotated[Path | None, tyro.conf.arg(metavar="PATH")] = None
    """Given to the callable: a checkpoint of the hash that the entry tells, or a folder of them."""

    def run(self) -> int:
        """Verify and print; returns the exit status."""
        threads = _threads(self.threads)
        self._check()
        with needs_extra("leaderboard"):
            from babyaipp.leaderboard.badges import read_badges, write_badges
            from babyaipp.leaderboard.entry import EntryError
            from babyaipp.leaderboard.verify import find_entries, verify_entry, without_copies
        try:
            with refusals():
                folders = list(dict.fromkeys(folder for path in self.paths for folder in find_entries(path)))
                boards = {folder.absolute().parent: read_badges(folder.absolute().parent) for folder in folders}
        except EntryError as error:
            return _refuse("badges", error.refusals)
        if self.fresh is not None and len(folders) != 1:
            raise CommandError(f"--fresh: PATH must be one entry, not {len(folders)}")
        status = 0
        sample = self.sample if self.reference else 0
        with refusals():
            verdicts = without_copies(
                [
                    verify_entry(folder, num_threads=threads, reference=sample, reference_seed=self.sample_seed)
                    for folder in folders
                ]
            )
        for folder, verdict in zip(folders, verdicts, strict=True):
            status = max(status, _tell(verdict))
            compared: tuple[Compared, ...] = ()
            if self.fresh is not None and verdict.sound:
                try:
                    compared = self._play_fresh(verdict, threads)
                    status = _tell_fresh(verdict.name, compared)
                except EntryError as error:
                    status = _refuse(verdict.name, error.refusals)
            board = folder.absolute().parent
            boards[board] = boards[board].after(verdict, compared)
        if self.badges:
            with refusals("--badges: "):
                for board, badges in boards.items():
                    write_badges(board, badges)
        return status

    def _check(self) -> None:
        if not self.paths:
            raise CommandError("needs PATH: the folder of an entry, or of many")
        if self.sample < 1 or self.sample_seed < 0:
            raise CommandError(
                f"--sample {self.sample} must be at least 1, and --sample-seed {self.sample_seed} at least 0"
            )
        if self.fresh is None and (self.agent is not None or self.checkpoint is not None):
            raise CommandError("--agent and --checkpoint are for --fresh")
        if self.fresh is not None and (self.fresh < 1 or self.agent is None):
            raise CommandError(f"--fresh {self.fresh}: must be at least 1, and needs --agent")

    def _play_fresh(self, verdict: Verdict, threads: int) -> tuple[Compared, ...]:
        from babyaipp.leaderboard.fresh import play_fresh
        from babyaipp.planners.progress import Progress

        entry, records = verdict.entry, verdict.records
        if entry is None or records is None or self.agent is None or self.fresh is None:
            raise AssertionError("the entry is sound, and the options are checked")
        total = self.fresh * len(records.runs) * len(records.cells)
        with Progress(f"{verdict.name}, fresh worlds", total) as progress, refusals():
            return play_fresh(
                entry,
                records,
                self.agent,
                self.checkpoint,
                self.fresh,
                num_threads=threads,
                on_episodes=progress.at,
            )


@dataclass(frozen=True, kw_only=True)
class Schema:
    """Write the JSON Schema of entry.json."""

    root: Annotated[Path, tyro.conf.arg(metavar="DIR")] = Path("leaderboards")
    """Folder of the boards, which gets schema.json."""

    def run(self) -> int:
        """Write it; returns the exit status."""
        with needs_extra("leaderboard"):
            from babyaipp.leaderboard.entry import schema
        file = self.root / _SCHEMA_FILE
        with refusals(f"--root {self.root}: "):
            write_whole(file, schema())
        print(f"written to {file}")
        return 0


@dataclass(frozen=True, kw_only=True)
class Build:
    """Verify all entries; write leaderboards/README.md, the site in leaderboards/site, and the README's table."""

    root: Annotated[Path, tyro.conf.arg(metavar="DIR")] = Path("leaderboards")
    """Folder of the boards."""
    check: bool = False
    """Write nothing; the exit status is 1 if something is not as it would be written."""
    threads: int | None = None
    """Of the engine; as many as there are cores, if not given."""

    def run(self) -> int:
        """Verify and write; returns the exit status."""
        threads = _threads(self.threads)
        with needs_extra("leaderboard"):
            from babyaipp.leaderboard.board import stale_files, verify_board, write_board
            from babyaipp.leaderboard.entry import EntryError
        statuses = [0]
        try:
            with refusals():
                shown = verify_board(self.root, threads, lambda verdict: statuses.append(_tell(verdict)))
        except EntryError as error:
            return _refuse("badges", error.refusals)
        if max(statuses):
            return _REFUSED
        if self.check:
            stale = stale_files(self.root, shown)
            print(*(f"{path} is not current: run babyaipp leaderboard build" for path in stale), sep="\n", end="")
            return _REFUSED if stale else 0
        with refusals(f"--root {self.root}: "):
            tables = write_board(self.root, shown)
        print(f"written: {', '.join(map(str, tables))}, {self.root}/site/index.html")
        return 0


LeaderboardCommand = (
    Annotated[Submit, tyro.conf.subcommand("submit")]
    | Annotated[Verify, tyro.conf.subcommand("verify")]
    | Annotated[Build, tyro.conf.subcommand("build")]
    | Annotated[Schema, tyro.conf.subcommand("schema")]
)


@dataclass(frozen=True)
class Leaderboard:
    """Submit and verify entries of the leaderboard."""

    command: LeaderboardCommand

    def run(self) -> int:
        """Run the command; returns the exit status."""
        return self.command.run()


def _tell(verdict: Verdict) -> int:
    """Print what was found; returns the exit status."""
    if not verdict.sound:
        return _refuse(verdict.name, verdict.refusals)
    rate = verdict.steps / max(verdict.seconds, 1e-9)
    also = f", {verdict.referenced} of them also on the reference environment" if verdict.referenced else ""
    print(
        f"{verdict.name}: sound; {verdict.episodes} episodes{also}, {verdict.steps} steps, {rate:,.0f} steps/s; "
        + ("ranked" if verdict.ranked else f"not ranked: {'; '.join(verdict.unranked)}")
    )
    return 0


def _tell_fresh(name: str, compared: Sequence[Compared]) -> int:
    from babyaipp.leaderboard.fresh import LEAST_EPISODES, SIGNIFICANCE, differing

    wrong = differing(compared)
    for each in compared:
        told = f"{name}: {each.cell.name}, seed {each.seed}: claimed {each.claimed:.3f}, fresh {each.fresh:.3f}"
        print(f"{told}, p = {each.p:.2g}{': differs' if each in wrong else ''}")
    limit = SIGNIFICANCE / max(len(compared), 1)
    print(f"{name}: {'not reproduced' if wrong else 'reproduced'}: differing are those with p of at most {limit:.2g}")
    if not wrong and compared[0].fresh_episodes < LEAST_EPISODES:
        print(f"{name}: for a badge, play at least --fresh {LEAST_EPISODES}")
    return _REFUSED if wrong else 0


def _refuse(name: str, lines: Sequence[str]) -> int:
    print(*(f"{name}: {line}" for line in lines), f"{name}: refused", sep="\n")
    return _REFUSED


def _threads(asked: int | None) -> int:
    if asked is not None and asked < 1:
        raise CommandError(f"--threads {asked}: must be at least 1")
    return asked or os.cpu_count() or 1
