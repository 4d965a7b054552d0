"""Floors follow the specification: never where they must not be, and as often as they should."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
from minigrid.core.world_object import Floor

from babyaipp import LEVELS
from babyaipp.floors import EMPTY, NONE, OCCUPIED, find_cell
from babyaipp.tiles import HAZARD_CLASSES, TILES

HAZARD = {tile.name: tile.hazard for tile in TILES}
STREWN = [level for level in LEVELS.values() if level.floors == "strewn"]
MAZES = [level for level in STREWN if level.num_rows > 1]
ROOMS = [level for level in STREWN if level.num_rows == 1]


def tile_counts(world) -> dict[str, int]:
    counts = dict.fromkeys(HAZARD_CLASSES, 0)
    for _, _, kind, color, _ in world.cells:
        if kind == "floor":
            counts[HAZARD[world.rules[color]]] += 1
    return counts


def specified_tile_counts(env, rng: np.random.Generator) -> dict[str, int]:
    """Floors as the design's section 6 words it, on Minigrid's own grid and `place_in_room`, written apart from
    the code under test. Lays its tiles on the walls, doors and objects of the environment's current world."""
    rules = env.world.rules
    for index, thing in enumerate(env.grid.grid):
        if isinstance(thing, Floor):
            env.grid.grid[index] = None
    env.grid.tiles = [None] * len(env.grid.grid)
    env.np_random = rng
    by_class = {h: [color for color in sorted(rules) if HAZARD[rules[color]] == h] for h in HAZARD_CLASSES}
    counts = dict.fromkeys(HAZARD_CLASSES, 0)
    doors = {(x, y) for x, y, kind, _, _ in env.world.cells if kind == "door"}
    hazards: set[tuple[int, int]] = set()
    for _ in range(env.num_rows * env.num_cols * (env.room_size - 2) ** 2):
        f = rng.uniform(0, 1)
        hazard = next(
            (h for h, low in zip(HAZARD_CLASSES, (0.95, 0.8, 0.5), strict=True) if f >= low and by_class[h]), None
        )
        if hazard is None:
            continue
        tile = Floor(by_class[hazard][rng.integers(len(by_class[hazard]))])
        for _ in range(1 if hazard == "free" else 20):
            i, j = rng.integers(env.num_cols), rng.integers(env.num_rows)
            try:
                _, (x, y) = env.place_in_room(int(i), int(j), tile)
            except RecursionError:
                break
            around = {(x + dx, y + dy) for dx in (-1, 0, 1) for dy in (-1, 0, 1)} - {(x, y)}
            if hazard != "free" and len(around & hazards) + 2 * len(around & doors) > 1:
                env.grid.set(x, y, None)
                continue
            counts[hazard] += 1
            if hazard != "free":
                hazards.add((int(x), int(y)))
            break
    return counts


def compare_counts(level, episodes: int) -> None:
    env = gym.make(level.env_id("All")).unwrapped
    ours, specified = [], []
    for seed in range(episodes):
        env.reset(seed=seed)
        ours.append(list(tile_counts(env.world).values()))
        specified.append(list(specified_tile_counts(env, np.random.default_rng(10_000 + seed)).values()))
    difference = np.array(ours, float) - specified  # paired: same grid, same rules
    error = difference.std(0, ddof=1) / np.sqrt(episodes) + 1e-9
    assert (np.abs(difference.mean(0)) < 4 * error + 1e-6).all(), (difference.mean(0), error)


# Power: in a room, 400 paired worlds give standard errors of about 0.08 deadly, 0.15 path and 0.15 free tiles, of
# about 1, 5 and 7 a world; a bias of 6 standard errors (0.5 deadly, 0.9 path or free tiles: a threshold moved by 0.03,
# or a neighbour rule left out) is found with probability 0.97. In a maze, 100 worlds suffice for the same relative
# bias, as each has 9 rooms. A sound program fails one of the 48 comparisons at 4 standard errors with p < 0.004;
# the seeds are fixed, so it does not flicker.
@pytest.mark.parametrize("level", ROOMS, ids=lambda level: level.name)
def test_tile_counts_in_rooms_follow_the_specification(level):
    compare_counts(level, 400)


