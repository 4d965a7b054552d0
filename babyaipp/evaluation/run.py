"""Plays the episodes of a suite with an agent, cell by cell, and keeps them: a run that is cut off goes on."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from babyaipp import __version__
from babyaipp.engine.state import CAUSES
from babyaipp.engine.vector import BatchedWorlds
from babyaipp.evaluation.agents import Agent, agents_errors, check_actions
from babyaipp.evaluation.protocol import EPISODES, PROTOCOL, Cell, Suite
from babyaipp.evaluation.records import Records, episode_seeds
from babyaipp.files import write_whole
from babyaipp.planners.protocol import make_planner
from babyaipp.planners.rollout import BATCH, play_seeds

KEPT_SHARE = 0.75
"""An agent that can `keep` is told to when no more than this share of its environments still plays."""


@dataclass(frozen=True)
class Played:
    """How the episodes of a cell went; n episodes, a actions."""

    lengths: np.ndarray
    """(n,) uint16, actions taken."""
    cause: np.ndarray
    """(n,) uint8, how it ended: index in `CAUSES`."""
    half_steps: np.ndarray
    """(n,) uint16, time at the end."""
    actions: np.ndarray
    """(a,) uint8, episode by episode."""


Starts = dict[tuple[str, str], np.ndarray]
"""Worlds of a level and split as episodes begin: texts do not change them, and to make them can take longer than to
play."""


def play_cell(
    agent: Agent,
    cell: Cell,
    episodes: int = EPISODES,
    num_threads: int = 1,
    starts: Starts | None = None,
    seeds: Sequence[int] | None = None,
) -> Played:
    """Play a cell with an agent; all episodes begin together.

    Args:
        agent: plays.
        cell: what is played.
        episodes: how many.
        num_threads: of the engine.
        starts: worlds that are there already are taken, others added.
        seeds: environment seeds instead of the protocol's, one an episode; without `episodes` and `starts` then.

    Raises:
        ValueError: the agent gave something that are no actions.
    """
    if seeds is None:
        seeds, starts = episode_seeds(episodes).tolist(), {} if starts is None else starts
    else:
        starts = {}
    envs = BatchedWorlds(
        cell.level,
        cell.split,
        len(seeds),
        text=cell.text,
        autoreset_mode="Disabled",
        copy=True,  # agents may keep what they saw
        episode_statistics=False,
        num_threads=num_threads,
    )
    try:
        return _play(envs, agent, cell, seeds, starts)
    finally:
        envs.close()


def _play(envs: BatchedWorlds, agent: Agent, cell: Cell, seeds: Sequence[int], starts: Starts) -> Played:
    episodes = len(seeds)
    if (cell.level, cell.split) not in starts:
        envs.reset(seed=list(seeds))
        starts[cell.level, cell.split] = envs.state()
    envs.set_state(starts[cell.level, cell.split])
    observations = envs.observe()
    with agents_errors(f"reset, {cell.name}"):
        agent.reset(episodes)
    keep: Callable[[np.ndarray], Any] | None = getattr(agent, "keep", None)
    rows = np.arange(episodes)  # those that the agent plays
    playing = np.ones(episodes, np.bool_)
    taken: list[np.ndarray] = []
    cause = np.zeros(episodes, np.uint8)
    actions = np.zeros(episodes, np.int64)
    while playing.any():
        if keep is not None and playing[rows].mean() <= KEPT_SHARE:
            with agents_errors(f"keep, {cell.name}"):
                keep(playing[rows])
            rows = rows[playing[rows]]
        given = observations if len(rows) == episodes else {name: each[rows] for name, each in observations.items()}
        with agents_errors(f"act, {cell.name}"):
            found = agent.act(given)
        actions[rows] = check_actions(found, cell, len(rows))
        taken.append(np.where(playing, actions, -1).astype(np.int8))
        observations, _, terminated, truncated, infos = envs.step_some(actions, playing)
        ended = playing & (terminated | truncated)
        if ended.any():
            for row in np.flatnonzero(ended).tolist():
                cause[row] = CAUSES.index(infos["cause"][row])
            playing &= ~ended
    by_episode = np.stack(taken, axis=1)
    was_playing = by_episode >= 0
    lengths = was_playing.sum(1).astype(np.uint16)
    half_steps = envs.state()["half_steps"].astype(np.uint16)  # episodes that have ended are left as they were
    return Played(lengths, cause, half_steps, by_episode[was_playing].astype(np.uint8))


def play_cell_by_planner(name: str, cell: Cell, episodes: int = EPISODES, seeds: Sequence[int] | None = None) -> Played:
    """Play a cell with one of the planners, which read no text: the oracle knows the rules, blind does not.

    `seeds` are as those of `play_cell`.
    """
    seeds = episode_seeds(episodes).tolist() if seeds is None else seeds
    parts = []
    for start in range(0, len(seeds), BATCH):
        planner = make_planner(name, cell.level, cell.split)
        parts.append(play_seeds(planner, cell.row, cell.split, seeds[start : start + BATCH]))  # type: ignore[arg-type]
    return Played(
        np.concatenate([part.lengths for part in parts]).astype(np.uint16),
        np.concatenate([part.cause for part in parts]),
        np.concatenate([part.half_steps for part in parts]).astype(np.uint16),
        np.concatenate([part.actions for part in parts]),
    )


def evaluate(
    make_agent: Callable[[str, int], Agent],
    planner: str | None,
    suite: Suite,
    cells: Sequence[Cell],
    runs: Sequence[int],
    folder: Path,
    told: dict[str, Any],
    *,
    episodes: int = EPISODES,
    num_threads: int = 1,
    on_cell: Callable[[int, Cell, Played | None], Any] = lambda run, cell, played: None,
) -> Records:
    """Play cells with agents of several training seeds, or go on where that was cut off.

    Args:
        make_agent: gives the agent of a level and a training seed.
        planner: "oracle" or "blind", which then play instead; None: agents do.
        suite: what is played.
        cells: those of the suite that are played, all of a level.
        runs: training seeds.
        folder: for what has been played, a file a cell; removed by no one but the caller.
        told: what the run is of; what is there from another one is not gone on with.
        episodes: of a cell.
        num_threads: of the engine.
        on_cell: told before each cell that is to be played, with None, and after each, with its episodes.

    Raises:
        ValueError: the folder holds another run.
    """
    told = told | {"protocol": PROTOCOL, "package_version": __version__, "episodes": episodes}
    _claim(folder, told)
    parts = []
    starts: Starts = {}
    planned: dict[tuple[str, str], Played] = {}
    for run in runs:
        agents: dict[str, Agent] = {}
        for cell in cells:
            file = folder / f"{run}-{cell.name.replace('/', '-')}.npz"
            played = _load(file)
            if played is None:
                on_cell(run, cell, None)
                if planner is not None:
                    worlds = (cell.level, cell.split)
                    if worlds not in planned:  # planners read no text, and learn from no seed
                        planned[worlds] = play_cell_by_planner(planner, cell, episodes)
                    played = planned[worlds]
                else:
                    agents = agents if cell.level in agents else {cell.level: make_agent(cell.level, run)}
                    played = play_cell(agents[cell.level], cell, episodes, num_threads, starts)
                _save(file, played)
            on_cell(run, cell, played)
            parts.append(played)
    shape = (len(runs), len(cells), episodes)
    return Records(
        suite,
        tuple(cells),
        tuple(runs),
        np.stack([part.lengths for part in parts]).reshape(shape),
        np.stack([part.cause for part in parts]).reshape(shape),
        np.stack([part.half_steps for part in parts]).reshape(shape),
        np.concatenate([part.actions for part in parts]),
    )


def _claim(folder: Path, told: dict[str, Any]) -> None:
    file = folder / "run.json"
    text = json.dumps(told, indent=2, sort_keys=True) + "\n"
    if file.exists():
        there = file.read_text(encoding="utf-8")
        if there != text:
            before = json.loads(there)
            differing = ", ".join(sorted(name for name in {*told, *before} if told.get(name) != before.get(name)))
            raise ValueError(
                f"{folder} holds an unfinished evaluation with another {differing}; remove it, or choose another folder"
            )
        return
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(file, text.encode())


def _save(file: Path, played: Played) -> None:
    data = io.BytesIO()
    np.savez_compressed(data, **vars(played))
    write_whole(file, data.getvalue())


def _load(file: Path) -> Played | None:
    if not file.exists():
        return None
    with np.load(file, allow_pickle=False) as archive:
        return Played(**{name: archive[name] for name in archive.files})
