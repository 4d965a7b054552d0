"""A masked action changes nothing but the clock: what follows is what follows on `done`."""

from __future__ import annotations

import numpy as np
import pytest

from babyaipp import make_vec
from babyaipp.tiles import DONE, DROP, FORWARD, LEFT, PICKUP, RIGHT, TOGGLE

NUM_ENVS, STEPS = 96, 120


@pytest.mark.parametrize("level", ["GoToRedBallHard", "GoToSeq", "PickupLoc", "PutNextLocal", "Unlock"])
def test_masked_actions_are_as_done(level):
    envs = make_vec(level, "All", NUM_ENVS, autoreset_mode="NextStep")
    envs.reset(seed=1)
    rng = np.random.default_rng(2)
    masked = np.zeros(DONE + 1, int)
    looked_for = 0  # times when hands are empty, and a drop still matters: see `WORLD["gone"]`
    for _ in range(STEPS):
        state, mask = envs.state(), envs.action_mask()
        assert mask.dtype == np.int8
        assert mask[:, [LEFT, RIGHT, DONE]].all()
        alive = ~state["ended"]
        looked_for += (alive & state["gone"] & (state["carried"] == 0)).sum()
        envs.step(np.full(NUM_ENVS, DONE))
        after_done = envs.state()
        for action in (FORWARD, PICKUP, DROP, TOGGLE):
            envs.set_state(state)
            envs.step(np.full(NUM_ENVS, action))
            idle = alive & (mask[:, action] == 0)
            np.testing.assert_array_equal(envs.state()[idle], after_done[idle])
            masked[action] += idle.sum()
        envs.set_state(state)
        # Mostly what may do something, so that much is taken, destroyed and dropped.
        weights = mask * np.array([2, 2, 5, 6, 2, 3, 0.1])
        envs.step([rng.choice(DONE + 1, p=row / row.sum()) for row in weights])
    assert (masked[[FORWARD, PICKUP, DROP, TOGGLE]] > NUM_ENVS).all()
    assert looked_for > 0 or level != "GoToSeq"
