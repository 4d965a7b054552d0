"""Speed of training on the device, and where the time of an update goes."""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from agents.checkpoints import generator_of
from agents.training.config import TrainConfig
from agents.training.distributed import Ranks
from agents.training.ppo import PPO, PPOConfig, advantages_and_returns, autocast_of
from agents.training.trainer import Trainer
from benchmarks.gpu.correctness import KINDS
from benchmarks.gpu.device import Device

PHASES = ("environment", "policy", "collecting", "forward", "backward", "optimiser", "minibatches")
"""Of an update: the engine's steps; the policy's decisions while playing; the rest of collecting a rollout; loss and
gradient of the minibatches; clipping and Adam; the rest of learning, which is advantages and minibatches."""

_MAX_NAME = 100
_LONGEST = 12
_aten = torch.ops.aten
_READ_IN_PART = (_aten.embedding, _aten.gather, _aten.index, _aten.index_select)


class Announced:
    """A trainer that says which phase of an update begins.

    Args:
        config: of the training.

    Attributes:
        begin: is called with the name of the phase; replace it to listen.
    """

    def __init__(self, config: TrainConfig) -> None:
        config.check()
        self.begin: Callable[[str], None] = _ignore
        self.trainer = trainer = Trainer(config, _AnnouncedRanks(self))
        self._announce(trainer.collector.envs, "step", "environment", "collecting")
        self._announce(trainer.collector.envs, "observe", "environment", "collecting")
        self._announce(trainer.policy, "step", "policy", "collecting")
        self._announce(trainer.collector, "collect", "collecting", "minibatches")
        self._announce(trainer.ppo, "loss", "forward", "backward")
        trainer.ppo.optimizer.register_step_post_hook(lambda *unused: self.begin("minibatches"))

    def update(self, listener: Callable[[str], None]) -> None:
        """An update of the trainer, with somebody who listens."""
        self.begin = listener
        try:
            listener(PHASES[-1])
            self.trainer.update(0.0)
        finally:
            self.begin = _ignore

    def _announce(self, owner: Any, method: str, phase: str, after: str) -> None:
        """Say so when a method of an object is called, and what goes on when it has returned."""
        original = getattr(owner, method)

        def announced(*args: Any, **kwargs: Any) -> Any:
            self.begin(phase)
            result = original(*args, **kwargs)
            self.begin(after)
            return result

        setattr(owner, method, announced)


class _AnnouncedRanks(Ranks):
    """One process alone, which gets to know when the gradients are there."""

    def __init__(self, announced: Announced) -> None:
        super().__init__()
        self._announced = announced

    def average_gradients(self, model: nn.Module) -> None:
        self._announced.begin("optimiser")
        super().average_gradients(model)


def measure(config: TrainConfig, device: Device, seconds: float, rounds: int, explained: bool) -> dict[str, Any]:
    """Speed of a training, and where its time goes.

    Args:
        config: of the training.
        device: the same as that of the config.
        seconds: how long to measure.
        rounds: how many updates, at least.
        explained: more than the phases is asked for.

    Returns:
        `frames_per_second`, of the median update; `update_seconds`, of each; `first_update_seconds`, of those before,
        which do not count: two where networks are compiled; `peak_memory_bytes`; `phases`: seconds by phase, medians
        over updates. If explained, also `collecting` and `learning`, the halves of an update: see `gaps`; and, where
        nothing is compiled, `work`. Where something is, `kinds`: mode -> what `compiled_errors` gives.
    """
    device.forget_peak()
    announced = Announced(config)
    trainer = announced.trainer

    def update() -> None:
        trainer.update(0.0)

    try:
        first = [_seconds(update, device) for _ in range(2 if config.ppo.compile else 1)]
        taken: list[float] = []
        while len(taken) < rounds or sum(taken) < seconds:
            taken.append(_seconds(update, device))
        peak = device.peak_bytes()
        phases = [phase_seconds(announced, device) for _ in range(rounds)]
        row = _named(config) | {
            "frames_per_second": trainer.frames_an_update / statistics.median(taken),
            "update_seconds": taken,
            "first_update_seconds": first,
            "peak_memory_bytes": peak,
            "phases": {name: statistics.median(each[name] for each in phases) for name in PHASES},
        }
        if explained:
            rollout, _ = trainer.collector.collect()
            # The next rollout takes the memory of this one, whose sizes are all that matters here.
            halves = {"learning": lambda: trainer.ppo.update(rollout, 0.0), "collecting": trainer.collector.collect}
            row |= gaps(halves, device, rounds)
            if not config.ppo.compile:
                row["work"] = work(announced)
        if config.ppo.compile:
            row["kinds"] = {mode_of(config.ppo): compiled_errors(trainer)}
        return row
    finally:
        trainer.close()
        if config.ppo.compile:
            torch.compiler.reset()  # forgets compiled code and recorded graphs


