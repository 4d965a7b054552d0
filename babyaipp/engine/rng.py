"""NumPy's random stream as five words of a world: PCG64 (XSL-RR, 128 bits) and the draws of `numpy.random.Generator`.

`WORLD["rng"]` holds the state's high and low word, the increment's high and low word, and the half of a 64-bit output
that the last 32-bit draw left over: the low 32 bits, and bit 32 if there is one. Every draw equals NumPy's, and so do
the words after it. Sources: O'Neill, PCG (2014); NumPy's `Generator.integers` (Lemire 2019) and `SeedSequence`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from babyaipp.engine.compile import device_function

_LOW_32 = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)
_HAS_HALF = np.uint64(1 << 32)
_ONE, _ZERO = np.uint64(1), np.uint64(0)
_WORD_BITS, _ROTATION_SHIFT, _ROTATION_MASK = np.uint64(64), np.uint64(58), np.uint64(63)
_DOUBLE_SHIFT, _DOUBLE_UNIT = np.uint64(11), 1.0 / 9007199254740992.0
_TWO_32 = np.uint64(1 << 32)

MULTIPLIER = 0x2360ED051FC65DA44385DF649FCCF645
_MULTIPLIER_HIGH = np.uint64(MULTIPLIER >> 64)
_MULTIPLIER_LOW = np.uint64(MULTIPLIER & (2**64 - 1))
_MULTIPLIER_0 = np.uint64(MULTIPLIER & 0xFFFFFFFF)
_MULTIPLIER_1 = np.uint64((MULTIPLIER >> 32) & 0xFFFFFFFF)


@device_function
def next_64(w):
    """The next 64-bit output."""
    high = w.rng[0]
    low = w.rng[1]
    # The 128-bit product of the low words, from 32-bit halves.
    low_0 = low & _LOW_32
    low_1 = low >> _HALF
    product = low_0 * _MULTIPLIER_0
    middle = low_1 * _MULTIPLIER_0 + (product >> _HALF)
    middle_2 = low_0 * _MULTIPLIER_1 + (middle & _LOW_32)
    carry = low_1 * _MULTIPLIER_1 + (middle >> _HALF) + (middle_2 >> _HALF)
    product_low = (middle_2 << _HALF) | (product & _LOW_32)
    product_high = carry + high * _MULTIPLIER_LOW + low * _MULTIPLIER_HIGH
    new_low = product_low + w.rng[3]
    overflow = _ONE if new_low < product_low else _ZERO
    new_high = product_high + w.rng[2] + overflow
    w.rng[0] = new_high
    w.rng[1] = new_low
    word = new_high ^ new_low
    rotation = new_high >> _ROTATION_SHIFT
    return (word >> rotation) | (word << ((_WORD_BITS - rotation) & _ROTATION_MASK))


@device_function
def next_32(w):
    """The next 32-bit output: the half left over, or one half of a 64-bit output."""
    half = w.rng[4]
    if half & _HAS_HALF:
        w.rng[4] = half & _LOW_32
        return half & _LOW_32
    word = next_64(w)
    w.rng[4] = _HAS_HALF | (word >> _HALF)
    return word & _LOW_32


@device_function
def integers(w, low, high):
    """A uniform integer in [low, high), as `Generator.integers`; a range below 2**32, and one of one draws nothing."""
    count = np.uint64(high - low)
    if count == _ONE:
        return low
    while True:
        product = next_32(w) * count
        left = product & _LOW_32
        if left >= count or left >= (_TWO_32 - count) % count:
            break
    return low + np.int64(product >> _HALF)


@device_function
def uniform(w):
    """A uniform float in [0, 1), as `Generator.random`."""
    return np.float64(next_64(w) >> _DOUBLE_SHIFT) * _DOUBLE_UNIT


def words_of(bit_generator: np.random.PCG64) -> np.ndarray:
    """(5,) uint64: the state of a generator of NumPy's.

    Raises:
        ValueError: it is not a PCG64.
    """
    state: Any = bit_generator.state
    if state["bit_generator"] != "PCG64":
        raise ValueError(f"the random stream must be numpy.random.PCG64; got {state['bit_generator']}")
    low = 2**64 - 1
    value, increment = state["state"]["state"], state["state"]["inc"]
    half = state["has_uint32"] << 32 | state["uinteger"]
    return np.array([value >> 64, value & low, increment >> 64, increment & low, half], np.uint64)


def seed_words(seed: int) -> np.ndarray:
    """(5,) uint64: the state of the stream that Gymnasium makes from a seed."""
    return words_of(np.random.PCG64(np.random.SeedSequence(seed)))
