"""The measurements that `throughput.py` puts together: speed and its parts, threads, latency, memory, first step."""

from __future__ import annotations

import time
import tracemalloc
from dataclasses import dataclass
from typing import Any

import numpy as np

import babyaipp
from babyaipp.engine.state import WORLD
from benchmarks.measurement import in_turns, load_average, rates, ratio, summary
from benchmarks.startup import measure_first_step
from benchmarks.subjects import SPLIT, EngineSteps, KernelCalls, ReferenceSteps, random_actions

SPEED_GOALS = {"GoToRedBall": (3.5e6, 350), "GoToHard": (2e6, 250), "GoToSeq": (2e6, 250)}
"""Steps a second, and how many times those of the reference."""
THREADS_GOAL = 1.8
LATENCY_GOAL_MICROSECONDS = 15
RECORD_GOAL_BYTES = 2048
WARM_GOAL_SECONDS = 2
COLD_GOAL_SECONDS = 30

_NANOSECONDS = 1e9
_MEMORY_ENVS = 1024
_CHAIN_LENGTH, _CHAIN_CYCLES = 20_000_000, 4
_FACTOR, _TERM = 6364136223846793005, 1442695040888963407


@dataclass(frozen=True)
class Effort:
    """How long to measure."""

    rounds: int
    seconds: float
    """Of each subject in each round."""
    ends_steps: int
    """Steps of a batch over which ends of episodes are counted."""
    threads_num_envs: int
    batch_sizes: tuple[int, ...]
    latency_calls: int
    warm_starts: int
    peer_seconds: float
    spread: bool
    """Whether episodes are spread over their time limit before."""


FULL = Effort(
    rounds=11,
    seconds=0.4,
    ends_steps=512,
    threads_num_envs=8192,
    batch_sizes=(1, 16, 128, 1024, 8192, 65536),
    latency_calls=20_000,
    warm_starts=5,
    peer_seconds=10.0,
    spread=True,
)
QUICK = Effort(
    rounds=2,
    seconds=0.01,
    ends_steps=8,
    threads_num_envs=64,
    batch_sizes=(1, 4),
    latency_calls=50,
    warm_starts=1,
    peer_seconds=0.5,
    spread=False,
)


def speed(level: str, num_envs: int, effort: Effort) -> dict[str, Any]:
    """Steps a second of engine, kernel and reference in turns, and the cost of the parts of a step."""
    engine = EngineSteps(level, num_envs, effort.spread)
    reused = EngineSteps(level, num_envs, effort.spread, copy=False)
    kernel = KernelCalls(level, num_envs, effort.spread)
    ends = kernel.count_ends(effort.ends_steps)
    samples = in_turns(
        {"engine": engine, "reused": reused, "kernel": kernel.step, "reference": ReferenceSteps(level)},
        effort.rounds,
        effort.seconds,
    )
    parts = in_turns(
        {"observe": kernel.observe, "acted": kernel.step_only, "generate": kernel.generate},
        effort.rounds,
        effort.seconds / 2,
    )
    # Of processor time, so that the parts add up also on a machine that does other things.
    nanoseconds = {
        name: _NANOSECONDS / rates(each)["per_processor_second"]
        for name, each in (samples | parts).items()
        if name != "reference"
    }
    return {
        "level": level,
        "num_envs": num_envs,
        "engine": rates(samples["engine"]),
        "engine_without_copy": rates(samples["reused"]),
        "kernel": rates(samples["kernel"]),
        "reference": rates(samples["reference"]),
        "engine_over_reference": ratio(samples["engine"], samples["reference"]),
        "worlds_a_second": rates(parts["generate"]),
        "ends_a_step": ends,
        "cost_nanoseconds": {
            "act": nanoseconds["acted"] - nanoseconds["observe"],
            "observe": nanoseconds["observe"],
            "new_worlds": ends * (nanoseconds["generate"] - nanoseconds["observe"]),
            "interface": nanoseconds["engine"] - nanoseconds["kernel"],
            "measured": nanoseconds["engine"],
            "a_new_world": nanoseconds["generate"] - nanoseconds["observe"],
            "interface_without_copy": nanoseconds["reused"] - nanoseconds["kernel"],
        },
        "load_average": load_average(),
    }