def compiled_errors(trainer: Trainer) -> dict[str, Any]:
    """A minibatch's loss and gradient with the compiled network against those with the same network as it is.

    Returns:
        `loss` and `eager_loss`; `gradient_error`: |compiled - eager| / |eager|; `limit`, in bfloat16 that of rounding,
        and whether it is `within`.
    """
    config = trainer.config.ppo
    rollout, _ = trainer.collector.collect()
    advantages, returns = advantages_and_returns(rollout, config.gamma, config.gae_lambda)
    rows = torch.arange(config.num_envs // config.minibatches, device=trainer.device)  # as many as in training
    losses, gradients = [], []
    for policy in (trainer.policy, copy.deepcopy(trainer.policy)):  # a copy is not compiled
        learner = PPO(
            policy, config, generator_of(0, trainer.device), Ranks(), autocast_of(trainer.device, config.bf16)
        )
        learner.optimizer.zero_grad(set_to_none=True)
        loss, _ = learner.loss(rollout.of(rows), advantages[:, rows], returns[:, rows])
        loss.backward()
        losses.append(float(loss.detach()))
        grads = [each.grad for each in policy.parameters() if each.grad is not None]
        gradients.append(torch.cat([each.double().flatten() for each in grads]))
        learner.optimizer.zero_grad(set_to_none=True)
    compiled, eager = gradients
    error = float((compiled - eager).norm() / eager.norm())
    limit = KINDS["bf16" if config.bf16 else "fp32"].limit
    return {
        **{"loss": losses[0], "eager_loss": losses[1], "gradient_error": error},
        **{"limit": limit, "within": error <= limit},
    }


def phase_seconds(announced: Announced, device: Device) -> dict[str, float]:
    """Seconds of the phases of an update, as the device sees them: with the time in which it waits for work."""
    marks: list[tuple[str, Any]] = []
    announced.update(lambda phase: marks.append((phase, device.mark())))
    marks.append(("", device.mark()))
    device.wait()
    return by_phase((phase, device.seconds(first, last)) for (phase, first), (_, last) in pairwise(marks))


def by_phase(stretches: Iterable[tuple[str, float]]) -> dict[str, float]:
    """Sums of (phase, seconds) by phase; all of them, in the order of `PHASES`."""
    sums = dict.fromkeys(PHASES, 0.0)
    for phase, seconds in stretches:
        sums[phase] += seconds
    return sums


class Work(TorchDispatchMode):
    """Counts what torch's operations do while it is active.

    Attributes:
        flops: floating-point operations of matrix products, convolutions and recurrent layers.
        bytes: what all operations read and write, as if each read its inputs from memory and wrote its results there.
    """

    def __init__(self) -> None:
        super().__init__()
        self.flops = 0
        self.bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        packet = func.overloadpacket
        if packet in flop_registry:
            self.flops += flop_registry[packet](*args, **(kwargs or {}), out_val=result)
        elif packet in (_aten._cudnn_rnn, _aten._cudnn_rnn_backward):
            self.flops += recurrent_flops(args[0], args[1]) * (2 if packet is _aten._cudnn_rnn_backward else 1)
        self.bytes += _moved_bytes(func, (args, kwargs), result)
        return result


def work(announced: Announced) -> dict[str, dict[str, int]]:
    """`flops` and `bytes` of an update, by phase; the engine's are not counted."""
    counter = Work()
    found = {phase: {"flops": 0, "bytes": 0} for phase in PHASES}
    current = ""

    def listen(phase: str) -> None:
        nonlocal current
        if current:
            found[current]["flops"] += counter.flops
            found[current]["bytes"] += counter.bytes
        counter.flops = counter.bytes = 0
        current = phase

    with counter:
        announced.update(listen)
        listen("")
    return found


class Kernel(NamedTuple):
    """Something that ran on the device."""

    name: str
    start_ns: int
    end_ns: int


def gaps(calls: Mapping[str, Callable[[], Any]], device: Device, rounds: int) -> dict[str, dict[str, Any]]:
    """How long the device waits for work in calls. All are timed before a profiler, which makes what follows slower.

    Returns:
        By name of the call, `seconds` it takes, without a profiler; `busy_seconds`, in which the device was at work, as
        a profiler tells; `kernels`: how many it ran; `longest`: name, number and seconds of those that took most. On
        the CPU, torch's operations stand for kernels. Where the profiler fails, there are none, and `why` says so.
    """
    rows: dict[str, dict[str, Any]] = {}
    for name, call in calls.items():
        call()
        rows[name] = {"seconds": statistics.median(_seconds(call, device) for _ in range(rounds))}
    activity = ProfilerActivity.CUDA if device.is_cuda else ProfilerActivity.CPU
    for name, call in calls.items():
        kernels: list[Kernel] = []
        try:
            with profile(activities=[activity]) as told:  # with acc_events, it makes its own lists at once
                call()
                device.wait()
            kernels = _kernels(told, device)
        except Exception as error:  # without CUPTI, or with another one than torch was made for
            rows[name]["why"] = f"{type(error).__name__}: {error}"
        rows[name] |= {
            "busy_seconds": busy_seconds(kernels),
            "kernels": len(kernels),
            "longest": longest(kernels, _LONGEST),
        }
    return rows


def busy_seconds(kernels: Iterable[Kernel]) -> float:
    """Time in which at least one ran."""
    total = end = 0
    for kernel in sorted(kernels, key=lambda each: each.start_ns):
        total += max(0, kernel.end_ns - max(end, kernel.start_ns))
        end = max(end, kernel.end_ns)
    return total / 1e9


def longest(kernels: Iterable[Kernel], count: int) -> list[dict[str, Any]]:
    """The names that took most, with how often and how long."""
    sums: dict[str, list[int]] = {}
    for kernel in kernels:
        entry = sums.setdefault(kernel.name, [0, 0])
        entry[0] += 1
        entry[1] += kernel.end_ns - kernel.start_ns
    order = sorted(sums.items(), key=lambda item: -item[1][1])[:count]
    return [{"name": name[:_MAX_NAME], "count": number, "seconds": spent / 1e9} for name, (number, spent) in order]


def _kernels(told: Any, device: Device) -> list[Kernel]:
    """What ran on the device. The profiler's own lists of many thousands of events take minutes to make."""
    events = told.profiler.kineto_results.events()
    wanted = torch.autograd.DeviceType.CUDA if device.is_cuda else torch.autograd.DeviceType.CPU
    found = [
        Kernel(each.name(), each.start_ns(), each.start_ns() + each.duration_ns())
        for each in events
        if each.device_type() == wanted and not getattr(each, "is_user_annotation", bool)()
    ]
    return [kernel for kernel in found if device.is_cuda or kernel.name.startswith("aten::")]


def _seconds(call: Callable[[], Any], device: Device) -> float:
    device.wait()
    began = time.perf_counter()
    call()
    device.wait()
    return time.perf_counter() - began


def mode_of(ppo: PPOConfig) -> str:
    """How networks run: eager, compiled, or graphs, which is compiled and recorded."""
    return "graphs" if ppo.cuda_graphs else "compiled" if ppo.compile else "eager"


def precision_of(ppo: PPOConfig) -> str:
    """What networks compute in: bf16, or fp32, on a GPU with TF32 in convolutions, as is torch's default."""
    return "bf16" if ppo.bf16 else "fp32"


def _named(config: TrainConfig) -> dict[str, Any]:
    ppo = config.ppo
    return {
        **{"agent": config.agent, "preset": config.preset, "level": config.level},
        **{"precision": precision_of(ppo), "mode": mode_of(ppo)},
        **{"num_envs": ppo.num_envs, "rollout_steps": ppo.rollout_steps},
        **{"epochs": ppo.epochs, "minibatches": ppo.minibatches},
    }


def recurrent_flops(inputs: Tensor, weights: Sequence[Tensor]) -> int:
    """Floating-point operations of a recurrent layer of cuDNN, forward.

    Args:
        inputs: (texts, words, size), in any order.
        weights: of the layer; biases do not count.
    """
    rows = inputs.numel() // inputs.shape[-1]
    return 2 * rows * sum(each.numel() for each in weights if each.dim() == 2)


def _moved_bytes(func: Any, given: Any, result: Any) -> int:
    inputs, outputs = list(_tensors(given)), list(_tensors(result))
    if not outputs:
        return 0
    written = sum(map(_size, outputs))
    if func.overloadpacket in _READ_IN_PART:
        return 2 * written + sum(_size(each) for each in inputs if not each.is_floating_point())
    places = {each.untyped_storage().data_ptr() for each in inputs}
    if not func._schema.is_mutable and all(each.untyped_storage().data_ptr() in places for each in outputs):
        return 0  # another view of the same memory
    return written + sum(map(_size, inputs))


def _size(tensor: Tensor) -> int:
    """Bytes in memory; repeated elements are there once."""
    return min(tensor.numel() * tensor.element_size(), tensor.untyped_storage().nbytes())


def _tensors(value: Any) -> Iterable[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from _tensors(each)
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))


def _ignore(phase: str) -> None:
    pass
