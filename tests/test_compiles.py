"""The integer functions of tiles, floors and texts compile as they are, and mean the same then.

The random stream of `floors.py` is put in its place by replacing `integers` and `uniform`, as a compiled engine
does: here by a small congruential generator on an array, for Python and for the compiled code alike.
"""

from __future__ import annotations

import types

import numpy as np
import pytest

from babyaipp import bits, floors, texts, tiles

numba = pytest.importorskip("numba")


def _integers(rng, low, high):
    if high - low == 1:
        return low
    rng[0] = (rng[0] * 1103515245 + 12345) & 0x7FFFFFFF
    return low + (rng[0] >> 8) % (high - low)


def _uniform(rng):
    rng[0] = (rng[0] * 1103515245 + 12345) & 0x7FFFFFFF
    return rng[0] / 0x80000000


def bound(modules, names: list[str], decorate) -> types.SimpleNamespace:
    """The functions of the modules, in this order, with calls among them bound to each other."""
    namespace = {name: value for module in modules for name, value in vars(module).items()}
    namespace |= {"integers": decorate(_integers), "uniform": decorate(_uniform)}
    for name in names:
        source = namespace[name]
        namespace[name] = decorate(types.FunctionType(source.__code__, namespace, name, source.__defaults__))
    return types.SimpleNamespace(**{name: namespace[name] for name in names})


BITS = ["bit_count", "nth_bit"]
FLOORS = ["cell_at", "tile_at", "lay_tile", "hazard_colors", "hazard_load", "find_cell", "draw_rules", "place_floors"]
TEXTS = ["text_draw", "_select", "draw_described", "draw_false_property", "write_description"]
TILES = [
    "is_deadly",
    "is_terminal",
    "half_steps_after",
    "step_half_steps",
    "falls",
    "turns_around",
    "effective_action",
    "action_on_held",
    "next_color_steps",
    "next_cell_steps",
    "success_reward",
]


@pytest.fixture(scope="module")
def both():
    modules, names = (bits, tiles, floors, texts), [*BITS, *TILES, *FLOORS, *TEXTS]
    return bound(modules, names, lambda f: f), bound(modules, names, numba.njit(error_model="numpy"))


def test_no_integer_function_is_forgotten():
    """Every public function of the three modules is in the lists above, but for the random stream's."""
    for module, names in ((bits, BITS), (tiles, TILES), (floors, FLOORS)):
        public = {
            name
            for name, value in vars(module).items()
            if isinstance(value, types.FunctionType) and value.__module__ == module.__name__
        }
        assert public - {"integers", "uniform"} == set(names)


def test_tile_rules_compile(both):
    python, compiled = both
    for prop in range(-1, len(tiles.TILES)):
        assert python.is_deadly(prop) == compiled.is_deadly(prop)
        assert python.is_terminal(prop) == compiled.is_terminal(prop)
        assert python.half_steps_after(prop, 7, 64) == compiled.half_steps_after(prop, 7, 64)
        assert python.step_half_steps(prop) == compiled.step_half_steps(prop)
        for action in range(7):
            assert python.turns_around(prop, action) == compiled.turns_around(prop, action)
            assert python.action_on_held(action) == compiled.action_on_held(action)
            for count in range(5):
                assert python.falls(prop, count) == compiled.falls(prop, count)
                assert python.effective_action(prop, action, count) == compiled.effective_action(prop, action, count)
                assert python.next_cell_steps(count, prop > 1) == compiled.next_cell_steps(count, prop > 1)
                assert python.next_color_steps(count, prop, 2) == compiled.next_color_steps(count, prop, 2)
    for half_steps in range(1, 129):
        assert python.success_reward(half_steps, 64) == compiled.success_reward(half_steps, 64)


def test_floors_compile(both):
    python, compiled = both
    for seed in range(60):
        fixed = seed % 2
        allowed = np.array([0b11, 0b10110, 0b111111, 0, 1, 0b100] if fixed else [0b110, 0b1, 0b101000, 0, 0, 0])
        cells = np.full((22, 22), floors.EMPTY)
        cells[::7, :] = cells[:, ::7] = floors.OCCUPIED
        cells[7, 3] = cells[10, 14] = floors.DOOR
        results = []
        hazards = np.array([tiles.HAZARD_CLASSES.index(tile.hazard) for tile in tiles.TILES])
        for functions in (python, compiled):
            rng = np.array([seed * 7919 + 1])
            rules, grid = np.zeros(6, np.int64), np.stack([cells, np.full_like(cells, floors.NONE)])
            functions.draw_rules(rng, allowed, 3, fixed == 1, rules)
            functions.place_floors(rng, grid, 4, 4, 8, 3, 3, rules, hazards)
            results.append((rng.tolist(), rules.tolist(), grid.tolist()))
        assert results[0] == results[1]
        assert (np.array(results[0][2][1]) != floors.NONE).any()


def test_descriptions_compile(both):
    python, compiled = both
    words = (np.arange(10, 16), np.arange(20, 20 + len(tiles.PROPERTIES)))
    allowed = np.array([0b11, 0, 1, 0, 0, 0b100001])
    for seed in range(300):
        condition, withheld = seed % len(texts.TEXT_CONDITIONS), seed % 3
        deadly = texts.DEADLY_PROPERTIES * (seed // 100 % 2)
        results = []
        for functions in (python, compiled):
            named = np.zeros(3, np.int64)
            props = np.array([1, -1, 0, -1, -1, 5])
            out = np.zeros((3, texts.PARAPHRASE_WORDS + 1), np.int64)
            count = functions.draw_described(seed * 104729, 0b100101, seed % 2, seed % 4 > 1, named)
            written = functions.write_description(
                seed * 104729, condition, withheld, named, props, count, allowed, 0b101101, deadly, *words, out
            )
            results.append((count, written, named.tolist(), out.tolist()))
        assert results[0] == results[1]
