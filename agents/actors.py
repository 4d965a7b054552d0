"""Trained agents as the protocol plays them: `babyaipp evaluate --agent agents.grounded:load --checkpoint RUNS`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from agents.checkpoints import SUFFIX, generator_of, load_agent_file, run_name
from agents.policy import Policy


class PlayingPolicy:
    """Plays episodes that begin together by a policy; see `babyaipp.evaluation.agents.Agent`.

    Args:
        policy: what to play by.
        greedy: take the likeliest action instead of drawing one.
        seed: of what is drawn.
    """

    def __init__(self, policy: Policy, greedy: bool, seed: int) -> None:
        self._policy = policy
        self._greedy = greedy
        self._seed = seed

    def reset(self, num_envs: int) -> None:
        """Forget everything."""
        self._state = self._policy.initial_state(num_envs)
        self._generator = generator_of(self._seed, torch.device("cpu"))

    @torch.no_grad()
    def act(self, observations: Mapping[str, np.ndarray]) -> np.ndarray:
        """(n,) int64."""
        tensors = {name: torch.as_tensor(each) for name, each in observations.items()}
        begins = torch.zeros(len(tensors["direction"]), dtype=torch.bool)  # `reset` made the memory empty
        logits, _, self._state = self._policy.step(tensors, self._state, begins)
        if self._greedy:
            return logits.argmax(1).numpy()
        return torch.multinomial(logits.softmax(1), 1, generator=self._generator).squeeze(1).numpy()

    def keep(self, mask: np.ndarray) -> None:
        """Only these environments go on."""
        self._state = self._state[torch.as_tensor(mask)]


def load_agent(checkpoint: str | None, suite: str, level: str, seed: int, greedy: bool, agent: str) -> PlayingPolicy:
    """A trained agent.

    Args:
        checkpoint: a .safetensors file, or a folder that has `<agent>-<level>-<seed>.safetensors` in it or in a folder
            below, such as that of a sweep.
        suite: what is played; in `fixed` an agent that was trained on `Fixed`.
        level: what is played.
        seed: of the training.
        greedy: take the likeliest action instead of drawing one.
        agent: which one it must be: a file of the folder `agents`.

    Raises:
        ValueError: no such file, or one of another agent or seed.
    """
    if checkpoint is None:
        raise ValueError(f"agent {agent} needs a checkpoint: a {SUFFIX} file, or a folder of them")
    path = Path(checkpoint)
    if path.is_dir():
        name = run_name(agent, level, "Fixed" if suite == "fixed" else "Train", seed) + SUFFIX
        found = sorted(path.glob(name)) or sorted(path.glob(f"*/{name}"))
        if not found:
            raise ValueError(f"checkpoint={checkpoint!r} has no {name}, nor have its folders; --levels plays some only")
        path = found[0]
    trained = load_agent_file(path)
    told = {"agent": (agent, trained.agent), "seed": (seed, trained.training["seed"])}
    for what, (wanted, there) in told.items():
        if wanted != there:
            raise ValueError(f"checkpoint {str(path)!r} is of {what} {there}, not {wanted}")
    return PlayingPolicy(trained.policy, greedy, seed)
