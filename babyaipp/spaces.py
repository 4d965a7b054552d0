"""Observation spaces that contain exactly what a level can show and say."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from gymnasium import spaces
from gymnasium.error import CustomSpaceError
from gymnasium.vector.utils import create_shared_memory

from babyaipp.instructions import ACTION_KINDS, LOCATIONS, SEQUENCE_KINDS, can_say, max_words
from babyaipp.levels import Grammar, Level
from babyaipp.texts import (
    CONTRADICT,
    LOREM,
    LOREM_ANY,
    NO_TEXT,
    PADDING,
    SENTENCE_WORDS,
    VOCABULARY,
    VOCABULARY_CAPACITY,
    TextCondition,
    lorem_words,
    merged_text,
    rule_sentences,
    split_sentences,
)
from babyaipp.tiles import COLORS, PROPERTIES

_LONGEST_WORD = max(map(len, VOCABULARY))
_CHARACTERS = "abcdefghijklmnopqrstuvwxyz ,."

# Highest type, colour and state in Minigrid's encoding of what the agent can see: a box, grey, a locked door.
_IMAGE_HIGH = (7, 5, 2)


def image_space(view_size: int) -> spaces.Box:
    """(view_size, view_size, 3) uint8: type, colour and state of each cell in view, in Minigrid's encoding."""
    high = np.broadcast_to(np.array(_IMAGE_HIGH, np.uint8), (view_size, view_size, 3))
    return spaces.Box(np.zeros_like(high), high.copy(), dtype=np.uint8)


class SentenceSpace(spaces.Text):
    """Base of the spaces of this package's texts.

    Gymnasium (1.4 at least) hands out blank strings for `Text` when `AsyncVectorEnv` shares memory; for these spaces
    it refuses instead.
    """


@create_shared_memory.register(SentenceSpace)
def _refuse_shared_memory(space: SentenceSpace, n: int = 1, ctx: Any = None) -> Any:
    raise CustomSpaceError("texts cannot be shared; wrap the environment in babyaipp.wrappers.TokenObservation")


class InstructionSpace(SentenceSpace):
    """The instructions that a level can give."""

    def __init__(self, grammar: Grammar, seed: int | np.random.Generator | None = None) -> None:
        super().__init__(max_words(grammar) * (_LONGEST_WORD + 1), min_length=1, charset=_CHARACTERS, seed=seed)
        self.grammar = grammar

    def contains(self, x: Any) -> bool:
        """Whether `x` is an instruction that the level can give."""
        return isinstance(x, str) and can_say(self.grammar, x)

    def sample(self, mask: Any = None, probability: Any = None) -> str:
        """A random instruction; masks are not supported."""
        _refuse_masks(mask, probability)
        while True:
            text = self._sample_sequence() if self.grammar.sequences else self._sample_action()
            if self.contains(text):
                return text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, InstructionSpace) and self.grammar == other.grammar

    def __repr__(self) -> str:
        return f"InstructionSpace({self.grammar})"

    def _choose(self, options: tuple[Any, ...]) -> Any:
        return options[int(self.np_random.integers(len(options)))]

    def _sample_action(self) -> str:
        kind = self._choose(self.grammar.kinds)
        text = ACTION_KINDS[kind] + self._sample_description()
        return f"{text} next to {self._sample_description()}" if kind == "putnext" else text

    def _sample_description(self) -> str:
        article = "the" if self.grammar.unique else self._choose(("the", "a"))
        color = self._choose(self.grammar.colors)
        location = self._choose(("", *LOCATIONS.values())) if self.grammar.locations else ""
        return " ".join(filter(None, (article, color, self._choose(self.grammar.types)))) + location

    def _sample_sequence(self) -> str:
        def part() -> str:
            actions = [self._sample_action() for _ in range(self._choose((1, 2)))]
            return SEQUENCE_KINDS["and"].join(actions)

        joint = self._choose((None, "before", "after"))
        return part() if joint is None else SEQUENCE_KINDS[joint].join((part(), part()))


