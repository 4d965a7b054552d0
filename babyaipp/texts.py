"""The words: vocabulary, sentence templates, tokens, and the text conditions of a description.

A description is written once, as word ids, by `write_description`: integers only, without objects or
allocation, like `tiles.py` and `floors.py`. Strings are made from the ids. The random choices of a text
(order, withheld sentences, words without meaning) come from one number a reset that the environment draws
from its own random stream after the world is finished. So the text condition changes nothing but the text:
all conditions see the same worlds.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from babyaipp.bits import bit_count, nth_bit
from babyaipp.tiles import COLORS, PROPERTIES

_INSTRUCTION_WORDS = """
go to the a pick up open put next and then after you in front of behind on your left right key ball box door
""".split()
_LOREM_WORDS = """
lorem ipsum dolor sit amet consectetur adipiscing elit sed eiusmod tempor incididunt labore magna aliqua enim
minim veniam quis nostrud ullamco laboris nisi aliquip commodo consequat duis aute irure velit esse cillum
""".split()
_SYLLABLES = ["".join(pair) for pair in itertools.product("bdfklmnt", "aeio")]
_MADE_UP_WORDS = ["".join(pair) for pair in itertools.product(_SYLLABLES, _SYLLABLES)]

VOCABULARY: tuple[str, ...] = (  # append only: a word's id is its place here, and saved agents rely on it
    "<pad>",
    *_INSTRUCTION_WORDS,
    "floors",
    "are",
    *COLORS,
    *PROPERTIES[:6],
    *_LOREM_WORDS,
    *_MADE_UP_WORDS,
    *PROPERTIES[6:9],
)
VOCABULARY_CAPACITY = 2048
"""Ids stay below this, however many words are appended, so that the spaces and sizes of saved agents keep fitting."""
WORD_IDS: dict[str, int] = {word: index for index, word in enumerate(VOCABULARY)}
PADDING = 0

SENTENCE_WORDS = 4
"""Words of a sentence: "green floors are trap"."""

_COLOR_WORDS = np.array([WORD_IDS[color] for color in COLORS], np.int64)
_PROPERTY_WORDS = np.array([WORD_IDS[name] for name in PROPERTIES], np.int64)
_FLOORS, _ARE = WORD_IDS["floors"], WORD_IDS["are"]
_FIRST_LOREM, _NUM_LOREM = WORD_IDS[_LOREM_WORDS[0]], len(_LOREM_WORDS)
_FIRST_MADE_UP, _NUM_MADE_UP = WORD_IDS[_MADE_UP_WORDS[0]], len(_MADE_UP_WORDS)

TEXT_CONDITIONS: tuple[str, ...] = ("true", "lorem", "lorem_any", "shuffled_rules", "none")
TRUE, LOREM, LOREM_ANY, SHUFFLED_RULES, NO_TEXT = range(len(TEXT_CONDITIONS))
SENTENCE_ORDERS: tuple[str, ...] = ("canonical", "shuffled")

TEXT_SEEDS = 2**31
"""The number that the choices of a text are made from is drawn from [0, TEXT_SEEDS)."""

# Where the draws of each kind begin among the draws of a text.
_ORDER_DRAWS, _LEVEL_WITHHELD_DRAWS, _WITHHELD_DRAWS, _PROPERTY_DRAWS, _WORD_DRAWS = 0, 16, 32, 48, 64


@dataclass(frozen=True)
class TextCondition:
    """What the description tells of the rules."""

    kind: int = TRUE
    withheld: int = 0
    """Sentences left out, besides those that the level withholds."""

    def __str__(self) -> str:
        return f"withheld={self.withheld}" if self.withheld else TEXT_CONDITIONS[self.kind]


def parse_text_condition(text: str) -> TextCondition:
    """The condition named by `gymnasium.make(..., text=...)`.

    Raises:
        ValueError: unknown name, or not a count behind `withheld=`.
    """
    if isinstance(text, str):
        if text in TEXT_CONDITIONS:
            return TextCondition(TEXT_CONDITIONS.index(text))
        match = re.fullmatch(r"withheld=([0-9]+)", text)
        if match:
            return TextCondition(TRUE, int(match[1]))
    raise ValueError(f"unknown text condition text={text!r}; allowed: {', '.join(TEXT_CONDITIONS)}, withheld=<count>")


def check_sentence_order(order: str | None, default: str) -> str:
    """The argument itself, if it is a known order; the default, if it is None.

    Raises:
        ValueError: unknown order.
    """
    if order is None:
        return default
    if order not in SENTENCE_ORDERS:
        raise ValueError(f"unknown sentence_order={order!r}; allowed: {', '.join(SENTENCE_ORDERS)}")
    return order


# Integer functions, for both implementations.


def text_draw(seed, index, bound):
    """A number in [0, bound), the `index`-th draw of the text with this seed; `bound` at most 2**16.

    A 32-bit integer hash (a multiply-xorshift finaliser), not a stream: draws do not depend on each other.
    """
    word = (seed + (index + 1) * 0x9E3779B1) & 0xFFFFFFFF
    word ^= word >> 16
    word = (word * 0x7FEB352D) & 0xFFFFFFFF
    word ^= word >> 15
    word = (word * 0x46CA68B5) & 0xFFFFFFFF
    word ^= word >> 16
    return (word * bound) >> 32


def draw_described(seed, colors, withheld, shuffled, out):
    """Which rules the description names, in which order.

    Args:
        seed: the text's number.
        colors: bit mask of the colours that have rules.
        withheld: how many of them are left out, drawn at random.
        shuffled: draw the order, instead of keeping that of the colours' numbers.
        out: (>= colours,) int, filled with the colours named.

    Returns:
        How many are named.
    """
    count = _select(seed, bit_count(colors), withheld, _LEVEL_WITHHELD_DRAWS, shuffled, out)
    for i in range(count):
        out[i] = nth_bit(colors, int(out[i]))
    return count


def write_description(seed, condition, withheld, colors, props, count, level_props, color_words, property_words, out):
    """Write a description as word ids.

    Args:
        seed: the text's number.
        condition: index in `TEXT_CONDITIONS`.
        withheld: how many sentences are left out, drawn at random.
        colors: (>= count,) int, the colours that are named, in order.
        props: (6,) int, the property of each colour.
        count: sentences before any is left out.
        level_props: bit mask of the properties that `shuffled_rules` draws from.
        color_words: (6,) int, word id of each colour.
        property_words: (properties,) int, word id of each property.
        out: (>= count, SENTENCE_WORDS) int, filled with word ids, then padding.

    Returns:
        How many sentences were written.
    """
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            out[i, j] = PADDING
    if condition == NO_TEXT:
        return 0
    # The places of the colours that are left are kept in the first column until the words take their place.
    kept = _select(seed, count, withheld, _WITHHELD_DRAWS, False, out[:, 0])
    for i in range(kept):
        color = int(colors[out[i, 0]])
        prop = int(props[color])
        if condition == SHUFFLED_RULES:
            prop = nth_bit(level_props, text_draw(seed, _PROPERTY_DRAWS + i, bit_count(level_props)))
        out[i, 0] = color_words[color]
        out[i, 1] = _FLOORS
        out[i, 2] = _ARE
        out[i, 3] = property_words[prop]
        if condition in (LOREM, LOREM_ANY):
            first = _FIRST_LOREM if condition == LOREM else _FIRST_MADE_UP
            words = _NUM_LOREM if condition == LOREM else _NUM_MADE_UP
            for j in range(SENTENCE_WORDS):
                out[i, j] = first + text_draw(seed, _WORD_DRAWS + i * SENTENCE_WORDS + j, words)
    return kept


def _select(seed, count, withheld, withheld_draws, shuffled, out):
    """Leave out `withheld` of the places below `count`, then order the rest; returns how many are left."""
    left = count - min(withheld, count)
    remaining = (1 << count) - 1
    for i in range(count - left):
        remaining &= ~(1 << nth_bit(remaining, text_draw(seed, withheld_draws + i, count - i)))
    for i in range(left):
        pick = text_draw(seed, _ORDER_DRAWS + i, left - i) if shuffled else 0
        place = nth_bit(remaining, pick)
        remaining &= ~(1 << place)
        out[i] = place
    return left


# For people and string-based libraries.


def description_sentences(ids: np.ndarray) -> tuple[str, ...]:
    """The sentences of a (sentences, words) array of ids, without the padding."""
    rows = ([VOCABULARY[word] for word in row if word != PADDING] for row in ids)
    return tuple(" ".join(words) + "." for words in rows if words)


def rule_sentence(color: str, name: str) -> str:
    """The sentence that tells a rule."""
    return f"{color} floors are {name}."


def merged_text(instruction: str, sentences: Iterable[str]) -> str:
    """Instruction and description as one string, as the original's agents read it."""
    return f"{instruction}. " + "".join(f"{sentence} " for sentence in sentences)


