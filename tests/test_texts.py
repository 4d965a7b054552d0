"""The words: vocabulary, tokens, text conditions, and instructions in agreement with Minigrid's."""

from __future__ import annotations

from collections import Counter

import gymnasium as gym
import numpy as np
import pytest

from babyaipp import LEVELS, TILES
from babyaipp.instructions import max_words, parse_instruction
from babyaipp.texts import (
    LOREM,
    LOREM_ANY,
    SENTENCE_WORDS,
    TEXT_CONDITIONS,
    VOCABULARY,
    VOCABULARY_CAPACITY,
    WORD_IDS,
    decode,
    describe,
    encode,
    encode_sentences,
    lorem_words,
    parse_text_condition,
    split_sentences,
    text_draw,
    words_of,
)
from babyaipp.tiles import COLORS

HARD = "BabyAIpp-GoToRedBallHard-All-v0"


def descriptions(env_id=HARD, episodes=200, **kwargs):
    env = gym.make(env_id, **kwargs)
    for seed in range(episodes):
        obs, info = env.reset(seed=seed)
        yield obs["description"], info["rules"]


def test_vocabulary_ids_are_fixed():
    """Append only: saved agents rely on these ids."""
    assert len(set(VOCABULARY)) == len(VOCABULARY) <= VOCABULARY_CAPACITY
    known = {
        "<pad>": 0,
        "go": 1,
        "door": 25,
        "floors": 26,
        "are": 27,
        "blue": 28,
        "yellow": 33,
        "trap": 34,
        "magic": 39,
    }
    known |= {"lorem": 40, "cillum": 71, "baba": 72, "toto": 1095}
    known |= {"pit": 1096, "jail": 1097, "drain": 1098, "stepping": 1099, "spends": 1250}
    assert {word: WORD_IDS[word] for word in known} == known


def test_every_word_of_every_level_has_an_id():
    for level in LEVELS.values():
        space = gym.make(level.env_id("All")).observation_space["mission"]
        for _ in range(50):
            words = words_of(space.sample())
            assert set(words) <= set(VOCABULARY)
            assert len(words) <= max_words(level.grammar)
    assert {*COLORS, *(tile.name for tile in TILES)} <= set(VOCABULARY)
    assert max(map(len, VOCABULARY)) == 11  # the lengths of the spaces' texts follow from it


def test_encode_and_decode():
    ids = encode("go to the red ball", 7)
    assert ids.dtype == np.int32
    assert ids[5:].tolist() == [0, 0]
    assert decode(ids) == "go to the red ball"
    table = encode_sentences("green floors are trap. blue floors are slippery.", 3, 4)
    assert table.shape == (3, 4)
    assert decode(table[1]) == "blue floors are slippery"
    assert not table[2].any()
    with pytest.raises(ValueError, match="words outside the vocabulary: lava"):
        encode("green floors are lava.", 4)
    with pytest.raises(ValueError, match="has 5 words; at most 4 fit"):
        encode("go to the red ball", 4)
    with pytest.raises(ValueError, match="has 2 sentences; at most 1 fit"):
        encode_sentences("green floors are trap. blue floors are slippery.", 1, 4)


def test_true_tells_the_rules_in_canonical_order():
    for text, rules in descriptions():
        assert text == " ".join(f"{color} floors are {rules[color]}." for color in COLORS if color in rules)


def test_shuffled_order_is_uniform():
    """6 orders of 3 sentences, 1,200 episodes: 200 each expected, standard deviation 13."""
    orders = Counter()
    for text, rules in descriptions(episodes=1200, sentence_order="shuffled"):
        sentences = split_sentences(text)
        assert set(sentences) == {f"{color} floors are {name}." for color, name in rules.items()}
        orders[tuple(sentence.split()[0] for sentence in sentences)] += 1
    assert len(orders) == 6
    assert all(abs(count - 200) < 65 for count in orders.values())


@pytest.mark.parametrize(("text", "condition"), [("lorem", LOREM), ("lorem_any", LOREM_ANY)])
def test_lorem_has_as_many_and_as_long_sentences_and_no_meaning(text, condition):
    words = Counter()
    for description, _ in descriptions(text=text):
        sentences = split_sentences(description)
        assert [len(words_of(sentence)) for sentence in sentences] == [SENTENCE_WORDS] * 3
        words.update(words_of(description))
    assert set(words) <= set(lorem_words(condition))
    assert len(words) > 30
    if condition == LOREM:
        # 2,400 words of 32: 75 each expected, standard deviation 8.5.
        assert all(abs(words[word] - 75) < 45 for word in lorem_words(LOREM))


