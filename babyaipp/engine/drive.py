"""What a driver does with one world of a batch: the same for the CPU and for CUDA.

The arrays have one row a world. Reading and writing them is all that is added here to `step.py` and `observe.py`.
"""

from __future__ import annotations

from babyaipp.engine.compile import device_function
from babyaipp.engine.instruct import write_mission
from babyaipp.engine.observe import observe
from babyaipp.engine.shared import success_reward, write_description
from babyaipp.engine.state import NOT_ENDED, RESET, SUCCESS, TIMEOUT
from babyaipp.engine.step import begin, out_of_time, step

SAME_STEP, NEXT_STEP, DISABLED = range(3)


@device_function
def wanted(w, action, autoreset):
    """What is to be done with a world: the action, or RESET where the last episode has ended."""
    return RESET if autoreset == NEXT_STEP and action >= 0 and w.ended else action


@device_function
def step_world(w, p, action, e, reward, terminated, truncated, cause, length):
    """Step the world of row `e`, or leave it as it is; returns whether its episode ended."""
    ended = NOT_ENDED
    reward[e] = 0
    terminated[e] = False
    truncated[e] = False
    length[e] = 0
    if action >= 0:
        ended = step(w, p, action)
        if ended != NOT_ENDED:
            if ended == SUCCESS:
                reward[e] = success_reward(int(w.half_steps), int(w.max_steps))
            terminated[e] = ended != TIMEOUT
            truncated[e] = out_of_time(w)
            length[e] = w.steps
            w.ended = True
    cause[e] = ended
    return ended != NOT_ENDED


@device_function
def begin_world(w, p, action, e, rules, scratch, lane, mission, description):
    """Begin an episode in the world of row `e`, and write its texts."""
    begin(w, p, action, rules[e], scratch, lane)
    write_texts(w, p, e, mission, description)


@device_function
def write_texts(w, p, e, mission, description):
    """Write instruction and description of a world as word ids."""
    write_mission(w, p, mission[e])
    write_description(
        int(w.text_seed),
        p.condition,
        p.withheld,
        w.described,
        w.rules,
        int(w.num_described),
        int(p.level_props),
        p.color_words,
        p.property_words,
        description[e],
    )


@device_function
def observe_world(w, p, e, image, direction, rules, mission, description, mission_out, description_out):
    """Write the observation and the rules of a world into row `e`."""
    observe(w, p, image[e])
    direction[e] = w.agent_dir
    for i in range(rules.shape[1]):
        rules[e, i] = w.rules[i]
    for i in range(mission.shape[1]):
        mission_out[e, i] = mission[e, i]
    for i in range(description.shape[1]):
        for j in range(description.shape[2]):
            description_out[e, i, j] = description[e, i, j]
