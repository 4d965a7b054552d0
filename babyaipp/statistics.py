"""Intervals for what is counted over episodes: success rates, means, and differences of rates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

CONFIDENCE = 0.95

_BISECTIONS = 50


@dataclass(frozen=True)
class Estimate:
    """A number measured on a sample, and the interval that holds the true one with `CONFIDENCE`."""

    value: float
    low: float
    high: float

    def as_json(self) -> dict[str, float | list[float]]:
        """The value and its interval, rounded to 5 places."""
        return {"value": round(self.value, 5), "interval": [round(self.low, 5), round(self.high, 5)]}


def wilson_interval(successes: int, trials: int, confidence: float = CONFIDENCE) -> Estimate:
    """A rate with Wilson's score interval (Wilson 1927), which is sound near 0 and 1 as well.

    Raises:
        ValueError: there are no trials, or more successes than trials.
    """
    if not 0 <= successes <= trials or trials == 0:
        raise ValueError(f"successes={successes} of trials={trials}: needs 0 <= successes <= trials, trials > 0")
    z = _quantile(confidence)
    rate = successes / trials
    center = (rate + z**2 / (2 * trials)) / (1 + z**2 / trials)
    half = z / (1 + z**2 / trials) * math.sqrt(rate * (1 - rate) / trials + z**2 / (4 * trials**2))
    # Where the rate is 0 or 1, rounding could put it a hair outside.
    return Estimate(rate, max(min(center - half, rate), 0.0), min(max(center + half, rate), 1.0))


def mean_interval(values: Sequence[float] | np.ndarray, confidence: float = CONFIDENCE) -> Estimate:
    """A mean with Student's interval; of one value, that value alone.

    Raises:
        ValueError: there are no values.
    """
    if len(values) == 0:
        raise ValueError("values must not be empty")
    mean = float(np.mean(values))
    half = 0.0
    if len(values) > 1:
        half = _student_quantile(confidence, len(values) - 1) * float(np.std(values, ddof=1)) / math.sqrt(len(values))
    return Estimate(mean, mean - half, mean + half)


def difference_interval(first: Estimate, second: Estimate) -> Estimate:
    """First minus second of two rates, with Newcombe's interval (Newcombe 1998, method 10).

    Takes the two as independent. Where they were measured on the same worlds, the interval is a little too wide.
    """
    difference = first.value - second.value
    return Estimate(
        difference,
        difference - math.hypot(first.value - first.low, second.high - second.value),
        difference + math.hypot(first.high - first.value, second.value - second.low),
    )


def paired_difference_interval(first: np.ndarray, second: np.ndarray) -> Estimate:
    """First minus second of two rates measured on the same cases, with Newcombe's interval.

    Source: Newcombe 1998, "Improved confidence intervals for the difference between binomial proportions based on
    paired data", method 10.

    Args:
        first: (n,) bool, whether the first succeeded.
        second: (n,) bool, whether the second succeeded in the same case.

    Raises:
        ValueError: different lengths, or no cases.
    """
    if len(first) != len(second):
        raise ValueError(f"first and second must be of the same cases; got {len(first)} and {len(second)}")
    n = len(first)
    one, other = (wilson_interval(int(np.count_nonzero(successes)), n) for successes in (first, second))
    both, neither = int(np.count_nonzero(first & second)), int(np.count_nonzero(~first & ~second))
    ones, others = int(np.count_nonzero(first)), int(np.count_nonzero(second))
    agreement: float = both * neither - (ones - both) * (others - both)
    if agreement > 0:
        agreement = max(agreement - n / 2, 0)
    margins = ones * (n - ones) * others * (n - others)
    correlation = agreement / math.sqrt(margins) if margins else 0.0

    def distance(a: float, b: float) -> float:
        return math.sqrt(max(a * a - 2 * correlation * a * b + b * b, 0.0))

    difference = one.value - other.value
    return Estimate(
        difference,
        difference - distance(one.value - one.low, other.high - other.value),
        difference + distance(one.high - one.value, other.value - other.low),
    )


def _quantile(confidence: float) -> float:
    return NormalDist().inv_cdf((1 + confidence) / 2)


def _student_quantile(confidence: float, freedom: int) -> float:
    """Half the width of the interval around 0 that holds Student's t with this probability, by bisection."""
    low, high = 0.0, 1.0
    while _student_inside(high, freedom) < confidence:
        low, high = high, 2 * high
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if _student_inside(middle, freedom) < confidence else (low, middle)
    return high


def _student_inside(t: float, freedom: int) -> float:
    """Probability that Student's t lies between -t and t (Abramowitz and Stegun, 26.7.3 and 26.7.4)."""
    angle = math.atan(t / math.sqrt(freedom))
    square = math.cos(angle) ** 2
    odd = freedom % 2
    term, total = (math.cos(angle) if odd else 1.0), 0.0
    for k in range(1 + odd, freedom, 2):
        total += term
        term *= square * k / (k + 1)
    if odd:
        return 2 / math.pi * (angle + math.sin(angle) * total)
    return math.sin(angle) * total
