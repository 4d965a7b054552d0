"""Rules in everyday words: the templates, and the conditions that draw from them."""

from __future__ import annotations

import re
from collections import Counter

import gymnasium as gym
import numpy as np
import pytest
from conftest import ALL_IDS

from babyaipp import make_vec
from babyaipp.paraphrases import COLOR_PLACE, PARAPHRASES
from babyaipp.texts import (
    LOREM,
    LOREM_ANY,
    PARAPHRASE,
    PARAPHRASE_HELDOUT,
    PARAPHRASE_WORDS,
    PROPERTIES,
    decode,
    describe,
    encode,
    lorem_words,
    parse_text_condition,
    rule_sentences,
    split_sentences,
    words_of,
)
from babyaipp.tiles import COLORS
from babyaipp.wrappers import MergedTextObservation, TokenObservation

TEXTS = {"paraphrase": PARAPHRASE, "paraphrase_heldout": PARAPHRASE_HELDOUT}
HARD = "BabyAIpp-GoToRedBallHard-All-v0"


def rules_by_sentence(text: str) -> dict[str, tuple[str, str]]:
    """Sentence -> the rule that it tells, for all sentences of a condition."""
    return {
        sentence: (color, name)
        for color in COLORS
        for name in PROPERTIES
        for sentence in rule_sentences(TEXTS[text], color, name)
    }


def templates(part: int) -> list[str]:
    return [template for both in PARAPHRASES.values() for template in both[part]]


def word_set(part: int) -> set[str]:
    return {word for template in templates(part) for word in words_of(template)}


@pytest.mark.parametrize("name", PROPERTIES)
def test_every_property_has_templates_that_fit(name):
    assert [len(part) for part in PARAPHRASES[name]] == [10, 5]  # as docs/environments.md tells
    for kind in TEXTS.values():
        for color in COLORS:
            for sentence in rule_sentences(kind, color, name):
                assert re.fullmatch(r"[a-z]+( [a-z]+)*\.", sentence)
                assert [word for word in words_of(sentence) if word in COLORS] == [color]
                assert decode(encode(sentence, PARAPHRASE_WORDS)) == sentence.removesuffix(".")


def test_templates_are_of_known_properties():
    assert set(PARAPHRASES) == set(PROPERTIES)
    assert all(template.count(COLOR_PLACE) == 1 for part in range(2) for template in templates(part))


def test_a_sentence_belongs_to_one_property_and_one_condition():
    counts = Counter(templates(0) + templates(1))
    assert set(counts.values()) == {1}


def test_held_out_sentences_have_no_new_words():
    assert word_set(1) <= word_set(0)


def test_templates_share_no_words_with_other_conditions():
    """Neither a property's name, so that names are no key to them, nor what is a word without meaning elsewhere."""
    assert not (word_set(0) & {*PROPERTIES, *lorem_words(LOREM), *lorem_words(LOREM_ANY)})


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("order", ["canonical", "shuffled"])
def test_paraphrases_tell_the_rules(text, order):
    told = rules_by_sentence(text)
    plain, env = (gym.make(HARD, text=each, sentence_order=order) for each in ("true", text))
    for seed in range(100):
        (expected, _), (obs, info) = plain.reset(seed=seed), env.reset(seed=seed)
        rules = [told[sentence] for sentence in split_sentences(obs["description"])]
        assert dict(rules) == info["rules"]
        assert expected["description"] == " ".join(f"{color} floors are {name}." for color, name in rules)
        assert env.reset(seed=seed)[0]["description"] == obs["description"]


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("name", PROPERTIES)
def test_all_templates_are_drawn_alike(text, name):
    """Each place in a text draws for itself; 200 are expected of a template, standard deviation at most 14."""
    choices = [rule_sentences(TEXTS[text], color, name) for color in ("green", "red")]
    episodes, rules = 200 * len(choices[0]), {"green": name, "red": name}
    drawn = np.array(
        [
            [choices[i].index(sentence) for i, sentence in enumerate(sentences)]
            for seed in range(episodes)
            for sentences in [describe(seed, parse_text_condition(text), tuple(rules), rules, {}, ())]
        ]
    )
    for place in range(2):
        assert (np.abs(np.bincount(drawn[:, place], minlength=len(choices[0])) - 200) < 70).all()
    pairs = np.bincount(drawn[:, 0] * len(choices[0]) + drawn[:, 1], minlength=len(choices[0]) ** 2)
    expected = 200 / len(choices[0])
    assert (np.abs(pairs - expected) < 5 * expected**0.5).all()


