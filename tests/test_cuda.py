"""The CUDA driver: its kernels compile to lean code, do what the CPU driver does, and never make the CPU wait.

Without a GPU the kernels are compiled and looked at, and run thread by thread as Python functions. The tests marked
`gpu` run them where there is one.
"""

from __future__ import annotations

import importlib.util
import inspect
import re
import subprocess
import sys
from types import SimpleNamespace

import cuda_stand_in
import numpy as np
import pytest
import torch
from conftest import ALL_IDS

from babyaipp import make_vec
from babyaipp.engine import cpu, cuda
from babyaipp.engine.drive import DISABLED, NEXT_STEP, SAME_STEP
from babyaipp.engine.rng import seed_words
from babyaipp.engine.state import LEAVE, RESET, RESET_TO_WORLD, RESET_WITH_RULES, WORLD, parameters
from babyaipp.levels import parse_env_id
from babyaipp.spaces import text_sizes
from babyaipp.texts import TEXT_CONDITIONS, parse_text_condition
from babyaipp.tiles import COLORS, DONE, TRAP

HAS_NUMBA_CUDA = importlib.util.find_spec("numba_cuda") is not None
compiles = pytest.mark.skipif(not HAS_NUMBA_CUDA, reason="numba-cuda is not installed: pip install -e '.[cuda]'")
needs_gpu = pytest.mark.skipif(
    not (HAS_NUMBA_CUDA and torch.cuda.is_available()), reason="torch and numba-cuda find no GPU"
)

BOTH = tuple(name for name in vars(cpu.Outputs.empty(1, 1, 1, 1)) if not name.startswith("final_"))
RANDOM_STEPS = (0, 0, 0, 0, 0, RESET, RESET_WITH_RULES, LEAVE)


class Pair:
    """The same worlds with the CPU driver and with the CUDA driver; what one does the other must do."""

    def __init__(self, env_id: str, num_envs: int, text: str = "withheld=1", max_steps: int | None = 20) -> None:
        level, split = parse_env_id(env_id)
        condition = parse_text_condition(text)
        record = parameters(level, split, condition, "shuffled", max_steps)
        sizes = (num_envs, *text_sizes(level, condition))
        self.host = cpu.Driver(record, *sizes)
        self.gpu = cuda.Driver(record, *sizes)
        self.device = self.gpu.worlds.device
        self.expected = cpu.Outputs.empty(*sizes)
        self.outputs = cuda_outputs(*sizes, self.device)
        self.rules = np.full((num_envs, len(COLORS)), -1, np.int8)
        self.rules[:, 1] = TRAP
        self.rules_there = torch.from_numpy(self.rules).to(self.device)
        self.host.worlds["rng"] = [seed_words(seed) for seed in range(num_envs)]
        self.copy_worlds()

    def copy_worlds(self) -> None:
        self.gpu.worlds.copy_(torch.from_numpy(self.host.worlds.view(np.uint8).reshape(len(self.host.worlds), -1)))

    def advance(self, actions: np.ndarray, autoreset: int) -> None:
        self.host.advance(actions, self.rules, autoreset, self.expected)
        self.gpu.advance(torch.from_numpy(actions).to(self.device), self.rules_there, autoreset, self.outputs)

    def check(self, with_final: bool) -> None:
        for name in BOTH:
            assert np.array_equal(self.there(name), self.here(name)), name
        if with_final:
            rows = self.expected.cause != 0
            for name in ("image", "direction", "mission", "description", "rules"):
                assert np.array_equal(self.there(f"final_{name}")[rows], self.here(f"final_{name}")[rows]), name
        records = self.gpu.worlds.cpu().numpy().reshape(-1).view(WORLD)
        for name in WORLD.names:
            assert np.array_equal(records[name], self.host.worlds[name]), name

    def here(self, name: str) -> np.ndarray:
        array = getattr(self.expected, name)
        return array.astype(np.float32) if name == "reward" else array

    def there(self, name: str) -> np.ndarray:
        return getattr(self.outputs, name).cpu().numpy()


def cuda_outputs(num_envs: int, words: int, sentences: int, sentence_words: int, device: torch.device) -> cpu.Outputs:
    """Outputs of which no byte is right before it is written."""
    arrays = {}
    for name, (shape, dtype) in cpu.Outputs.shapes(num_envs, words, sentences, sentence_words).items():
        dtype = np.dtype(np.float32 if name == "reward" else dtype)
        memory = torch.full((int(np.prod(shape)) * dtype.itemsize,), 0x55, dtype=torch.uint8, device=device)
        arrays[name] = memory.view(getattr(torch, dtype.name)).view(shape)
    return cpu.Outputs(**arrays)


def play(pair: Pair, autoreset: int, steps: int) -> int:
    """Reset and step both, compare everything after every step; returns how many episodes ended."""
    random = np.random.default_rng(3)
    num_envs = len(pair.host.worlds)
    ends = 0
    pair.advance(np.full(num_envs, RESET), autoreset)
    pair.check(False)
    for step in range(steps):
        actions = random.integers(0, DONE + 1, num_envs)
        if step % 8 == 5:
            actions = np.where(random.random(num_envs) < 0.1, random.choice(RANDOM_STEPS, num_envs), actions)
        pair.advance(actions, autoreset)
        pair.check(autoreset == SAME_STEP)
        ends += np.count_nonzero(pair.expected.cause)
    return ends


