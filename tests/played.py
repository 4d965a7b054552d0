"""Records of episodes that were really played, on batches of the engine, for tests of what is done with them."""

from __future__ import annotations

import numpy as np

from babyaipp import make_vec
from babyaipp.engine.replay import Outcomes
from babyaipp.engine.state import CAUSES, NOT_ENDED
from babyaipp.evaluation.protocol import get_suite
from babyaipp.evaluation.records import Records, episode_seeds
from babyaipp.levels import get_level

_WEIGHTS = (0.14, 0.14, 0.5, 0.07, 0.05, 0.07, 0.03)


def drawn_actions(count: int, steps: int, seed: int) -> np.ndarray:
    """(count, steps) uint8, forward-heavy, so that episodes end in all ways."""
    return np.random.default_rng(seed).choice(7, (count, steps), p=_WEIGHTS).astype(np.uint8)


def play(level: str, split: str, seeds: np.ndarray, text: str, seed: int) -> tuple[Outcomes, list[np.ndarray]]:
    """Play an episode from each environment seed to its end; how they went, and the actions of each."""
    count = len(seeds)
    envs = make_vec(level, split, count, text=text, autoreset_mode="NextStep")
    envs.reset(seed=seeds.tolist())
    most = 2 * int(envs.state()["max_steps"].max())  # a step takes half a step of time at least
    actions = drawn_actions(count, most, seed)
    went = Outcomes(
        np.zeros(count, np.uint8), np.zeros(count, np.int32), np.zeros(count, np.int64), np.zeros(count, np.float64)
    )
    playing = np.ones(count, np.bool_)
    for column in actions.T:
        if not playing.any():
            break
        _, rewards, terminations, truncations, infos = envs.step(column)
        went.used[playing] += 1
        for row in np.flatnonzero(playing & (terminations | truncations)).tolist():
            went.cause[row] = CAUSES.index(infos["cause"][row])
            went.half_steps[row] = envs.state()["half_steps"][row]
            went.returns[row] = rewards[row]
            playing[row] = False
    envs.close()
    assert (went.cause != NOT_ENDED).all()
    return went, [row[:used] for row, used in zip(actions, went.used, strict=True)]


def records(
    suite: str = "reading", levels: tuple[str, ...] = ("CrossTwo",), runs: tuple[int, ...] = (3, 8), episodes: int = 4
) -> Records:
    """Records of a whole evaluation, of some levels only; each run and cell has actions of its own."""
    cells = get_suite(suite).cells(levels)
    shape = (len(runs), len(cells), episodes)
    lengths, half_steps = np.zeros(shape, np.uint16), np.zeros(shape, np.uint16)
    cause = np.zeros(shape, np.uint8)
    taken = []
    for run, training_seed in enumerate(runs):
        for number, cell in enumerate(cells):
            seeds = episode_seeds(episodes)
            went, actions = play(cell.level, cell.split, seeds, cell.text, 1000 * training_seed + number)
            lengths[run, number], half_steps[run, number], cause[run, number] = went.used, went.half_steps, went.cause
            taken += actions
    return Records(get_suite(suite), cells, runs, lengths, cause, half_steps, np.concatenate(taken))


def splits_of(level: str) -> tuple[str, ...]:
    """Two splits of a level: that of training, and the last one."""
    splits = get_level(level).splits
    return (splits[0], splits[-1])