def test_lorem_does_not_depend_on_the_rules():
    env = gym.make(HARD, text="lorem")
    texts = {
        env.reset(seed=5, options={"rules": dict.fromkeys(("blue", "green", "grey"), name)})[0]["description"]
        for name in ("sticky", "flipud", "fliplr")  # one hazard class: the same draws
    }
    assert len(texts) == 1


def test_shuffled_rules_have_the_form_but_not_the_meaning():
    """Properties are drawn from six, so a sentence is true by chance in 1 of 6: of 1,800, 300, deviation 16."""
    true = 0
    for text, rules in descriptions(episodes=600, text="shuffled_rules"):
        sentences = split_sentences(text)
        assert [sentence.split()[0] for sentence in sentences] == [color for color in COLORS if color in rules]
        true += sum(
            sentence == f"{sentence.split()[0]} floors are {rules[sentence.split()[0]]}." for sentence in sentences
        )
    assert abs(true - 300) < 80


def test_none_tells_nothing():
    assert {text for text, _ in descriptions(text="none", episodes=10)} == {""}


@pytest.mark.parametrize(("count", "left"), [(0, 3), (1, 2), (3, 0), (9, 0)])
def test_withheld_leaves_out_sentences_at_random(count, left):
    named = Counter()
    for text, rules in descriptions(text=f"withheld={count}", episodes=600):
        sentences = split_sentences(text)
        assert len(sentences) == left
        assert set(sentences) <= {f"{color} floors are {name}." for color, name in rules.items()}
        named.update(sentence.split()[0] for sentence in sentences)
    # Of 600 episodes each colour is named in left / 3 of them; standard deviation at most 12.
    assert all(abs(named[color] - 600 * left / 3) < 60 for color in ("blue", "green", "grey"))


def test_the_partial_level_withholds_one_rule():
    withheld = Counter()
    for text, rules in descriptions("BabyAIpp-GoToPartial-All-v0", episodes=90):
        told = {sentence.split()[0] for sentence in split_sentences(text)}
        (missing,) = set(rules) - told
        withheld[missing] += 1
    assert len(withheld) == 3
    env = gym.make("BabyAIpp-GoToPartial-All-v0")
    obs, _ = env.reset(seed=3)
    world = env.unwrapped.world
    assert obs["description"] == " ".join(world.sentences)
    assert obs["description"] == env.reset(options={"world": type(world).from_dict(world.to_dict())})[0]["description"]


def test_text_draws_are_uniform_and_independent_of_their_neighbours():
    """20,000 draws of 7 values: 2,857 each, deviation 50; pairs of neighbouring draws: 408 each, deviation 20."""
    draws = np.array([[text_draw(seed, index, 7) for index in (0, 1)] for seed in range(0, 2**31, 2**31 // 20_000)])
    assert (np.abs(np.bincount(draws[:, 0]) - 2857) < 250).all()
    pairs = np.bincount(draws[:, 0] * 7 + draws[:, 1], minlength=49)
    assert (np.abs(pairs - 408) < 100).all()


@pytest.mark.parametrize("level", LEVELS.values(), ids=LEVELS)
def test_instructions_are_worded_and_located_as_minigrid_does(level):
    """The tree's own text and positions agree with Minigrid's, whose instruction it was read from."""
    env = gym.make(level.env_id("All")).unwrapped
    for seed in range(100 if level.num_rows == 1 else 12):
        obs, _ = env.reset(seed=seed)
        world = env.world
        assert world.instruction_text == obs["mission"]
        parsed = parse_instruction(obs["mission"]).located(world.cells, world.agent, world.room_size)
        assert parsed == world.instruction
        world.validate()


def test_conditions_are_named_and_parsed():
    for text in (*TEXT_CONDITIONS, "withheld=2"):
        assert str(parse_text_condition(text)) == text
    for text in ("True", "withheld", "withheld=-1", "", 3):
        with pytest.raises(ValueError, match="unknown text condition"):
            parse_text_condition(text)


def test_properties_named_twice_are_drawn_like_the_others():
    """`shuffled_rules` draws from a set: a map that gives two colours one property must not spill into others."""
    condition, rules = parse_text_condition("shuffled_rules"), {"blue": "trap", "green": "trap"}
    told = {
        sentence.split()[3].removesuffix(".")
        for seed in range(100)
        for sentence in describe(seed, condition, tuple(rules), rules, {}, ("trap", "trap", "magic"))
    }
    assert told == {"trap", "magic"}
