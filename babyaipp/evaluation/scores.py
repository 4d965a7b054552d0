"""Scores of evaluated agents: everything that a report or a leaderboard says follows from the episodes here.

For each run (an agent of one training seed) and cell: success with Wilson's interval, return, causes of failure, and
time to success over the oracle's in the same episode. Over levels and runs, as interquartile means with stratified
bootstrap intervals:

    success             of the suite's main part, such as HeldOut with the true text
    generalisation gap  Train minus HeldOut
    reading gain        HeldOut with the true text minus HeldOut with words that mean nothing
    trust               HeldOut with the true text minus HeldOut with false rules: what a lie costs
    reading score       success of the main part, 0 as the blind planner's and 1 as the oracle's, where these differ
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from babyaipp import __version__
from babyaipp.engine.state import CAUSES, SUCCESS
from babyaipp.evaluation.aggregate import interquartile_mean, stratified_bootstrap_interval
from babyaipp.evaluation.anchors import Anchors
from babyaipp.evaluation.protocol import CONTRADICT, LOREM, TRUE, Cell
from babyaipp.evaluation.records import Records
from babyaipp.statistics import CONFIDENCE, mean_interval, wilson_interval
from babyaipp.tiles import HALF_STEPS_PER_STEP

LEAST_HEADROOM = 0.1
"""The reading score leaves out levels where the oracle succeeds less than so much more often than the blind planner."""
_BOOTSTRAP_SEED = 0
_DIGITS = 5

SCORES = ("success", "gap", "reading_gain", "trust", "reading_score")


@dataclass(frozen=True)
class Results:
    """What came of all episodes: the records, and what replaying them adds."""

    records: Records
    returns: np.ndarray
    """(r, c, n) float64."""

    @property
    def success(self) -> np.ndarray:
        """(r, c, n) bool."""
        return self.records.cause == SUCCESS

    def rates(self, part: tuple[str, str]) -> np.ndarray:
        """(r, levels) float64, success in a split with a text, of all levels; NaN where it was not played."""
        found = np.full((len(self.records.runs), len(self.records.levels)), np.nan)
        for index, cell in enumerate(self.records.cells):
            if (cell.split, cell.text) == part:
                found[:, self.records.levels.index(cell.level)] = self.success[:, index].mean(1)
        return found


def score(results: Results, anchors: Anchors) -> dict[str, Any]:
    """All scores, as JSON holds them.

    Args:
        results: of a suite.
        anchors: what the planners reach.
    """
    records = results.records
    return {
        "protocol": records.protocol,
        "package_version": __version__,
        "suite": records.suite.name,
        "levels": list(records.levels),
        "complete": records.levels == records.suite.levels,
        "episodes": records.lengths.shape[2],
        "confidence": CONFIDENCE,
        "scores": _scores(results, anchors),
        "runs": [
            {
                "seed": seed,
                "cells": {
                    cell.name: _cell_report(results, run, index, cell, anchors)
                    for index, cell in enumerate(records.cells)
                },
            }
            for run, seed in enumerate(records.runs)
        ],
    }


def matrices(results: Results, anchors: Anchors) -> dict[str, tuple[tuple[str, ...], np.ndarray]]:
    """Each score before it is aggregated: names of the levels that it has, and (r, levels) float64."""
    records = results.records
    suite, levels = records.suite, records.levels
    split, text = suite.main
    main = results.rates(suite.main)
    blind, oracle = (
        np.array([anchors.success(name, level, split) for level in levels]) for name in ("blind", "oracle")
    )
    found = {
        "success": main,
        "gap": results.rates(("Train", text)) - main if split == "HeldOut" else np.full_like(main, np.nan),
        "reading_gain": main - results.rates((split, LOREM)) if text == TRUE else np.full_like(main, np.nan),
        "trust": main - results.rates((split, CONTRADICT)),
        "reading_score": np.where(
            oracle - blind >= LEAST_HEADROOM, (main - blind) / np.maximum(oracle - blind, LEAST_HEADROOM), np.nan
        ),
    }
    kept = {}
    for name, values in found.items():
        there = ~np.isnan(values).any(0)
        if there.any():
            kept[name] = (tuple(level for level, has in zip(levels, there, strict=True) if has), values[:, there])
    return kept


def _scores(results: Results, anchors: Anchors) -> dict[str, Any]:
    told = {}
    for name, (levels, values) in matrices(results, anchors).items():
        estimate = stratified_bootstrap_interval(values, interquartile_mean, seed=_BOOTSTRAP_SEED)
        told[name] = {
            "iqm": _rounded(estimate.value),
            "interval": [_rounded(estimate.low), _rounded(estimate.high)],
            "mean": _rounded(values.mean()),
            "runs": [_rounded(value) for value in values.mean(1)],
            "levels": {level: _rounded(value) for level, value in zip(levels, values.mean(0), strict=True)},
        }
    return told


def _cell_report(results: Results, run: int, index: int, cell: Cell, anchors: Anchors) -> dict[str, Any]:
    success = results.success[run, index]
    cause = results.records.cause[run, index]
    half_steps = results.records.half_steps[run, index].astype(np.float64)
    rate = wilson_interval(int(success.sum()), len(success))
    returns = mean_interval(results.returns[run, index])
    oracle = anchors.oracle_half_steps(cell.level, cell.split)[: len(success)]
    both = success & (oracle > 0)
    counts = np.bincount(cause, minlength=len(CAUSES)).tolist()
    return {
        "success": _rounded(rate.value),
        "interval": [_rounded(rate.low), _rounded(rate.high)],
        "return": _rounded(returns.value),
        "return_interval": [_rounded(returns.low), _rounded(returns.high)],
        "steps": _rounded(half_steps.mean() / HALF_STEPS_PER_STEP),
        "relative_steps": _rounded((half_steps[both] / oracle[both]).mean()) if both.any() else None,
        "causes": {
            CAUSES[i]: counts[i] for i in sorted(range(len(CAUSES)), key=lambda i: (-counts[i], i)) if counts[i]
        },
    }


def _rounded(value: float) -> float:
    return round(float(value), _DIGITS) + 0.0  # no negative zero


def differences(one: Mapping[str, Any], other: Mapping[str, Any], where: str = "") -> list[str]:
    """Where two reports differ, in words."""
    found = []
    for key in sorted(one.keys() | other.keys()):
        place = f"{where}.{key}" if where else key
        if key not in one or key not in other:
            found.append(f"{place} is only in one of them")
        elif isinstance(one[key], Mapping) and isinstance(other[key], Mapping):
            found += differences(one[key], other[key], place)
        elif one[key] != other[key]:
            found.append(f"{place}: {one[key]!r} and {other[key]!r}")
    return found
