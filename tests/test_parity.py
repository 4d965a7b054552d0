"""The engine's episodes are the reference's, exactly; a small part of what `make parity` compares."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from comparison import Run, compare, first_difference, reference
from conftest import ALL_IDS
from parity import CONDITIONS, expected_events, plan

from babyaipp import LEVELS
from babyaipp.levels import parse_env_id

ONE_ROOM, MAZE = "BabyAIpp-PickupLoc-Train-v0", "BabyAIpp-GoToSeq-All-v0"


def agree(run: Run) -> Counter[str]:
    counts, problem = compare(run)
    assert problem is None, problem
    return counts


def seeds_of(env_id: str, single: int, maze: int) -> range:
    level, split = parse_env_id(env_id)
    first = 10_000 * level.splits.index(split)
    return range(first, first + (single if level.num_rows * level.num_cols == 1 else maze))


@pytest.mark.parametrize("env_id", ALL_IDS)
def test_starts_are_the_references(env_id):
    agree(Run(env_id, 2, seeds_of(env_id, 40, 12), starts=True))


@pytest.mark.parametrize("env_id", ALL_IDS)
def test_steps_are_the_references(env_id):
    expert = Run(env_id, 60, seeds_of(env_id, 8, 5), policy="expert")
    agree(expert)
    counts = agree(replace(expert, calls=30, max_steps=7, policy="uniform", next_step=True))
    assert counts["cause timeout"]
    agree(replace(expert, calls=40, max_steps=20, policy="forward"))


@pytest.mark.parametrize("env_id", ALL_IDS)
def test_given_worlds_and_rules_go_on_as_in_the_reference(env_id):
    agree(Run(env_id, 25, seeds_of(env_id, 8, 4), policy="expert", options="world"))
    agree(Run(env_id, 1, seeds_of(env_id, 8, 4), starts=True, options="world"))
    agree(Run(env_id, 15, seeds_of(env_id, 4, 2), policy="forward", options="rules", next_step=True))


@pytest.mark.parametrize("text", CONDITIONS)
@pytest.mark.parametrize("order", ["canonical", "shuffled"])
def test_texts_are_the_references(text, order):
    for env_id in ("BabyAIpp-GoToPartial-All-v0", "BabyAIpp-GoToRedBallHard-Fixed-v0"):
        agree(Run(env_id, 20, range(3), max_steps=3, text=text, sentence_order=order))


@pytest.mark.parametrize("env_id", ALL_IDS)
def test_false_rules_are_the_references(env_id):
    agree(Run(env_id, 1, seeds_of(env_id, 8, 2), starts=True, options="rules", text="contradict"))
    agree(Run(env_id, 1, seeds_of(env_id, 8, 2), starts=True, text="contradict"))


@pytest.mark.parametrize("seed", [0, 2**31 - 1, 2**32, 2**63, 2**64 + 3, 2**200])
def test_any_seed(seed):
    for env_id in (ONE_ROOM, MAZE):
        agree(Run(env_id, 1, range(seed, seed + 1), starts=True))


@pytest.mark.parametrize("next_step", [False, True])
def test_tensors_hold_the_same(next_step):
    pytest.importorskip("torch")
    agree(Run(ONE_ROOM, 40, range(6), policy="expert", max_steps=10, next_step=next_step, output="torch"))


def test_a_difference_is_seen_and_told():
    """The comparison itself: it finds any single field that differs, and says where."""
    run = Run(ONE_ROOM, 40, range(3), policy="expert", max_steps=10)
    expected, actions, *_ = reference(run)
    assert first_difference(run, expected, expected.copy(), actions) is None
    for name in set(expected.dtype.names) - {"whole"}:
        got = expected.copy()
        changed = got[name][17, 1:2].reshape(-1).copy()
        changed[-1] = not changed[-1] if changed.dtype == bool else changed[-1] + 1
        got[name][17, 1] = changed.reshape(got[name][17, 1].shape)
        problem = first_difference(run, expected, got, actions)
        assert problem is not None, name
        assert "seed 1," in problem
        assert "call 17" in problem
        assert f"\n  {name}: " in problem


@pytest.mark.slow
@pytest.mark.parametrize("level", LEVELS)
def test_a_tenth_of_the_plan(level):
    """`make parity` does all of it."""
    counts: Counter[str] = Counter()
    for run in plan([LEVELS[level].env_id(split) for split in LEVELS[level].splits], scale=0.1):
        counts += agree(run)
    assert expected_events(LEVELS[level]) <= {event for event, count in counts.items() if count}
