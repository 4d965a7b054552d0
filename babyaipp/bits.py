"""Small sets of numbers as bit masks, for functions that must do without objects."""

from __future__ import annotations


def bit_count(mask):
    """How many bits of `mask` are set."""
    count = 0
    while mask:
        mask &= mask - 1
        count += 1
    return count


def nth_bit(mask, n):
    """Position of the n-th set bit of `mask`, counted from 0 at the lowest."""
    for _ in range(n):
        mask &= mask - 1
    position = 0
    while not (mask >> position) & 1:
        position += 1
    return position
