"""Measure the engine on a GPU: `python -m benchmarks.cuda`.

Steps of whole batches with observations, texts and autoreset, under uniformly random actions that lie on the GPU. Each
is timed as the interface launches it, call by call, and as a CUDA graph of 16 steps, replayed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from agents.cli import run_command, usage_errors
from agents.runs import write_json
from babyaipp.engine.cpu import Outputs
from babyaipp.engine.cuda import Driver
from babyaipp.engine.drive import DISABLED, SAME_STEP
from babyaipp.engine.seeding import words_of_seeds
from babyaipp.engine.state import LEAVE, RESET, WORLD, parameters
from babyaipp.levels import get_level
from babyaipp.spaces import text_sizes
from babyaipp.texts import parse_text_condition
from babyaipp.tiles import COLORS, DONE
from benchmarks.measurement import count_text, machine, median_seconds, table
from benchmarks.subjects import SPLIT, time_limit

GOAL = ("GoToRedBall", 262_144, 3e8)
"""Level, worlds, steps a second on an H200."""

_BATCHES = 16  # of actions, and steps of a graph
_GROUPS = 64
_NO_GPU = 3  # exit status


@dataclass(frozen=True)
class CudaConfig:
    """Measure the engine on a GPU."""

    levels: tuple[str, ...] = ("GoToRedBall", "GoToHard", "GoToSeq")
    """Levels to measure."""
    num_envs: tuple[int, ...] = (4_096, 65_536, 262_144, 1_048_576)
    """Worlds of a batch."""
    seconds: float = 0.5
    """How long each measurement takes; each is done five times."""
    json: Path | None = None
    """Also write all figures to this file."""

    def check(self) -> None:
        """Raise ValueError, naming argument, value and what is allowed, if a setting makes no sense."""
        for name in self.levels:
            get_level(name)
        for count in self.num_envs:
            if count < 1:
                raise ValueError(f"num_envs={count} must be at least 1")


class GpuCalls:
    """A batch on torch's current GPU; its methods launch steps, or parts of what a step costs, and do not wait."""

    def __init__(self, level: str, num_envs: int) -> None:
        import torch

        self._torch = torch
        row = get_level(level)
        condition = parse_text_condition("true")
        record = parameters(row, SPLIT, condition, "canonical", None)
        sizes = (num_envs, *text_sizes(row, condition))
        self._driver = Driver(record, *sizes)
        device = self._driver.worlds.device
        kinds = {**Outputs.shapes(*sizes), "reward": ((num_envs,), np.float32)}
        self._outputs = Outputs(
            **{
                name: torch.empty(shape, dtype=getattr(torch, np.dtype(dtype).name), device=device)
                for name, (shape, dtype) in kinds.items()
            }
        )
        streams = np.zeros(num_envs, WORLD)
        streams["rng"] = words_of_seeds(list(range(num_envs)))
        self._driver.worlds.copy_(torch.from_numpy(streams.view(np.uint8).reshape(num_envs, -1)))
        self._rules = torch.zeros((num_envs, len(COLORS)), dtype=torch.int8, device=device)
        self._actions = list(torch.randint(0, DONE + 1, (_BATCHES, num_envs), device=device))
        self._reset = torch.full((num_envs,), RESET, device=device)
        self._leave = torch.full((num_envs,), LEAVE, device=device)
        self._graph: Any = None
        self._advance(self._reset)
        groups = min(_GROUPS, num_envs)
        for group in range(groups):  # so that episodes do not all end together
            for step in range(max(1, time_limit(row) // groups)):
                self._advance(self._actions[step % _BATCHES])
            some = self._leave.clone()
            some[group::groups] = RESET
            self._advance(some)

    def step(self) -> None:
        """Take `_BATCHES` steps, launched call by call."""
        for actions in self._actions:
            self._advance(actions)

    def step_graph(self) -> None:
        """Take the same steps as one graph."""
        if self._graph is None:
            self._graph = self._torch.cuda.CUDAGraph()
            with self._torch.cuda.graph(self._graph):
                self.step()
        self._graph.replay()

    def step_only(self) -> None:
        """Take the same steps over the ends of episodes: without the making of worlds."""
        for actions in self._actions:
            self._advance(actions, DISABLED)

    def observe(self) -> None:
        """Write the observations as often, and do nothing else."""
        for _ in self._actions:
            self._advance(self._leave)

    def generate(self) -> None:
        """Begin an episode in every world, as often."""
        for _ in self._actions:
            self._advance(self._reset)

    def ends_a_step(self) -> float:
        """Share of the worlds whose episode ends in a step."""
        ends = 0.0
        for actions in self._actions:
            self._advance(actions)
            ends += float((self._outputs.cause != 0).float().mean())
        return ends / _BATCHES

    def _advance(self, actions: Any, autoreset: int = SAME_STEP) -> None:
        self._driver.advance(actions, self._rules, autoreset, self._outputs)


def unavailable() -> str | None:
    """Why there is no GPU to measure, None if there is one."""
    try:
        level, condition = get_level(GOAL[0]), parse_text_condition("true")
        Driver(parameters(level, SPLIT, condition, "canonical", None), 1, *text_sizes(level, condition))
    except RuntimeError as error:
        return str(error)
    return None


def measure(
    levels: Sequence[str], sizes: Sequence[int], seconds: float, tell: Callable[[str], None] = print
) -> dict[str, Any]:
    """Measure every level with every number of worlds; needs a GPU.

    Returns:
        `gpu`: its name and memory; `speed`: a row for each, steps a second as medians, and nanoseconds by part.
    """
    import torch

    def taken(call: Callable[[], None]) -> float:
        return median_seconds(call, seconds, torch.cuda.synchronize)

    properties = torch.cuda.get_device_properties(torch.cuda.current_device())
    report: dict[str, Any] = {
        "gpu": {"name": properties.name, "memory_bytes": properties.total_memory, "cuda": torch.version.cuda},
        "speed": [],
    }
    for level in levels:
        for num_envs in sizes:
            print(f"measuring: {level}, {num_envs:,} worlds", file=sys.stderr, flush=True)
            before = torch.cuda.memory_allocated()
            calls = GpuCalls(level, num_envs)
            steps = _BATCHES * num_envs
            row = {
                "level": level,
                "num_envs": num_envs,
                "bytes_a_world": (torch.cuda.memory_allocated() - before) / num_envs,
                "ends_a_step": calls.ends_a_step(),
                "steps_per_second": steps / taken(calls.step),
                "graph_steps_per_second": steps / taken(calls.step_graph),
            }
            parts = {"act_and_observe": calls.step_only, "observe": calls.observe, "new_worlds": calls.generate}
            row["nanoseconds"] = {name: taken(call) / steps * 1e9 for name, call in parts.items()}
            report["speed"].append(row)
            del calls
    tell(speed_table(report["speed"]))
    return report


def speed_table(rows: Sequence[dict[str, Any]]) -> str:
    """Steps a second, and what they are made of."""
    header = (
        *("level", "worlds", "steps/s", "as a graph", "goal", "reached"),
        *("ns a step, no new worlds", "ns an observation", "ns a new world", "steps a world", "bytes a world"),
    )
    lines = []
    for row in rows:
        best = max(row["steps_per_second"], row["graph_steps_per_second"])
        is_goal = (row["level"], row["num_envs"]) == GOAL[:2]
        parts, ends = row["nanoseconds"], row["ends_a_step"]
        lines.append(
            (
                row["level"],
                f"{row['num_envs']:,}",
                count_text(row["steps_per_second"]),
                count_text(row["graph_steps_per_second"]),
                count_text(GOAL[2]) if is_goal else "",
                ("yes" if best >= GOAL[2] else "no") if is_goal else "",
                *(f"{parts[name]:.3f}" for name in ("act_and_observe", "observe", "new_worlds")),
                f"{1 / ends:.0f}" if ends else "",
                f"{row['bytes_a_world']:,.0f}",
            )
        )
    return table(header, lines)


def _run(config: CudaConfig) -> int:
    with usage_errors():
        config.check()
    reason = unavailable()
    if reason is not None:
        print(f"nothing was measured: {reason}", file=sys.stderr)
        return _NO_GPU
    report = {"machine": machine(), **measure(config.levels, config.num_envs, config.seconds)}
    print(f"\n{report['gpu']['name']}, CUDA {report['gpu']['cuda']}")
    if config.json is not None:
        write_json(config.json, report)
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    return run_command(CudaConfig, _run, arguments)


if __name__ == "__main__":
    sys.exit(main())
