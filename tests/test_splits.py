"""Splits provably do not overlap: shown over all rules that a level can draw, for every level there is."""

from __future__ import annotations

import itertools
from dataclasses import replace

import gymnasium as gym
import pytest

from babyaipp import LEVELS
from babyaipp.levels import Dynamics, get_level, get_split, parse_env_id
from babyaipp.tiles import COLORS, PROPERTIES

PARTS = [  # the splits that a level's rules are divided into: all but the whole and the fixed map
    (level, [split for split in level.splits if split not in ("All", "Fixed")]) for level in LEVELS.values()
]
PARTS_IDS = [level.name for level, _ in PARTS]


@pytest.mark.parametrize(("level", "parts"), PARTS, ids=PARTS_IDS)
def test_parts_are_disjoint_and_make_up_the_whole(level, parts):
    rules = [level.drawable_rules(split) for split in parts]
    for one, other in itertools.combinations(rules, 2):
        assert not one & other
    assert frozenset().union(*rules) == level.drawable_rules("All")
    assert all(rules)


@pytest.mark.parametrize(("level", "parts"), PARTS, ids=PARTS_IDS)
def test_every_word_of_the_other_parts_occurs_in_training(level, parts):
    train = level.drawable_rules("Train")
    for split in parts:
        for position in (0, 1):
            assert {rule[position] for rule in level.drawable_rules(split)} <= {rule[position] for rule in train}


@pytest.mark.parametrize("level", LEVELS.values(), ids=LEVELS)
def test_every_floor_colour_has_a_property_in_every_split(level):
    for split in level.splits:
        allowed = level.allowed(split)
        assert all(allowed.values())
        assert len(allowed) >= level.dynamics.num_colors
        assert set(allowed) <= set(COLORS)
        assert {name for names in allowed.values() for name in names} <= set(PROPERTIES)


@pytest.mark.parametrize("level", LEVELS.values(), ids=LEVELS)
def test_episodes_draw_exactly_the_rules_of_their_split(level):
    """Small levels: every drawable rule is seen. A rule has probability >= 1/6 an episode (at least 1/6 for each
    of the drawn properties, 1/2 for a colour of Fixed), so 150 episodes miss one with probability < 1e-5."""
    for split in level.splits:
        env = gym.make(level.env_id(split)).unwrapped
        seen = set()
        for seed in range(150 if level.num_rows == 1 else 3):
            _, info = env.reset(seed=seed)
            assert len(info["rules"]) == level.dynamics.num_colors
            seen |= set(info["rules"].items())
        assert seen <= level.drawable_rules(split)
        if level.num_rows == 1:
            assert seen == level.drawable_rules(split)


def test_the_table_is_that_of_the_paper():
    """Spot checks of the rows against the design, written out here a second time on purpose."""
    easy, hard = get_level("GoToRedBall"), get_level("GoToSeq")
    assert easy.drawable_rules("Train") == {
        ("blue", "trap"),
        ("blue", "fliplr"),
        ("green", "fliplr"),
        ("green", "slippery"),
    }
    assert easy.drawable_rules("HeldOut") == {("green", "trap"), ("blue", "slippery")}
    assert hard.drawable_rules("HeldOut") == {
        ("green", "trap"),
        ("green", "flipud"),
        ("grey", "fliplr"),
        ("grey", "slippery"),
        ("blue", "sticky"),
        ("blue", "magic"),
    }
    assert len(hard.drawable_rules("All")) == 18
    assert get_level("PickupLoc").drawable_rules("Fixed") == {
        ("green", "slippery"),
        ("red", "trap"),
        ("yellow", "sticky"),
    }
    paper = [level for level in LEVELS.values() if level.original]
    assert len(paper) == 16
    assert sum(len(level.splits) for level in paper) == 16 * 3 + 7


def test_names_that_do_not_exist_are_refused_with_a_hint():
    with pytest.raises(ValueError, match="did you mean 'GoToRedBall'"):
        get_level("GoToRedBal")
    with pytest.raises(ValueError, match="allowed: Train, HeldOut, All"):
        get_split(get_level("GoTo"), "Fixed")
    with pytest.raises(ValueError, match="did you mean 'BabyAIpp-GoTo-Train-v0'"):
        parse_env_id("BabyAIpp-GoTo-Trian-v0")
    assert parse_env_id("babyaipp:BabyAIpp-GoTo-All-v0") == (get_level("GoTo"), "All")


@pytest.mark.parametrize(
    ("properties", "num_colors", "held_out", "message"),
    [
        (("trap",), 2, {("green", "trap"), ("blue", "trap")}, "split Train leaves a floor colour without property"),
        (("trap", "magic"), 2, {("green", "trap")}, "split HeldOut leaves a floor colour without property"),
        (("trap", "lava"), 1, {("blue", "trap")}, "unknown colour or property in the rule 'blue' 'lava'"),
        (("trap", "magic"), 1, {("green", "trap")}, "held-out rules must be rules of the level"),
        (("trap", "magic"), 7, {("blue", "trap")}, "num_colors=7 must be 1 to 6"),
    ],
)
def test_unsound_rows_are_refused(properties, num_colors, held_out, message):
    row = get_level("GoToRedBall")
    with pytest.raises(ValueError, match=message):
        replace(row, dynamics=Dynamics(properties, num_colors, frozenset(held_out)))