def batches(level: str, effort: Effort) -> list[dict[str, Any]]:
    """Nanoseconds of processor time a step, of the engine and of its kernel, by size of the batch."""
    rows = []
    for num_envs in effort.batch_sizes:
        engine, kernel = EngineSteps(level, num_envs, effort.spread), KernelCalls(level, num_envs, effort.spread)
        samples = in_turns({"engine": engine, "kernel": kernel.step}, effort.rounds, effort.seconds / 2)
        found = {name: _NANOSECONDS / rates(each)["per_processor_second"] for name, each in samples.items()}
        rows.append({"level": level, "num_envs": num_envs, "record_bytes": num_envs * WORLD.itemsize} | found)
    return rows


def threads(level: str, effort: Effort) -> dict[str, Any]:
    """Steps a second on two threads over those on one, through the public interface and of the kernel alone."""
    num_envs = effort.threads_num_envs
    samples = in_turns(
        {
            "engine": EngineSteps(level, num_envs, effort.spread),
            "engine, 2": EngineSteps(level, num_envs, effort.spread, num_threads=2),
            "kernel": KernelCalls(level, num_envs, effort.spread).step,
            "kernel, 2": KernelCalls(level, num_envs, effort.spread, num_threads=2).step,
        },
        effort.rounds,
        effort.seconds,
    )
    return {
        "level": level,
        "num_envs": num_envs,
        "rates": {name: rates(each) for name, each in samples.items()},
        "two_over_one": {name: ratio(samples[f"{name}, 2"], samples[name]) for name in ("engine", "kernel")},
        "load_average": load_average(),
    }


def latency(level: str, effort: Effort) -> dict[str, Any]:
    """Microseconds of single `step` calls at batch 1."""
    envs = babyaipp.make_vec(level, SPLIT, 1)
    envs.reset(seed=0)
    actions = random_actions(1)
    taken = np.zeros(effort.latency_calls)
    for i in range(-len(actions), effort.latency_calls):  # those before zero warm up
        begin = time.perf_counter_ns()
        envs.step(actions[i % len(actions)])
        if i >= 0:
            taken[i] = time.perf_counter_ns() - begin
    taken /= 1e3
    return {
        "level": level,
        "median": float(np.median(taken)),
        "nine_of_ten": float(np.quantile(taken, 0.9)),
        "mean": float(taken.mean()),
        "calls": effort.latency_calls,
        "load_average": load_average(),
    }


def memory(level: str) -> dict[str, Any]:
    """Bytes of a world's record, and of all that a batch holds for a world while it is stepped."""
    return {
        "level": level,
        "record_bytes": WORLD.itemsize,
        "batch_bytes_a_world": (_held_bytes(level, 2 * _MEMORY_ENVS) - _held_bytes(level, _MEMORY_ENVS)) / _MEMORY_ENVS,
    }


def _held_bytes(level: str, num_envs: int) -> int:
    actions = random_actions(num_envs, batches=2)
    _step_new_batch(level, num_envs, actions)  # what is loaded and compiled then is not the batch's
    tracemalloc.start()
    try:
        held = _step_new_batch(level, num_envs, actions)
        size, _ = tracemalloc.get_traced_memory()
        del held
        return size
    finally:
        tracemalloc.stop()


def _step_new_batch(level: str, num_envs: int, actions: list[np.ndarray]) -> object:
    """Step a new batch; returns what a user holds then."""
    envs = babyaipp.make_vec(level, SPLIT, num_envs)
    envs.reset(seed=0)
    return envs, [envs.step(each) for each in actions][-1]


def start(level: str, num_envs: int, effort: Effort) -> dict[str, Any]:
    """Seconds until the first step of a fresh process is done, with an empty cache and with a filled one."""
    return measure_first_step(level, num_envs, effort.warm_starts)


def clock_hertz(rounds: int = 5) -> dict[str, float]:
    """Cycles a second of the processor, from a compiled chain of multiplications and additions."""
    import numba

    @numba.njit
    def chain(count: int) -> int:
        value = count
        for _ in range(count):
            value = value * _FACTOR ^ _TERM  # 3 cycles and 1
        return value

    chain(1)
    taken = []
    for _ in range(rounds):
        begin = time.process_time()
        chain(_CHAIN_LENGTH)
        taken.append(_CHAIN_LENGTH * _CHAIN_CYCLES / (time.process_time() - begin))
    return summary(taken)
