"""The episodes recorded from the original program replay exactly. No exceptions are needed on Minigrid 3.2."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest

from babyaipp import World


def test_there_are_156_recordings_of_13_levels(recordings):
    assert len(recordings) == 156
    assert len({row["level"] for row in recordings}) == 13


@pytest.mark.parametrize("index", range(156))
def test_recording_replays(recordings, index):
    row = recordings[index]
    env = gym.make(f"BabyAIpp-{row['level']}-{row['split']}-v0")
    obs, info = env.reset(options={"world": World.from_dict(row)})
    state = env.unwrapped
    assert obs["mission"] == row["instruction_text"]
    assert f"{obs['mission']}. {obs['description']} " == row["text"]
    assert info["rules"] == row["rules"]
    assert state.max_steps == row["max_steps"]
    np.testing.assert_array_equal(obs["image"], row["image"])
    for number, step in enumerate(row["steps"]):
        obs, reward, terminated, truncated, info = env.step(step["action"])
        carrying = [state.carrying.type, state.carrying.color] if state.carrying else None
        assert [*map(int, state.agent_pos), obs["direction"]] == step["agent"], number
        assert carrying == step["carrying"], number
        assert state.half_steps / 2 == step["step_count"], number
        assert reward == pytest.approx(step["reward"], abs=1e-9), number
        assert (terminated or truncated) == step["done"], number
        assert ("cause" in info) == step["done"], number
        np.testing.assert_array_equal(obs["image"], step["image"], err_msg=f"step {number}")


def test_worlds_keep_every_key_of_the_recordings(recordings):
    for row in recordings:
        start = {key: value for key, value in row.items() if key not in ("source", "image", "steps")}
        assert World.from_dict(start).to_dict() == start


def test_recordings_hold_every_property_and_cause(recordings):
    """What the replay can pin: every property is stood on, and episodes end in every way."""
    stood_on, causes = set(), set()
    for row in recordings:
        env = gym.make(f"BabyAIpp-{row['level']}-{row['split']}-v0")
        env.reset(options={"world": World.from_dict(row)})
        floors = {(x, y): row["rules"][color] for x, y, kind, color, _ in row["cells"] if kind == "floor"}
        for step in row["steps"]:
            stood_on.add(floors.get(tuple(step["agent"][:2])))
            causes.add(env.step(step["action"])[4].get("cause"))
    assert stood_on >= {"trap", "sticky", "flipud", "fliplr", "slippery", "magic"}
    assert causes >= {"success", "trap", "timeout"}
