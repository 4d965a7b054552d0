"""What each property does, on small maps that can be read at a glance (design: the properties, exactly)."""

from __future__ import annotations

import gymnasium as gym
import pytest

from babyaipp import TILES, World
from babyaipp.reference.env import make
from babyaipp.tiles import DONE, DROP, FORWARD, LEFT, PICKUP, RIGHT, TOGGLE, is_deadly, success_reward

TOP = "## ## ## ## ## ## ## ##\n"


def start(*rows: str, level: str = "GoToRedBallHard", instruction: str = "go to the red ball", max_steps=None, **rules):
    """An environment on the upper left part of a room of 6 x 6; the rest is empty but for a red ball at 6, 6."""
    body = [*rows, *[".. .. .. .. .. .."] * (6 - len(rows))]
    if "Or" not in " ".join(rows):
        body[-1] = ".. .. .. .. .. Or"
    padded = [" ".join((row.split() + [".."] * 6)[:6]) for row in body]
    text = TOP + "\n".join(f"## {row} ##" for row in padded) + "\n" + TOP
    env = gym.make(f"BabyAIpp-{level}-All-v0").unwrapped
    world = World.from_ascii(text, level=level, instruction=instruction, rules=rules, max_steps=max_steps)
    env.reset(options={"world": world})
    return env


def pose(env) -> tuple[int, int, int]:
    return int(env.agent_pos[0]), int(env.agent_pos[1]), int(env.agent_dir)


def test_trap_ends_the_episode_without_reward():
    env = start(">> _g ..", green="trap")
    _, reward, terminated, truncated, info = env.step(FORWARD)
    assert (reward, terminated, truncated) == (0.0, True, False)
    assert (info["cause"], info["success"]) == ("trap", False)


def test_trap_beats_an_instruction_fulfilled_by_the_same_step():
    env = start(">> _g Or ..", green="trap")
    _, reward, terminated, _, info = env.step(FORWARD)
    assert (reward, terminated, info["cause"]) == (0.0, True, "trap")


def test_success_pays_by_the_time_spent():
    env = start(">> .. .. Or", max_steps=10)
    env.step(FORWARD)
    _, reward, terminated, truncated, info = env.step(FORWARD)
    assert (terminated, truncated, info["cause"], info["success"]) == (True, False, "success", True)
    assert reward == success_reward(4, 10) == pytest.approx(1 - 0.9 * 2 / 10, abs=1e-15)


def test_timeout_truncates_and_a_success_at_the_last_moment_still_counts():
    env = start(">> .. .. Or", max_steps=2)
    assert env.step(DONE)[2:4] == (False, False)
    _, reward, terminated, truncated, info = env.step(DONE)
    assert (reward, terminated, truncated, info["cause"]) == (0.0, False, True, "timeout")
    env = start(">> .. .. Or", max_steps=2)
    env.step(FORWARD)
    _, reward, terminated, truncated, info = env.step(FORWARD)
    assert (terminated, truncated, info["cause"]) == (True, True, "success")
    assert reward == pytest.approx(0.1)


def test_slippery_steps_cost_half_a_step():
    env = start(">> _g _g ..", green="slippery")
    clock = []
    for action in (FORWARD, FORWARD, FORWARD, FORWARD):
        env.step(action)
        clock.append(env.half_steps)
    assert clock == [2, 3, 4, 6]  # the step begins on: nothing, a tile, a tile, nothing


def test_overrunning_the_limit_by_half_a_step_truncates():
    env = start(">> _g .. ..", green="slippery", max_steps=2)
    assert not env.step(FORWARD)[3]
    assert not env.step(LEFT)[3]  # half-step 3 of 4
    env = start(">g .. .. ..", green="slippery", max_steps=2)
    env.step(FORWARD)
    _, _, _, truncated, _ = env.step(DONE)
    assert not truncated
    assert env.half_steps == 3
    assert env.step(DONE)[3]
    assert env.half_steps == 5


def test_sticky_holds_for_two_steps_and_turns_count():
    env = start(">> _g ..", green="sticky")
    env.step(FORWARD)
    positions = []
    for action in (FORWARD, FORWARD, FORWARD):
        env.step(action)
        positions.append(pose(env))
    assert positions == [(2, 1, 0), (2, 1, 0), (3, 1, 0)]
    env = start(">> _g ..", green="sticky")
    for action in (FORWARD, LEFT, RIGHT, FORWARD):
        env.step(action)
    assert pose(env) == (3, 1, 0)


def test_sticky_holds_anew_on_the_next_cell():
    env = start(">> _g _g ..", green="sticky")
    for action in (FORWARD, LEFT, RIGHT, FORWARD, FORWARD):
        env.step(action)
    assert pose(env) == (3, 1, 0)


def test_flipud_turns_around_before_a_forward_move():
    env = start(".. .. >g .. ..", green="flipud")
    env.step(FORWARD)
    assert pose(env) == (2, 1, 2)
    env = start(">g .. ..", green="flipud")  # the move is blocked by the wall, the turn stays
    env.step(FORWARD)
    assert pose(env) == (1, 1, 2)
    env.step(LEFT)
    assert pose(env) == (1, 1, 1)


def test_fliplr_exchanges_left_and_right_only():
    env = start(">g .. ..", green="fliplr")
    env.step(LEFT)
    assert pose(env) == (1, 1, 1)
    env.step(RIGHT)
    assert pose(env) == (1, 1, 0)
    env.step(FORWARD)
    assert pose(env) == (2, 1, 0)


def test_magic_drops_the_agent_every_second_step_before_the_action():
    env = start(">> _g ..", green="magic")
    env.step(FORWARD)
    env.step(DONE)  # none spent on the colour yet: no fall
    assert pose(env) == (2, 1, 0)
    env.step(FORWARD)  # one spent: falls to 2, 2 and moves on from there
    assert pose(env) == (3, 2, 0)