_SENTENCE = re.compile(rf"({'|'.join(COLORS)}) floors are ({'|'.join(PROPERTIES)})\. ")


def parse_merged_text(text: str, instruction: str) -> tuple[tuple[str, str], ...]:
    """The rules that a text of `merged_text` tells, in its order.

    Raises:
        ValueError: the text does not begin with the instruction, or goes on with something else than sentences.
    """
    start = f"{instruction}. "
    rest = text.removeprefix(start)
    if not text.startswith(start) or _SENTENCE.sub("", rest):
        raise ValueError(
            f"text {text!r} is not {start!r} followed by sentences such as {rule_sentence('green', 'trap') + ' '!r}"
        )
    return tuple((match[1], match[2]) for match in _SENTENCE.finditer(rest))


def lorem_words(condition: int) -> tuple[str, ...]:
    """The words of the sentences without meaning under `LOREM` or `LOREM_ANY`."""
    return tuple(_LOREM_WORDS if condition == LOREM else _MADE_UP_WORDS)


def words_of(text: str) -> list[str]:
    """The words of a text, without punctuation."""
    return re.findall(r"[a-z]+", text)


def encode(text: str, length: int) -> np.ndarray:
    """Word ids of a text, padded.

    Args:
        text: words and punctuation.
        length: size of the result.

    Returns:
        (length,) int32.

    Raises:
        ValueError: a word is not in the vocabulary, or there are more than `length`.
    """
    words = words_of(text)
    unknown = [word for word in words if word not in WORD_IDS]
    if unknown:
        raise ValueError(f"text {text!r} has words outside the vocabulary: {', '.join(unknown)}")
    if len(words) > length:
        raise ValueError(f"text {text!r} has {len(words)} words; at most {length} fit")
    ids = np.full(length, PADDING, np.int32)
    ids[: len(words)] = [WORD_IDS[word] for word in words]
    return ids


