"""The trainings of the report: sweeps, one after the other, for as long as there is time."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import Any

from agents.sweep import sweep
from agents.sweeps.launchers import LocalLauncher
from agents.sweeps.plan import Job, Plan
from agents.sweeps.work import result_of
from agents.training.ppo import PPOConfig
from benchmarks.baselines import curve

_TELL_SECONDS = 20.0
_TINY_UPDATES = 3
_TINY_EPISODES = 4


def tiny(plan: Plan, ppo: PPOConfig) -> Plan:
    """The first run of a sweep as a few updates of small networks on the CPU."""
    job = plan.jobs[0]
    config = replace(
        job.config,
        device="cpu",
        preset="small",
        agent_options={},
        frames=_TINY_UPDATES * ppo.num_envs * ppo.rollout_steps,
        evaluation_episodes=0,
        ppo=ppo,
    )
    return replace(plan, jobs=(replace(job, config=config, episodes=_TINY_EPISODES),))


def train(
    plan: Plan, at_once: int, left: Callable[[], float], saving_seconds: float, tell: Callable[[dict[str, Any]], None]
) -> None:
    """Do what is left of a sweep, until all is done or the time is up.

    The first run is alone on the device, so that its time tells what one takes.

    Args:
        plan: what to run; all in the same folder.
        at_once: how many of the others.
        left: seconds that there are.
        saving_seconds: so long before the end, runs are asked to save and end; at the end, they are ended.
        tell: gets what `told` gives, now and then, and in the end.
    """
    last = time.monotonic()

    def stops() -> int:
        nonlocal last
        if time.monotonic() - last > _TELL_SECONDS:
            tell(told(plan.jobs))
            last = time.monotonic()
        remaining = left()
        return 2 if remaining <= 0 else 1 if remaining <= saving_seconds else 0

    folder = plan.jobs[0].run.folder.parent
    folder.mkdir(parents=True, exist_ok=True)
    failures: dict[str, str] = {}
    for jobs, number in ((plan.jobs[:1], 1), (plan.jobs, at_once)):
        if not stops() and any(result_of(job) is None for job in jobs):
            failures |= sweep(replace(plan, jobs=jobs), LocalLauncher(number), number, folder, stops).failures
    unfinished = {job.name for job in plan.jobs if result_of(job) is None}
    tell(told(plan.jobs) | {"failures": {name: why for name, why in failures.items() if name in unfinished}})


def told(jobs: Sequence[Job]) -> dict[str, Any]:
    """How a sweep stands: how many runs it has, and for each that has begun, how far it is, its curve, its success."""
    return {
        "asked": len(jobs),
        "runs": [_run(job) | {"alone": job is jobs[0]} for job in jobs if job.run.progress_file.exists()],
    }


def _run(job: Job) -> dict[str, Any]:
    result, progress = result_of(job), job.run.read_progress()
    config, last = job.config, progress[-1] if progress else {"frames": 0, "seconds": 0.0}
    return {
        "run": job.name,
        **{"agent": config.agent, "level": config.level, "seed": config.seed, "preset": config.preset},
        "ppo": asdict(config.ppo),
        "frames": last["frames"],
        "asked_frames": config.frames,
        "seconds": last["seconds"],
        "finished": result is not None,
        "success": {split: entry["success"] for split, entry in result["splits"].items()} if result else {},
        "curve": curve(progress),
    }