def test_magic_counts_on_through_tiles_of_its_colour():
    env = start(">g _g ..", ".. _g ..", green="magic")
    env.step(FORWARD)
    assert pose(env) == (2, 1, 0)
    env.step(LEFT)  # second step on the colour: falls onto another tile of it
    assert pose(env) == (2, 2, 3)
    env.step(LEFT)
    assert pose(env) == (2, 2, 2)
    env.step(LEFT)
    assert pose(env) == (2, 3, 1)


@pytest.mark.parametrize("below", ["Kb", "##", "Dr", "Lr"])
def test_magic_does_not_drop_the_agent_into_what_cannot_be_entered(below):
    env = start(">g ..", f"{below} ..", green="magic")
    env.step(DONE)
    env.step(DONE)
    assert pose(env) == (1, 1, 0)


def test_magic_drops_the_agent_through_an_open_door_and_onto_a_trap():
    env = start(">g ..", "/r ..", green="magic")
    env.step(DONE)
    env.step(DONE)
    assert pose(env) == (1, 2, 0)
    env = start(">g ..", "_b ..", green="magic", blue="trap")
    env.step(DONE)
    assert env.step(DONE)[4]["cause"] == "trap"
    env = start(">g ..", "_b ..", green="magic", blue="trap")
    env.step(DONE)
    assert not env.step(FORWARD)[2]  # it has left the trap when the action is done


def test_a_fall_does_not_restart_the_count_of_steps_on_the_cell():
    env = start(">g ..", "_b ..", green="magic", blue="sticky")
    env.step(DONE)
    env.step(DONE)  # falls onto the sticky tile; two steps have been counted
    assert pose(env) == (1, 2, 0)
    env.step(FORWARD)
    assert pose(env) == (2, 2, 0)


def test_tiles_hold_objects():
    env = start(">> Kb _g ..", "_g .. ..", level="PickupLoc", instruction="pick up the red ball", green="trap")
    env.step(PICKUP)
    env.step(RIGHT)
    env.step(DROP)  # onto the tile at 1, 2
    image = env.gen_obs()["image"]
    assert tuple(image[3, 5]) == (5, 2, 0)  # seen as the key, straight ahead
    env.step(FORWARD)
    assert pose(env) == (1, 1, 1)  # cannot be entered, deadly or not
    env.step(PICKUP)
    assert tuple(env.gen_obs()["image"][3, 5]) == (3, 1, 0)  # the tile is there again
    assert env.carrying.type == "key"
    _, _, terminated, _, info = env.step(FORWARD)
    assert terminated
    assert info["cause"] == "trap"


def test_a_box_on_a_tile_cannot_be_opened_but_a_box_on_the_ground_can():
    env = start(">> Bb ..", "_g .. ..", level="PickupLoc", instruction="pick up the red ball", green="slippery")
    for action in (PICKUP, RIGHT, DROP, TOGGLE):
        env.step(action)
    assert tuple(env.gen_obs()["image"][3, 5]) == (7, 2, 0)
    env = start(">> Bb ..", level="PickupLoc", instruction="pick up the red ball")
    env.step(TOGGLE)
    assert tuple(env.gen_obs()["image"][3, 5]) == (1, 0, 0)


def test_put_next_succeeds_on_a_tile():
    env = start(
        ">> Kb Or ..",
        "_g Bg ..",
        level="PutNextLocal",
        instruction="put the blue key next to the green box",
        green="trap",
    )
    for action in (PICKUP, RIGHT):
        assert not env.step(action)[2]
    _, reward, terminated, _, info = env.step(DROP)
    assert (terminated, info["cause"]) == (True, "success")
    assert reward > 0


def test_unknown_actions_are_refused_and_change_nothing():
    env = start(">> .. ..")
    for action in (7, -1, 1.5, "left", None):
        with pytest.raises(ValueError, match="unknown action"):
            env.step(action)
    assert env.half_steps == 0
    assert pose(env) == (1, 1, 0)


def test_the_deadly_properties_are_those_that_end_the_episode():
    known = TILES[:6]  # not yet pit, jail and drain
    assert [tile.hazard == "deadly" for tile in known] == [is_deadly(prop) for prop in range(len(known))]


def test_a_success_after_the_limit_is_still_a_success():
    env = start(">g .. .. Or", green="slippery", max_steps=1)
    env.step(FORWARD)
    _, _, terminated, truncated, info = env.step(FORWARD)
    assert (terminated, truncated, info["cause"], info["success"]) == (True, True, "success", True)


def test_the_limit_of_gym_make_outlives_a_world_with_its_own():
    env = gym.make("BabyAIpp-GoToRedBall-All-v0", max_steps=10).unwrapped
    env.reset(seed=0)
    other = gym.make("BabyAIpp-GoToRedBall-All-v0").unwrapped
    other.reset(seed=1)
    env.reset(options={"world": other.world})
    assert env.max_steps == 64
    env.reset(seed=2)
    assert env.max_steps == env.world.max_steps == 10
    for wrong in (0, -3, True, 2.5):
        with pytest.raises(ValueError, match="must be an int of at least 1"):
            make("GoToRedBall", "All", max_steps=wrong)


def test_a_failed_instruction_ends_the_episode_without_reward():
    """No level's instructions can fail; Minigrid's strict ones can."""
    env = start(">> Kb ..", level="PickupLoc", instruction="pick up the red ball", green="trap")
    env.instrs.strict = True
    _, reward, terminated, _, info = env.step(PICKUP)
    assert (reward, terminated, info["cause"], info["success"]) == (0.0, True, "failure", False)
