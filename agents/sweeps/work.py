"""One run of a sweep: train, or go on training, evaluate, and write `result.json`; each step is a process of its own.

A run folder then also holds:

result.json    what was asked for and what came of it: written last, so a run that has one is finished
log.txt        what the processes printed
lock           held by the processes that work on the run, so that no two do
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from agents.checkpoints import read_tensors
from agents.runs import Run, write_json
from agents.sweeps.plan import Job, arguments

_POLL_SECONDS = 0.1
_LOCK_SECONDS = 60.0
"""So long a run waits for the processes of a former call to save and end."""
_TAIL_BYTES = 8192
_TAIL_LINES = 12


@dataclass(frozen=True)
class Ended:
    """How work on a run ended."""

    status: Literal["done", "failed", "interrupted"]
    error: str = ""
    """Of a failure: the end of what was printed."""


def result_of(job: Job) -> dict[str, Any] | None:
    """What a finished run found, or None if it has not finished, or something else was asked for then."""
    try:
        result = json.loads(_result_file(job).read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    return result if result.get("asked") == job.asked() else None


def frames_of(job: Job) -> int:
    """How far a training has come, by its last line of progress."""
    try:
        with job.run.progress_file.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
            lines = file.read().decode(errors="replace").split("\n")
    except FileNotFoundError:
        return 0
    whole = [line for line in lines[-3:] if line.startswith("{") and line.endswith("}")]
    return int(json.loads(whole[-1])["frames"]) if whole else 0


def work(job: Job, stopped: Callable[[], bool], killed: Callable[[], bool] = bool) -> Ended:
    """Do what is left of a run.

    Args:
        job: the run.
        stopped: whether to save and end; asked several times a second.
        killed: whether to end at once.
    """
    folder = job.run.folder
    folder.mkdir(parents=True, exist_ok=True)
    with _lock(folder / "lock", stopped) as lock:
        if lock is None:
            if stopped():
                return Ended("interrupted")
            return Ended("failed", f"{folder / 'lock'} is held by another process")
        if result_of(job) is not None:
            return Ended("done")
        try:
            commands = _commands(job)
        except ValueError as error:
            return Ended("failed", str(error))
        for command in commands:
            status = _call(command, folder / "log.txt", lock, stopped, killed)
            if status and stopped():
                return Ended("interrupted")
            if status:
                return Ended("failed", _tail(folder / "log.txt", f"{' '.join(command)}: exit status {status}"))
            if stopped() and command is not commands[-1]:
                return Ended("interrupted")
        write_json(_result_file(job), _result(job))
        return Ended("done")


def _result_file(job: Job) -> Path:
    return job.run.folder / "result.json"


def _commands(job: Job) -> list[list[str]]:
    """What to run: a training that goes on where it was saved, and the evaluation."""
    run, config = job.run, job.config
    python = [sys.executable, "-m"]
    commands = []
    if not run.training_file().exists():
        commands.append([*python, "agents.train", *arguments(config), "--out", str(run.folder)])
    elif _trained_frames(run) < config.frames:
        commands.append([*python, "agents.train", *arguments(config, resume=True), "--resume", str(run.folder)])
    if job.splits:
        evaluation = ["--splits", ",".join(job.splits), "--episodes", str(job.episodes)]
        evaluation += ["--device", config.device, "--threads", str(config.threads)]
        commands.append([*python, "agents.evaluate", str(run.folder), *evaluation])
    return commands


def _trained_frames(run: Run) -> int:
    return int(read_tensors(run.training_file())[1]["training"]["frames"])


def _result(job: Job) -> dict[str, Any]:
    last = job.run.read_progress()[-1]
    report = json.loads(job.run.report_file.read_text(encoding="utf-8")) if job.splits else None
    config = job.config
    return {
        "run": job.name,
        "level": config.level,
        "agent": config.agent,
        "seed": config.seed,
        "frames": last["frames"],
        "seconds": last["seconds"],
        "command": " ".join(["python -m agents.train", *arguments(config)]),
        "splits": report["splits"] if report else {},
        "asked": job.asked(),
    }


def _call(command: Sequence[str], log: Path, lock: int, stopped: Callable[[], bool], killed: Callable[[], bool]) -> int:
    """Run a process to its end; returns its exit status.

    It is out of reach of the terminal's Ctrl-C, and gets one SIGINT when it is to stop, however often keys are pressed.
    """
    environment = os.environ | {"TQDM_DISABLE": "1", "PYTHONUNBUFFERED": "1"}
    with log.open("ab") as out:
        out.write(f"$ {' '.join(command)}\n".encode())
        out.flush()
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
            pass_fds=(lock,),
        )
        asked = False
        try:
            while process.poll() is None:
                if killed():
                    process.kill()
                elif stopped() and not asked:
                    process.send_signal(signal.SIGINT)
                    asked = True
                time.sleep(_POLL_SECONDS)
        except BaseException:
            process.send_signal(signal.SIGINT)
            raise
        return process.returncode


@contextmanager
def _lock(path: Path, stopped: Callable[[], bool]) -> Iterator[int | None]:
    """Its file descriptor, or None if others hold it for too long. Processes that inherit it hold it, too."""
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        until = time.monotonic() + _LOCK_SECONDS
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if stopped() or time.monotonic() > until:
                    yield None
                    return
                time.sleep(_POLL_SECONDS)
        yield file
    finally:
        os.close(file)


def _tail(log: Path, told: str) -> str:
    with log.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
        lines = file.read().decode(errors="replace").splitlines()
    return "\n".join([told, *lines[-_TAIL_LINES:]])
