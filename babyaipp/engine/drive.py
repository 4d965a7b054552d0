"""What a driver does with one world of a batch: the same for the CPU and for CUDA.

The arrays have one row a world. Reading and writing them is all that is added here to `step.py` and `observe.py`.
"""

from __future__ import annotations

from babyaipp.engine.compile import device_function, inlined_function, unsigned
from babyaipp.engine.instruct import write_mission
from babyaipp.engine.observe import IMAGE_BYTES, observe
from babyaipp.engine.shared import success_reward, write_description
from babyaipp.engine.state import NOT_ENDED, RESET, SUCCESS
from babyaipp.engine.step import begin, is_terminated, out_of_time, step

SAME_STEP, NEXT_STEP, DISABLED = range(3)


@device_function
def wanted(w, action, autoreset):
    """What is to be done with a world: the action, or RESET where the last episode has ended."""
    return RESET if autoreset == NEXT_STEP and action >= 0 and w.ended else action


@device_function
def step_world(w, p, action, e, reward, terminated, truncated, cause, length):
    """Step the world of row `e`, or leave it as it is; returns whether its episode ended."""
    ended = NOT_ENDED
    reward[unsigned(e)] = 0
    terminated[unsigned(e)] = False
    truncated[unsigned(e)] = False
    length[unsigned(e)] = 0
    if action >= 0:
        ended = step(w, p, action)
        if ended != NOT_ENDED:
            if ended == SUCCESS:
                reward[unsigned(e)] = success_reward(int(w.half_steps), int(w.max_steps))
            terminated[unsigned(e)] = is_terminated(ended)
            truncated[unsigned(e)] = out_of_time(w)
            length[unsigned(e)] = w.steps
            w.ended = True
    cause[unsigned(e)] = ended
    return ended != NOT_ENDED


@device_function
def begin_world(w, p, action, e, given_rules, scratch, lane, mission, description, rules):
    """Begin an episode in the world of row `e`, and write what does not change in it: its texts and its rules."""
    begin(w, p, action, given_rules[unsigned(e)], scratch, lane)
    write_texts(w, p, e, mission, description, rules)


@device_function
def write_texts(w, p, e, mission, description, rules):
    """Write instruction and description of a world as word ids, and its rules."""
    write_mission(w, p, mission[unsigned(e)])
    write_description(
        int(w.text_seed),
        p.condition,
        p.withheld,
        w.described,
        w.rules,
        int(w.num_described),
        p.allowed,
        int(p.level_props),
        int(p.deadly_props),
        p.color_words,
        p.property_words,
        description[unsigned(e)],
    )
    for i in range(rules.shape[1]):
        rules[e, i] = w.rules[i]


@device_function
def observe_world(w, p, e, image, direction):
    """Write what the agent of row `e` sees and where it looks; the images lie one after the other in `image`."""
    observe(w, p, image, e * IMAGE_BYTES)
    direction[unsigned(e)] = w.agent_dir


@inlined_function
def copy_rows(source, target, first, last):
    """Copy rows of one array to another; both: (rows, ...), contiguous."""
    row = source.size // source.shape[0]
    from_flat = source.reshape(-1)
    to_flat = target.reshape(-1)
    for i in range(first * row, last * row):
        to_flat[unsigned(i)] = from_flat[unsigned(i)]
