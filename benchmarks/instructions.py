"""Count the instructions of a step: `python -m benchmarks.instructions`, on Linux.

Virtual machines often have no hardware counters, so a parent process lets the kernel run one instruction at a time and
counts them: exact, and of the code that really runs. Two numbers of calls are counted and subtracted, which leaves the
compiled code and drops the interpreter's. Prints instructions a step and, with the time of the same calls, cycles a
step and instructions a cycle.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import signal
import statistics
import sys
import time
from collections.abc import Callable

from benchmarks.measurement import table
from benchmarks.sections import clock_hertz
from benchmarks.subjects import KernelCalls

_TRACE_ME, _CONTINUE, _SINGLE_STEP = 0, 7, 9
_CALLS = (1, 2)
_WARM_UP_CALLS = 3
_TIMED_CALLS = 400
PARTS = ("step", "step_only", "observe")


def count_instructions(call: Callable[[int], object], sizes: tuple[int, int] = _CALLS) -> int:
    """Instructions that `call(sizes[1])` takes more than `call(sizes[0])`, user space only.

    Raises:
        OSError: the system does not allow tracing.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    libc.ptrace.restype = ctypes.c_long
    child = os.fork()
    if child == 0:
        status = 1
        try:
            if libc.ptrace(_TRACE_ME, 0, None, None) == 0:
                for size in sizes:
                    os.kill(os.getpid(), signal.SIGUSR1)
                    call(size)
                os.kill(os.getpid(), signal.SIGUSR1)
                status = 0
        finally:
            os._exit(status)
    counts: list[int] = []
    count = 0
    begun = False
    while True:
        _, status = os.waitpid(child, 0)
        if not os.WIFSTOPPED(status):
            break
        if os.WSTOPSIG(status) == signal.SIGUSR1:
            if begun:
                counts.append(count)
            begun, count = True, 0
        count += 1
        if libc.ptrace(_SINGLE_STEP if len(counts) < len(sizes) else _CONTINUE, child, None, None) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    if len(counts) != len(sizes):
        raise OSError("the system does not allow this process to trace another")
    return counts[1] - counts[0]


def main() -> None:
    """Print a table of the parts of a step, by level."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--levels", nargs="+", default=["GoToRedBall", "GoToHard", "GoToSeq"])
    parser.add_argument("--num-envs", type=int, default=1024)
    arguments = parser.parse_args()
    hertz = clock_hertz()["median"]
    rows = []
    for level in arguments.levels:
        kernel = KernelCalls(level, arguments.num_envs, calls=1)
        for part in PARTS:
            call = getattr(kernel, part)
            for _ in range(_WARM_UP_CALLS):
                call()
            instructions = count_instructions(lambda calls, call=call: [call() for _ in range(calls)])
            a_step = instructions / ((_CALLS[1] - _CALLS[0]) * arguments.num_envs)
            cycles = _seconds(call) / arguments.num_envs * hertz
            rows.append((level, part, f"{a_step:.0f}", f"{cycles:.0f}", f"{a_step / cycles:.2f}"))
            print(f"counted: {level} {part}", file=sys.stderr, flush=True)
    print(f"{hertz / 1e9:.2f} GHz\n")
    print(table(("level", "part", "instructions a step", "cycles a step", "instructions a cycle"), rows))


def _seconds(call: Callable[[], object]) -> float:
    """Median processor time of a call."""
    taken = []
    for _ in range(_TIMED_CALLS):
        begin = time.process_time()
        call()
        taken.append(time.process_time() - begin)
    return statistics.median(taken)


if __name__ == "__main__":
    main()
