"""`babyaipp leaderboard ...`: the commands of the leaderboard, which `babyaipp/cli.py` takes up as one.

What they need is imported when they run: Pydantic and SciPy come with the extra `leaderboard`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from babyaipp.files import write_whole
from babyaipp.refusals import CommandError, refusals

if TYPE_CHECKING:
    from babyaipp.leaderboard.badges import Badges
    from babyaipp.leaderboard.fresh import Compared
    from babyaipp.leaderboard.verify import Verdict

_REFUSED = 1
_SCHEMA_FILE = "schema.json"


@dataclass(frozen=True, kw_only=True)
class Submit:
    """Make the folder of an entry from what `babyaipp evaluate` wrote, and verify it."""

    report: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="REPORT")]
    """Folder that `babyaipp evaluate` wrote."""
    name: str
    """Of the entry: a-z, 0-9 and hyphens."""
    title: str
    """What the board calls it."""
    authors: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME")]
    """Who made the agent."""
    code: Annotated[str, tyro.conf.arg(metavar="URL")]
    """Where its code is."""
    parameters: int
    """Numbers that one agent learns."""
    frames: float
    """Of the training of one agent, such as 5e6. Where each level has its own agent, those of one level."""
    hardware: str
    """What it was trained on."""
    checkpoint: Annotated[tuple[Path, ...], tyro.conf.arg(metavar="FILE")] = ()
    """Files of the agents' parameters; the entry has their hashes."""
    agent: str | None = None
    """What played, if the report should not tell it."""
    paper: Annotated[str | None, tyro.conf.arg(metavar="URL")] = None
    """Where the agent is described."""
    commit: Annotated[str | None, tyro.conf.arg(metavar="SHA")] = None
    """Of the code: the 40 digits of Git."""
    training_text: str = "true"
    """What the texts told in training, as --text of other commands."""
    observation: Literal["tokens", "text"] = "tokens"
    """Whether the agent is given word ids or strings."""
    augmentation: str | None = None
    """What was done to the training data."""
    privileged: str | None = None
    """What the agent knows besides its observations, and what is built into it."""
    date: Annotated[str | None, tyro.conf.arg(metavar="YYYY-MM-DD")] = None
    """Of the submission; today's, if not given."""
    root: Annotated[Path, tyro.conf.arg(metavar="DIR")] = Path("leaderboards")
    """Folder of the boards."""
    threads: int | None = None
    """Of the engine; as many as there are cores, if not given."""
    overwrite: bool = False
    """Put it in the place of an entry of that name."""

    def run(self) -> int:
        """Make and verify it; returns the exit status."""
        if self.frames != int(self.frames):
            raise CommandError(f"--frames {self.frames}: must be a whole number")
        threads = _threads(self.threads)
        with _extra():
            from babyaipp.leaderboard.entry import EntryError
            from babyaipp.leaderboard.submit import Told, submit
        told = Told(
            name=self.name,
            title=self.title,
            authors=self.authors,
            code=self.code,
            parameters=self.parameters,
            frames=int(self.frames),
            hardware=self.hardware,
            date=self.date or datetime.now(UTC).date().isoformat(),
            agent=self.agent,
            paper=self.paper,
            commit=self.commit,
            training_text=self.training_text,
            observation=self.observation,
            augmentation=self.augmentation,
            privileged=self.privileged,
        )
        with _progress(f"{self.name}: replay") as at, refusals():
            try:
                folder, verdict = submit(
                    self.report,
                    told,
                    self.root,
                    checkpoints=self.checkpoint,
                    overwrite=self.overwrite,
                    num_threads=threads,
                    on_episodes=at,
                )
            except EntryError as error:
                return _refuse(self.name, error.refusals)
        _tell(verdict)
        print(f"written to {folder}")
        return 0


@dataclass(frozen=True, kw_only=True)
class Verify:
    """Play the episodes of entries again, and work out their scores anew. Exit status 0: all sound, 1: one is refused."""

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
    """For maintainers: let the agent of the entry play so many episodes of each level and training seed in worlds that
    nobody has seen, and compare."""
    agent: Annotated[str | None, tyro.conf.arg(metavar="MODULE:CALLABLE")] = None
    """What makes the agent for --fresh; or random, oracle, blind. It is run: read it first."""
    checkpoint: Annotated[Path | None, tyro.conf.arg(metavar="PATH")] = None
    """Given to the callable: a checkpoint of the hash that the entry tells, or a folder of them."""

    def run(self) -> int:
        """Verify and print; returns the exit status."""
        threads = _threads(self.threads)
        self._check()
        with _extra():
            from babyaipp.leaderboard.badges import read_badges, write_badges
            from babyaipp.leaderboard.entry import EntryError
            from babyaipp.leaderboard.verify import copies, find_entries, verify_entry
        with refusals():
            folders = list(dict.fromkeys(folder for path in self.paths for folder in find_entries(path)))
        if self.fresh is not None and len(folders) != 1:
            raise CommandError(f"--fresh: PATH must be one entry; got {len(folders)}")
        verdicts, status = [], 0
        for folder in folders:
            with _progress(f"{folder.name}: replay") as at, refusals():
                verdict = verify_entry(
                    folder,
                    num_threads=threads,
                    reference=self.sample if self.reference else 0,
                    reference_seed=self.sample_seed,
                    on_episodes=at,
                )
            verdicts.append(verdict)
            status = max(status, _tell(verdict))
        for name, other in copies(verdicts).items():
            status = _refuse(name, (f"episodes.npz: has the actions of the entry {other}",))
        copied = set(copies(verdicts))
        compared: tuple[Compared, ...] = ()
        if self.fresh is not None and verdicts[0].sound:
            with refusals():
                try:
                    compared = self._play_fresh(verdicts[0], threads)
                except EntryError as error:
                    return _refuse(verdicts[0].name, error.refusals)
            status = _tell_fresh(verdicts[0].name, compared)
        for board in sorted({folder.absolute().parent for folder in folders}):
            try:
                with _badge_errors():
                    badges = read_badges(board)
            except EntryError as error:
                status = _refuse(board.name, error.refusals)
        return status