@pytest.mark.parametrize("text", TEXTS)
def test_the_space_holds_these_sentences_and_no_others(text):
    env = gym.make(HARD, text=text)
    space, told = env.observation_space["description"], rules_by_sentence(text)
    assert all(space.contains(sentence) for sentence in told)
    (other,) = set(TEXTS) - {text}
    for sentence in ["green floors are trap.", "green ends it all.", *rules_by_sentence(other)]:
        assert not space.contains(sentence)
    green, blue = (rule_sentences(TEXTS[text], color, "pit") for color in ("green", "blue"))
    assert space.contains(f"{green[0]} {blue[1]}")
    assert not space.contains(f"{green[0]} {green[1]}")
    space.seed(0)
    samples = [space.sample() for _ in range(600)]
    assert all(space.contains(sample) for sample in samples)
    names = Counter(told[sentence][1] for sample in samples for sentence in split_sentences(sample))
    assert set(names) == set(PROPERTIES)
    assert space == gym.make(HARD, text=text).observation_space["description"]
    assert space not in [gym.make(HARD, text=each).observation_space["description"] for each in ("true", other)]


def test_sizes_fit_both_conditions_and_can_be_those_of_any():
    """The longest sentence sets the width; a wider description holds the texts of all conditions."""
    longest = {text: max(len(words_of(sentence)) for sentence in rules_by_sentence(text)) for text in TEXTS}
    assert max(longest.values()) == PARAPHRASE_WORDS
    shapes = set()
    for text in (*TEXTS, "true", "contradict", "lorem", "none"):
        width = None if text in TEXTS else PARAPHRASE_WORDS
        env = TokenObservation(gym.make(HARD, text=text), sentence_words=width)
        envs = make_vec("GoToRedBallHard", "All", 2, text=text, sentence_words=width)
        assert env.observation_space == envs.single_observation_space
        batch, single = envs.reset(seed=3)[0]["description"], env.reset(seed=3)[0]["description"]
        np.testing.assert_array_equal(batch[0], single)
        sentences = split_sentences(env.unwrapped.description)
        assert [decode(row) for row in single if row.any()] == [sentence.removesuffix(".") for sentence in sentences]
        shapes.add(env.observation_space["description"].shape)
    assert shapes == {(3, PARAPHRASE_WORDS)}


@pytest.mark.parametrize(("text", "least"), [("paraphrase", PARAPHRASE_WORDS), ("contradict", 4)])
def test_too_small_a_width_is_refused(text, least):
    message = f"sentence_words={least - 1} is too small for level GoToRedBall; at least {least}"
    with pytest.raises(ValueError, match=message):
        make_vec("GoToRedBall", text=text, sentence_words=least - 1)
    with pytest.raises(ValueError, match=message):
        TokenObservation(gym.make("BabyAIpp-GoToRedBall-All-v0", text=text), sentence_words=least - 1)


@pytest.mark.parametrize("env_id", ALL_IDS)
def test_one_string_holds_them_too(env_id):
    env = MergedTextObservation(gym.make(env_id, text="paraphrase"))
    obs, _ = env.reset(seed=0)
    assert env.observation_space.contains(obs)
    sentences = split_sentences(env.unwrapped.description)
    assert obs["mission"] == f"{env.unwrapped.mission}. " + "".join(f"{sentence} " for sentence in sentences)
    assert set(sentences) <= set(rules_by_sentence("paraphrase"))
