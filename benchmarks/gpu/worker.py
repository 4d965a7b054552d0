"""The process in which items are measured: what hangs there can be ended, and what breaks there breaks nothing else.

It is asked for one item at a time, and serves until one has left the GPU unusable, has used a profiler or took too
long; then another one takes its place.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import time
import traceback
from multiprocessing.connection import Connection
from typing import Any

import torch

from benchmarks.gpu.device import Device
from benchmarks.gpu.parts import Row, Scale, parts

_START_SECONDS = 120.0
_END_SECONDS = 5.0
_TAIL_LINES = 6


class Failed(Exception):
    """An item was not measured; the message says why."""


class OutOfTime(Failed):
    """An item was ended, as it took longer than it had."""


class Worker:
    """Measures items in a process aside, which is started when the first one is asked for.

    Args:
        scale: of the items.
    """

    def __init__(self, scale: Scale) -> None:
        self._scale = scale
        self._process: Any = None
        self._connection: Any = None

    def describe(self, seconds: float) -> dict[str, Any]:
        """What the device is; see `Device.describe`. Raises as `measure`."""
        return self._ask(None, seconds)

    def measure(self, part: str, item: str, seconds: float) -> Row:
        """The row of an item.

        Args:
            part: its name.
            item: its name.
            seconds: after which the process is ended.

        Raises:
            OutOfTime: it was ended.
            Failed: the item raised an exception, or the process ended by itself.
        """
        return self._ask((part, item), seconds)

    def close(self) -> None:
        """Let the process end."""
        if self._process is not None:
            self._connection.close()
            self._process.join(_END_SECONDS)
            self._kill()

    def _kill(self) -> None:
        """End the process at once, with all that it started."""
        if self._process.is_alive():
            try:
                os.killpg(self._process.pid, signal.SIGKILL)
            except ProcessLookupError:  # it has not made itself the first of its group yet
                self._process.kill()
        self._process.join()
        self._connection.close()
        self._process = None

    def _ask(self, asked: Any, seconds: float) -> dict[str, Any]:
        until = time.monotonic() + seconds
        try:
            if self._process is None:
                self._start()
                self._answer(min(_START_SECONDS, seconds))
            self._connection.send(asked)
            return self._answer(until - time.monotonic())
        except (EOFError, ConnectionError):
            process = self._process
            process.join(_END_SECONDS)
            self._kill()
            raise Failed(f"the process ended with status {process.exitcode}") from None
        except KeyboardInterrupt:
            self._kill()
            raise

    def _start(self) -> None:
        spawn = multiprocessing.get_context("spawn")
        self._connection, theirs = spawn.Pipe()
        self._process = spawn.Process(target=_serve, args=(theirs, self._scale))
        self._process.start()
        theirs.close()

    def _answer(self, seconds: float) -> dict[str, Any]:
        if not self._connection.poll(max(0.0, seconds)):
            self._kill()
            raise OutOfTime(f"ended after {seconds:.0f} s")
        row, error, usable = self._connection.recv()
        if not usable:
            self.close()
        if error is not None:
            raise Failed(error)
        return row


def _serve(connection: Connection, scale: Scale) -> None:
    """Answer with (row, error, whether the process can go on), until the other end is closed."""
    os.setsid()  # out of reach of the terminal's Ctrl-C
    if scale.device == "cpu":
        torch.set_num_threads(1)  # the networks are small
    known = parts(scale)
    device = Device(scale.device)
    connection.send(({}, None, True))
    while True:
        try:
            asked = connection.recv()
        except EOFError:
            return
        row, error, usable = {}, None, True
        try:
            row = device.describe() if asked is None else known[asked[0]].items[asked[1]]()
            json.dumps(row)  # what cannot be kept is no result
        except Exception as exception:
            error = _told(exception)
        try:
            device.clean_up()
        except Exception:
            usable = False
        usable = usable and not (asked and known[asked[0]].profiles)
        connection.send((row, error, usable))


def _told(error: Exception) -> str:
    """Kind and message, and the end of the traceback."""
    lines = "".join(traceback.format_tb(error.__traceback__)).rstrip().splitlines()
    return "\n".join([f"{type(error).__name__}: {error}", *lines[-_TAIL_LINES:]])
