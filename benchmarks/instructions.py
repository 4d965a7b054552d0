"""Count the instructions of a step: `python -m benchmarks.instructions`, on Linux and x86-64.

Virtual machines often have no hardware counters, so a parent process lets the kernel run one instruction at a time and
counts them: exact, and of the code that really runs. Two sizes of a batch are counted and subtracted, which drops what
the interpreter does for a call. Prints instructions a step and, with the processor time of a batch of 1,024, cycles a
step and instructions a cycle.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import os
import signal
import statistics
import sys
import time
from collections.abc import Callable

from benchmarks.measurement import load_average, table
from benchmarks.sections import clock_hertz
from benchmarks.subjects import KernelCalls

_TRACE_ME, _PEEK_USER, _CONTINUE, _SINGLE_STEP = 0, 3, 7, 9
_INSTRUCTION_POINTER = 16 * 8  # where it stands among the registers
_TIMED_CALLS = 400
_TIMED_ENVS = 1024


def count_instructions(call: Callable[[], object]) -> int:
    """Instructions that a call takes in user space; what the operating system does for it is not followed.

    Garbage is not collected meanwhile.

    Raises:
        OSError: the system does not allow tracing.
    """
    call()  # compiles
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    libc.ptrace.restype = ctypes.c_long
    child = os.fork()
    if child == 0:
        status = 1
        try:
            gc.disable()
            if libc.ptrace(_TRACE_ME, 0, None, None) == 0:
                os.kill(os.getpid(), signal.SIGUSR1)
                call()
                os.kill(os.getpid(), signal.SIGUSR1)
                status = 0
        finally:
            os._exit(status)
    marks = 0
    count = 0
    last = None
    while True:
        _, status = os.waitpid(child, 0)
        if not os.WIFSTOPPED(status):
            break
        marks += os.WSTOPSIG(status) == signal.SIGUSR1
        if marks == 1:
            here = libc.ptrace(_PEEK_USER, child, _INSTRUCTION_POINTER, None)
            count += here != last  # an instruction that repeats itself, as for copies, stops after each time
            last = here
        if libc.ptrace(_SINGLE_STEP if marks == 1 else _CONTINUE, child, None, None) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    if marks != 2:
        raise OSError("the system does not allow this process to trace another")
    return count


def main() -> None:
    """Print instructions and cycles of a step that ends no episode, and of the observation in it, by level."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--levels", nargs="+", default=["GoToRedBall", "GoToHard", "GoToSeq"])
    parser.add_argument("--num-envs", type=int, default=64, help="worlds that are counted; more take longer")
    arguments = parser.parse_args()
    hertz = clock_hertz()["median"]
    rows = []
    for level in arguments.levels:
        fewer, more = (KernelCalls(level, factor * arguments.num_envs, calls=1) for factor in (1, 2))
        timed = KernelCalls(level, _TIMED_ENVS, calls=1)
        for part in ("step_only", "observe"):
            print(f"counting: {level} {part}", file=sys.stderr, flush=True)
            both = count_instructions(getattr(fewer, part)), count_instructions(getattr(more, part))
            a_step = (both[1] - both[0]) / arguments.num_envs
            cycles = _median_seconds(getattr(timed, part)) / _TIMED_ENVS * hertz
            rows.append((level, part, f"{a_step:.0f}", f"{cycles:.0f}", f"{a_step / cycles:.2f}"))
    print(f"{hertz / 1e9:.2f} GHz; load average {load_average()}\n")
    print(table(("level", "part", "instructions a step", "cycles a step", "instructions a cycle"), rows))


def _median_seconds(call: Callable[[], object]) -> float:
    """Median processor time of a call."""
    taken = []
    for _ in range(_TIMED_CALLS):
        begin = time.process_time()
        call()
        taken.append(time.process_time() - begin)
    return statistics.median(taken)


if __name__ == "__main__":
    main()
