"""How fast an instruction can be fulfilled, by trying everything: each of the seven actions in every state.

Knows nothing of the planners: whole records go through the engine's own `step`, and are told apart by the bytes on
which the future depends.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import numpy as np

from babyaipp import make_vec
from babyaipp.engine.state import WORLD
from babyaipp.levels import Level
from babyaipp.tiles import DONE

NEVER = -1
_ACTIONS = np.arange(DONE + 1)
_CHUNK = 512


def fastest(level: Level, worlds: np.ndarray, before: np.ndarray | None = None) -> np.ndarray:
    """Half-steps of the fastest success in each world.

    Args:
        level: of the worlds.
        worlds: (n,) `WORLD`.
        before: (n,) int, half-steps from which on it is of no interest; None: the time limit.

    Returns:
        (n,) int64, `NEVER` where there is none.
    """
    envs = make_vec(level.name, level.splits[0], _CHUNK * len(_ACTIONS), autoreset_mode="Disabled")
    envs.reset(seed=0)
    best = np.full(len(worlds), np.iinfo(np.int64).max) if before is None else np.array(before, np.int64)
    limit = best.copy()
    queue: dict[int, list[tuple[np.ndarray, np.ndarray]]] = defaultdict(list)
    queue[0].append((np.arange(len(worlds)), worlds.copy()))
    known: set[bytes] = set()
    while queue:
        spent = min(queue)
        origins, states = (np.concatenate(parts) for parts in zip(*queue.pop(spent), strict=True))
        fresh = _add_new(known, _keys(origins, states, level)) & (spent < best[origins])
        for its_origins, after, success, ended in _step(envs, origins[fresh], states[fresh]):
            taken = after["half_steps"].astype(np.int64)
            np.minimum.at(best, its_origins[success], taken[success])
            for clock in np.unique(taken[~ended]).tolist():
                chosen = ~ended & (taken == clock)
                queue[clock].append((its_origins[chosen], after[chosen]))
    envs.close()
    return np.where(best < limit, best, NEVER)


def _step(envs, origins, states) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    """What every action leads to."""
    for first in range(0, len(states), _CHUNK):
        part = slice(first, first + _CHUNK)
        count = len(states[part]) * len(_ACTIONS)
        padded = np.resize(np.repeat(states[part], len(_ACTIONS)), envs.num_envs)
        envs.set_state(padded)
        _, rewards, terminated, truncated, _ = envs.step(np.resize(_ACTIONS, envs.num_envs))
        after = envs.state()
        yield (
            np.repeat(origins[part], len(_ACTIONS)),
            after[:count],
            rewards[:count] > 0,
            (terminated | truncated)[:count],
        )


def _add_new(known: set[bytes], keys: np.ndarray) -> np.ndarray:
    """Which of the keys have not been known, once each; all are known now."""
    fresh = np.zeros(len(keys), np.bool_)
    for i, row in enumerate(keys):
        key = row.tobytes()
        if key not in known:
            known.add(key)
            fresh[i] = True
    return fresh


def _keys(origins: np.ndarray, states: np.ndarray, level: Level) -> np.ndarray:
    """(n, bytes) uint8: all that the future depends on but the clock, which only matters as less of it is better."""
    assert states.dtype == WORLD
    cells = level.width * level.height
    columns = [
        origins.astype(np.int32)[:, None].view(np.uint8),
        np.minimum(states["cell_steps"], 2)[:, None],  # two steps are all that a sticky tile asks for
        states["color_steps"][:, None] % 2,  # a magic tile drops the agent on every second step
        *(states[name][:, None] for name in ("agent_x", "agent_y", "agent_dir", "carried", "carried_hidden", "gone")),
        *(states[name][:, None] for name in ("fulfilled", "verified")),
        states["seen"][:, :cells],
        states["hidden"][:, :cells],
    ]
    return np.concatenate([column.astype(np.uint8) for column in columns], 1)
