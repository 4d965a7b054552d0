"""What the engine does depends on level, seeds and actions only: not on batches, threads, order, or the process."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest

from babyaipp import make_vec
from babyaipp.levels import LEVELS

NUM_WORLDS, NUM_STEPS = 130, 60
CASES = [("GoToRedBallHard", "All"), ("PutNextLocal", "Fixed"), ("PickupLoc", "All"), ("GoToSeq", "Train")]


def episode_digests(
    level: str, split: str, count: int, steps: int, batch: int, threads: int = 1, order: np.ndarray | None = None
) -> list[str]:
    """A digest of each world's whole course: every output, and the state after every step.

    Args:
        level: name of the level.
        split: its split.
        count: worlds, with the seeds 0 to count - 1.
        steps: how many; episodes end and begin in between.
        batch: worlds a batch; the last one may be smaller.
        threads: a batch.
        order: (count,) int, the order in which the worlds are put into batches.
    """
    actions = np.random.default_rng(5).integers(0, 7, (steps, count))
    order = np.arange(count) if order is None else order
    digests = [hashlib.sha256() for _ in range(count)]
    for begin in range(0, count, batch):
        part = order[begin : begin + batch]
        envs = make_vec(level, split, len(part), num_threads=threads, max_steps=25, text="withheld=1")
        obs, infos = envs.reset(seed=part.tolist())
        _add(digests, part, obs, infos, envs.state())
        for step in range(steps):
            obs, *rest, infos = envs.step(actions[step, part])
            _add(digests, part, obs, infos, envs.state(), *rest)
        envs.close()
    return [digest.hexdigest() for digest in digests]


def _add(digests, part, obs, infos, records, *arrays) -> None:
    columns = [*obs.values(), infos["rules"], *arrays, *(records[name] for name in records.dtype.names)]
    for i, world in enumerate(part):
        for column in columns:
            digests[world].update(np.ascontiguousarray(column[i]).tobytes())
        if "_final_obs" in infos and infos["_final_obs"][i]:
            for value in infos["final_obs"][i].values():
                digests[world].update(np.ascontiguousarray(value).tobytes())
            digests[world].update(str(infos["final_info"]["cause"][i]).encode())


def digest(level: str, split: str, count: int, steps: int, batch: int, threads: int = 1) -> str:
    """One digest for all worlds."""
    return hashlib.sha256("".join(episode_digests(level, split, count, steps, batch, threads)).encode()).hexdigest()


@pytest.fixture(scope="module")
def digests():
    return {case: episode_digests(*case, NUM_WORLDS, NUM_STEPS, NUM_WORLDS) for case in CASES}


def test_worlds_and_steps_differ(digests):
    """The comparisons below could fail."""
    for case, values in digests.items():
        assert len(set(values)) == NUM_WORLDS, case
        assert episode_digests(*case, 3, NUM_STEPS - 1, 3) != values[:3]


@pytest.mark.parametrize("batch", [7, 64])
@pytest.mark.parametrize("case", CASES)
def test_batch_size_does_not_matter(digests, case, batch):
    assert episode_digests(*case, NUM_WORLDS, NUM_STEPS, batch) == digests[case]


@pytest.mark.parametrize("case", CASES)
def test_a_world_of_its_own_is_the_same(digests, case):
    # As many actions are drawn as for the whole batch, so that each world gets its own.
    few = episode_digests(*case, NUM_WORLDS, NUM_STEPS, 1)
    assert few == digests[case]


@pytest.mark.parametrize("threads", [2, 5])
@pytest.mark.parametrize("case", CASES)
def test_threads_do_not_matter(digests, case, threads):
    assert episode_digests(*case, NUM_WORLDS, NUM_STEPS, NUM_WORLDS, threads) == digests[case]


@pytest.mark.parametrize("case", CASES)
def test_more_threads_than_worlds_do_not_matter(digests, case):
    assert episode_digests(*case, NUM_WORLDS, NUM_STEPS, 3, 5) == digests[case]


@pytest.mark.parametrize("case", CASES)
def test_order_does_not_matter(digests, case):
    order = np.random.default_rng(8).permutation(NUM_WORLDS)
    assert episode_digests(*case, NUM_WORLDS, NUM_STEPS, 64, 2, order) == digests[case]


def in_another_process(case: tuple[str, str], count: int, steps: int, **environment: str) -> str:
    command = [sys.executable, __file__, *case, str(count), str(steps)]
    done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.parametrize("case", CASES)
def test_the_process_does_not_matter(case):
    assert in_another_process(case, 20, 30, PYTHONHASHSEED="7") == digest(*case, 20, 30, 20)


@pytest.mark.parametrize("level", LEVELS)
def test_without_compilation_it_is_the_same(level):
    """The same source as plain Python: what the compiler makes of it changes nothing."""
    single = LEVELS[level].num_rows * LEVELS[level].num_cols == 1
    count, steps = (4, 30) if single else (1, 30)
    assert in_another_process((level, "All"), count, steps, NUMBA_DISABLE_JIT="1") == digest(
        level, "All", count, steps, count
    )


if __name__ == "__main__":
    print(digest(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), int(sys.argv[3])))
