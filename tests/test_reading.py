"""The reading levels: how they are built, that they can be solved, and that nothing but the text tells how."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest

import babyaipp
from babyaipp import LEVELS
from babyaipp.levels import is_deadly_name
from babyaipp.tiles import COLORS, DONE, FORWARD, LEFT, RIGHT
from benchmarks.reading_optimum import optimum, reading_levels

SPLITS = ("Train", "Val", "HeldOut", "All")
CROSSINGS = ("CrossTwo", "CrossMany", "Courier")
MINEFIELDS = ("Minefield", "MinefieldHard")
BLIND = {"CrossTwo": 1 / 2, "CrossMany": 7 / 32, "Courier": 1 / 2, "Minefield": 1 / 2, "MinefieldHard": 1 / 4}


def worlds(level, split, count):
    envs = babyaipp.make_vec(level, split, count)
    envs.reset(seed=0)
    return [envs.world(i) for i in range(count)]


def deadly(world):
    return {color for color, name in world.rules.items() if is_deadly_name(name)}


def tiles(world):
    return {(x, y): color for x, y, kind, color, _ in world.cells if kind == "floor"}


def objects(world):
    return {(x, y) for x, y, kind, _, _ in world.cells if kind not in ("floor", "door")}


def test_these_are_the_reading_levels():
    assert {level.name for level in reading_levels()} == set(BLIND)
    assert all(LEVELS[name].splits == SPLITS for name in BLIND)


def test_the_split_of_a_rule_follows_from_the_numbers_of_its_words():
    """The numbers of properties and colours, written out a second time."""
    classes = (("trap", "pit", "jail", "drain"), ("slippery", "sticky", "fliplr", "magic"))
    colors = ("blue", "green", "grey", "purple", "red", "yellow")
    split_of = {0: "HeldOut", 1: "Val", 2: "Train", 3: "Train"}
    for level in reading_levels():
        for (c, color), names in itertools.product(enumerate(colors), classes):
            for i, name in enumerate(names):
                in_splits = {split for split in SPLITS if (color, name) in level.drawable_rules(split)}
                assert in_splits == {split_of[(c + i) % 4], "All"}
    assert ("blue", "trap") in LEVELS["CrossTwo"].drawable_rules("HeldOut")
    assert ("yellow", "magic") in LEVELS["CrossTwo"].drawable_rules("HeldOut")


@pytest.mark.parametrize("level", BLIND)
@pytest.mark.parametrize("split", SPLITS)
def test_half_of_the_colours_are_deadly_and_all_are_described_in_any_order(level, split):
    count = 400 if level in CROSSINGS else 100
    found = Counter()
    orders = set()
    for world in worlds(level, split, count):
        assert set(world.rules.items()) <= LEVELS[level].drawable_rules(split)
        assert set(world.rules) == set(COLORS) == set(world.described)
        assert len(deadly(world)) == 3
        found.update(deadly(world))
        orders.add(world.described)
    # Five standard deviations of a binomial count.
    assert all(abs(found[color] - count / 2) < 5 * (count / 4) ** 0.5 for color in COLORS)
    assert len(orders) > count / 2


def walls_of(world):
    """Columns with walls, each with the rows of its gaps."""
    walls = Counter(x for x, y in world.walls if 0 < x < world.width - 1 and 0 < y < world.height - 1)
    assert set(walls.values()) == {world.height - 4}
    return {x: [y for y in range(1, world.height - 1) if (x, y) not in set(world.walls)] for x in sorted(walls)}


@pytest.mark.parametrize("level", CROSSINGS)
def test_a_wall_has_a_deadly_gap_and_another_one(level):
    above = Counter()
    for split in SPLITS:
        for world in worlds(level, split, 300):
            walls = walls_of(world)
            assert len(walls) == LEVELS[level].num_walls
            assert set(tiles(world)) == {(x, y) for x, gaps in walls.items() for y in gaps}
            pairs = []
            for x, (upper, lower) in walls.items():
                assert lower - upper >= 2
                pair = [tiles(world)[x, upper], tiles(world)[x, lower]]
                assert len(deadly(world) & set(pair)) == 1
                above[split] += pair[0] in deadly(world)
                pairs.append(set(pair))
            assert all(not one & other for one, other in itertools.pairwise(pairs))
            x = world.agent[0]
            left = [i < min(walls) for i, _ in objects(world)]
            right = [i > max(walls) for i, _ in objects(world)]
            assert (x < min(walls) and sum(right) == 1) or (x > max(walls) and sum(left) == 1)
            assert sum(left) + sum(right) == len(left) == (2 if level == "Courier" else 1)
            for i, j in objects(world):
                assert all(abs(i - wall) > 1 or j not in gaps for wall, gaps in walls.items())
        count = 300 * LEVELS[level].num_walls
        assert abs(above[split] - count / 2) < 5 * (count / 4) ** 0.5


def test_colours_come_again_in_a_later_wall_but_not_in_the_next():
    again = Counter()
    for world in worlds("CrossMany", "All", 600):
        first, _, third = ({tiles(world)[x, y] for y in gaps} for x, gaps in walls_of(world).items())
        again[len(first & third)] += 1
    # Both colours of the third wall are drawn from two, of which one was in the first: 1/4, 1/2, 1/4.
    assert abs(again[0] - 150) < 55
    assert abs(again[1] - 300) < 62
    assert abs(again[2] - 150) < 55


@pytest.mark.parametrize("level", MINEFIELDS)
def test_every_free_cell_of_a_minefield_is_a_tile(level):
    for split in SPLITS:
        for world in worlds(level, split, 60):
            free = {(x, y) for x in range(world.width) for y in range(world.height)}
            free -= set(world.walls) | {cell[:2] for cell in world.cells if cell[2] != "floor"}
            assert set(tiles(world)) == free
            assert tiles(world)[world.agent[:2]] not in deadly(world)
            rooms = [
                {color for (x, _), color in tiles(world).items() if first < x < first + 7}
                for first in range(0, world.width - 1, 7)
            ]
            for colors in rooms:
                if level == "Minefield":
                    assert len(colors) == 3
                    assert len(colors & deadly(world)) == 1
                else:
                    assert len(colors) == 4
                    assert len(colors & deadly(world)) == 2
            if level == "MinefieldHard":
                assert rooms[0] | rooms[1] == set(COLORS)
                assert len(rooms[0] & rooms[1]) == 2


def can_be_solved(env_level, world, rules):
    """Whether any sequence of moves reaches the goal, by the engine's own steps."""
    start = replace(world, rules=rules)
    envs = babyaipp.make_vec(env_level, "All", 1, autoreset_mode="Disabled")
    envs.reset(options={"world": start})
    frontier = envs.state()
    seen = set()
    for _ in range(world.max_steps):
        actions = np.tile([LEFT, RIGHT, FORWARD, DONE, 5], len(frontier))
        batch = np.repeat(frontier, 5)
        envs = babyaipp.make_vec(env_level, "All", len(batch), autoreset_mode="Disabled")
        envs.set_state(batch)
        _, reward, terminated, truncated, _ = envs.step(actions)
        if (reward > 0).any():
            return True
        after = envs.state()
        frontier = []
        for record in after[~(terminated | truncated)]:
            color = record["seen"][int(record["agent_y"]) * world.width + int(record["agent_x"])]
            place = tuple(int(record[name]) for name in ("agent_x", "agent_y", "agent_dir"))
            key = (*place, color, min(record["cell_steps"], 2), record["color_steps"] % 2, record["seen"].tobytes())
            if key not in seen and not in_jail(record, world, rules):
                seen.add(key)
                frontier.append(record)
        if not frontier:
            return False
        frontier = np.array(frontier)
    return False


