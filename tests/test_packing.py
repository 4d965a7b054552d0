"""Packed actions: what goes in comes out, in few bytes, and nothing else is taken for it."""

from __future__ import annotations

import lzma
import math

import numpy as np
import pytest

from babyaipp.evaluation import packing
from babyaipp.evaluation.packing import ACTIONS, BASE, LZMA, pack, unpack


def drawn(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, ACTIONS, count).astype(np.uint8)


def regular(count: int, seed: int = 0) -> np.ndarray:
    """Runs of the same few actions, as of an agent that knows what it does."""
    return np.resize(np.repeat(drawn(20, seed) % 3, 5), count).astype(np.uint8)


def assert_comes_back(actions: np.ndarray) -> None:
    kind, data = pack(actions)
    assert data.dtype == np.uint8
    got = unpack(kind, data, len(actions))
    assert got.dtype == np.uint8
    np.testing.assert_array_equal(got, actions)
    for named, digits in ((BASE, packing._pack_digits(actions)), (LZMA, squeezed(actions))):  # whichever is shorter
        np.testing.assert_array_equal(unpack(named, digits, len(actions)), actions)
        assert len(data) <= len(digits)


def squeezed(actions: np.ndarray) -> np.ndarray:
    data = lzma.compress(actions.tobytes(), lzma.FORMAT_RAW, filters=packing._FILTERS)
    return np.frombuffer(data, np.uint8)


@pytest.mark.parametrize("make", [drawn, regular])
def test_actions_come_back(make):
    sizes = [*range(70), 100, 255, 256, 1000, *np.random.default_rng(4).integers(0, 1000, 40).tolist(), 100_000]
    for seed, size in enumerate(sizes):
        assert_comes_back(make(size, seed))


@pytest.mark.parametrize("action", range(ACTIONS))
def test_the_same_action_again_and_again_comes_back(action):
    for size in (1, 16, 17, 18, 1000):
        assert_comes_back(np.full(size, action, np.uint8))


def test_random_actions_take_what_they_must_and_regular_ones_less():
    kind, data = pack(drawn(100_000))
    assert kind == BASE
    assert 8 * len(data) / 100_000 < 1.01 * math.log2(ACTIONS)
    kind, data = pack(regular(100_000))
    assert kind == LZMA
    assert 8 * len(data) / 100_000 < 0.1


def test_what_begins_at_random_is_not_tried_to_its_end(monkeypatch):
    monkeypatch.setattr(packing, "_TRIED", 500)
    actions = np.concatenate([drawn(500), regular(5000)])
    assert pack(actions)[0] == BASE
    np.testing.assert_array_equal(unpack(*pack(actions), len(actions)), actions)
    assert pack(actions[::-1])[0] == LZMA
    np.testing.assert_array_equal(unpack(*pack(actions[::-1]), len(actions)), actions[::-1])


def test_other_integers_will_do_and_the_same_actions_give_the_same_bytes():
    for actions in (drawn(999), regular(999)):
        kind, data = pack(actions)
        for dtype in (np.int64, np.int8, np.uint16):
            again_kind, again = pack(actions.astype(dtype))
            assert again_kind == kind
            np.testing.assert_array_equal(again, data)


@pytest.mark.parametrize("value", [7, -1, 255, 263])
def test_unknown_actions_are_not_packed(value):
    actions = drawn(50).astype(np.int64)
    actions[20] = value
    with pytest.raises(ValueError, match="actions must be 0 to 6"):
        pack(actions)


@pytest.mark.parametrize("make", [drawn, regular])
def test_other_counts_than_were_packed_are_refused(make):
    actions = make(101)
    actions[-2:] = 3
    for count in (0, 1, 84, 100, 102, 103, 200):
        with pytest.raises(ValueError, match="actions are damaged: not the"):
            unpack(LZMA, squeezed(actions), count)
        if count != 102:  # the last place of the last group, which is 0 where there is no action
            with pytest.raises(ValueError, match=r"actions are damaged: (numbers that|36 bytes)"):
                unpack(BASE, packing._pack_digits(actions), count)


def test_unknown_packings_are_refused():
    with pytest.raises(ValueError, match="unknown packing 'zip'; allowed: base7, lzma"):
        unpack("zip", np.zeros(6, np.uint8), 3)


def test_unknown_actions_are_not_unpacked():
    with pytest.raises(ValueError, match="action 7 is out of range; allowed: 0 to 6"):
        unpack(LZMA, squeezed(np.array([3, 7, 0], np.uint8)), 3)
    too_large = np.frombuffer((ACTIONS**17).to_bytes(6, "little"), np.uint8)
    with pytest.raises(ValueError, match="numbers that no actions have"):
        unpack(BASE, too_large, 17)
    largest = np.frombuffer((ACTIONS**17 - 1).to_bytes(6, "little"), np.uint8)
    assert (unpack(BASE, largest, 17) == 6).all()


def test_damaged_data_is_refused_or_gives_actions():
    actions = regular(3000)
    kind, data = pack(actions)
    assert kind == LZMA
    refused = 0
    for place in range(len(data)):
        for flip in (1, 0x55, 0x80):
            damaged = data.copy()
            damaged[place] ^= flip
            try:
                got = unpack(kind, damaged, len(actions))
            except ValueError:
                refused += 1
            else:
                assert len(got) == len(actions)
                assert got.max() < ACTIONS
        with pytest.raises(ValueError, match="damaged"):
            unpack(kind, data[:place], len(actions))
    assert refused > len(data)
    with pytest.raises(ValueError, match="damaged"):
        unpack(kind, np.append(data, np.uint8(0)), len(actions))


def test_no_more_is_unpacked_than_was_told(monkeypatch):
    asked = []
    make = lzma.LZMADecompressor

    class Watched:
        def __init__(self, *args, **kwargs):
            self._reader = make(*args, **kwargs)

        def decompress(self, data, max_length):
            asked.append(max_length)
            return self._reader.decompress(data, max_length)

        def __getattr__(self, name):
            return getattr(self._reader, name)

    bomb = squeezed(np.zeros(50_000_000, np.uint8))
    monkeypatch.setattr(lzma, "LZMADecompressor", Watched)
    with pytest.raises(ValueError, match="not the 1000 that the lengths tell"):
        unpack(LZMA, bomb, 1000)
    assert asked == [1001]
