"""Make `babyaipp/evaluation/anchors.npz` anew: `python -m benchmarks.anchors`, what the planners reach in the protocol.

Goes on where it was cut off: what has been played stays in `runs/anchors/` until it is removed.
"""

from __future__ import annotations

import io
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm  # type: ignore[import-untyped]

from agents.cli import run_command
from babyaipp.engine.state import SUCCESS
from babyaipp.evaluation.anchors import FILE, PLANNERS, anchored
from babyaipp.evaluation.protocol import Cell
from babyaipp.evaluation.run import play_cell_by_planner
from babyaipp.files import write_whole


@dataclass(frozen=True)
class AnchorsConfig:
    """Play all episodes of the protocol with the planners."""

    folder: Path = Path("runs/anchors")
    """What has been played."""


def run_anchors(config: AnchorsConfig) -> int:
    """Play, and write the file; returns the exit status."""
    config.folder.mkdir(parents=True, exist_ok=True)
    found = {}
    for level, split in tqdm(anchored(), unit="cell"):
        for planner in PLANNERS:
            file = config.folder / f"{planner}-{level}-{split}.npy"
            if not file.exists():
                played = play_cell_by_planner(planner, Cell(level, split))
                data = io.BytesIO()
                np.save(data, np.where(played.cause == SUCCESS, played.half_steps, 0).astype(np.uint16))
                write_whole(file, data.getvalue())
            found[f"{planner}/{level}/{split}"] = np.load(file)
    data = io.BytesIO()
    np.savez_compressed(data, **found)
    write_whole(FILE, data.getvalue())
    print(f"{FILE}: {len(found)} of planner, level and split")
    return 0


if __name__ == "__main__":
    sys.exit(run_command(AnchorsConfig, run_anchors))
