"""Registers every level and split with Gymnasium. Light: loads no environment code."""

from __future__ import annotations

from babyaipp.levels import LEVELS


def register_envs() -> None:
    """Register all ids that are not registered yet.

    `gymnasium.make` gives the reference environment, `gymnasium.make_vec` the engine unless another
    `vectorization_mode` is asked for.

    Called when `babyaipp` is imported, and by the `gymnasium.envs` entry point where Gymnasium loads plugins.
    """
    from gymnasium.envs.registration import register, registry

    for level in LEVELS.values():
        for split in level.splits:
            env_id = level.env_id(split)
            if env_id not in registry:
                register(
                    env_id,
                    entry_point="babyaipp.reference.env:make",
                    vector_entry_point="babyaipp.engine.vector:make_vec",
                    kwargs={"level": level.name, "split": split},
                )
