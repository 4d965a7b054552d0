"""Texts that contradict the rules: what they tell is false, and else like a true text of the level and split."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from types import MappingProxyType

import gymnasium as gym
import numpy as np
import pytest
from conftest import ALL_IDS

from babyaipp import LEVELS, levels, make_vec
from babyaipp.levels import Level, Split, parse_env_id
from babyaipp.reference.env import make
from babyaipp.texts import describe, encode_sentences, parse_text_condition, split_sentences
from babyaipp.tiles import COLORS, PROPERTIES, TILES

CONTRADICT = parse_text_condition("contradict")
HAZARD = {tile.name: tile.hazard for tile in TILES}
ONE_FIXED_PROPERTY = replace(
    LEVELS["GoToRedBall"], name="OneProperty", fixed=MappingProxyType({"green": "trap", "red": "trap"})
)
BALANCED = LEVELS["CrossTwo"]


@pytest.fixture
def with_new_levels(monkeypatch):
    rows = {**LEVELS, ONE_FIXED_PROPERTY.name: ONE_FIXED_PROPERTY}
    monkeypatch.setattr(levels, "LEVELS", MappingProxyType(rows))


def told_rules(description: str) -> dict[str, str]:
    rules = re.findall(r"([a-z]+) floors are ([a-z]+)\.", description)
    assert description == " ".join(f"{color} floors are {name}." for color, name in rules)
    assert len(dict(rules)) == len(rules)
    return dict(rules)


def false_names(level: Level, split: Split, color: str, true: str) -> set[str]:
    """What may be told of a colour: what can be drawn for it, else what the level has, else any property."""
    everything = {name for names in level.allowed(split).values() for name in names}
    if split != "Fixed":
        everything |= set(level.dynamics.properties)
    for names in (set(level.allowed(split).get(color, ())), everything, set(PROPERTIES)):
        if level.balanced:
            names = {name for name in names if (HAZARD[name] == "deadly") != (HAZARD[true] == "deadly")}
        if names - {true}:
            return names - {true}
    raise AssertionError


@pytest.mark.parametrize("env_id", ALL_IDS)
def test_every_told_rule_is_false_and_could_be_true(env_id):
    level, split = parse_env_id(env_id)
    plain, env = gym.make(env_id), gym.make(env_id, text="contradict")
    for seed in range(40 if level.num_rows == 1 and level.floors != "patches" else 10):
        (expected, _), (obs, info) = plain.reset(seed=seed), env.reset(seed=seed)
        told = told_rules(obs["description"])
        assert list(told) == list(told_rules(expected["description"]))
        assert len(told) == level.num_sentences - level.withheld
        for color, name in told.items():
            assert name in false_names(level, split, color, info["rules"][color])
        assert env.observation_space["description"].contains(obs["description"])


@pytest.mark.parametrize("order", ["canonical", "shuffled"])
@pytest.mark.parametrize("env_id", ["BabyAIpp-GoToPartial-HeldOut-v0", "BabyAIpp-GoToRedBallHard-Fixed-v0"])
def test_rules_that_are_set_are_contradicted_too(env_id, order):
    level, split = parse_env_id(env_id)
    env = gym.make(env_id, text="contradict", sentence_order=order)
    random = np.random.default_rng(0)
    for seed in range(200):
        rules = dict(zip(random.permutation(COLORS)[:3].tolist(), random.choice(PROPERTIES, 3).tolist(), strict=True))
        obs, _ = env.reset(seed=seed, options={"rules": rules})
        for color, name in told_rules(obs["description"]).items():
            assert name in false_names(level, split, color, rules[color])
        assert env.observation_space["description"].contains(obs["description"])


@pytest.mark.parametrize("split", LEVELS["GoToRedBallHard"].splits)
def test_false_properties_are_drawn_alike(split):
    """600 texts; of each colour's n false properties each is told in 600 / n, standard deviation at most 13."""
    level = LEVELS["GoToRedBallHard"]
    rules = {"blue": "trap", "green": "sticky", "grey": "flipud"}
    counts = Counter(
        (color, name)
        for seed in range(600)
        for sentence in describe(seed, CONTRADICT, tuple(rules), rules, level.allowed(split), level.dynamics.properties)
        for color, name in told_rules(sentence).items()
    )
    for color, true in rules.items():
        names = false_names(level, split, color, true)
        assert {name for told, name in counts if told == color} == names
        assert all(abs(counts[color, name] - 600 / len(names)) < 65 for name in names)


def test_where_a_split_has_a_single_property_any_other_is_told(with_new_levels):
    env = make("OneProperty", "Fixed", text="contradict")
    told = set()
    for seed in range(200):
        description = env.reset(seed=seed)[0]["description"]
        assert env.observation_space["description"].contains(description)
        told |= set(told_rules(description).values())
    assert told == set(PROPERTIES) - {"trap"}


@pytest.mark.parametrize("split", BALANCED.splits)
def test_balanced_levels_are_told_the_opposite(split):
    """Deadly for harmless and the reverse: a property that the split allows for the colour, else one of the level's."""
    env = make(BALANCED.name, split, text="contradict")
    for seed in range(100):
        obs, info = env.reset(seed=seed)
        for color, name in told_rules(obs["description"]).items():
            was_deadly = HAZARD[info["rules"][color]] == "deadly"
            assert (HAZARD[name] == "deadly") != was_deadly
            opposite = {each for each in BALANCED.dynamics.properties if (HAZARD[each] == "deadly") != was_deadly}
            assert name in (set(BALANCED.allowed(split)[color]) & opposite or opposite)


@pytest.mark.parametrize("level", [ONE_FIXED_PROPERTY, BALANCED], ids=lambda level: level.name)
def test_the_engine_contradicts_alike_in_such_levels(with_new_levels, level):
    for split in level.splits:
        env, envs = make(level.name, split, text="contradict"), make_vec(level, split, 30, text="contradict")
        obs, _ = envs.reset(seed=0)
        for seed in range(30):
            description = env.reset(seed=seed)[0]["description"]
            np.testing.assert_array_equal(
                obs["description"][seed], encode_sentences(description, level.num_sentences, 4)
            )


@pytest.mark.parametrize("level", [*LEVELS.values(), ONE_FIXED_PROPERTY], ids=lambda level: level.name)
def test_the_space_holds_what_can_be_told_and_no_more(with_new_levels, level):
    """In some split, when some rules are set."""
    env = make(level.name, "All", text="contradict")
    said = {
        sentence
        for split in level.splits
        for true in PROPERTIES
        for seed in range(40)
        for sentence in describe(
            seed, CONTRADICT, COLORS, dict.fromkeys(COLORS, true), level.allowed(split), level.properties(split)
        )
    }
    space = env.observation_space["description"]
    assert said == {
        sentence
        for color in COLORS
        for name in PROPERTIES
        for sentence in [f"{color} floors are {name}."]
        if space.contains(sentence)
    }
    space.seed(0)
    samples = {sentence for _ in range(400) for sentence in split_sentences(space.sample())}
    assert samples <= said
