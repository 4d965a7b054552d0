"""The words: vocabulary, sentence templates, tokens, and the text conditions of a description.

A description is written once, as word ids, by `write_description`: integers only, without objects or
allocation, like `tiles.py` and `floors.py`. Strings are made from the ids. The random choices of a text
(order, withheld sentences, templates, false rules, words without meaning) come from one number a reset that
the environment draws from its own random stream after the world is finished. So the text condition changes
nothing but the text: all conditions see the same worlds.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from babyaipp.bits import bit_count, nth_bit
from babyaipp.paraphrases import COLOR_PLACE, PARAPHRASES
from babyaipp.tiles import COLORS, PROPERTIES, TILES

_INSTRUCTION_WORDS = """
go to the a pick up open put next and then after you in front of behind on your left right key ball box door
""".split()
_LOREM_WORDS = """
lorem ipsum dolor sit amet consectetur adipiscing elit sed eiusmod tempor incididunt labore magna aliqua enim
minim veniam quis nostrud ullamco laboris nisi aliquip commodo consequat duis aute irure velit esse cillum
""".split()
_SYLLABLES = ["".join(pair) for pair in itertools.product("bdfklmnt", "aeio")]
_MADE_UP_WORDS = ["".join(pair) for pair in itertools.product(_SYLLABLES, _SYLLABLES)]
_PARAPHRASE_WORDS = """
stepping ends it all kills at once die as soon step game is over deadly one dead lost stand means death for whoever
steps walking onto standing win nothing holds feet two cannot walk off before glue wait can stick have stay leaving
stuck until keeps lets works only going forward does first turns around turn every spins whenever moving other way
takes backward each sends back ahead makes swapped swaps change places goes wrong side mixes count that starts costs
half twice fast clock runs speed while move from much whatever do counts glide so cost lasts long second drops cell
down sink pulls moves row lower map drags lowers by stays slide fall into deep hole falling gives out swallows whole
ground opens under gone there falls dies never again locked good forever enter but leave locks no will ever get uses
eats rest jumps end leaves more spent spends
""".split()

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
    *_PARAPHRASE_WORDS,
)
VOCABULARY_CAPACITY = 2048
"""Ids stay below this, however many words are appended, so that the spaces and sizes of saved agents keep fitting."""
WORD_IDS: dict[str, int] = {word: index for index, word in enumerate(VOCABULARY)}
PADDING = 0

SENTENCE_WORDS = 4
"""Words of a sentence that is no paraphrase: "green floors are trap"."""

PARAPHRASE_WORDS = max(len(template.split()) for both in PARAPHRASES.values() for part in both for template in part)
"""Words of the longest paraphrase."""

_COLOR_WORDS = np.array([WORD_IDS[color] for color in COLORS], np.int64)
_PROPERTY_WORDS = np.array([WORD_IDS[name] for name in PROPERTIES], np.int64)
_FLOORS, _ARE = WORD_IDS["floors"], WORD_IDS["are"]
_FIRST_LOREM, _NUM_LOREM = WORD_IDS[_LOREM_WORDS[0]], len(_LOREM_WORDS)
_FIRST_MADE_UP, _NUM_MADE_UP = WORD_IDS[_MADE_UP_WORDS[0]], len(_MADE_UP_WORDS)

# Templates by part of `Paraphrases` (training, held-out) and property: how many, and the words of each.
_COLOR_WORD = -1  # where the colour's word goes
_NUM_TEMPLATES = np.array([[len(PARAPHRASES[name][part]) for name in PROPERTIES] for part in range(2)], np.int64)
_TEMPLATES = np.full((*_NUM_TEMPLATES.shape, _NUM_TEMPLATES.max(), PARAPHRASE_WORDS), PADDING, np.int16)


def _fill_templates() -> None:
    ids = WORD_IDS | {COLOR_PLACE: _COLOR_WORD}
    for part, prop in np.ndindex(_NUM_TEMPLATES.shape):
        for i, template in enumerate(PARAPHRASES[PROPERTIES[prop]][part]):
            words = template.split()
            _TEMPLATES[part, prop, i, : len(words)] = [ids[word] for word in words]


_fill_templates()

DEADLY_PROPERTIES = sum(1 << prop for prop, tile in enumerate(TILES) if tile.hazard == "deadly")
"""Bit mask of the properties of this hazard class."""

TEXT_CONDITIONS: tuple[str, ...] = (
    *("true", "lorem", "lorem_any", "shuffled_rules", "none"),
    *("paraphrase", "paraphrase_heldout", "contradict"),
)
TRUE, LOREM, LOREM_ANY, SHUFFLED_RULES, NO_TEXT, PARAPHRASE, PARAPHRASE_HELDOUT, CONTRADICT = range(
    len(TEXT_CONDITIONS)
)
TEXT_CONDITION_NAMES = f"{', '.join(TEXT_CONDITIONS)}, withheld=<count>"
"""What a text condition can be called, for messages and help."""
SENTENCE_ORDERS: tuple[str, ...] = ("canonical", "shuffled")

TEXT_SEEDS = 2**31
"""The number that the choices of a text are made from is drawn from [0, TEXT_SEEDS)."""

# Where the draws of each kind begin among the draws of a text.
_ORDER_DRAWS, _LEVEL_WITHHELD_DRAWS, _WITHHELD_DRAWS, _PROPERTY_DRAWS = 0, 16, 32, 48
_WORD_DRAWS, _TEMPLATE_DRAWS = 64, 96


@dataclass(frozen=True)
class TextCondition:
    """What the description tells of the rules."""

    kind: int = TRUE
    withheld: int = 0
    """Sentences left out, besides those that the level withholds."""

    def __str__(self) -> str:
        return f"withheld={self.withheld}" if self.withheld else TEXT_CONDITIONS[self.kind]

    @property
    def sentence_words(self) -> int:
        """Words of a sentence at most; the same for both kinds of paraphrases, so that a policy loads on either."""
        return PARAPHRASE_WORDS if self.kind in (PARAPHRASE, PARAPHRASE_HELDOUT) else SENTENCE_WORDS


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
    raise ValueError(f"unknown text condition text={text!r}; allowed: {TEXT_CONDITION_NAMES}")


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


def draw_false_property(seed, index, prop, num_props, allowed, level_props, deadly_props):
    """Draw a property that a colour does not have, for the `index`-th sentence.

    It is one that the split allows for the colour; if there is none, one of the level's; if there is none, any.

    Args:
        seed: the text's number.
        index: the place of the sentence.
        prop: the property that the colour has.
        num_props: how many properties there are.
        allowed: bit mask of the properties that the split allows for the colour.
        level_props: bit mask of the level's properties.
        deadly_props: bit mask of the deadly properties, to draw one of the other class, wherever the level has one;
            0: classes do not matter.
    """
    others = ((1 << num_props) - 1) & ~(1 << prop)
    wanted = others
    if deadly_props:
        wanted &= ~deadly_props if (deadly_props >> prop) & 1 else deadly_props
    candidates = allowed & wanted
    if candidates == 0:
        candidates = level_props & wanted
    if candidates == 0:
        candidates = allowed & others
    if candidates == 0:
        candidates = level_props & others
    if candidates == 0:
        candidates = others
    return nth_bit(candidates, text_draw(seed, _PROPERTY_DRAWS + index, bit_count(candidates)))


def write_description(
    seed,
    condition,
    withheld,
    colors,
    props,
    count,
    allowed,
    level_props,
    deadly_props,
    color_words,
    property_words,
    out,
):
    """Write a description as word ids.

    Args:
        seed: the text's number.
        condition: index in `TEXT_CONDITIONS`.
        withheld: how many sentences are left out, drawn at random.
        colors: (>= count,) int, the colours that are named, in order.
        props: (6,) int, the property of each colour.
        count: sentences before any is left out.
        allowed: (6,) int, for each colour the bit mask of properties that `contradict` draws from.
        level_props: bit mask of the properties that `shuffled_rules` draws from.
        deadly_props: see `draw_false_property`.
        color_words: (6,) int, word id of each colour.
        property_words: (properties,) int, word id of each property.
        out: (>= count, >= words of a sentence) int, filled with word ids, then padding.

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
        if condition == CONTRADICT:
            num_props = property_words.shape[0]
            prop = draw_false_property(seed, i, prop, num_props, int(allowed[color]), level_props, deadly_props)
        if condition in (PARAPHRASE, PARAPHRASE_HELDOUT):
            part = 1 if condition == PARAPHRASE_HELDOUT else 0
            template = text_draw(seed, _TEMPLATE_DRAWS + i, int(_NUM_TEMPLATES[part, prop]))
            for j in range(PARAPHRASE_WORDS):
                word = int(_TEMPLATES[part, prop, template, j])
                out[i, j] = color_words[color] if word == _COLOR_WORD else word
            continue
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


