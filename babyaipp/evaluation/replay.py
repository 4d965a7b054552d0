"""Plays the episodes of a file again: whether each ends when and how the file tells, and with which return."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from babyaipp.engine.replay import Outcomes, replay_episodes
from babyaipp.engine.state import CAUSES, NOT_ENDED
from babyaipp.evaluation.records import RecordError, Records, episode_seeds, told
from babyaipp.tiles import HALF_STEPS_PER_STEP


def replay(records: Records, num_threads: int = 1, on_episodes: Callable[[int], Any] = int) -> np.ndarray:
    """Play all episodes again on the engine.

    Args:
        records: as `load_records` gives them.
        num_threads: the result does not depend on it.
        on_episodes: told how many episodes have been played, now and then.

    Returns:
        (r, c, n) float64, the returns, which the file does not hold.

    Raises:
        RecordError: episodes go another way than the file tells; names the first one of the file, and what differs.
    """
    shape = records.lengths.shape
    cause, half_steps = np.zeros(shape, np.uint8), np.zeros(shape, np.int32)
    used, returns = np.zeros(shape, np.int64), np.zeros(shape)
    done = 0
    for cells in _sharing_worlds(records):
        played = _play(records, cells, num_threads)
        part = (shape[0], len(cells), shape[2])
        cause[:, cells], half_steps[:, cells] = played.cause.reshape(part), played.half_steps.reshape(part)
        used[:, cells], returns[:, cells] = played.used.reshape(part), played.returns.reshape(part)
        done += len(played.cause)
        on_episodes(done)
    wrong = (cause != records.cause) | (half_steps != records.half_steps) | (used != records.lengths)
    if wrong.any():
        first = tuple(int(each[0]) for each in np.nonzero(wrong))
        claimed = (int(records.cause[first]), int(records.half_steps[first]), int(records.lengths[first]))
        found = (int(cause[first]), int(half_steps[first]), int(used[first]))
        raise RecordError(f"{_name(records, first)} {_difference(claimed, found)}")
    return returns


def replay_reference(
    records: Records, sample: int, seed: int, on_episodes: Callable[[int], Any] = int
) -> tuple[tuple[int, int, int], ...]:
    """Play some episodes again on the reference environment, Minigrid's, and compare with the file and the engine.

    Args:
        records: as `load_records` gives them.
        sample: how many, drawn evenly from all; all, if there are fewer.
        seed: of the draw.
        on_episodes: told how many episodes have been played, after each.

    Returns:
        Which were played, in the order of the file: indices of run, cell and episode.

    Raises:
        ValueError: `sample` is below 1, or `seed` below 0.
        RecordError: an episode goes another way than the file tells, or its return is not the engine's; names it.
    """
    if sample < 1 or seed < 0:
        raise ValueError(f"sample={sample} must be at least 1, and seed={seed} at least 0")
    count = records.lengths.size
    drawn = np.random.default_rng(seed).choice(count, min(sample, count), replace=False)
    chosen = [tuple(int(part) for part in np.unravel_index(k, records.lengths.shape)) for k in np.sort(drawn).tolist()]
    for done, (run, cell, episode) in enumerate(chosen, 1):
        _compare_with_reference(records, (run, cell, episode))
        on_episodes(done)
    return tuple((run, cell, episode) for run, cell, episode in chosen)


def _compare_with_reference(records: Records, at: tuple[int, int, int]) -> None:
    from babyaipp.reference.env import make  # which loads Minigrid

    run, number, episode = at
    cell = records.cells[number]
    actions, offsets = records.actions_of(run, number)
    actions = actions[offsets[episode] : offsets[episode + 1]]
    seed = episode_seeds(records.lengths.shape[2])[episode]
    env = make(cell.level, cell.split, text=cell.text)
    env.reset(seed=int(seed))
    cause, used, reward = NOT_ENDED, 0, 0.0
    for action in actions.tolist():
        _, reward, terminated, truncated, info = env.step(action)
        used += 1
        if terminated or truncated:
            cause = CAUSES.index(info["cause"])
            break
    claimed = (int(records.cause[at]), int(records.half_steps[at]), len(actions))
    found = (cause, int(env.half_steps), used)
    if claimed != found:
        raise RecordError(f"{_name(records, at)} {_difference(claimed, found)} on the reference environment")
    alone = np.array([0, len(actions)])
    (expected,) = replay_episodes(cell.row, cell.split, np.array([seed]), actions, alone).returns
    if reward != expected:
        raise RecordError(
            f"{_name(records, at)} has return {reward!r} on the reference, {float(expected)!r} on the engine"
        )


def _sharing_worlds(records: Records) -> list[list[int]]:
    """The cells, by number, of each level and split: they begin in the same worlds, whatever the text tells."""
    groups: dict[tuple[str, str], list[int]] = {}
    for number, cell in enumerate(records.cells):
        groups.setdefault((cell.level, cell.split), []).append(number)
    return list(groups.values())


def _play(records: Records, cells: list[int], num_threads: int) -> Outcomes:
    """Play the episodes of cells that share worlds: run by run, cell by cell."""
    parts = [records.actions_of(run, cell)[0] for run in range(len(records.runs)) for cell in cells]
    lengths = records.lengths[:, cells].reshape(-1)
    offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    cell = records.cells[cells[0]]
    seeds = episode_seeds(records.lengths.shape[2])
    return replay_episodes(cell.row, cell.split, seeds, np.concatenate(parts), offsets, num_threads)


def _name(records: Records, at: tuple[int, ...]) -> str:
    run, cell, episode = at
    return told(records.runs[run], records.cells[cell], episode)


def _difference(claimed: tuple[int, int, int], found: tuple[int, int, int]) -> str:
    """What differs, in words; both: cause, half-steps and actions."""
    cause, half_steps, actions = claimed
    found_cause, found_half_steps, used = found
    if found_cause == NOT_ENDED:
        return f"has not ended after its {actions} actions"
    if used != actions:
        return f"ends after {used} of its {actions} actions, by {CAUSES[found_cause]}"
    if found_cause != cause:
        return f"ends by {CAUSES[found_cause]}, not by {CAUSES[cause]}"
    return f"ends after {found_half_steps / HALF_STEPS_PER_STEP:g} steps, not {half_steps / HALF_STEPS_PER_STEP:g}"