# Without a GPU: the kernels' logic.


@pytest.mark.parametrize("autoreset", [SAME_STEP, NEXT_STEP, DISABLED])
@pytest.mark.parametrize("env_id", ["BabyAIpp-GoToRedBallHard-All-v0", "BabyAIpp-PickupLoc-Train-v0"])
def test_the_kernels_do_what_the_cpu_driver_does(env_id, autoreset, monkeypatch):
    cuda_stand_in.install(monkeypatch)
    pair = Pair(env_id, 131)  # more than a block; images do not end with a whole word
    assert play(pair, autoreset, 24) > 50


@pytest.mark.parametrize("text", ["paraphrase", "paraphrase_heldout", "contradict"])
def test_the_kernels_write_every_text(text, monkeypatch):
    cuda_stand_in.install(monkeypatch)
    assert play(Pair("BabyAIpp-GoToRedBallHard-All-v0", 20, text, 3), SAME_STEP, 12) > 60


def test_worlds_that_were_put_there_are_taken_over(monkeypatch):
    cuda_stand_in.install(monkeypatch)
    pair = Pair("BabyAIpp-PutNextLocal-All-v0", 5)
    pair.host.advance(np.full(5, RESET), pair.rules, SAME_STEP, pair.expected)
    pair.copy_worlds()
    pair.host.write_texts()
    pair.gpu.write_texts()
    pair.advance(np.full(5, LEAVE), SAME_STEP)
    pair.check(False)
    pair.advance(np.full(5, RESET_TO_WORLD), SAME_STEP)
    pair.check(False)
    masks, masks_there = np.zeros((5, DONE + 1), np.int8), torch.zeros((5, DONE + 1), dtype=torch.int8)
    pair.host.action_mask(masks)
    pair.gpu.action_mask(masks_there)
    assert np.array_equal(masks, masks_there.numpy())


def test_unsuitable_tensors_are_refused(monkeypatch):
    cuda_stand_in.install(monkeypatch)
    pair = Pair("BabyAIpp-GoToRedBall-All-v0", 4)
    for actions in (torch.zeros(4, dtype=torch.int32), torch.zeros(3, dtype=torch.int64), torch.zeros(8).long()[::2]):
        with pytest.raises(ValueError, match=r"actions: .* allowed: 4 contiguous and aligned torch\.int64"):
            pair.gpu.advance(actions, pair.rules_there, SAME_STEP, pair.outputs)


# Without a GPU: the compiled code.


@pytest.fixture
def without_driver(monkeypatch):
    """Let kernels compile on a machine without a GPU."""
    from numba.cuda import dispatcher

    monkeypatch.setattr(dispatcher, "get_current_device", lambda: SimpleNamespace(compute_capability=(9, 0), id=0))