def rule_sentences(condition: int, color: str, name: str) -> tuple[str, ...]:
    """The sentences of which one tells the rule under a condition."""
    if condition not in (PARAPHRASE, PARAPHRASE_HELDOUT):
        return (rule_sentence(color, name),)
    templates = PARAPHRASES[name][condition == PARAPHRASE_HELDOUT]
    return tuple(f"{template.replace(COLOR_PLACE, color)}." for template in templates)


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
    seed: int,
    condition: TextCondition,
    described: Sequence[str],
    rules: Mapping[str, str],
    allowed: Mapping[str, Iterable[str]],
    properties: Iterable[str],
    opposite: bool = False,
) -> tuple[str, ...]:
    """The sentences of a description.

    Args:
        seed: the text's number.
        condition: what the description tells.
        described: the colours that are named, in order.
        rules: the episode's rules.
        allowed: the properties that the split allows for each colour.
        properties: the level's; what `shuffled_rules` draws from.
        opposite: whether `contradict` tells of deadly floors that they are harmless, and the reverse.
    """
    colors = np.array([COLORS.index(color) for color in described], np.int64)
    props = np.full(len(COLORS), -1, np.int64)
    for color, name in rules.items():
        props[COLORS.index(color)] = PROPERTIES.index(name)
    out = np.zeros((max(len(described), 1), condition.sentence_words), np.int64)
    write_description(
        seed,
        condition.kind,
        condition.withheld,
        colors,
        props,
        len(described),
        np.array([property_mask(allowed.get(color, ())) for color in COLORS], np.int64),
        property_mask(properties),
        DEADLY_PROPERTIES if opposite else 0,
        _COLOR_WORDS,
        _PROPERTY_WORDS,
        out,
    )
    return description_sentences(out)


def property_mask(names: Iterable[str]) -> int:
    """Bit mask of properties."""
    return sum(1 << PROPERTIES.index(name) for name in set(names))