def in_jail(record, world, rules):
    color = tiles(world).get((int(record["agent_x"]), int(record["agent_y"])))
    return color is not None and rules[color] == "jail"


@pytest.mark.parametrize("level", MINEFIELDS)
def test_either_of_two_colours_could_be_the_deadly_one(level):
    """With both deadly there is no way, and with either one there is: what is seen tells nothing."""
    for world in worlds(level, "All", 8 if level == "Minefield" else 3):
        assert can_be_solved(level, world, dict(world.rules))
        first = tiles(world)[world.agent[:2]]
        rooms = [
            {color for (x, _), color in tiles(world).items() if left < x < left + 7} - {first}
            for left in range(0, world.width - 1, 7)
        ]
        always = rooms[0] & rooms[-1] if level == "MinefieldHard" else set()
        for room in rooms:
            pair = room - always
            assert len(pair) == 2
            assert not can_be_solved(level, world, dict(world.rules) | dict.fromkeys(pair, "trap"))
        harmless = dict.fromkeys(COLORS, "slippery") | dict.fromkeys(always, "trap")
        for chosen in itertools.product(*(room - always for room in rooms)):
            assert can_be_solved(level, world, harmless | dict.fromkeys(chosen, "pit"))


@pytest.mark.parametrize("level", reading_levels(), ids=lambda level: level.name)
def test_who_does_not_read_does_equally_badly_on_every_split(level):
    """By enumeration: the best that can be had without the text, from each split's own prior, and with Train's."""
    for row in optimum(level).values():
        assert row["blind"] == pytest.approx(BLIND[level.name], abs=1e-9)
        assert row["blind, best for Train"] == pytest.approx(BLIND[level.name], abs=1e-9)
        assert row["blind"] - 1e-9 <= row["bag of words"] <= 1 + 1e-9


@pytest.mark.parametrize(("level", "too_few"), [("CrossTwo", 1), ("Minefield", 2), ("MinefieldHard", 5)])
def test_rules_that_cannot_fill_a_world_are_refused(level, too_few):
    rules = dict(zip(COLORS, ("trap", "slippery", "pit", "magic", "jail", "sticky"), strict=True))
    env = gym.make(f"BabyAIpp-{level}-All-v0").unwrapped
    envs = babyaipp.make_vec(level, "All", 2)
    for made in (env, envs):
        made.reset(seed=0, options={"rules": rules})
        with pytest.raises(ValueError, match=f"level {level} needs at least"):
            made.reset(seed=0, options={"rules": dict(list(rules.items())[:too_few])})
    assert env.world.rules == envs.world(0).rules == rules
    assert env.world == envs.world(0)


def test_any_harmless_properties_leave_minefields_that_can_be_made():
    """Given rules may all be the same, or such as no reading level draws."""
    for name in ("slippery", "sticky", "flipud", "fliplr", "magic"):
        rules = {"blue": name, "green": name, "grey": name, "purple": "trap", "red": "jail", "yellow": "drain"}
        for level in MINEFIELDS:
            envs = babyaipp.make_vec(level, "HeldOut", 40)
            envs.reset(seed=0, options={"rules": rules})
            assert envs.world(39).rules == rules
