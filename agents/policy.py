"""What acts: an agent's network, a memory behind it, and the heads of policy and value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from gymnasium import spaces
from torch import Tensor, nn

from agents.registry import build_network

POLICY_GAIN = 0.01
_FORGET_BIAS = 1.0


class Decision(NamedTuple):
    """What a policy makes of a piece of T steps of B environments."""

    logits: Tensor
    """(T, B, actions) float32."""
    values: Tensor
    """(T, B) float32."""
    state: Tensor
    """(B, state_size) float32: the memory after the last step."""


class Memory(nn.Module):
    """An LSTM whose state is emptied where an episode begins.

    Args:
        inputs: size of the features.
        size: of the memory.
    """

    def __init__(self, inputs: int, size: int) -> None:
        super().__init__()
        self.size = size
        self.inputs = nn.Linear(inputs, 4 * size)
        self.recurrent = nn.Linear(size, 4 * size, bias=False)
        for gate in self.recurrent.weight.chunk(4):
            nn.init.orthogonal_(gate)

    def forward(self, features: Tensor, state: Tensor, begins: Tensor) -> tuple[Tensor, Tensor]:
        """What is remembered after each step, (T, B, size), and the state after the last one, (B, 2 * size).

        Args:
            features: (T, B, inputs).
            state: (B, 2 * size), before the first step.
            begins: (T, B) bool, whether an episode begins with the step.
        """
        hidden, cell = state.chunk(2, -1)
        remembered = []
        kept = begins.logical_not().to(state.dtype).unsqueeze(-1)
        for gates, keep in zip(self.inputs(features).unbind(0), kept.unbind(0), strict=True):
            take, forget, write, show = (gates + self.recurrent(hidden * keep)).chunk(4, -1)
            cell = torch.sigmoid(forget + _FORGET_BIAS) * (cell * keep) + torch.sigmoid(take) * torch.tanh(write)
            hidden = torch.sigmoid(show) * torch.tanh(cell)
            remembered.append(hidden)
        return torch.stack(remembered), torch.cat([hidden, cell], -1)


class Policy(nn.Module):
    """Maps observations and a state to action logits, values and a new state.

    Args:
        network: maps a dict of integer tensors to (N, num_features); see `registry.py`.
        memory: size of the memory; 0 for none.
        num_actions: how many there are.
    """

    def __init__(self, network: Any, memory: int, num_actions: int) -> None:
        super().__init__()
        self.network = network
        self.memory = Memory(network.num_features, memory) if memory else None
        inputs = network.num_features + memory
        self.actor = nn.Linear(inputs, num_actions)
        self.critic = nn.Linear(inputs, 1)
        nn.init.orthogonal_(self.actor.weight, POLICY_GAIN)
        nn.init.zeros_(self.actor.bias)
        # It expects nothing before it has seen a reward: else its errors drive the policy where rewards are rare.
        nn.init.zeros_(self.critic.weight)
        nn.init.zeros_(self.critic.bias)

    @property
    def state_size(self) -> int:
        """Numbers of the state of one environment; 0 without a memory."""
        return 0 if self.memory is None else 2 * self.memory.size

    def initial_state(self, num_envs: int) -> Tensor:
        """(num_envs, state_size) zeros on the parameters' device."""
        return self.actor.weight.new_zeros(num_envs, self.state_size)

    def forward(self, observations: Mapping[str, Tensor], state: Tensor, begins: Tensor) -> Decision:
        """Decide on T steps of B environments.

        Args:
            observations: the engine's, integer tensors (T, B, ...).
            state: (B, state_size), before the first step.
            begins: (T, B) bool, whether an episode begins with the step: what was remembered is dropped then.
        """
        steps, num_envs = begins.shape
        features = self.network({name: each.flatten(0, 1) for name, each in observations.items()})
        features = features.view(steps, num_envs, -1)
        if self.memory is not None:
            remembered, state = self.memory(features, state, begins)
            features = torch.cat([features, remembered], -1)
        return Decision(self.actor(features).float(), self.critic(features).squeeze(-1).float(), state)

    def step(self, observations: Mapping[str, Tensor], state: Tensor, begins: Tensor) -> Decision:
        """Decide on one step of B environments; as `forward`, all arguments and results without the first axis."""
        batched = {name: each.unsqueeze(0) for name, each in observations.items()}
        logits, values, state = self(batched, state, begins.unsqueeze(0))
        return Decision(logits.squeeze(0), values.squeeze(0), state)


def build_policy(
    agent: str, preset: str, options: Mapping[str, Any], space: spaces.Dict, actions: spaces.Discrete
) -> Policy:
    """The untrained policy of an agent; its parameters come from torch's global random stream.

    Args:
        agent: a file of the folder `agents`.
        preset: which sizes, one of the agent's `PRESETS`.
        options: fields of its `Config` that differ from the preset.
        space: of the observations of one environment of the engine.
        actions: of one environment.

    Raises:
        ValueError: unknown agent, preset or option.
    """
    network, config = build_network(agent, space, preset, options)
    return Policy(network, config.memory, int(actions.n))
