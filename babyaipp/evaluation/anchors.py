"""What the planners reach in the episodes of the protocol: the oracle, which knows the rules, and the blind one.

`anchors.npz` beside this file has it for every level and split that a suite plays; `python -m benchmarks.anchors` makes
it anew.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np

from babyaipp.evaluation.protocol import SUITES

FILE = Path(__file__).with_name("anchors.npz")
PLANNERS = ("oracle", "blind")


def anchored() -> tuple[tuple[str, str], ...]:
    """Level and split of all worlds that suites play."""
    return tuple(dict.fromkeys((cell.level, cell.split) for suite in SUITES.values() for cell in suite.cells()))


class Anchors:
    """What the planners reach.

    Args:
        half_steps: name of planner/level/split -> (n,) uint16, time to success in each episode; 0 where there was none.
    """

    def __init__(self, half_steps: dict[str, np.ndarray]) -> None:
        self._half_steps = half_steps

    def success(self, planner: str, level: str, split: str) -> float:
        """Share of the episodes in which it succeeds."""
        return float((self._half_steps[f"{planner}/{level}/{split}"] > 0).mean())

    def oracle_half_steps(self, level: str, split: str) -> np.ndarray:
        """(n,) float64, time to success in each episode; 0 where there is none."""
        return self._half_steps[f"oracle/{level}/{split}"].astype(np.float64)


@lru_cache(1)
def load_anchors() -> Anchors:
    """Those that come with the package."""
    with np.load(FILE, allow_pickle=False) as archive:
        return Anchors({name: archive[name] for name in archive.files})
