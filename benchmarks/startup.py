"""How long a user waits for the first step: whole processes, from the start of the interpreter.

Cold is a machine that has never compiled the engine: the folder of compiled code is empty. Warm is every later start.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.measurement import summary

_DONE = "first step done"
_PROGRAM = f"""
import sys, time
begin = time.perf_counter()
import numpy as np
import babyaipp
envs = babyaipp.make_vec(sys.argv[1], num_envs=int(sys.argv[2]))
made = time.perf_counter()
envs.reset(seed=0)
envs.step(np.zeros(int(sys.argv[2]), np.int64))
print({_DONE!r}, made - begin, time.perf_counter() - made, flush=True)
"""


def first_step(level: str, num_envs: int, cache: Path) -> dict[str, Any]:
    """Start a process that makes a batch, resets it and steps once.

    Args:
        level: name of a row of the level table.
        num_envs: size of the batch.
        cache: folder of compiled code, `NUMBA_CACHE_DIR`.

    Returns:
        `seconds` from the start of the interpreter to the end of the first step; `importing_and_making_seconds` and
        `stepping_seconds` of these; `notice`, what the user was told meanwhile, and `notice_seconds`, when, or None.
    """
    begin = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-c", _PROGRAM, level, str(num_envs)],
        cwd=Path(__file__).parent.parent,
        env=os.environ | {"NUMBA_CACHE_DIR": str(cache)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as child:
        assert child.stdout is not None
        lines: list[tuple[float, str]] = []
        for line in child.stdout:
            lines.append((time.perf_counter() - begin, line.strip()))
            if line.startswith(_DONE):
                break
        else:
            raise RuntimeError("the first step failed: " + "\n".join(text for _, text in lines))
    seconds, done = lines.pop()
    making, stepping = map(float, done.removeprefix(_DONE).split())
    told = lines[0] if lines else (None, None)
    return {
        "seconds": seconds,
        "importing_and_making_seconds": making,
        "stepping_seconds": stepping,
        "notice": told[1],
        "notice_seconds": told[0],
    }


def measure_first_step(level: str, num_envs: int, warm_starts: int) -> dict[str, Any]:
    """The first step with an empty folder of compiled code, and then with what that left there."""
    with tempfile.TemporaryDirectory() as folder:
        cold = first_step(level, num_envs, Path(folder))
        warm = [first_step(level, num_envs, Path(folder)) for _ in range(warm_starts)]
    return {
        "level": level,
        "num_envs": num_envs,
        "cold": cold,
        "warm": {
            "seconds": summary([each["seconds"] for each in warm]),
            "stepping_seconds": summary([each["stepping_seconds"] for each in warm]),
            "notices": sorted({each["notice"] for each in warm if each["notice"]}),
        },
    }
