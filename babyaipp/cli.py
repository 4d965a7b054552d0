"""The command line: lists levels, plays, renders and describes worlds, lets planners play. The only place that wires
things together, beside `leaderboard/cli.py`.

What loads Minigrid, pygame and Numba is imported by the commands that need it.
"""

from __future__ import annotations

import io
import json
import os
import re
import secrets
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from babyaipp import __version__
from babyaipp.files import write_whole
from babyaipp.leaderboard.cli import Leaderboard
from babyaipp.levels import COLORS, LEVELS, PROPERTIES, Level, Split, parse_env_id
from babyaipp.refusals import CommandError, needs_extra, refusals
from babyaipp.texts import TEXT_CONDITION_NAMES
from babyaipp.world import World

if TYPE_CHECKING:
    from babyaipp.play import Game

_USAGE_ERROR = 2
_INTERRUPTED = 130  # what a shell reports of a program that Ctrl-C ended

_PIXELS_OF_WINDOW = 640
_MAX_TILE_PIXELS = 64
_MOST_TILE_PIXELS = 256
_GIF_MILLISECONDS = 350
_GIF_LAST_MILLISECONDS = 2500
_GIF_COLORS = 128

_HEADER = ("rooms", "floor colours", "properties", "held-out rules")
_COLUMN_WIDTHS = (5, 7, 15, 27)
_NO_BREAK_SPACE = "\xa0"


@dataclass(frozen=True)
class Levels:
    """List all levels: rooms, floor colours, properties, held-out rules, environment ids."""

    markdown: bool = False
    """Print a Markdown table."""
    json: bool = False
    """Print JSON."""

    def run(self) -> None:
        """Print the table."""
        if self.markdown and self.json:
            raise CommandError("--markdown and --json exclude each other")
        if self.json:
            print(json.dumps([_level_data(level) for level in LEVELS.values()], indent=2))
        else:
            print(levels_markdown() if self.markdown else _levels_text())


