"""Where the runs of a sweep are computed: processes of this machine, or jobs of a cluster."""

from __future__ import annotations

import signal
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

from agents.sweeps.plan import Cluster, Job
from agents.sweeps.work import Ended, work


class Handle(Protocol):
    """Work on a run, somewhere."""

    def done(self) -> bool:
        """Whether it has ended."""

    def result(self) -> Ended:
        """How it ended."""


class Launcher(Protocol):
    """Starts work on runs."""

    def start(self, job: Job) -> Handle:
        """Begin to work on a run."""

    def stop(self) -> None:
        """Let all that is running save and end."""

    def kill(self) -> None:
        """End all that is running at once."""

    def close(self) -> None:
        """Wait until all has ended."""


class LocalLauncher:
    """Processes of this machine.

    Args:
        processes: how many at a time.
    """

    def __init__(self, processes: int) -> None:
        self._threads = ThreadPoolExecutor(processes)  # each waits for a process
        self._stopped = threading.Event()
        self._killed = threading.Event()

    def start(self, job: Job) -> Handle:
        """Begin to work on a run."""
        return self._threads.submit(work, job, self._stopped.is_set, self._killed.is_set)

    def stop(self) -> None:
        """Let all trainings save and end."""
        self._stopped.set()

    def kill(self) -> None:
        """Kill all processes."""
        self._stopped.set()
        self._killed.set()

    def close(self) -> None:
        """Wait until all has ended."""
        self._threads.shutdown()


class ClusterTask:
    """Work on a run as a job of submitit. It goes on from its last checkpoint if it is put into the queue again.

    Args:
        job: the run.
    """

    def __init__(self, job: Job) -> None:
        self.job = job

    def __call__(self) -> Ended:
        """Work until it is done or the job is cancelled."""
        stopped = threading.Event()
        signal.signal(signal.SIGTERM, lambda number, frame: stopped.set())
        return work(self.job, stopped.is_set)

    def checkpoint(self) -> Any:
        """Called before the time of the job is up: the same again."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


class SubmititLauncher:
    """Jobs of submitit, such as Slurm's.

    Args:
        cluster: which, and what to ask it for.
        folder: for submitit's files; all machines must see it.
    """

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        import submitit

        self._executor = submitit.AutoExecutor(folder=folder, cluster=cluster.name)
        self._executor.update_parameters(**parameters(cluster))
        self.jobs: list[Any] = []
        """Of submitit, in the order of `start`."""
        self._cancelled = threading.Event()

    def start(self, job: Job) -> Handle:
        """Put a run into the queue."""
        submitted = self._executor.submit(ClusterTask(job))
        self.jobs.append(submitted)
        return _Submitted(submitted, self._cancelled)

    def stop(self) -> None:
        """Cancel what is queued or running; trainings that are running save, which is not waited for."""
        self._cancelled.set()
        for job in self.jobs:
            if not job.done():
                job.cancel()

    def kill(self) -> None:
        """The cluster does that."""

    def close(self) -> None:
        """The cluster does not need this process; the next call waits for runs that are still saving."""


class _Submitted:
    def __init__(self, job: Any, cancelled: threading.Event) -> None:
        self._job = job
        self._cancelled = cancelled

    def done(self) -> bool:
        """Whether it has ended."""
        return self._cancelled.is_set() or self._job.done()

    def result(self) -> Ended:
        """How it ended; failures of the cluster are failures of the run."""
        if self._cancelled.is_set():
            return Ended("interrupted")
        try:
            return self._job.result()
        except Exception as error:  # submitit raises many kinds, and those of the run
            return Ended("failed", f"job {self._job.job_id}: {error}")


def parameters(cluster: Cluster) -> dict[str, Any]:
    """What submitit is asked for, in its terms."""
    asked: dict[str, Any] = {
        "name": "babyaipp",
        "timeout_min": cluster.minutes,
        "gpus_per_node": cluster.gpus,
        "cpus_per_task": cluster.cpus,
        "mem_gb": cluster.memory_gb,
        "nodes": 1,
        "tasks_per_node": 1,
    }
    if cluster.partition is not None:
        asked["slurm_partition"] = cluster.partition
    return {name: value for name, value in asked.items() if value is not None}


def executors() -> Sequence[str]:
    """What submitit knows."""
    from submitit.core.plugins import get_executors

    return sorted(get_executors())
