"""The CPU driver: steps a batch of worlds, on one thread or several. Knows nothing of Gymnasium."""

from __future__ import annotations

import os
import threading
import weakref
from dataclasses import dataclass, fields
from typing import Any

import numba
import numpy as np

from babyaipp.engine.compile import compile_kernel, fetch_add, kernel
from babyaipp.engine.drive import (
    SAME_STEP,
    begin_world,
    copy_rows,
    observe_world,
    step_world,
    wanted,
    write_texts,
)
from babyaipp.engine.observe import VIEW, write_action_mask
from babyaipp.engine.state import LEAVE, RESET, SCRATCH, WORLD
from babyaipp.tiles import COLORS

# A thread takes so many worlds at a time: they are observed soon after they were stepped, while they are in the cache.
_BLOCK = 512

# Of a smaller batch, so many parts for each of several threads, as one may wake up late or be held up.
_PARTS = 16


@dataclass
class Outputs:
    """Arrays that a driver fills, one row a world; `final_*` only in rows whose episode has ended."""

    image: Any  # (n, 7, 7, 3) uint8
    direction: Any  # (n,) int64
    mission: Any  # (n, mission_words) int32
    description: Any  # (n, sentences, sentence_words) int32
    reward: Any  # (n,) float64; float32 for torch on CUDA
    terminated: Any  # (n,) bool
    truncated: Any  # (n,) bool
    rules: Any  # (n, 6) int8, property of each colour
    cause: Any  # (n,) uint8, see state.CAUSES
    length: Any  # (n,) int32, steps of the episode that ended
    final_image: Any
    final_direction: Any
    final_mission: Any
    final_description: Any
    final_rules: Any

    @classmethod
    def shapes(
        cls, num_envs: int, mission_words: int, sentences: int, sentence_words: int
    ) -> dict[str, tuple[tuple[int, ...], Any]]:
        """Shape and NumPy dtype of every array."""
        observation = {
            "image": ((num_envs, VIEW, VIEW, 3), np.uint8),
            "direction": ((num_envs,), np.int64),
            "mission": ((num_envs, mission_words), np.int32),
            "description": ((num_envs, sentences, sentence_words), np.int32),
            "rules": ((num_envs, len(COLORS)), np.int8),
        }
        ends = {
            "reward": ((num_envs,), np.float64),
            "terminated": ((num_envs,), np.bool_),
            "truncated": ((num_envs,), np.bool_),
            "cause": ((num_envs,), np.uint8),
            "length": ((num_envs,), np.int32),
        }
        return {**observation, **ends, **{f"final_{name}": value for name, value in observation.items()}}

    @classmethod
    def empty(cls, *sizes: int) -> Outputs:
        """New NumPy arrays of these `shapes`."""
        shapes = cls.shapes(*sizes)
        return cls(**{field.name: np.empty(*shapes[field.name]) for field in fields(cls)})


@kernel
def _advance(
    worlds,
    parameters,
    actions,
    given_rules,
    image,
    direction,
    mission_out,
    description_out,
    reward,
    terminated,
    truncated,
    rules_out,
    cause,
    length,
    final_image,
    final_direction,
    final_mission,
    final_description,
    final_rules,
    mission,
    description,
    rules,
    autoreset,
    taken,
    block,
    scratch,
):
    p = parameters[0]
    while True:
        first = fetch_add(taken, block)
        if first >= len(worlds):
            return
        last = min(first + block, len(worlds))
        for e in range(first, last):
            w = worlds[e]
            action = wanted(w, int(actions[e]), autoreset)
            ended = step_world(w, p, action, e, reward, terminated, truncated, cause, length)
            if ended and autoreset == SAME_STEP:
                observe_world(w, p, e, final_image, final_direction)
                copy_rows(mission, final_mission, e, e + 1)
                copy_rows(description, final_description, e, e + 1)
                copy_rows(rules, final_rules, e, e + 1)
                action = RESET
            if action < 0 and action != LEAVE:
                begin_world(w, p, action, e, given_rules, scratch, 0, mission, description, rules)
        for e in range(first, last):
            observe_world(worlds[e], p, e, image, direction)
        copy_rows(mission, mission_out, first, last)
        copy_rows(description, description_out, first, last)
        copy_rows(rules, rules_out, first, last)


@kernel
def _write_texts(worlds, parameters, mission, description, rules):
    for e in range(len(worlds)):
        write_texts(worlds[e], parameters[0], e, mission, description, rules)


@kernel
def _write_action_masks(worlds, parameters, masks):
    for e in range(len(worlds)):
        write_action_mask(worlds[e], parameters[0], masks[e])


class _Worker:
    """A thread that runs the kernel when it is told to: a pool's futures would take a tenth of the time of a step."""

    def __init__(self) -> None:
        self._told, self._done = threading.Lock(), threading.Lock()
        self._told.acquire()
        self._done.acquire()
        self._arguments: tuple[Any, ...] | None = None
        self._error: BaseException | None = None
        self._busy = self._ended = False
        threading.Thread(target=self._work, daemon=True, name="babyaipp").start()

    def begin(self, arguments: tuple[Any, ...]) -> None:
        """Run the kernel with these arguments."""
        if self._busy:  # what an interrupt kept `finish` from waiting for
            self.finish()
        self._arguments, self._busy = arguments, True
        self._told.release()

    def end(self) -> None:
        """End the thread, once it has nothing to do."""
        if not self._ended:
            self._ended = True
            if self._busy:
                self.finish()
            self._told.release()

    def finish(self) -> None:
        """Wait until it is done.

        Raises:
            Exception: what the kernel raised.
        """
        self._done.acquire()
        error, self._error, self._busy = self._error, None, False
        if error is not None:
            raise error

    def _work(self) -> None:
        while True:
            self._told.acquire()
            arguments, self._arguments = self._arguments, None
            if arguments is None:
                return
            try:
                _run(*arguments)
            except BaseException as error:
                self._error = error
            del arguments
            self._done.release()