@compiles
@pytest.mark.parametrize("capability", [(9, 0), pytest.param((8, 0), marks=pytest.mark.slow)])
@pytest.mark.parametrize("kernel", cuda.ARGUMENTS)
def test_kernels_need_no_stack_and_spill_no_registers(kernel, capability, without_driver):
    ptx, _, log = cuda.assemble(kernel, capability)
    assert ".local" not in ptx
    words = sum(
        1 if name == "autoreset" else 5 + 2 * len(cuda.shapes(1, 1, 1, 1)[name][0]) for name in cuda.ARGUMENTS[kernel]
    )
    assert len(re.findall(r"\.param \.[ub]64 " + kernel, ptx)) == words
    figures = re.findall(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", log)
    assert figures
    assert all(figure == ("0", "0", "0") for figure in figures), log
    (registers,) = (int(count) for count in re.findall(r"Used (\d+) registers", log))
    # So that a processor holds as many blocks as it is given; the A100 has less shared memory (in KiB).
    blocks = cuda.BEGIN_BLOCKS_A_PROCESSOR * {9: 228, 8: 164}[capability[0]] // 228
    assert registers <= 65_536 // (blocks * cuda.BEGIN_BLOCK)


def test_kernels_take_what_the_driver_gives():
    from babyaipp.engine import cuda_kernels

    for kernel, names in cuda.ARGUMENTS.items():
        function = getattr(cuda_kernels, kernel)
        assert tuple(inspect.signature(function).parameters) == names


# Without a GPU: what users are told.


def test_the_module_loads_neither_torch_nor_the_cuda_target():
    code = "import sys, babyaipp.engine.cuda; assert not {'torch', 'numba.cuda', 'cuda.core'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("torch", "needs torch"),
        ("torch for CUDA", "is built without CUDA"),
        ("GPU", "torch finds no GPU"),
        ("numba_cuda", "needs numba-cuda: pip install"),
    ],
)
def test_what_is_missing_is_named(missing, message, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == missing else object())
    monkeypatch.setattr(torch.version, "cuda", None if missing == "torch for CUDA" else "13.0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: missing != "GPU")
    level, split = parse_env_id("BabyAIpp-GoToRedBall-Train-v0")
    condition = parse_text_condition("true")
    record = parameters(level, split, condition, "canonical", None)
    with pytest.raises(RuntimeError, match=message):
        cuda.Driver(record, 1, *text_sizes(level, condition))


# With a GPU.


@pytest.mark.gpu
@needs_gpu
@pytest.mark.parametrize("env_id", ALL_IDS)
def test_a_gpu_computes_the_same_bits(env_id):
    assert play(Pair(env_id, 1000), SAME_STEP, 300) > 1000
    assert play(Pair(env_id, 1000, "true", None), SAME_STEP, 700)


@pytest.mark.gpu
@needs_gpu
@pytest.mark.parametrize("text", TEXT_CONDITIONS)
def test_a_gpu_writes_the_same_texts(text):
    for env_id in ("BabyAIpp-GoToRedBallHard-All-v0", "BabyAIpp-GoToRedBallHard-Fixed-v0"):
        assert play(Pair(env_id, 1000, text, 9), SAME_STEP, 40)


@pytest.mark.gpu
@needs_gpu
@pytest.mark.parametrize("autoreset", [NEXT_STEP, DISABLED])
def test_a_gpu_computes_the_same_bits_in_every_autoreset_mode(autoreset):
    assert play(Pair("BabyAIpp-GoToSeq-All-v0", 777), autoreset, 100)


@pytest.mark.gpu
@needs_gpu
def test_batches_of_any_size_are_stepped_on_a_gpu():
    for num_envs in (1, 31, 128, 129, 100_000):
        play(Pair("BabyAIpp-GoToRedBallHard-All-v0", num_envs), SAME_STEP, 5)


@pytest.mark.gpu
@needs_gpu
def test_the_vector_environment_gives_the_same_on_a_gpu():
    host = make_vec("GoToRedBallHard", "All", 64, output="torch", max_steps=20)
    gpu = make_vec("GoToRedBallHard", "All", 64, device="cuda", max_steps=20)
    compare(host.reset(seed=5), gpu.reset(seed=5))
    generator = torch.Generator().manual_seed(1)
    for step in range(100):
        actions = torch.randint(0, DONE + 1, (64,), generator=generator)
        if step == 50:
            snapshots = host.state(), gpu.state()
        compare(host.step(actions), gpu.step(actions.cuda()))
    host.set_state(snapshots[0])
    gpu.set_state(snapshots[1])
    compare(host.observe(), gpu.observe())
    compare(host.action_mask(), gpu.action_mask())
    compare(host.reset(options={"rules": {"green": "magic"}}), gpu.reset(options={"rules": {"green": "magic"}}))


def compare(expected, found, ended=None) -> None:
    """The same tensors in the same places; `final_*` where an episode ended."""
    if isinstance(expected, dict):
        assert expected.keys() == found.keys()
        for name in expected:
            compare(expected[name], found[name], expected["_" + name] if f"_{name}" in expected else ended)
    elif isinstance(expected, tuple):
        for one, other in zip(expected, found, strict=True):
            compare(one, other)
    else:
        rows = slice(None) if ended is None else torch.as_tensor(ended).bool()
        assert found.device.type == "cuda"
        assert torch.equal(torch.as_tensor(expected)[rows], found.cpu()[rows])


@pytest.mark.gpu
@needs_gpu
def test_a_rollout_can_be_captured_in_a_graph():
    steps, pair = 16, Pair("BabyAIpp-GoToRedBallHard-All-v0", 500)
    pair.advance(np.full(500, RESET), SAME_STEP)
    batches = torch.zeros((steps, 500), dtype=torch.int64, device=pair.device)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for actions in batches:
            pair.gpu.advance(actions, pair.rules_there, SAME_STEP, pair.outputs)
    for _ in range(10):
        drawn = np.random.default_rng(9).integers(0, DONE + 1, (steps, 500))
        batches.copy_(torch.from_numpy(drawn))
        graph.replay()
        for actions in drawn:
            pair.host.advance(actions, pair.rules, SAME_STEP, pair.expected)
        pair.check(True)


@pytest.mark.gpu
@needs_gpu
def test_no_call_waits_for_the_gpu():
    pair = Pair("BabyAIpp-GoToRedBallHard-All-v0", 500)
    pair.advance(np.full(500, RESET), SAME_STEP)
    actions = torch.zeros(500, dtype=torch.int64, device=pair.device)
    masks = torch.zeros((500, DONE + 1), dtype=torch.int8, device=pair.device)
    stream = torch.cuda.Stream()
    for _ in range(2):  # the first time, the kernels are set up for the stream
        torch.cuda.synchronize()
        with torch.cuda.stream(stream):
            torch.cuda._sleep(2_000_000_000)  # about a second
            torch.cuda.set_sync_debug_mode("error")
            try:
                pair.gpu.advance(actions, pair.rules_there, SAME_STEP, pair.outputs)
                pair.gpu.action_mask(masks)
                pair.gpu.write_texts()
            finally:
                torch.cuda.set_sync_debug_mode("default")
            assert not stream.query(), "a call waited until the GPU was done"
