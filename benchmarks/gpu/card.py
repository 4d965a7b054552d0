"""What the device can do at most: rates of matrix products, convolutions and copies, and what a launch costs."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional

from agents.checkpoints import generator_of
from benchmarks.gpu.device import Device, tf32_allowed
from benchmarks.measurement import median_seconds

_LAUNCHES = 100
_CHANNELS, _CELLS = 128, 7  # of the paper's networks


def matrix_rate(device: Device, dtype: torch.dtype, edge: int, tf32: bool, seconds: float) -> dict[str, Any]:
    """Floating-point operations a second of a product of square matrices of random numbers."""
    generator = generator_of(0, device.torch)
    a, b = (torch.randn(edge, edge, generator=generator, device=device.torch).to(dtype) for _ in range(2))
    product = torch.empty_like(a)
    with tf32_allowed(tf32):
        taken = median_seconds(lambda: torch.mm(a, b, out=product), seconds, device.wait)
    return {"flops_per_second": 2 * edge**3 / taken, "edge": edge}


def convolution_rate(device: Device, images: int, channels_last: bool, seconds: float) -> dict[str, Any]:
    """Floating-point operations a second of the paper's convolution, 3x3, 128 channels, 7x7 cells, in bfloat16."""
    generator = generator_of(0, device.torch)
    cells = torch.randn(images, _CHANNELS, _CELLS, _CELLS, generator=generator, device=device.torch).bfloat16()
    kernel = torch.randn(_CHANNELS, _CHANNELS, 3, 3, generator=generator, device=device.torch).bfloat16()
    if channels_last:
        cells, kernel = (each.contiguous(memory_format=torch.channels_last) for each in (cells, kernel))
    with torch.no_grad():
        taken = median_seconds(lambda: functional.conv2d(cells, kernel, padding=1), seconds, device.wait)
    flops = 2 * images * _CELLS**2 * _CHANNELS**2 * 9
    return {"flops_per_second": flops / taken, "images": images}


def copy_rate(device: Device, size: int, seconds: float) -> dict[str, Any]:
    """Bytes a second of a copy within the device's memory, read and written together; `size`: bytes."""
    source = torch.rand(size // 4, generator=generator_of(0, device.torch), device=device.torch)
    target = torch.empty_like(source)
    taken = median_seconds(lambda: target.copy_(source), seconds, device.wait)
    return {"bytes_per_second": 2 * source.nbytes / taken, "copied_bytes": source.nbytes}


def launch_cost(device: Device, seconds: float) -> dict[str, Any]:
    """Seconds of the smallest operation, one launched after the other; and as part of a CUDA graph, where there are."""
    number = torch.zeros(1, device=device.torch)

    def launches() -> None:
        for _ in range(_LAUNCHES):
            number.add_(1)

    row = {"seconds_a_launch": median_seconds(launches, seconds, device.wait) / _LAUNCHES}
    if device.is_cuda:
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            launches()
        row["seconds_in_a_graph"] = median_seconds(graph.replay, seconds, device.wait) / _LAUNCHES
    return row
