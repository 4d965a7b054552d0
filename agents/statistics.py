"""Intervals for what an evaluation counts: success rates, means, and differences of rates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

CONFIDENCE = 0.95


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
    """A mean with its normal interval; for samples of at least some dozens.

    Raises:
        ValueError: there are no values.
    """
    if len(values) == 0:
        raise ValueError("values must not be empty")
    mean = float(np.mean(values))
    half = _quantile(confidence) * float(np.std(values, ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else 0.0
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


def _quantile(confidence: float) -> float:
    return NormalDist().inv_cdf((1 + confidence) / 2)