def split_sentences(description: str) -> tuple[str, ...]:
    """The sentences of a description, each with its full stop."""
    return tuple(re.findall(r"[^ .][^.]*\.", description))


def encode_sentences(description: str, sentences: int, words: int) -> np.ndarray:
    """Word ids of a description, one sentence a row, padded.

    Returns:
        (sentences, words) int32.

    Raises:
        ValueError: there are more sentences or words than that, or unknown words.
    """
    texts = split_sentences(description)
    if len(texts) > sentences:
        raise ValueError(f"description {description!r} has {len(texts)} sentences; at most {sentences} fit")
    ids = np.full((sentences, words), PADDING, np.int32)
    for row, text in enumerate(texts):
        ids[row] = encode(text, words)
    return ids


def decode(ids: Sequence[int] | np.ndarray) -> str:
    """The words of an array of ids, without padding and punctuation."""
    return " ".join(VOCABULARY[word] for word in np.asarray(ids).ravel() if word != PADDING)


def describe(
    seed: int, condition: TextCondition, described: Sequence[str], rules: dict[str, str], properties: Iterable[str]
) -> tuple[str, ...]:
    """The sentences of a description.

    Args:
        seed: the text's number.
        condition: what the description tells.
        described: the colours that are named, in order.
        rules: the episode's rules.
        properties: what `shuffled_rules` draws from.
    """
    colors = np.array([COLORS.index(color) for color in described], np.int64)
    props = np.full(len(COLORS), -1, np.int64)
    for color, name in rules.items():
        props[COLORS.index(color)] = PROPERTIES.index(name)
    mask = sum(1 << PROPERTIES.index(name) for name in set(properties))
    out = np.zeros((max(len(described), 1), SENTENCE_WORDS), np.int64)
    write_description(
        seed,
        condition.kind,
        condition.withheld,
        colors,
        props,
        len(described),
        mask,
        _COLOR_WORDS,
        _PROPERTY_WORDS,
        out,
    )
    return description_sentences(out)
