"""The CUDA kernels: what `drive.py` does with one world, by a thread each. Loads numba's CUDA target when imported.

A call of the driver launches three, on one stream: `step_worlds` takes the actions and lists the worlds that are to
begin an episode; `begin_worlds` works through that list, so that no warp waits for one of its threads that makes a
world; `observe_worlds` writes what is seen. The length of the list stays on the device.

As in `drive.py`, images lie one after the other in a flat array. `mission_texts`, `description_texts` and `rules_texts`
hold what does not change in an episode, until it is copied to the outputs.
"""

from __future__ import annotations

import numpy as np
from numba import cuda, from_dtype

from babyaipp.engine.compile import device_function
from babyaipp.engine.cuda import BEGIN_BLOCK, BLOCK
from babyaipp.engine.drive import SAME_STEP, begin_world, observe_world, step_world, wanted, write_texts
from babyaipp.engine.observe import IMAGE_BYTES, observe, write_action_mask
from babyaipp.engine.state import LEAVE, NOT_ENDED, RESET, SCRATCH

_WORD_BYTES = 4

# The images of a block, and the same memory as words: byte by byte it would take four times as many stores.
_IMAGES = from_dtype(
    np.dtype(
        {
            "names": ["images", "words"],
            "formats": [(np.uint8, (BLOCK * IMAGE_BYTES,)), (np.uint32, (BLOCK * IMAGE_BYTES // _WORD_BYTES,))],
            "offsets": [0, 0],
            "itemsize": BLOCK * IMAGE_BYTES,
        },
        align=True,
    )
)


@device_function
def _copy_rows(source, target, row, first, last, thread, threads):
    """Copy rows of `row` numbers, from `first` to before `last`; `thread` of `threads` that do so together."""
    i = first * row + thread
    while i < last * row:  # the count that a `range` with a step computes takes longer
        target.flat[i] = source.flat[i]
        i += threads


def step_worlds(worlds, parameters, actions, autoreset, reward, terminated, truncated, cause, length, begun, num_begun):
    """Take the actions; list in `begun` the worlds that are to begin an episode. `num_begun`: (1,) int32, 0 before."""
    e = cuda.grid(1)
    if e < worlds.shape[0]:
        w = worlds[e]
        action = wanted(w, int(actions[e]), autoreset)
        ended = step_world(w, parameters[0], action, e, reward, terminated, truncated, cause, length)
        if (ended and autoreset == SAME_STEP) or (action < 0 and action != LEAVE):
            begun[cuda.atomic.add(num_begun, 0, 1)] = e


def begin_worlds(
    worlds,
    parameters,
    actions,
    autoreset,
    given_rules,
    cause,
    begun,
    num_begun,
    mission_texts,
    description_texts,
    rules_texts,
    final_image,
    final_direction,
    final_mission,
    final_description,
    final_rules,
):
    """Begin an episode in the listed worlds, after the last observation of those that have just ended was written."""
    scratch = cuda.shared.array((SCRATCH, BEGIN_BLOCK), np.int32)
    lane = cuda.threadIdx.x
    p = parameters[0]
    # A short list is spread over the blocks: threads of one warp that make different worlds wait for each other.
    for i in range(cuda.blockIdx.x + cuda.gridDim.x * lane, num_begun[0], cuda.gridsize(1)):
        e = int(begun[i])
        w = worlds[e]
        action = RESET
        if cause[e] == NOT_ENDED:
            action = wanted(w, int(actions[e]), autoreset)
        else:
            observe_world(w, p, e, final_image, final_direction)
            _copy_rows(mission_texts, final_mission, mission_texts.shape[1], e, e + 1, 0, 1)
            sentences = description_texts.shape[1] * description_texts.shape[2]
            _copy_rows(description_texts, final_description, sentences, e, e + 1, 0, 1)
            _copy_rows(rules_texts, final_rules, rules_texts.shape[1], e, e + 1, 0, 1)
        begin_world(w, p, action, e, given_rules, scratch, lane, mission_texts, description_texts, rules_texts)


def observe_worlds(
    worlds,
    parameters,
    num_begun,
    image_words,
    mission_texts,
    description_texts,
    rules_texts,
    image,
    direction,
    mission,
    description,
    rules,
):
    """Write the observations and rules; `image_words`: the memory of `image` as uint32, as far as that goes.

    A block gathers its images, and then writes them as one piece, as it copies the texts.
    """
    tile = cuda.shared.array(1, _IMAGES, alignment=16)
    thread = cuda.threadIdx.x
    first = cuda.blockIdx.x * BLOCK
    last = min(first + BLOCK, worlds.shape[0])
    e = first + thread
    if e < last:
        w = worlds[e]
        observe(w, parameters[0], tile[0].images, thread * IMAGE_BYTES)
        direction[e] = w.agent_dir
    if e == 0:
        num_begun[0] = 0
    cuda.syncthreads()
    start = first * IMAGE_BYTES
    num_bytes = (last - first) * IMAGE_BYTES
    num_words = num_bytes // _WORD_BYTES
    i = thread
    while i < num_words:
        image_words[start // _WORD_BYTES + i] = tile[0].words[i]
        i += BLOCK
    i = num_words * _WORD_BYTES + thread
    if i < num_bytes:
        image[start + i] = tile[0].images[i]
    _copy_rows(mission_texts, mission, mission.shape[1], first, last, thread, BLOCK)
    _copy_rows(description_texts, description, description.shape[1] * description.shape[2], first, last, thread, BLOCK)
    _copy_rows(rules_texts, rules, rules.shape[1], first, last, thread, BLOCK)


def write_all_texts(worlds, parameters, mission_texts, description_texts, rules_texts):
    """Write the texts and rules of all worlds."""
    e = cuda.grid(1)
    if e < worlds.shape[0]:
        write_texts(worlds[e], parameters[0], e, mission_texts, description_texts, rules_texts)


def write_action_masks(worlds, parameters, masks):
    """Write which actions may do something; `masks`: (n, 7) int8."""
    e = cuda.grid(1)
    if e < worlds.shape[0]:
        write_action_mask(worlds[e], parameters[0], masks[e])