def _end(workers: list[_Worker], process: int) -> None:
    """End the threads of a process; in one that was forked from it there are none."""
    if os.getpid() == process:
        for worker in workers:
            worker.end()


class Driver:
    """A batch of worlds in main memory.

    Args:
        parameters: (1,) `PARAMETERS`.
        num_envs: how many worlds.
        mission_words: word ids of an instruction.
        sentences: sentences of a description.
        sentence_words: word ids of a sentence.
        num_threads: how many threads step them; the result does not depend on it.
    """

    def __init__(
        self,
        parameters: np.ndarray,
        num_envs: int,
        mission_words: int,
        sentences: int,
        sentence_words: int,
        num_threads: int = 1,
    ) -> None:
        self.worlds = np.zeros(num_envs, WORLD)
        self._parameters = _viewed(parameters)
        self._records = _viewed(self.worlds)
        self._mission = np.zeros((num_envs, mission_words), np.int32)
        self._description = np.zeros((num_envs, sentences, sentence_words), np.int32)
        self._rules = np.zeros((num_envs, len(COLORS)), np.int8)
        self._scratches = [np.zeros((SCRATCH, 1), np.int32) for _ in range(min(num_threads, num_envs))]
        parts = _PARTS * num_threads if num_threads > 1 else 1
        self._block = min(_BLOCK, -(-num_envs // parts))
        self._workers: list[_Worker] = []
        self._workers_process = 0
        example = Outputs.empty(num_envs, mission_words, sentences, sentence_words)
        no_actions, no_rules = np.zeros(num_envs, np.int64), np.zeros((num_envs, len(COLORS)), np.int8)
        compile_kernel(_advance, self._arguments(no_actions, no_rules, example, SAME_STEP), seconds=25)

    def advance(self, actions: np.ndarray, rules: np.ndarray, autoreset: int, outputs: Outputs) -> None:
        """Step, reset or leave every world, and write what is seen then.

        Args:
            actions: (n,) int64, an action, or RESET, RESET_WITH_RULES, RESET_TO_WORLD or LEAVE.
            rules: (n, 6) int8, looked at for RESET_WITH_RULES.
            autoreset: SAME_STEP, NEXT_STEP or DISABLED.
            outputs: filled.
        """
        *arguments, scratch = self._arguments(actions, rules, outputs, autoreset)
        if len(self._scratches) == 1:
            _run(*arguments, scratch)
            return
        workers = self._threads()
        for worker, its_scratch in zip(workers, self._scratches[1:], strict=True):
            worker.begin((*arguments, its_scratch))
        try:
            _run(*arguments, scratch)
        finally:
            for worker in workers:
                worker.finish()

    def write_texts(self) -> None:
        """Write the texts and the rules of all worlds anew, after `worlds` was assigned."""
        arguments = (self._records, self._parameters, self._mission, self._description, self._rules)
        compile_kernel(_write_texts, arguments)
        _write_texts(*arguments)

    def action_mask(self, out: np.ndarray) -> None:
        """Write which actions may do something; `out`: (n, 7) int8."""
        arguments = (self._records, self._parameters, out)
        compile_kernel(_write_action_masks, arguments)
        _write_action_masks(*arguments)

    def close(self) -> None:
        """End the threads."""
        _end(self._workers, self._workers_process)
        self._workers = []

    def _threads(self) -> list[_Worker]:
        """The other threads; new ones in a process that was forked, where they are gone."""
        if not self._workers or self._workers_process != os.getpid():
            self._workers, self._workers_process = [_Worker() for _ in self._scratches[1:]], os.getpid()
            weakref.finalize(self, _end, self._workers, os.getpid())
        return self._workers

    def _arguments(self, actions: np.ndarray, rules: np.ndarray, outputs: Outputs, autoreset: int) -> tuple[Any, ...]:
        o = outputs
        return (
            self._records,
            self._parameters,
            actions,
            rules,
            o.image.reshape(-1),
            o.direction,
            o.mission,
            o.description,
            o.reward,
            o.terminated,
            o.truncated,
            o.rules,
            o.cause,
            o.length,
            o.final_image.reshape(-1),
            o.final_direction,
            o.final_mission,
            o.final_description,
            o.final_rules,
            self._mission,
            self._description,
            self._rules,
            autoreset,
            np.zeros(1, np.int64),
            self._block,
            self._scratches[0],
        )


if numba.config.DISABLE_JIT:
    _one_at_a_time = threading.Lock()

    def _viewed(records: np.ndarray) -> Any:
        """Records whose fields are attributes in Python, too."""
        return records.view(np.recarray)

    def _run(*arguments: Any) -> None:
        # One thread after the other: here, what a thread takes is not taken at once.
        with _one_at_a_time, np.errstate(over="ignore"):  # the random stream's words wrap around
            _advance(*arguments)

else:

    def _viewed(records: np.ndarray) -> Any:
        return records

    _run = _advance
