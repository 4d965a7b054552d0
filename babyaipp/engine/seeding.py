"""Random streams of many worlds from their seeds, all at once: one by one, NumPy would take seconds for a GPU's batch.

The arithmetic of `numpy.random.SeedSequence` and of seeding `PCG64`, on arrays. Sources: O'Neill, "Developing a
seed_seq alternative" (2015), and NumPy's `bit_generator.pyx` and `pcg64.c`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from babyaipp.engine.rng import MULTIPLIER, seed_words

_BITS_32, _BITS_64 = 2**32 - 1, 2**64 - 1
_POOL_WORDS, _STATE_WORDS = 4, 8
_INIT_A, _MULTIPLIER_A = 0x43B0D7E5, 0x931E8875
_INIT_B, _MULTIPLIER_B = 0x8B51F9DD, 0x58F38DED
_MIX_LEFT, _MIX_RIGHT = np.uint32(0xCA01F9DD), np.uint32(0x4973F715)
_HALF_WORD = np.uint32(16)
_WORD, _LOW_32, _TOP_BIT = np.uint64(32), np.uint64(_BITS_32), np.uint64(63)


def words_of_seeds(seeds: Sequence[int]) -> np.ndarray:
    """(seeds, 5) uint64: for each seed, of at least 0, what `rng.seed_words` gives."""
    if max(seeds, default=0) > _BITS_64:
        return np.array([seed_words(seed) for seed in seeds], np.uint64)
    entropy = np.array(seeds, np.uint64)
    high, low, sequence_high, sequence_low = _generated(_pool(entropy))
    # The increment is 2 sequence + 1, the state (increment + start) * multiplier + increment.
    increment = (
        (sequence_high << np.uint64(1)) | (sequence_low >> _TOP_BIT),
        (sequence_low << np.uint64(1)) | np.uint64(1),
    )
    high, low = _add(*_times_multiplier(*_add(high, low, *increment)), *increment)
    return np.stack([high, low, *increment, np.zeros_like(high)], axis=1)


def _pool(entropy: np.ndarray) -> list[np.ndarray]:
    """`SeedSequence.pool`: four words of 32 bits."""
    constant = _INIT_A

    def hashed(value: np.ndarray) -> np.ndarray:
        nonlocal constant
        before, constant = constant, constant * _MULTIPLIER_A & _BITS_32
        value = (value ^ np.uint32(before)) * np.uint32(constant)
        return value ^ (value >> _HALF_WORD)

    words = [(entropy & _LOW_32).astype(np.uint32), (entropy >> _WORD).astype(np.uint32)]
    pool = [hashed(word) for word in [*words, *[np.zeros_like(words[0])] * (_POOL_WORDS - len(words))]]
    for source in range(_POOL_WORDS):
        for target in range(_POOL_WORDS):
            if source != target:
                mixed: np.ndarray = _MIX_LEFT * pool[target] - _MIX_RIGHT * hashed(pool[source])
                pool[target] = mixed ^ (mixed >> _HALF_WORD)
    return pool


def _generated(pool: list[np.ndarray]) -> list[np.ndarray]:
    """`SeedSequence.generate_state(4, np.uint64)`."""
    constant, halves = _INIT_B, []
    for i in range(_STATE_WORDS):
        before, constant = constant, constant * _MULTIPLIER_B & _BITS_32
        value = (pool[i % _POOL_WORDS] ^ np.uint32(before)) * np.uint32(constant)
        halves.append((value ^ (value >> _HALF_WORD)).astype(np.uint64))
    return [low | (high << _WORD) for low, high in zip(halves[::2], halves[1::2], strict=True)]


def _add(high: np.ndarray, low: np.ndarray, high_2: np.ndarray, low_2: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sum of numbers of 128 bits."""
    total = low + low_2
    return high + high_2 + (total < low), total


def _times_multiplier(high: np.ndarray, low: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of 128 bits times the multiplier of PCG64."""
    factor_high, factor_low = (np.uint64(part) for part in divmod(MULTIPLIER, 2**64))
    a, b = low >> _WORD, low & _LOW_32
    c, d = factor_low >> _WORD, factor_low & _LOW_32
    middle = a * d + (b * d >> _WORD)
    middle_2 = b * c + (middle & _LOW_32)
    carry = a * c + (middle >> _WORD) + (middle_2 >> _WORD)
    return high * factor_low + low * factor_high + carry, low * factor_low
