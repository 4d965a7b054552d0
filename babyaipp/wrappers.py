"""Observation wrappers: text as arrays of word ids, or as one string."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
from gymnasium import spaces

from babyaipp.spaces import DescriptionSpace, InstructionSpace, MergedTextSpace, text_sizes, token_space
from babyaipp.texts import encode, encode_sentences, merged_text, split_sentences


class TokenObservation(gym.ObservationWrapper[dict[str, Any], Any, Any]):
    """Replaces `mission` and `description` by word ids, for learning libraries.

    `mission` becomes (mission_words,) int32, `description` (sentences, sentence_words) int32, one sentence a row;
    0 is padding and `babyaipp.texts.VOCABULARY` lists the words. The other keys stay. Use it before any
    vectorisation that shares memory: strings do not pass through that reliably.

    Args:
        env: an environment of this package, possibly wrapped.
        mission_words: size of `mission`; default: the longest instruction of the level.
        sentences: rows of `description`; default: the most that the level can have.
        sentence_words: columns of `description`; default: the longest sentence of the text condition.

    Raises:
        ValueError: a size is too small for the level.
    """

    def __init__(
        self,
        env: gym.Env[Any, Any],
        mission_words: int | None = None,
        sentences: int | None = None,
        sentence_words: int | None = None,
    ) -> None:
        super().__init__(env)
        _check_texts(env, type(self).__name__)
        inner: Any = env.unwrapped
        self.mission_words, self.sentences, self.sentence_words = text_sizes(
            inner.level, inner.text_condition, mission_words, sentences, sentence_words
        )
        assert isinstance(env.observation_space, spaces.Dict)
        self.observation_space = spaces.Dict(
            {
                **env.observation_space.spaces,
                "mission": token_space(self.mission_words),
                "description": token_space(self.sentences, self.sentence_words),
            }
        )

    def observation(self, observation: dict[str, Any]) -> dict[str, Any]:
        """The observation with word ids in the place of strings."""
        description = encode_sentences(observation["description"], self.sentences, self.sentence_words)
        return {
            **observation,
            "mission": encode(observation["mission"], self.mission_words),
            "description": description,
        }


class MergedTextObservation(gym.ObservationWrapper[dict[str, Any], Any, Any]):
    """Puts instruction and description into one string, `mission`, as the original's agents read them.

    "go to the red ball. green floors are trap. blue floors are slippery. "
    """

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        super().__init__(env)
        _check_texts(env, type(self).__name__)
        assert isinstance(env.observation_space, spaces.Dict)
        subspaces = dict(env.observation_space.spaces)
        mission, description = subspaces["mission"], subspaces.pop("description")
        assert isinstance(mission, spaces.Text)
        assert isinstance(description, spaces.Text)
        self.observation_space = spaces.Dict({**subspaces, "mission": MergedTextSpace(mission, description)})

    def observation(self, observation: dict[str, Any]) -> dict[str, Any]:
        """The observation with one text."""
        rest = {key: value for key, value in observation.items() if key != "description"}
        return {**rest, "mission": merged_text(observation["mission"], split_sentences(observation["description"]))}


def _check_texts(env: gym.Env[Any, Any], wrapper: str) -> None:
    space = env.observation_space
    keys = {"mission": InstructionSpace, "description": DescriptionSpace}
    if not isinstance(space, spaces.Dict) or any(not isinstance(space.get(key), kind) for key, kind in keys.items()):
        raise ValueError(f"{wrapper} needs the texts mission and description of a BabyAI++ environment; got {space}")