@pytest.mark.parametrize("level", MAZES, ids=lambda level: level.name)
def test_tile_counts_in_mazes_follow_the_specification(level):
    compare_counts(level, 100)


@pytest.mark.parametrize("level", STREWN, ids=lambda level: level.name)
def test_floors_lie_only_where_they_may(level):
    for split in level.splits:
        env = gym.make(level.env_id(split)).unwrapped
        for seed in range(40 if level.num_rows == 1 else 4):
            env.reset(seed=seed)
            world = env.world
            floors = {(x, y): HAZARD[world.rules[color]] for x, y, kind, color, _ in world.cells if kind == "floor"}
            things = {(x, y) for x, y, kind, _, _ in world.cells if kind != "floor"} | set(world.walls)
            doors = {(x, y) for x, y, kind, _, _ in world.cells if kind == "door"}
            x, y, _ = world.agent
            assert not floors.keys() & things
            assert not any(abs(x - i) + abs(y - j) < 2 for i, j in floors)
            loads = {}
            for (i, j), hazard in floors.items():
                if hazard != "free":
                    around = {(i + di, j + dj) for di in (-1, 0, 1) for dj in (-1, 0, 1)} - {(i, j)}
                    loads[i, j] = sum(floors.get(cell, "free") != "free" for cell in around)
                    assert not around & doors
            # The rule holds for a tile when it is laid; a neighbour laid later has one hazard beside it at most,
            # so a cluster has a last tile, with no more than one.
            assert not loads or min(loads.values()) <= 1


def test_floors_change_nothing_of_minigrids_generator():
    """Grid, agent and instruction are those of the stock level with the same seed."""
    pairs = [("GoToRedBall", "BabyAI-GoToRedBallNoDists-v0"), ("PickupLoc", "BabyAI-PickupLoc-v0")]
    for name, stock_id in pairs:
        env, stock = gym.make(f"BabyAIpp-{name}-All-v0").unwrapped, gym.make(stock_id).unwrapped
        for seed in range(50):
            obs, _ = env.reset(seed=seed)
            stock_obs, _ = stock.reset(seed=seed)
            assert obs["mission"] == stock_obs["mission"]
            assert (tuple(env.agent_pos), env.agent_dir) == (tuple(stock.agent_pos), stock.agent_dir)
            ours, theirs = env.grid.encode(), stock.grid.encode()
            floors = ours[..., 0] == 3
            assert np.array_equal(ours[~floors], theirs[~floors])
            assert (theirs[floors] == (1, 0, 0)).all()


def test_find_cell_draws_like_minigrids_place_in_room():
    """Same cells and same random stream, draw for draw, until the room is full."""
    env = gym.make("BabyAIpp-GoToRedBallMaze-All-v0").unwrapped
    env.reset(seed=0)
    env.grid.grid = [None if isinstance(thing, Floor) else thing for thing in env.grid.grid]
    env.grid.tiles = [None] * len(env.grid.grid)
    cells = np.where(env.grid.encode()[..., 0] == 1, EMPTY, OCCUPIED)
    grid = np.stack([cells, np.full(cells.shape, NONE)])
    env.np_random = np.random.default_rng(1)
    rng = np.random.default_rng(1)
    x, y = (int(at) for at in env.agent_pos)
    while True:
        cell = find_cell(rng, grid, x, y, 7, 0, 8, env.height)
        try:
            _, place = env.place_in_room(1, 0, Floor("blue"))
        except RecursionError:
            break
        assert divmod(cell, cells.shape[1]) == place
        grid[(1, *place)] = 0
    assert cell == NONE
    assert (grid[1] != NONE).sum() > 25
    assert env.np_random.bit_generator.state == rng.bit_generator.state
