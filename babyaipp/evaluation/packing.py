"""Actions in few bytes: seventeen of the seven actions in six bytes, or as LZMA has them, whichever is shorter.

Actions of an agent that knows what it does are regular, and LZMA finds that; those of a random one are not, and take
2.82 bits of 2.81 that it could be.
"""

from __future__ import annotations

import lzma

import numpy as np

from babyaipp.tiles import DONE

ACTIONS = DONE + 1
"""How many there are."""
BASE, LZMA = "base7", "lzma"
PACKINGS = (BASE, LZMA)

_DIGITS, _BYTES = 17, 6  # 7 ** 17 < 2 ** 48
_FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 9, "dict_size": 1 << 23}]
_TRIED = 1 << 20  # actions for which LZMA must be worth it, as it takes minutes for those of long random runs


def pack(actions: np.ndarray) -> tuple[str, np.ndarray]:
    """Actions, (n,) integers of 0 to 6, as a packing and (b,) uint8; the same actions give the same bytes.

    Raises:
        ValueError: an action out of range.
    """
    if len(actions) and not (actions.min() >= 0 and actions.max() < ACTIONS):
        raise ValueError(f"actions must be 0 to {ACTIONS - 1}; got {actions.min()} to {actions.max()}")
    actions = actions.astype(np.uint8)
    for count in sorted({min(_TRIED, len(actions)), len(actions)}):
        short = lzma.compress(actions[:count].tobytes(), lzma.FORMAT_RAW, filters=_FILTERS)
        if len(short) >= -(-count // _DIGITS) * _BYTES:
            return BASE, _pack_digits(actions)
    return LZMA, np.frombuffer(short, np.uint8)


def unpack(packing: str, data: np.ndarray, count: int) -> np.ndarray:
    """The actions, (count,) uint8, of a packing; at most so many are ever held.

    Raises:
        ValueError: unknown packing, or other data than `pack` gives.
    """
    if packing == BASE:
        return _unpack_digits(data, count)
    if packing != LZMA:
        raise ValueError(f"unknown packing {packing!r}; allowed: {', '.join(PACKINGS)}")
    reader = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=_FILTERS)
    try:
        raw = reader.decompress(data.tobytes(), max_length=count + 1)
    except (lzma.LZMAError, EOFError) as error:
        raise ValueError(f"actions are damaged: {error}") from None
    actions = np.frombuffer(raw, np.uint8)
    if len(actions) != count or not reader.eof or reader.unused_data:
        raise ValueError(f"actions are damaged: not the {count} that the lengths tell")
    return _checked(actions)


def _pack_digits(actions: np.ndarray) -> np.ndarray:
    groups = -(-len(actions) // _DIGITS)
    digits = np.zeros(groups * _DIGITS, np.uint8)
    digits[: len(actions)] = actions
    numbers = np.zeros(groups, np.uint64)
    for place in reversed(range(_DIGITS)):
        numbers = numbers * np.uint64(ACTIONS) + digits[place::_DIGITS]
    return numbers.astype("<u8").view(np.uint8).reshape(groups, 8)[:, :_BYTES].reshape(-1).copy()


def _unpack_digits(data: np.ndarray, count: int) -> np.ndarray:
    groups = -(-count // _DIGITS)
    if len(data) != groups * _BYTES:
        raise ValueError(f"actions are damaged: {len(data)} bytes for {count} actions")
    wide = np.zeros((groups, 8), np.uint8)
    wide[:, :_BYTES] = data.reshape(groups, _BYTES)
    numbers = wide.reshape(-1).view("<u8")
    digits = np.empty((groups, _DIGITS), np.uint8)
    for place in range(_DIGITS):
        digits[:, place] = numbers % ACTIONS
        numbers = numbers // ACTIONS
    actions = digits.reshape(-1)
    if numbers.any() or actions[count:].any():
        raise ValueError("actions are damaged: numbers that no actions have")
    return actions[:count]


def _checked(actions: np.ndarray) -> np.ndarray:
    if len(actions) and actions.max() >= ACTIONS:
        raise ValueError(f"action {actions.max()} is out of range; allowed: 0 to {ACTIONS - 1}")
    return actions
