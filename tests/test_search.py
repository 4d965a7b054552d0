"""The search of the planners: as fast as anything can be, by trying everything; what it may be told to assume."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from exhaustive import NEVER, fastest
from small_worlds import LEVEL_OF, small_worlds

from babyaipp import LEVELS, World, make_vec
from babyaipp.engine.compile import cache_folder
from babyaipp.planners.best_first import SOURCES
from babyaipp.planners.plan import Plan, find_plan
from babyaipp.planners.search import Search
from babyaipp.tiles import COLORS, DONE, DROP, FORWARD, LEFT, NONE, PICKUP, PROPERTIES, RIGHT, STICKY, TOGGLE

SIDE = 8


def records(level: str, worlds: list[World]) -> np.ndarray:
    """(n,) `WORLD`."""
    envs = make_vec(level, "All", len(worlds))
    envs.reset(options={"world": worlds})
    return envs.state()


def room(*rows: str, level: str = "GoToRedBallHard", instruction: str = "go to the red ball", **rules) -> np.ndarray:
    """The record of a world in the upper left corner of a room of 6 x 6, the rest of which is wall."""
    cells = [row.split() for row in rows]
    inside = [row + ["##"] * (SIDE - 2 - len(row)) for row in cells]
    inside += [["##"] * (SIDE - 2)] * (SIDE - 2 - len(inside))
    wall = " ".join(["##"] * SIDE)
    text = "\n".join([wall, *(" ".join(["##", *row, "##"]) for row in inside), wall])
    return records(level, [World.from_ascii(text, level=level, instruction=instruction, rules=rules)])


def costs(plans: list[Plan]) -> np.ndarray:
    return np.array([plan.half_steps if plan.solved else NEVER for plan in plans])


def played(level: str, worlds: np.ndarray, plans: list[Plan]) -> np.ndarray:
    """(n,) float, the rewards that the plans end with."""
    envs = make_vec(level, "All", len(worlds), autoreset_mode="NextStep")
    envs.reset(seed=0)
    envs.set_state(worlds)
    rewards = np.zeros(len(worlds))
    for step in range(max(len(plan.actions) for plan in plans)):
        actions = [plan.actions[step] if step < len(plan.actions) else DONE for plan in plans]
        _, reward, terminated, _, _ = envs.step(np.array(actions))
        last = np.array([len(plan.actions) == step + 1 for plan in plans])
        assert not (terminated & ~last & np.array([len(plan.actions) > step for plan in plans])).any()
        rewards[last] = reward[last]
    return rewards


@pytest.mark.parametrize(
    ("level", "split"),
    [
        *(("GoToRedBall", split) for split in ("Train", "All")),
        *(("GoToRedBallHard", split) for split in ("HeldOut", "All", "Fixed")),
        *(("GoToRedBallSticky", split) for split in ("HeldOut", "All")),
    ],
)
def test_nothing_is_faster_in_drawn_worlds(level, split):
    envs = make_vec(level, split, 120)
    envs.reset(seed=700)
    worlds = envs.state()
    search = Search(level)
    plans = [find_plan(search, worlds, row) for row in range(len(worlds))]
    np.testing.assert_array_equal(costs(plans), fastest(LEVELS[level], worlds))
    assert all(plan.optimal for plan in plans if plan.solved)
    assert all(plan.proven_unsolvable for plan in plans if not plan.solved)
    limits = worlds["max_steps"]
    expected = [(20 * limit - 9 * plan.half_steps) / (20 * limit) for limit, plan in zip(limits, plans, strict=True)]
    np.testing.assert_array_equal(played(level, worlds, plans), np.where(costs(plans) == NEVER, 0, expected))


@pytest.mark.parametrize("level", ["GoToLocal", "PickupLoc"])
def test_nothing_is_faster_among_things_that_can_be_moved(level):
    envs = make_vec(level, "All", 60)
    envs.reset(seed=40)
    worlds = envs.state()
    search = Search(level)
    plans = [find_plan(search, worlds, row) for row in range(len(worlds))]
    short = np.flatnonzero(costs(plans) <= 13)
    assert len(short) > 20
    found = fastest(LEVELS[level], worlds[short], costs(plans)[short])
    np.testing.assert_array_equal(found, np.full(len(short), NEVER))
    assert all(plans[row].optimal for row in short)


@pytest.mark.parametrize("kind", ["goto", "pickup", "open"])
def test_nothing_is_faster_in_small_worlds(kind):
    """With walls, doors, keys, things in the way, every property; some cannot be solved, and are told so."""
    worlds = records(LEVEL_OF[kind], small_worlds(kind, 250, 1000))
    search = Search(LEVEL_OF[kind])
    plans = [find_plan(search, worlds, row) for row in range(len(worlds))]
    best = fastest(LEVELS[LEVEL_OF[kind]], worlds)
    np.testing.assert_array_equal(best == NEVER, [plan.proven_unsolvable for plan in plans])
    np.testing.assert_array_equal(best != NEVER, [plan.solved for plan in plans])
    optimal = np.array([plan.optimal for plan in plans])
    assert np.mean(best == NEVER) > 0.1
    assert np.mean(optimal) > 0.4  # not where keys of locked doors are needed
    np.testing.assert_array_equal(costs(plans)[optimal], best[optimal])
    assert (costs(plans)[best != NEVER] >= best[best != NEVER]).all()
    np.testing.assert_array_equal(played(LEVEL_OF[kind], worlds, plans) > 0, best != NEVER)


@pytest.mark.parametrize("kind", ["goto", "pickup"])
def test_bounds_are_never_too_high(kind):
    level = LEVEL_OF[kind]
    worlds = records(level, small_worlds(kind, 300, 9000, longest=30))
    best = fastest(LEVELS[level], worlds)
    search = Search(level)
    found = [search.instruction(worlds, row) for row in range(len(worlds))]
    chosen = np.array([each.single for each in found]) & (best != NEVER)
    bounds = np.array([each.bound for each in found])[chosen]
    assert chosen.sum() > 100
    assert (bounds <= best[chosen]).all()
    assert np.mean(bounds == best[chosen]) > 0.8


def test_bounds_know_that_bumping_turns_around():
    """On the tile, forward turns the agent to the key, which keeps it there; forward again takes it right."""
    world = room("Kg >b .. Or", blue="flipud")
    found = Search("GoToRedBallHard").instruction(world)
    assert (found.bound, found.half_steps) == (4, 4)


@pytest.mark.parametrize(
    ("half_steps", "rows", "rules"),
    [
        (1 * 2, (">> Or",), {}),  # facing it already: one action must be taken
        (2 * 2, (">> .. .. Or",), {}),
        (2 + 3, (">> _g _g _g _g Or",), {"green": "slippery"}),
        (2 + 2 * 2 + 2, (">> _g .. Or",), {"green": "sticky"}),
        (4 * 2, ("vv", "_g", "..", "Or"), {"green": "flipud"}),  # onto the tile, round twice, and on
        (3 * 2, ("^^ ..", "_g .."), {"green": "fliplr"}),  # the ball is placed below
        (3 * 2, ("vv", "_g", "_b", "..", "Or"), {"green": "magic", "blue": "trap"}),  # falls and steps over the trap
        (2 * 2, (">> Bg Or",), {}),  # a box is destroyed where it stands
        (2 * 2, (">> Kg Or",), {}),
        (2 * 2, (">> Dg Or",), {}),
        (3 * 2, (">> Dg .. Or",), {}),
        (9 * 2, (">> Kg Oe Or",), {}),  # the key is picked up and put down behind, then the ball
        (5 + 1, (">g _g _g _g _g _g", "## ## ## ## ## Or"), {"green": "slippery"}),
    ],
)
def test_what_takes_how_long(half_steps, rows, rules):
    if not any("Or" in row for row in rows):
        rows = (*rows, "Or")
    world = room(*rows, **rules)
    search = Search("GoToRedBallHard")
    plan = find_plan(search, world)
    best = int(fastest(LEVELS["GoToRedBallHard"], world)[0])
    assert (plan.solved, plan.optimal, plan.half_steps) == (True, True, best)
    assert best == half_steps


def test_a_way_over_deadly_tiles_is_no_way():
    search = Search("GoToRedBallHard")
    assert find_plan(search, room(">> _g Or", green="trap")).proven_unsolvable
    assert find_plan(search, room(">> _g Or", green="sticky")).solved


def test_a_key_is_fetched_and_put_down_again_if_it_must():
    search = Search("GoToRedBallHard")
    world = room("Kg .. >> Lg Oe Or", ".. ## ## ## ## ##")
    plan = find_plan(search, world)
    assert plan.solved
    assert plan.half_steps == fastest(LEVELS["GoToRedBallHard"], world)[0]
    assert PICKUP in plan.actions
    assert DROP in plan.actions
    assert find_plan(search, room("Kp .. >> Lg Oe Or")).proven_unsolvable


def test_ways_open_doors_and_move_nothing():
    search = Search("GoToRedBallHard")
    world = room(">> Dg .. Kb .. Or", ".. ## .. ## .. ##", ".. .. .. .. .. ..")
    key, ball = ((np.arange(SIDE * SIDE) == cell) for cell in (SIDE + 4, SIDE + 6))
    found = search.way(world, 0, key)
    assert found.actions is not None
    assert found.actions.tolist() == [TOGGLE, FORWARD, FORWARD]
    assert (found.half_steps, found.single) == (6, True)
    found = search.way(world, 0, key, PICKUP)
    assert found.actions is not None
    assert found.actions.tolist() == [TOGGLE, FORWARD, FORWARD, PICKUP]
    around = search.way(world, 0, ball)
    assert around.actions is not None
    assert set(around.actions.tolist()) <= {LEFT, RIGHT, FORWARD, TOGGLE}
    assert search.way(room(">> .. Kb .. Or"), 0, np.arange(SIDE * SIDE) == SIDE + 5).exhausted


def test_ways_may_end_with_a_drop_or_a_toggle():
    search = Search("GoToRedBallHard")
    envs = make_vec("GoToRedBallHard", "All", 1)
    envs.reset(seed=0)
    envs.set_state(room("^^ .. Kb .. Or", ".. ## Dg ## ##"))
    cells = np.arange(SIDE * SIDE)
    for target, action in ((SIDE + 3, PICKUP), (2 * SIDE + 3, TOGGLE), (2 * SIDE + 1, DROP)):
        found = search.way(envs.state(), 0, cells == target, action)
        assert found.actions is not None
        for each in found.actions:
            envs.step(np.array([each]))
        assert found.actions[-1] == action
    world = envs.world(0)
    assert (3, 2, "door", "green", 0) in world.cells
    assert (1, 2, "key", "blue", 0) in world.cells
    assert search.way(envs.state(), 0, cells == SIDE + 1, DROP).exhausted  # nothing is carried any more


def test_what_is_assumed_of_the_tiles_is_what_counts():
    search = Search("GoToRedBallHard")
    world = room(">> _g .. Or", ".. .. .. ..", green="sticky", blue="trap")
    nothing = np.full(len(COLORS), NONE, np.int8)
    assert search.instruction(world, props=nothing).half_steps == 4
    assert search.instruction(world).half_steps == 8
    sticky = nothing.copy()
    sticky[COLORS.index("green")] = STICKY
    assert search.instruction(world, props=sticky).half_steps == 8
    avoiding = search.instruction(world, props=nothing, forbidden=1 << COLORS.index("green"))
    assert avoiding.half_steps > 8
    assert search.instruction(room(">> _g Or", green="sticky"), forbidden=1 << COLORS.index("green")).exhausted
    for prop in range(len(PROPERTIES)):  # the record's own rules are not looked at
        world["rules"][0, COLORS.index("green")] = prop
        assert search.instruction(world, props=sticky).half_steps == 8


def test_plans_go_on_from_any_state():
    envs = make_vec("GoToRedBallHard", "All", 50)
    envs.reset(seed=3)
    search = Search("GoToRedBallHard")
    first = [find_plan(search, envs.state(), row) for row in range(50)]
    for step in range(3):
        envs.step(np.array([plan.actions[min(step, len(plan.actions) - 1)] for plan in first]))
    state = envs.state()
    for row, plan in enumerate(first):
        if len(plan.actions) > 3:
            rest = find_plan(search, state, row)
            assert rest.half_steps == plan.half_steps - state["half_steps"][row]


def test_the_time_limit_is_kept():
    search = Search("GoToRedBallHard")
    world = room(">> .. .. .. Or")
    for limit, solved in ((3, True), (2, False)):
        world["max_steps"] = limit
        plan = find_plan(search, world)
        assert (plan.solved, plan.proven_unsolvable) == (solved, not solved)
    world["half_steps"] = 1
    world["max_steps"] = 3
    assert find_plan(search, world).solved  # the last step begins in time
    world["half_steps"] = 2
    assert find_plan(search, world).proven_unsolvable


def test_more_weight_is_never_better():
    envs = make_vec("GoToHard", "All", 20)
    envs.reset(seed=5)
    worlds = envs.state()
    search = Search("GoToHard")
    for row in range(20):
        plain, heavy = (search.instruction(worlds, row, weight=weight) for weight in (1, 4))
        assert plain.actions is None or plain.half_steps <= heavy.half_steps
        assert heavy.nodes <= plain.nodes


def test_giving_up_is_told():
    envs = make_vec("GoToSeq", "All", 1)
    envs.reset(seed=3)
    found = Search("GoToSeq", max_nodes=50).instruction(envs.state())
    assert (found.actions, found.exhausted, found.nodes) == (None, False, 50)


def test_bad_input_is_refused():
    search = Search("GoToRedBall")
    world = room(">> Or", level="GoToRedBall")
    with pytest.raises(ValueError, match=r"worlds must be \(n,\) records of the engine; got int64 of shape \(3,\)"):
        search.instruction(np.zeros(3, np.int64))
    with pytest.raises(ValueError, match=r"targets must be bool of shape \(64,\); got int64 of \(64,\)"):
        search.way(world, 0, np.zeros(64, np.int64))
    with pytest.raises(ValueError, match=r"action=6 must be None, 3 \(pickup\), 4 \(drop\) or 5 \(toggle\)"):
        search.way(world, 0, np.zeros(64, np.bool_), DONE)
    with pytest.raises(ValueError, match=r"unknown level 'GoTored'"):
        Search("GoTored")


def test_compiled_code_belongs_to_its_sources():
    assert cache_folder(*SOURCES) != cache_folder()
    assert cache_folder(*SOURCES[1:]) != cache_folder(*SOURCES)


def digest() -> str:
    """Plans of some worlds, as text."""
    lines = []
    for kind, level in (("goto", "GoToRedBallHard"), ("pickup", "PickupLoc")):
        worlds = records(level, small_worlds(kind, 6, 77))
        search = Search(level, max_nodes=2000, max_worlds=500)
        lines += [str(find_plan(search, worlds, row)) for row in range(len(worlds))]
    return " ".join("".join(lines).split())


def test_without_compilation_it_is_the_same():
    command = [sys.executable, __file__]
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == digest()


if __name__ == "__main__":
    print(digest())
