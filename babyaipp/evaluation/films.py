"""Some recorded episodes as films: all that is seen in each step, for a player that knows no rules.

A film is plain data. A cell's number is `y * width + x`. A thing is a number: bits 0 to 2 its type, 3 to 5 its colour,
from 6 on the state of a door, all as Minigrid numbers them; 0 is nothing. Frame 0 is the start, frame k what there is
after k actions.

    level, split, text, run, episode, seed      which episode it is; `run` is the training seed
    mission, description, rules                 what is told, by sentence; floor colour -> property, which is so
    width, height, max_steps, cause             of the world; how it ended
    tiles                                       a character a cell: number of the tile's colour, "." without one
    things                                      two hexadecimal digits a cell: the thing that is there at the start
    poses                                       of each frame: 4 * the agent's cell + direction (0 right, 1 down ...)
    half_steps                                  of each frame: the time, two a step
    actions                                     a digit each
    changes                                     (frame, cell, thing): what else changes
    carried                                     (frame, thing): what the agent carries from then on
    effects                                     (frame, number in `notes`): what a tile did then
"""

from __future__ import annotations

from typing import Any

import numpy as np

from babyaipp.engine.state import CAUSES, COLOR_SHIFT, MINIGRID_COLORS, STATE_SHIFT, SUCCESS, TYPES
from babyaipp.evaluation.records import RecordError, Records, episode_seeds, told
from babyaipp.texts import split_sentences

SHORT = 400
"""Actions of an episode that is nice to watch, at most."""

_COLOR_IDS = {color: number for number, color in enumerate(MINIGRID_COLORS)}


def choose(records: Records) -> tuple[tuple[int, int, int], ...]:
    """Which episodes to show: of each level's main part a success and a failure, where there are.

    Of each kind the first one, by run, of at most `SHORT` actions; if there is none, the shortest.

    Returns:
        Indices of run, cell and episode.
    """
    chosen = []
    for number, cell in enumerate(records.cells):
        if (cell.split, cell.text) != records.suite.main:
            continue
        lengths = records.lengths[:, number]
        for kind in (True, False):
            places = np.argwhere((records.cause[:, number] == SUCCESS) == kind)
            if not len(places):
                continue
            actions = lengths[places[:, 0], places[:, 1]]
            short = np.flatnonzero(actions <= SHORT)
            run, episode = places[short[0] if len(short) else int(actions.argmin())].tolist()
            chosen.append((run, number, episode))
    return tuple(chosen)


def film(records: Records, at: tuple[int, int, int]) -> dict[str, Any]:
    """An episode as a film, played again on the reference environment.

    Args:
        records: of an evaluation.
        at: indices of run, cell and episode.

    Raises:
        RecordError: it does not go as the records tell.
    """
    from babyaipp.reference.env import make  # which loads Minigrid

    run, number, episode = at
    cell = records.cells[number]
    actions, offsets = records.actions_of(run, number)
    actions = actions[offsets[episode] : offsets[episode + 1]]
    seed = int(episode_seeds(records.lengths.shape[2])[episode])
    env = make(cell.level, cell.split, text=cell.text)
    env.reset(seed=seed)
    width, height = int(env.width), int(env.height)
    cells = [(x, y) for y in range(height) for x in range(width)]
    tiles = [env.grid.tile_at(x, y) for x, y in cells]
    things = _things(env)
    start = things
    poses, half_steps = [_pose(env)], [0]
    changes: list[list[int]] = []
    carried: list[list[int]] = []
    effects: list[list[int]] = []
    notes: list[str] = []
    held, cause = 0, ""
    for frame, action in enumerate(actions.tolist(), 1):
        _, _, terminated, truncated, info = env.step(action)
        poses.append(_pose(env))
        half_steps.append(int(env.half_steps))
        before, things = things, _things(env)
        changes += [[frame, place, thing] for place, thing in enumerate(things) if thing != before[place]]
        now = _thing(env.carrying)
        if now != held:
            carried.append([frame, held := now])
        if env.last_effect:
            if env.last_effect not in notes:
                notes.append(env.last_effect)
            effects.append([frame, notes.index(env.last_effect)])
        if terminated or truncated:
            cause = info["cause"]
            break
    found = (cause, half_steps[-1], len(poses) - 1)
    claimed = (CAUSES[records.cause[at]], int(records.half_steps[at]), len(actions))
    if found != claimed:
        raise RecordError(f"{told(records.runs[run], cell, episode)} does not go as the records tell")
    return {
        **{"level": cell.level, "split": cell.split, "text": cell.text},
        **{"run": records.runs[run], "episode": episode, "seed": seed},
        **{"mission": env.mission, "description": list(split_sentences(env.description)), "rules": dict(env.rules)},
        **{"width": width, "height": height, "max_steps": int(env.max_steps), "cause": cause},
        "tiles": "".join("." if tile is None else str(_COLOR_IDS[tile.color]) for tile in tiles),
        "things": bytes(start).hex(),
        "poses": poses,
        "half_steps": half_steps,
        "actions": "".join(map(str, actions.tolist())),
        **{"changes": changes, "carried": carried, "effects": effects, "notes": notes},
    }


def reel(records: Records) -> dict[str, Any]:
    """The films of `choose`, and what the player must know to draw them: names and colours."""
    from minigrid.core.constants import COLORS as RGB

    from babyaipp.play import ACTION_NAMES

    return {
        "films": [film(records, at) for at in choose(records)],
        "actions": list(ACTION_NAMES),
        "colors": list(MINIGRID_COLORS),
        "rgb": [RGB[color].tolist() for color in MINIGRID_COLORS],
        "types": TYPES,
    }


def _pose(env: Any) -> int:
    x, y = map(int, env.agent_pos)
    return 4 * (y * int(env.width) + x) + int(env.agent_dir)


def _things(env: Any) -> list[int]:
    """The thing in each cell, row by row; a tile is none."""
    return [0 if thing is tile else _thing(thing) for thing, tile in zip(env.grid.grid, env.grid.tiles, strict=True)]


def _thing(thing: Any) -> int:
    if thing is None:
        return 0
    kind, color, state = thing.encode()
    return kind | color << COLOR_SHIFT | state << STATE_SHIFT
