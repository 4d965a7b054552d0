"""Several processes that train one policy, each with environments of its own: `torchrun -m agents.train`.

Every process holds the same parameters, as all of them start from the same ones and apply the same gradients.
"""

from __future__ import annotations

import os
from types import TracebackType

import torch
from torch import Tensor, distributed, nn

_EPSILON = 1e-8


class Ranks:
    """The processes that train together; one alone, if `torchrun` has not started this one.

    Attributes:
        rank: number of this process, from 0.
        size: how many there are.
        local_rank: number of this process on its machine, for choosing a GPU.
    """

    def __init__(self) -> None:
        self.size = int(os.environ.get("WORLD_SIZE", "1"))
        self.rank = int(os.environ.get("RANK", "0"))
        self.local_rank = int(os.environ.get("LOCAL_RANK", "0"))

    def __enter__(self) -> Ranks:
        if self.size > 1:
            distributed.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.size > 1:
            distributed.destroy_process_group()

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes and prints."""
        return self.rank == 0

    def sum(self, values: Tensor) -> Tensor:
        """The sum of the tensor over all processes."""
        if self.size > 1:
            values = values.clone()
            distributed.all_reduce(values)
        return values

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any process."""
        return bool(self.largest(flag))

    def largest(self, number: float) -> float:
        """The largest of the numbers that the processes give."""
        if self.size == 1:
            return number
        value = torch.tensor(number, dtype=torch.float64)
        distributed.all_reduce(value, distributed.ReduceOp.MAX)
        return value.item()

    def average_gradients(self, model: nn.Module) -> None:
        """Replace the gradients by their means over all processes, in one message."""
        if self.size == 1:
            return
        gradients = [each.grad for each in model.parameters() if each.grad is not None]
        mean = self.sum(torch.cat([each.flatten() for each in gradients])) / self.size
        for gradient, part in zip(gradients, mean.split([each.numel() for each in gradients]), strict=True):
            gradient.copy_(part.view_as(gradient))

    def normalized(self, values: Tensor) -> Tensor:
        """The values less their mean, over their standard deviation, both over all processes' values."""
        if self.size == 1:
            return (values - values.mean()) / (values.std() + _EPSILON)
        count = values.numel() * self.size
        mean = self.sum(values.sum()) / count
        spread = (self.sum((values - mean).square().sum()) / (count - 1)).sqrt()
        return (values - mean) / (spread + _EPSILON)