class DescriptionSpace(SentenceSpace):
    """The descriptions that a level can show under a text condition.

    Any of the colours and properties can occur, since `reset(options={"rules": ...})` may set them.
    """

    def __init__(self, level: Level, condition: TextCondition, seed: int | np.random.Generator | None = None) -> None:
        self.num_sentences = 0 if condition.kind == NO_TEXT else max(level.num_sentences - condition.withheld, 0)
        longest = max(self.num_sentences * condition.sentence_words * (_LONGEST_WORD + 1), 1)
        super().__init__(longest, min_length=0, charset=_CHARACTERS, seed=seed)
        self.condition = condition
        self._properties = _false_properties(level) if condition.kind == CONTRADICT else PROPERTIES

    @property
    def _words(self) -> tuple[str, ...] | None:
        """The words of sentences without meaning, or None where sentences tell rules."""
        return lorem_words(self.condition.kind) if self.condition.kind in (LOREM, LOREM_ANY) else None

    @property
    def _told(self) -> Mapping[str, str]:
        """The sentences that tell rules -> the colour that each tells of."""
        return _sentences_of(self.condition.kind, self._properties)

    def contains(self, x: Any) -> bool:
        """Whether `x` is a description that the level can show."""
        if not isinstance(x, str):
            return False
        sentences = split_sentences(x)
        if " ".join(sentences) != x or len(sentences) > self.num_sentences:
            return False
        if self._words is not None:
            words = [sentence.removesuffix(".").split(" ") for sentence in sentences]
            return all(len(sentence) == SENTENCE_WORDS and set(sentence) <= set(self._words) for sentence in words)
        colors = [self._told.get(sentence) for sentence in sentences]
        return None not in colors and len(set(colors)) == len(colors)

    def sample(self, mask: Any = None, probability: Any = None) -> str:
        """A random description; masks are not supported."""
        _refuse_masks(mask, probability)
        count = int(self.np_random.integers(self.num_sentences + 1))
        if self._words is not None:
            sentences = [" ".join(self.np_random.choice(self._words, SENTENCE_WORDS)) + "." for _ in range(count)]
        else:
            colors = self.np_random.permutation(COLORS)[:count].tolist()
            names = self.np_random.choice(self._properties, count).tolist()
            told = [rule_sentences(self.condition.kind, *rule) for rule in zip(colors, names, strict=True)]
            sentences = [str(self.np_random.choice(choices)) for choices in told]
        return " ".join(sentences)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, DescriptionSpace)
            and self.num_sentences == other.num_sentences
            and self._words == other._words
            and self._told == other._told
        )

    def __repr__(self) -> str:
        return f"DescriptionSpace({self.num_sentences}, text={str(self.condition)!r})"


class MergedTextSpace(SentenceSpace):
    """Instruction and description as one string."""

    def __init__(
        self, mission: spaces.Text, description: spaces.Text, seed: int | np.random.Generator | None = None
    ) -> None:
        super().__init__(mission.max_length + description.max_length + 3, charset=_CHARACTERS, seed=seed)
        self.mission = mission
        self.description = description

    def contains(self, x: Any) -> bool:
        """Whether `x` is an instruction of the one space followed by a description of the other."""
        if not isinstance(x, str) or not x.endswith(". "):
            return False
        mission, _, description = x.partition(". ")
        return self.mission.contains(mission) and self.description.contains(description.removesuffix(" "))

    def sample(self, mask: Any = None, probability: Any = None) -> str:
        """A random text; masks are not supported."""
        _refuse_masks(mask, probability)
        return merged_text(self.mission.sample(), split_sentences(self.description.sample()))

    def seed(self, seed: Any = None) -> Any:
        """Seed this space and the two that it is made of."""
        seeds = super().seed(seed)
        for space in (self.mission, self.description):
            space.seed(int(self.np_random.integers(2**31)))
        return seeds

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, MergedTextSpace)
            and self.mission == other.mission
            and self.description == other.description
        )

    def __repr__(self) -> str:
        return f"MergedTextSpace({self.mission}, {self.description})"


@functools.cache
def _sentences_of(condition: int, properties: tuple[str, ...]) -> Mapping[str, str]:
    """The sentences of a condition that tell of these properties -> the colour that each tells of."""
    rules = [(color, name) for color in COLORS for name in properties]
    return {sentence: color for color, name in rules for sentence in rule_sentences(condition, color, name)}


def _false_properties(level: Level) -> tuple[str, ...]:
    """What `contradict` can tell in some split of a level, whatever the rules are, which may be set."""
    told = [set(level.properties(split)) for split in level.splits]
    # Where a split has a single property, a false one is any other.
    return tuple(name for name in PROPERTIES if any(name in names or len(names) == 1 for names in told))


class TextSizes(NamedTuple):
    """Sizes of texts as word ids."""

    mission_words: int
    sentences: int
    sentence_words: int


def text_sizes(
    level: Level,
    condition: TextCondition,
    mission_words: int | None = None,
    sentences: int | None = None,
    sentence_words: int | None = None,
) -> TextSizes:
    """The sizes that texts of the level need, or larger ones that are asked for.

    Raises:
        ValueError: one that is asked for is too small.
    """
    needed = TextSizes(max_words(level.grammar), level.num_sentences, condition.sentence_words)
    given = (mission_words, sentences, sentence_words)
    for name, size, least in zip(TextSizes._fields, given, needed, strict=True):
        if size is not None and (type(size) is not int or size < least):
            raise ValueError(f"{name}={size} is too small for level {level.name}; at least {least}")
    return TextSizes(*(least if size is None else size for size, least in zip(given, needed, strict=True)))


def token_space(*shape: int) -> spaces.Box:
    """Word ids, 0 for padding: int32 array of this shape."""
    return spaces.Box(PADDING, VOCABULARY_CAPACITY - 1, shape, np.int32)


def observation_space(level: Level, condition: TextCondition, view_size: int = 7) -> spaces.Dict:
    """What an environment of the level returns from `reset` and `step`."""
    return spaces.Dict(
        {
            "image": image_space(view_size),
            "direction": spaces.Discrete(4),
            "mission": InstructionSpace(level.grammar),
            "description": DescriptionSpace(level, condition),
        }
    )


def _refuse_masks(mask: object, probability: object) -> None:
    if mask is not None or probability is not None:
        raise ValueError("this space samples whole sentences; mask and probability must be None")
