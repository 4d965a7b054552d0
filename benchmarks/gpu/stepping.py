"""Environment steps a second on the device, by number of worlds."""

from __future__ import annotations

from typing import Any

import benchmarks.cuda
from benchmarks.gpu.device import Device
from benchmarks.measurement import median_seconds
from benchmarks.subjects import EngineSteps


def speed(level: str, num_envs: int, device: Device, seconds: float) -> dict[str, Any]:
    """Steps a second through the public interface, with tensors; on a GPU also the rows of `benchmarks.cuda`.

    Args:
        level: name of a row of the level table.
        num_envs: worlds of the batch.
        device: where they are.
        seconds: how long to measure, five times for each figure.
    """
    calls = EngineSteps(level, num_envs, device=device.name, output="torch", copy=False)
    try:
        steps = calls()
        taken = median_seconds(calls, seconds, device.wait)
    finally:
        calls.envs.close()
    row: dict[str, Any] = {"level": level, "num_envs": num_envs, "steps_per_second": steps / taken}
    if device.is_cuda:
        del calls  # their memory
        (row["driver"],) = benchmarks.cuda.measure([level], [num_envs], seconds, tell=lambda text: None)["speed"]
    return row
