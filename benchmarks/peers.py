"""Speed of other grid worlds, each in a process of its own: stock Minigrid, XLand-MiniGrid, NAVIX.

The JAX programs are timed the way that suits them best: one compiled scan over many steps of a whole batch, actions
drawn before. Their observations are consumed: every number of every observation is added up and the sum returned, since
XLA leaves out what nobody looks at. None of these worlds is one of ours, so the figures say what a user can expect of
each program, not which of them does the same work faster.

Run by `benchmarks.throughput --peers`, or alone: `python -m benchmarks.peers`, which prints a line of JSON for each.
This file needs nothing but the standard library and the peer itself, so that an environment of its own can hold it.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
_SCAN_STEPS = 32
_ACTIONS = 1 << 14
_TIMEOUT_SECONDS = 900


@dataclass(frozen=True)
class Peer:
    """An environment of another project."""

    package: str
    """Name of the distribution on PyPI."""
    environment: str
    batched: bool
    """One compiled program steps a batch, on as many cores as it is given; otherwise one environment in Python."""
    observation: str
    """What the agent is shown; NAVIX's environments offer several."""
    counted: str
    """What else a step includes."""

    @property
    def name(self) -> str:
        """What tells a peer from the others."""
        return f"{self.package} {self.environment} {self.observation}"


_MINIGRID = ("view 7x7x3, direction, mission as a string", "gym.make, 7 actions, reset by hand")
_XLAND = ("view 7x7x2, nothing hides what is behind", "6 actions, reset in the step that ends")
_NAVIX_GRID = ("symbolic", "whole grid 8x8x3, 7 actions, reset takes the next step")
_NAVIX_VIEW = ("symbolic_first_person", "view 7x7x3, 7 actions, reset takes the next step")

PEERS: tuple[Peer, ...] = (
    Peer("minigrid", "BabyAI-GoToRedBallNoDists-v0", False, *_MINIGRID),
    Peer("minigrid", "BabyAI-GoTo-v0", False, *_MINIGRID),
    Peer("minigrid", "BabyAI-GoToSeq-v0", False, *_MINIGRID),
    Peer("xminigrid", "MiniGrid-Empty-8x8", True, *_XLAND),
    Peer("xminigrid", "MiniGrid-FourRooms", True, *_XLAND),
    Peer("xminigrid", "MiniGrid-Playground", True, *_XLAND),
    Peer("navix", "Navix-Empty-8x8-v0", True, *_NAVIX_GRID),
    Peer("navix", "Navix-Empty-8x8-v0", True, *_NAVIX_VIEW),
    Peer("navix", "Navix-GoToDoor-8x8-v0", True, *_NAVIX_GRID),
    Peer("navix", "Navix-GoToDoor-8x8-v0", True, *_NAVIX_VIEW),
)