@dataclass(frozen=True, kw_only=True)
class _Episode:
    """What the commands that start an episode have in common."""

    env_id: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="ID")]
    """Environment id, such as BabyAIpp-GoToRedBall-Train-v0."""
    sentence_order: Literal["canonical", "shuffled"] | None = None
    """Order of the description's sentences, instead of the level's own."""
    world: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Start from the world in this file, JSON or ASCII map, instead of drawing one."""

    def _game(self, seed: int, text: str = "true", tile_size: int | None = None) -> Game:
        """The episode's start. Raises CommandError if an argument does not fit."""
        if seed < 0:
            raise CommandError(f"--seed {seed}: must be at least 0")
        if tile_size is not None and not 1 <= tile_size <= _MOST_TILE_PIXELS:
            raise CommandError(f"--tile-size {tile_size}: must be 1 to {_MOST_TILE_PIXELS}")
        with refusals():
            level, split = parse_env_id(self.env_id)
        world = None if self.world is None else _read_world(self.world, level, split)
        from babyaipp.play import Game
        from babyaipp.reference.env import make

        tile_size = tile_size or min(_PIXELS_OF_WINDOW // level.height, _MAX_TILE_PIXELS)
        with refusals():
            env = make(level.name, split, text=text, sentence_order=self.sentence_order, tile_size=tile_size)
            return Game(env, seed, world)


@dataclass(frozen=True, kw_only=True)
class Play(_Episode):
    """Play by keyboard, in a window or in the terminal."""

    terminal: bool = False
    """Play in the terminal instead of a window."""
    seed: Annotated[int | None, tyro.conf.arg(metavar="INT")] = None
    """Of the first episode; drawn and printed if not given."""
    text: Annotated[str, tyro.conf.arg(help=f"What the description tells: {TEXT_CONDITION_NAMES}.")] = "true"

    def run(self) -> None:
        """Play until the person has had enough."""
        seed = secrets.randbelow(2**31) if self.seed is None else self.seed
        game = self._game(seed, self.text)
        from babyaipp.play import NoScreenError

        print(f"{self.env_id} --seed {seed}", flush=True)
        try:
            if self.terminal:
                game.play_in_terminal()
            else:
                game.play_in_window()
        except NoScreenError as error:
            raise CommandError(str(error)) from None


@dataclass(frozen=True, kw_only=True)
class Render(_Episode):
    """Draw the start of an episode (.png), or a map of it (.txt), or an episode with random actions (.gif)."""

    out: Annotated[Path, tyro.conf.arg(metavar="FILE")]
    """File to write: .png, .txt or .gif."""
    seed: int = 0
    """Of the world, and of the random actions."""
    text: Annotated[str, tyro.conf.arg(help=f"What the picture's description tells: {TEXT_CONDITION_NAMES}.")] = "true"
    steps: int = 60
    """Most random actions of a .gif."""
    actions: Annotated[str | None, tyro.conf.arg(metavar="NAMES")] = None
    """Actions of a .gif instead of random ones, such as left,forward,forward,pickup."""
    tile_size: int = 32
    """Pixels a cell."""

    def run(self) -> None:
        """Write the file."""
        suffix = self.out.suffix.lower()
        if suffix not in (".png", ".gif", ".txt"):
            raise CommandError(f"--out {self.out}: unknown suffix {suffix!r}; allowed: .png, .gif, .txt")
        if self.steps < 0:
            raise CommandError(f"--steps {self.steps}: must be at least 0")
        game = self._game(self.seed, self.text, self.tile_size)
        if suffix == ".txt":
            data = game.env.world.to_ascii().encode()
        elif suffix == ".png":
            data = _image_bytes(game, [], "PNG")
        else:
            data = _image_bytes(game, self._actions(game), "GIF")
        _write(self.out, data)

    def _actions(self, game: Game) -> list[str]:
        from babyaipp.play import ACTION_NAMES

        if self.actions is None:
            game.env.action_space.seed(self.seed)
            return [list(ACTION_NAMES)[game.env.action_space.sample()] for _ in range(self.steps)]
        actions = [name.strip() for name in self.actions.split(",")]
        for name in actions:
            if name not in ACTION_NAMES:
                raise CommandError(f"--actions: unknown action {name!r}; allowed: {', '.join(ACTION_NAMES)}")
        return actions


@dataclass(frozen=True, kw_only=True)
class Describe(_Episode):
    """Print the start of an episode as JSON."""

    seed: int = 0
    """Of the world."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """File to write instead of printing."""

    def run(self) -> None:
        """Print or write the world."""
        data = self._game(self.seed).env.world.to_dict()
        lines = ",\n".join(f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in data.items())
        text = f"{{\n{lines}\n}}\n"
        if self.out is None:
            print(text, end="")
        else:
            _write(self.out, text.encode())


@dataclass(frozen=True, kw_only=True)
class Demos:
    """Write a file of episodes that a planner plays: seeds, actions, how they end."""

    env_id: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="ID")]
    """Environment id, such as BabyAIpp-GoToRedBall-Train-v0."""
    episodes: int
    """How many."""
    out: Annotated[Path, tyro.conf.arg(metavar="FILE")]
    """File to write, a NumPy .npz. An interrupted run keeps its episodes in FILE.partial, and goes on from there."""
    planner: Literal["oracle", "blind"] = "oracle"
    """What plays: oracle knows the rules of the floors, blind does not."""
    seed: int = 0
    """Of the first episode; episode k begins from the environment seed SEED + k."""
    overwrite: bool = False
    """Write over FILE if it is there."""

    def run(self) -> None:
        """Play and write."""
        from babyaipp.planners import demos
        from babyaipp.planners.progress import Progress
        from babyaipp.planners.rollout import check_run

        with refusals():
            level, split = parse_env_id(self.env_id)
            check_run(self.episodes, self.seed)
        with Progress(self.env_id, self.episodes) as progress, refusals(f"--out {self.out}: "):
            try:
                written = demos.record_demos(
                    self.out,
                    level,
                    split,
                    self.planner,
                    self.episodes,
                    self.seed,
                    overwrite=self.overwrite,
                    on_episodes=progress.at,
                )
            except KeyboardInterrupt:
                if demos.partial_file(self.out).exists():
                    progress.note(f"the same command goes on from what is in {demos.partial_file(self.out)}")
                raise
        causes = ", ".join(f"{cause} {count}" for cause, count in written.episodes.causes().items())
        print(f"{self.out}: {self.env_id}, {self.planner}, {len(written.episodes)} episodes: {causes}")


@dataclass(frozen=True, kw_only=True)
class Headroom:
    """Measure what there is to gain by reading: the oracle's success minus the blind planner's, with 95% intervals."""

    env_ids: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="ID")] = ()
    """Environment ids; all if none is given."""
    episodes: int = 1000
    """Episodes an id and planner."""
    seed: int = 0
    """Of the first episode; episode k begins from the environment seed SEED + k."""
    json: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """File to write the results to, id by id. Ids that it holds from a run with the same arguments are not measured
    again."""
    overwrite: bool = False
    """Write over FILE if it is there."""
    markdown: bool = False
    """Print a Markdown table."""

    def run(self) -> None:
        """Measure and print id by id."""
        from babyaipp.planners import headroom
        from babyaipp.planners.progress import Progress
        from babyaipp.planners.rollout import check_run

        with refusals():
            asked = {env_id: parse_env_id(env_id) for env_id in self.env_ids or _all_ids()}
            check_run(self.episodes, self.seed)
        with refusals(f"--json {self.json}: "):
            results = headroom.Results(self.json, self.episodes, self.seed, self.overwrite)
        print(headroom.header(list(asked), self.markdown), flush=True)
        for env_id, (level, split) in asked.items():
            entry = results.get(env_id)
            if entry is None:
                with Progress(env_id, len(headroom.PLAYERS) * self.episodes) as progress:
                    entry = headroom.measure(level, split, self.episodes, self.seed, progress.at)
                with refusals(f"--json {self.json}: "):
                    results.add(entry)
            print(headroom.rows(entry, list(asked), self.markdown), flush=True)


@dataclass(frozen=True, kw_only=True)
class Evaluate:
    """Evaluate an agent by the protocol: its episodes, scores and a report."""

    agent: Annotated[str, tyro.conf.arg(metavar="MODULE:CALLABLE")]
    """What makes the agent, such as agents.grounded:load; or random, oracle, blind."""
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")]
    """Folder to write to. The same command goes on with an interrupted evaluation."""
    checkpoint: Annotated[str | None, tyro.conf.arg(metavar="PATH")] = None
    """Given to the callable: a checkpoint, or a folder of them."""
    suite: str = "reading"
    """Which levels: reading, classic, fixed, lorem."""
    levels: Annotated[tuple[str, ...], tyro.conf.arg(metavar="LEVEL")] = ()
    """Some of them only; such results are not ranked."""
    seeds: tuple[int, ...] = (0,)
    """Training seeds, whose agents play one after the other."""
    sampled: bool = False
    """Ask the agent to draw its actions, instead of taking the likeliest."""
    episodes: int = 1000
    """Of each level, split and text; with fewer than 1000 it is no result of the protocol."""
    threads: int = 1
    """Threads of the engine."""
    overwrite: bool = False
    """Write over a report that is there."""
    curve: Annotated[tuple[Path, ...], tyro.conf.arg(metavar="FILE")] = ()
    """Learning curves for report.html: files with a line of JSON, {"frames": ..., "success": ...}, for each point, as
    runs/.../progress.jsonl."""

    def run(self) -> None:
        """Play, write and print."""
        with needs_extra("leaderboard"):
            from babyaipp.evaluation import report
            from babyaipp.evaluation.run import Played
        from babyaipp.planners.progress import Progress

        asked = report.Evaluation(
            *(self.agent, self.suite, self.levels or None, self.checkpoint, self.seeds, not self.sampled),
            episodes=self.episodes,
        )
        with refusals():
            if self.threads < 1:
                raise ValueError(f"threads={self.threads} must be at least 1")
            _, cells = asked.check()
        done = 0
        with Progress(f"{self.agent}, {self.suite}", len(cells) * len(self.seeds) * self.episodes) as progress:

            def on_cell(run: int, cell: Any, played: Played | None) -> None:
                nonlocal done
                done += 0 if played is None else self.episodes
                progress.at(done)

            try:
                with refusals():
                    told = report.run_evaluation(
                        *(asked, self.out),
                        num_threads=self.threads,
                        overwrite=self.overwrite,
                        curves=self.curve,
                        on_cell=on_cell,
                    )
            except KeyboardInterrupt:
                progress.note("the same command goes on from what has been played")
                raise
        print(report.markdown(told))
        files = (report.EPISODES_FILE, report.REPORT_FILE, report.TEXT_FILE, report.PAGE_FILE)
        print(f"written to {self.out}: {', '.join(files)}")


Command = (
    Annotated[Levels, tyro.conf.subcommand("levels")]
    | Annotated[Play, tyro.conf.subcommand("play")]
    | Annotated[Render, tyro.conf.subcommand("render")]
    | Annotated[Describe, tyro.conf.subcommand("describe")]
    | Annotated[Demos, tyro.conf.subcommand("demos")]
    | Annotated[Headroom, tyro.conf.subcommand("headroom")]
    | Annotated[Evaluate, tyro.conf.subcommand("evaluate")]
    | Annotated[Leaderboard, tyro.conf.subcommand("leaderboard")]
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status.

    Args:
        arguments: instead of those of the process.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    status = 0
    try:
        if list(arguments) == ["--version"]:
            print(f"babyaipp {__version__}")
        else:
            command: Any = tyro.cli(
                Command,
                prog="babyaipp",
                description="BabyAI++: grid worlds whose rules stand in a text. --version prints the version.",
                args=arguments,
                config=(tyro.conf.FlagCreatePairsOff, tyro.conf.OmitSubcommandPrefixes, tyro.conf.OmitArgPrefixes),
            )
            status = command.run() or 0
        sys.stdout.flush()
    except CommandError as error:
        print(f"babyaipp: {error}", file=sys.stderr)
        return _USAGE_ERROR
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        # Whoever read the output has enough; what is left in the buffer must not fail at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return status


def _all_ids() -> list[str]:
    return [level.env_id(split) for level in LEVELS.values() for split in level.splits]


def levels_markdown() -> str:
    """The level table in Markdown."""
    header = ("level", *_HEADER, "splits")
    rows = [(level.name, *_level_cells(level), ", ".join(level.splits)) for level in LEVELS.values()]
    return "\n".join(f"| {' | '.join(row)} |" for row in (header, ["---"] * len(header), *rows))


def _levels_text() -> str:
    """The level table for a terminal: a line an id, with wrapped cells beside the ids of a level."""
    ids = {level.name: [level.env_id(split) for split in level.splits] for level in LEVELS.values()}
    widths = (max(len(env_id) for level_ids in ids.values() for env_id in level_ids), *_COLUMN_WIDTHS)
    blocks = [[["id"], *_wrapped(_HEADER)]]
    blocks += [[ids[level.name], *_wrapped(_level_cells(level))] for level in LEVELS.values()]
    lines: list[str] = []
    for columns in blocks:
        for i in range(max(map(len, columns))):
            parts = [column[i] if i < len(column) else "" for column in columns]
            lines.append("  ".join(f"{part:{width}}" for part, width in zip(parts, widths, strict=True)).rstrip())
        lines.append("")
    return "\n".join(lines[:-1])


def _wrapped(cells: Sequence[str]) -> list[list[str]]:
    """Lines of each cell; a list is broken at its commas only."""
    lists = [re.sub("(?<!,) ", _NO_BREAK_SPACE, cell) if "," in cell else cell for cell in cells]
    lines = [textwrap.wrap(cell, width) for cell, width in zip(lists, _COLUMN_WIDTHS, strict=True)]
    return [[line.replace(_NO_BREAK_SPACE, " ") for line in cell] for cell in lines]


def _sorted(rules: frozenset[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(color, name) for color in COLORS for name in PROPERTIES if (color, name) in rules]


def _level_cells(level: Level) -> tuple[str, ...]:
    """What the table tells of a level, in the order of `_HEADER`."""
    return (
        f"{level.num_rows}x{level.num_cols} of {level.room_size}",
        ", ".join(COLORS[: level.dynamics.num_colors]),
        ", ".join(level.dynamics.properties),
        ", ".join(" ".join(rule) for rule in _sorted(level.dynamics.held_out)),
    )


def _level_data(level: Level) -> dict[str, Any]:
    return {
        "name": level.name,
        "rooms": {"rows": level.num_rows, "columns": level.num_cols, "cells_a_side": level.room_size},
        "floor_colors": COLORS[: level.dynamics.num_colors],
        "properties": level.dynamics.properties,
        "held_out": _sorted(level.dynamics.held_out),
        "val": _sorted(level.dynamics.val),
        "fixed": None if level.fixed is None else dict(level.fixed),
        "ids": {split: level.env_id(split) for split in level.splits},
    }


def _read_world(path: Path, level: Level, split: Split) -> World:
    with refusals(f"--world {path}: "):
        text = path.read_text(encoding="utf-8")
        if text.lstrip().startswith("{"):
            return World.from_dict(json.loads(text))
        return World.from_ascii(text, level=level.name, split=split)


def _image_bytes(game: Game, actions: Sequence[str], kind: str) -> bytes:
    """The episode's start, followed by pictures of the actions until the episode ends."""
    from PIL import Image

    pictures = [game.picture()]
    for name in actions:
        if game.outcome:
            break
        game.act(name)
        pictures.append(game.picture())
    images = [Image.fromarray(picture) for picture in pictures]
    data = io.BytesIO()
    if kind == "GIF":
        images = [image.quantize(_GIF_COLORS, dither=Image.Dither.NONE) for image in images]
        durations = [_GIF_MILLISECONDS] * (len(images) - 1) + [_GIF_LAST_MILLISECONDS]
        images[0].save(data, kind, save_all=True, append_images=images[1:], duration=durations, loop=0)
    else:
        images[0].save(data, kind)
    return data.getvalue()


def _write(path: Path, data: bytes) -> None:
    with refusals(f"--out {path}: "):
        write_whole(path, data)


if __name__ == "__main__":
    sys.exit(main())
