"""The episodes recorded from the original program replay exactly on the engine, too."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

from babyaipp import World, make_vec
from babyaipp.engine.state import COLOR_MASK, COLOR_SHIFT, MINIGRID_COLORS, TYPE_MASK, TYPES
from babyaipp.texts import decode, words_of


def carried(record: np.void) -> list[str] | None:
    """Type and colour of what the agent carries."""
    code = int(record["carried"])
    names = {number: name for name, number in TYPES.items()}
    return [names[code & TYPE_MASK], MINIGRID_COLORS[code >> COLOR_SHIFT & COLOR_MASK]] if code else None


@pytest.mark.parametrize("index", range(156))
def test_recording_replays(recordings, index):
    row = recordings[index]
    # The state after an episode's end is compared, too.
    envs = make_vec(row["level"], row["split"], 1, autoreset_mode=AutoresetMode.NEXT_STEP)
    obs, infos = envs.reset(options={"world": World.from_dict(row)})
    assert decode(obs["mission"][0]) == " ".join(words_of(row["instruction_text"]))
    assert f"{decode(obs['mission'][0])} {decode(obs['description'][0])}".strip() == " ".join(words_of(row["text"]))
    assert envs.state()["max_steps"][0] == row["max_steps"]
    np.testing.assert_array_equal(obs["image"][0], row["image"])
    for number, step in enumerate(row["steps"]):
        obs, rewards, terminations, truncations, infos = envs.step(np.array([step["action"]]))
        state = envs.state()[0]
        assert [state["agent_x"], state["agent_y"], obs["direction"][0]] == step["agent"], number
        assert state["agent_dir"] == obs["direction"][0], number
        assert carried(state) == step["carrying"], number
        assert state["half_steps"] / 2 == step["step_count"], number
        assert rewards[0] == pytest.approx(step["reward"], abs=1e-9), number
        assert (terminations[0] or truncations[0]) == step["done"], number
        assert ("cause" in infos) == step["done"], number
        np.testing.assert_array_equal(obs["image"][0], step["image"], err_msg=f"step {number}")


def test_recordings_replay_side_by_side(recordings):
    """All recordings of one environment at once, in one batch, past the ends of the shorter ones."""
    batches: dict[tuple[str, str], list[dict]] = {}
    for row in recordings:
        batches.setdefault((row["level"], row["split"]), []).append(row)
    for (level, split), rows in batches.items():
        envs = make_vec(level, split, len(rows), autoreset_mode=AutoresetMode.NEXT_STEP)
        envs.reset(seed=0, options={"world": [World.from_dict(row) for row in rows]})
        for number in range(max(len(row["steps"]) for row in rows)):
            steps = [row["steps"][number] if number < len(row["steps"]) else None for row in rows]
            obs, rewards, *_ = envs.step(np.array([step["action"] if step else 6 for step in steps]))
            for i, step in enumerate(steps):
                if step is not None:
                    np.testing.assert_array_equal(obs["image"][i], step["image"], err_msg=f"{level}, step {number}")
                    assert rewards[i] == pytest.approx(step["reward"], abs=1e-9)