def measure(peer: Peer, cores: int, num_envs: int, seconds: float, python: str = sys.executable) -> dict[str, Any]:
    """Time a peer in a process of its own.

    Args:
        peer: what to time.
        cores: how many cores the process may use.
        num_envs: size of the batch, where there is one.
        seconds: how long to step, after compiling.
        python: interpreter that has the peer installed.

    Returns:
        What was timed, and `steps_per_second` (median), `batches` (how many it is the median of), `versions`; or
        `missing`, why there is no figure.
    """
    arguments = [peer.name, str(cores), str(num_envs), str(seconds)]
    done: dict[str, Any] = asdict(peer) | {"cores": cores, "num_envs": num_envs if peer.batched else 1}
    try:
        child = subprocess.run(
            [python, "-m", "benchmarks.peers", "--child", *arguments],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return done | {"missing": str(error)}
    if child.returncode != 0:
        return done | {"missing": (child.stderr.strip().splitlines() or [f"exit status {child.returncode}"])[-1]}
    return done | json.loads(child.stdout.splitlines()[-1])


def measure_all(num_envs: int, seconds: float, python: str = sys.executable) -> Iterator[dict[str, Any]]:
    """Time every peer, the batched ones on one core and on all."""
    all_cores = len(os.sched_getaffinity(0))
    for peer in PEERS:
        for cores in sorted({1, all_cores}) if peer.batched else (1,):
            # Minigrid is one of our own dependencies; only the others need an environment of their own.
            yield measure(peer, cores, num_envs, seconds, python if peer.batched else sys.executable)


def _minigrid(environment: str, seconds: float) -> Iterator[tuple[int, float]]:
    import gymnasium as gym
    import minigrid  # noqa: F401  # registers its environments
    import numpy as np

    env = gym.make(environment)
    actions = np.random.default_rng(0).integers(0, 7, _ACTIONS).tolist()
    with contextlib.redirect_stdout(io.StringIO()):  # Minigrid prints every level that it rejects
        env.reset(seed=0)
        until = time.perf_counter() + seconds
        while time.perf_counter() < until:
            begin = time.perf_counter()
            for action in actions[:1024]:
                _, _, terminated, truncated, _ = env.step(action)
                if terminated or truncated:
                    env.reset()
            yield 1024, time.perf_counter() - begin


def _xminigrid(peer: Peer, num_envs: int, seconds: float) -> Iterator[tuple[int, float]]:
    import jax
    import xminigrid
    from xminigrid.wrappers import GymAutoResetWrapper

    env, params = xminigrid.make(peer.environment)
    env = GymAutoResetWrapper(env)
    timesteps = jax.vmap(env.reset, (None, 0))(params, jax.random.split(jax.random.key(0), num_envs))
    step = jax.vmap(lambda timestep, action: env.step(params, timestep, action))
    return _scans(step, timesteps, env.num_actions(params), num_envs, seconds)


def _navix(peer: Peer, num_envs: int, seconds: float) -> Iterator[tuple[int, float]]:
    import jax
    import navix

    env = navix.make(peer.environment, observation_fn=getattr(navix.observations, peer.observation))
    timesteps = jax.vmap(env.reset)(jax.random.split(jax.random.key(0), num_envs))
    return _scans(jax.vmap(env.step), timesteps, len(env.action_set), num_envs, seconds)


def _scans(
    step: Callable[..., Any], timesteps: Any, num_actions: int, num_envs: int, seconds: float
) -> Iterator[tuple[int, float]]:
    """Step a batch for some seconds after compiling; yields steps and seconds of each scan."""
    import jax
    import jax.numpy as jnp

    def one(carry: tuple[Any, Any], action: Any) -> tuple[tuple[Any, Any], None]:
        timesteps, total = carry
        timesteps = step(timesteps, action)
        total = total + timesteps.observation.sum(dtype=jnp.uint32) + timesteps.reward.sum().astype(jnp.uint32)
        return (timesteps, total + timesteps.step_type.sum(dtype=jnp.uint32)), None

    @jax.jit
    def scan(timesteps: Any, total: Any, actions: Any) -> Any:
        return jax.lax.scan(one, (timesteps, total), actions)[0]

    actions = jax.random.randint(jax.random.key(1), (_SCAN_STEPS, num_envs), 0, num_actions)
    carry = (timesteps, jnp.uint32(0))
    for _ in range(2):  # a scan gives back other types than some environments begin with: the second compiles anew
        carry = jax.block_until_ready(scan(*carry, actions))
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        begin = time.perf_counter()
        carry = jax.block_until_ready(scan(*carry, actions))
        yield _SCAN_STEPS * num_envs, time.perf_counter() - begin


def _versions(peer: Peer) -> dict[str, str]:
    names = (peer.package, "jax", "jaxlib") if peer.batched else (peer.package, "gymnasium", "numpy")
    return {name: version(name) for name in names} | {"python": sys.version.split()[0]}


def run_child(name: str, cores: int, num_envs: int, seconds: float) -> Mapping[str, Any]:
    peer = next(peer for peer in PEERS if peer.name == name)
    try:
        version(peer.package)
    except PackageNotFoundError:
        return {"missing": f"{peer.package} is not installed"}
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])  # before JAX counts them for its threads
    os.environ["JAX_PLATFORMS"] = "cpu"
    if peer.package == "minigrid":
        batches = list(_minigrid(peer.environment, seconds))
    else:
        run = {"xminigrid": _xminigrid, "navix": _navix}[peer.package]
        batches = list(run(peer, num_envs, seconds))
    rates = [steps / taken for steps, taken in batches]
    return {"steps_per_second": statistics.median(rates), "batches": len(rates), "versions": _versions(peer)}


def main() -> None:
    """Time all peers, or, with `--child`, the one that the parent process asks for."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--child", nargs=4, metavar=("NAME", "CORES", "NUM_ENVS", "SECONDS"), help=argparse.SUPPRESS)
    parser.add_argument("--num-envs", type=int, default=1024)
    parser.add_argument("--seconds", type=float, default=10.0)
    arguments = parser.parse_args()
    if arguments.child:
        name, cores, num_envs, seconds = arguments.child
        print(json.dumps(run_child(name, int(cores), int(num_envs), float(seconds))))
        return
    for result in measure_all(arguments.num_envs, arguments.seconds):
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
