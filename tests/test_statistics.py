"""Intervals are those of the papers, and hold what they promise."""

from __future__ import annotations

import numpy as np
import pytest

from babyaipp.statistics import (
    Estimate,
    difference_interval,
    mean_interval,
    paired_difference_interval,
    wilson_interval,
)

# The expected values are Newcombe's (1998), tables I and II.


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_interval(successes: int, trials: int, low: float, high: float) -> None:
    estimate = wilson_interval(successes, trials)
    assert estimate.value == successes / trials
    assert (estimate.low, estimate.high) == pytest.approx((low, high), abs=5e-5)


def test_wilson_interval_refuses_impossible_counts() -> None:
    for successes, trials in ((0, 0), (3, 2), (-1, 2)):
        with pytest.raises(ValueError, match="successes"):
            wilson_interval(successes, trials)


@pytest.mark.parametrize(
    ("first", "second", "low", "high"),
    [((56, 70), (48, 80), 0.0524, 0.3339), ((9, 10), (3, 10), 0.1705, 0.8090), ((10, 10), (0, 10), 0.6075, 1.0)],
)
def test_difference_interval(first: tuple[int, int], second: tuple[int, int], low: float, high: float) -> None:
    estimate = difference_interval(wilson_interval(*first), wilson_interval(*second))
    assert (estimate.low, estimate.high) == pytest.approx((low, high), abs=5e-5)


def test_mean_interval_covers_the_mean() -> None:
    generator = np.random.default_rng(0)
    estimates = [mean_interval(generator.exponential(size=200)) for _ in range(1000)]
    covered = sum(estimate.low <= 1 <= estimate.high for estimate in estimates)
    assert 920 <= covered <= 970


@pytest.mark.parametrize(("count", "quantile"), [(2, 12.706), (3, 4.303), (6, 2.571), (11, 2.228), (101, 1.984)])
def test_mean_interval_is_students(count: int, quantile: float) -> None:
    values = np.arange(float(count))
    estimate = mean_interval(values)
    error = np.std(values, ddof=1) / np.sqrt(count)
    assert (estimate.value - estimate.low) / error == pytest.approx(quantile, abs=5e-4)
    assert estimate.high - estimate.value == pytest.approx(estimate.value - estimate.low)


def test_mean_interval_of_one_value_is_that_value() -> None:
    assert mean_interval([3.0]) == Estimate(3.0, 3.0, 3.0)
    with pytest.raises(ValueError, match="must not be empty"):
        mean_interval([])


def cases(both: int, first: int, second: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    """Successes of two on the same cases, by how often both, only the first, only the second, neither succeeded."""
    counts = (both, first, second, neither)
    return np.repeat([True, True, False, False], counts), np.repeat([True, False, True, False], counts)


def test_paired_difference_interval() -> None:
    """The example of Fagerland, Lydersen and Laake, "Statistical analysis of contingency tables", 8.6."""
    estimate = paired_difference_interval(*cases(1, 1, 7, 12))
    assert (estimate.value, estimate.low, estimate.high) == pytest.approx((-0.286, -0.507, -0.026), abs=5e-4)


def test_paired_difference_interval_covers_the_difference_and_gains_by_pairs() -> None:
    generator = np.random.default_rng(0)
    covered, narrower = 0, 0
    for _ in range(1000):
        first = generator.random(300) < 0.95
        second = first & (generator.random(300) < 0.8)
        paired = paired_difference_interval(first, second)
        unpaired = difference_interval(*(wilson_interval(int(x.sum()), len(x)) for x in (first, second)))
        covered += paired.low <= 0.95 - 0.95 * 0.8 <= paired.high
        narrower += paired.high - paired.low < unpaired.high - unpaired.low
    assert 920 <= covered <= 980
    assert narrower > 900


def test_paired_difference_interval_at_the_borders() -> None:
    same = paired_difference_interval(*cases(50, 0, 0, 0))
    assert same.value == 0
    assert -0.08 < same.low < 0 < same.high < 0.08
    all_or_nothing = paired_difference_interval(*cases(0, 50, 0, 0))
    assert 0.85 < all_or_nothing.low < all_or_nothing.value == all_or_nothing.high == 1
    with pytest.raises(ValueError, match="the same cases; got 2 and 3"):
        paired_difference_interval(np.ones(2, bool), np.ones(3, bool))
    with pytest.raises(ValueError, match="trials=0"):
        paired_difference_interval(np.ones(0, bool), np.ones(0, bool))
