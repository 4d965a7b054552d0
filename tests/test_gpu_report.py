"""The report on a GPU, run on the CPU at a tiny size: it measures everything once, keeps it, and goes on."""

from __future__ import annotations

import io
import json
import os
import signal
import time
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import tyro

from agents.checkpoints import read_tensors
from agents.cli import run_command
from agents.runs import Run
from agents.sweep import Tally
from agents.sweeps.plan import read_plan
from agents.sweeps.work import frames_of
from agents.train import train as begin_training
from agents.training.config import TrainConfig
from agents.training.distributed import Ranks
from agents.training.ppo import PPOConfig
from agents.training.trainer import Trainer
from benchmarks import gpu_report
from benchmarks.gpu import correctness, parity, tables, training, trainings
from benchmarks.gpu.device import Device, tf32_allowed
from benchmarks.gpu.parts import LEVEL, cpu_scale, cuda_scale, parts
from benchmarks.gpu.training import (
    PHASES,
    Announced,
    Kernel,
    Work,
    busy_seconds,
    by_phase,
    longest,
    measure,
    recurrent_flops,
)
from benchmarks.gpu.worker import Failed, OutOfTime, Worker
from benchmarks.gpu_report import PARTS, TRAININGS, Clock, GpuReportConfig, Report, problems, run_report

ROOT = Path(__file__).parent.parent
MEASURED = tuple(name for name in PARTS if name not in ("compiled", TRAININGS))
SWEEP = """
levels = ["GoToRedBall"]
agents = ["image_only"]
seeds = [1]
[settings]
device = "cuda"
preset = "paper"
frames = 5e6
"""
TINY_PPO = PPOConfig(num_envs=4, rollout_steps=3, epochs=2, minibatches=2)
CPU = Device("cpu")
BEGUN_FRAMES = 32
"""An update of the training."""


def run(folder: Path, *arguments: str) -> tuple[int, str]:
    """Status and what was printed."""
    sweep = folder / "tiny.toml"
    sweep.parent.mkdir(parents=True, exist_ok=True)
    sweep.write_text(SWEEP)
    given = ["--folder", str(folder / "report"), "--trainings", str(sweep), "--device", "cpu", *arguments]
    with redirect_stdout(io.StringIO()) as printed:
        status = run_command(GpuReportConfig, run_report, given)
    return status, printed.getvalue()


def content_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "report" / "report.json").read_text())


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int, str]:
    """A report of everything that needs no compiler: its folder, the status, what was printed.

    Its training has begun before, as if a former call had run out of time.
    """
    folder = tmp_path_factory.mktemp("gpu")
    (folder / "tiny.toml").write_text(SWEEP)
    plan = read_plan(folder / "tiny.toml", folder / "report" / "tiny", here=False)
    (job,) = trainings.tiny(plan, cpu_scale(8).ppo).jobs
    begin_training(replace(job.config, frames=BEGUN_FRAMES))
    return folder, *run(folder, "--parts", *MEASURED, TRAININGS, "--minutes", "20")


# What is measured, kept and told


def test_everything_is_measured_and_told(reported: tuple[Path, int, str]) -> None:
    folder, status, printed = reported
    content = content_of(folder)
    assert (status, problems(content)) == (0, [])
    assert list(content["parts"]) == list(MEASURED)
    items = parts(cpu_scale(8))
    for name, entries in content["parts"].items():
        assert list(entries) == list(items[name].items)
        assert {entry["state"] for entry in entries.values()} == {"done"}
        assert items[name].title in printed
    assert "cannot be shown" not in printed
    assert content["device"]["name"] == content["machine"]["processor"]
    assert content["calls"][0]["seconds"] > 0
    assert (folder / "report" / "report.md").read_text().count("\n## ") == len(MEASURED) + 1


def test_the_figures_are_there(reported: tuple[Path, int, str]) -> None:
    rows = {
        name: [entry["row"] for entry in entries.values()] for name, entries in content_of(reported[0])["parts"].items()
    }
    for row in rows["card"]:
        assert all(value > 0 for value in row.values())
    for row in rows["parity"]:
        assert row["same"]
        assert row["steps"] == 8 * 40
    assert len({row["device"] for row in rows["parity"]}) == len(parity.RUNS)
    assert sum(row["episodes"] for row in rows["parity"]) > 20
    assert [row["num_envs"] for row in rows["environment"]] == [4, 16]
    assert all(row["steps_per_second"] > 0 for row in rows["environment"])
    for row in rows["correctness"]:
        assert row["kinds"]["fp32"]["gradient_error"] < 1e-6  # the same arithmetic
        assert 0 < row["kinds"]["bf16"]["gradient_error"] < row["kinds"]["bf16"]["limit"]
    assert {row["precision"] for row in rows["training"]} == {"bf16"}
    assert {row["precision"] for row in rows["float32"]} == {"fp32"}
    for row in (*rows["training"], *rows["update"], *rows["float32"]):
        assert row["frames_per_second"] > 0
        assert all(row["phases"][phase] > 0 for phase in PHASES)
    for row in rows["update"]:
        assert row["work"]["backward"]["flops"] > row["work"]["forward"]["flops"] > row["work"]["policy"]["flops"] > 0
        assert row["work"]["environment"]["flops"] == row["work"]["optimiser"]["flops"] == 0
        assert row["work"]["optimiser"]["bytes"] > 0
        for half in ("collecting", "learning"):
            assert row[half]["busy_seconds"] > 0
            assert row[half]["kernels"] > len(row[half]["longest"]) > 3


def test_trainings_leave_curves_and_checkpoints(reported: tuple[Path, int, str]) -> None:
    folder, _, printed = reported
    told = content_of(folder)[TRAININGS]["tiny"]
    (entry,) = told["runs"]
    assert (told["asked"], told["failures"], entry["finished"]) == (1, {}, True)
    assert (entry["run"], entry["preset"], entry["frames"]) == ("image_only-GoToRedBall-1", "small", 96)
    run_folder = folder / "report" / "tiny" / entry["run"]
    assert read_tensors(run_folder / "training.safetensors")[1]["training"]["frames"] == 96
    assert [line["frames"] for line in Run(run_folder).read_progress()] == [BEGUN_FRAMES, 64, 96]
    assert "--resume" in (run_folder / "log.txt").read_text()
    assert "tiny: 1 of 1 runs are finished" in printed
    assert entry["alone"]
    assert entry["ppo"]["epochs"] == 2


def test_a_second_call_measures_nothing_again(reported: tuple[Path, int, str], monkeypatch: pytest.MonkeyPatch) -> None:
    folder, _, _ = reported
    before = content_of(folder)
    log = (folder / "report" / "tiny" / "image_only-GoToRedBall-1" / "log.txt").read_text()

    def fail(*unused: Any) -> Any:
        raise AssertionError("something was measured")

    monkeypatch.setattr(Worker, "_ask", fail)
    status, printed = run(folder, "--parts", *MEASURED, TRAININGS)
    after = content_of(folder)
    assert status == 0
    assert after["parts"] == before["parts"]
    assert after[TRAININGS] == before[TRAININGS]
    assert len(after["calls"]) == 2
    assert (folder / "report" / "tiny" / "image_only-GoToRedBall-1" / "log.txt").read_text() == log
    assert "## Training\n" in printed  # the tables are told again


def test_another_scale_or_device_needs_another_folder(
    reported: tuple[Path, int, str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _, _ = reported
    assert run(folder, "--num-envs", "16")[0] == 2
    assert "choose another --folder" in capsys.readouterr().err
    monkeypatch.setattr(Worker, "describe", lambda *unused: {"name": "another"})
    assert run(folder, "--parts", "compiled")[0] == 2
    assert "and this is another; choose another --folder" in capsys.readouterr().err


# What goes wrong


class FakeWorker:
    """Measures nothing; `outcomes`: what comes of items, by name, else a row."""

    def __init__(self, outcomes: dict[str, Exception]) -> None:
        self.outcomes = outcomes
        self.asked: list[str] = []
        self.seconds: list[float] = []

    def measure(self, part: str, item: str, seconds: float) -> dict[str, Any]:
        self.asked.append(item)
        self.seconds.append(seconds)
        if item in self.outcomes:
            raise self.outcomes[item]
        return {"seconds_a_launch": 1.0}


def measured(report: Report, worker: Any, minutes: float = 10.0, kept: float = 0.0, retry: bool = False) -> Any:
    gpu_report.measure("card", parts(cpu_scale(8))["card"], report, worker, Clock(minutes), kept, retry)
    return {name: entry["state"] for name, entry in report.entries("card").items()}


def test_a_failure_is_told_and_stops_nothing(tmp_path: Path) -> None:
    names = list(parts(cpu_scale(8))["card"].items)
    broken, hanging, hurried = names[1], names[0], names[4]
    worker = FakeWorker({broken: Failed("OutOfMemoryError: 3 GiB\n  at x"), hanging: OutOfTime("ended after 30 s")})
    report = Report(tmp_path, cpu_scale(8))
    states = measured(report, worker)
    assert worker.asked == names
    assert {name for name, state in states.items() if state == "failed"} == {broken, hanging}
    assert Report(tmp_path, cpu_scale(8)).content["parts"] == report.content["parts"]  # as it is in the file
    assert problems(report.content)[1] == f"card: {broken} failed: OutOfMemoryError: 3 GiB"
    assert f"- {broken}, failed: OutOfMemoryError: 3 GiB" in report.part("card")

    again = FakeWorker({})
    measured(report, again)
    assert again.asked == []
    assert set(measured(report, again, retry=True).values()) == {"done"}
    assert again.asked == [hanging, broken]

    # Ended for want of time, and not as it took all of the part's.
    report = Report(tmp_path / "other", cpu_scale(8))
    late = FakeWorker({hurried: OutOfTime("ended after 12 s")})
    assert measured(report, late, minutes=0.2)[hurried] == "skipped"
    assert problems(report.content) == []
    measured(report, again)
    assert again.asked[2:] == [hurried]


def test_what_there_is_no_time_for_is_skipped(tmp_path: Path) -> None:
    report, worker = Report(tmp_path, cpu_scale(8)), FakeWorker({})
    assert set(measured(report, worker, minutes=1, kept=58).values()) == {"skipped"}
    assert worker.asked == []
    assert "skipped: 2 s were left" in report.part("card") or "skipped: 1 s were left" in report.part("card")
    assert set(measured(report, worker, minutes=1, kept=40).values()) == {"done"}
    assert all(seconds <= 20 for seconds in worker.seconds)


def test_a_table_that_cannot_be_shown_costs_nothing_else(tmp_path: Path) -> None:
    report = Report(tmp_path, cpu_scale(8))
    report.entries("card")["copy"] = {"state": "done", "row": {}, "seconds": 1.0}
    report.write()
    assert "cannot be shown: KeyError" in report.part("card")
    assert Report(tmp_path, cpu_scale(8)).content == report.content


def test_what_fails_hangs_or_dies_in_the_process_aside_is_told() -> None:
    worker = Worker(replace(cpu_scale(8), images=-1, seconds=1e6))
    try:
        with pytest.raises(Failed, match=r"RuntimeError: .*negative"):
            worker.measure("card", "convolution bf16", 120)
        first = worker._process.pid
        assert worker.measure("start", "engine", 120)["cpu"] > 0
        assert worker._process.pid == first
        item = next(iter(parts(cpu_scale(8))["update"].items))
        assert worker.measure("update", item, 120)["frames_per_second"] > 0
        assert worker._process is None  # a profiler leaves it slower than it was
        assert worker.measure("start", "engine", 120)["cpu"] > 0
        first = worker._process.pid
        with pytest.raises(OutOfTime, match="ended after"):
            worker.measure("card", "launch", 0.5)
        with pytest.raises(ProcessLookupError):
            os.kill(first, 0)
        assert worker.describe(120)["name"]
        assert worker._process.pid != first
        os.kill(worker._process.pid, signal.SIGKILL)
        worker._process.join()
        with pytest.raises(Failed, match="the process ended with status -9"):
            worker.measure("start", "engine", 120)
    finally:
        worker.close()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--parts", "cart"], "unknown part 'cart'; allowed: start, card"),
        (["--minutes", "0"], "minutes=0 must be more than 0"),
        (["--training-minutes", "-1"], "training_minutes=-1 must not be negative"),
        (["--at-once", "0"], "at_once=0 must be at least 1"),
        (["--num-envs", "7"], "must divide ppo.num_envs=7"),
        (["--trainings", "a/x.toml", "b/x.toml"], "each must have a name of its own"),
        (["--trainings", "no-such.toml"], "there is no such file"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, *arguments)[0] == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "report").exists()


# Whether it would tell of a difference


def test_other_bits_are_told_with_the_first_step_and_arrays(monkeypatch: pytest.MonkeyPatch) -> None:
    made = parity.make_vec

    class Changed:
        """The device's worlds; from the third step on, rewards are others."""

        def __init__(self, envs: Any) -> None:
            self._envs, self._steps = envs, 0

        def __getattr__(self, name: str) -> Any:
            return getattr(self._envs, name)

        def step(self, actions: Any) -> Any:
            self._steps += 1
            observation, reward, *rest = self._envs.step(actions)
            return observation, reward + (self._steps >= 3), *rest

    def make_vec(*arguments: Any, **kwargs: Any) -> Any:
        envs = made(*arguments, **kwargs)
        return Changed(envs) if "device" in kwargs else envs

    monkeypatch.setattr(parity, "make_vec", make_vec)
    row = parity.compare(LEVEL, "Train", "true", 5, 4, 6, CPU)
    assert row["cpu"] != row["device"]
    assert (row["same"], row["first_difference"]) == (False, {"step": 3, "arrays": ["reward"]})
    content = {"parts": {"parity": {"x": {"state": "done", "row": row}}}, TRAININGS: {}}
    assert problems(content) == ["parity: x: the device computes other bits than the CPU"]
    assert "step 3: reward" in tables.parity_table({"x": row})


def test_errors_beyond_the_limit_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = correctness.KINDS
    monkeypatch.setitem(kinds, "bf16", replace(kinds["bf16"], limit=1e-9))
    row = correctness.compare("image_only", LEVEL, "small", replace(TINY_PPO, rollout_steps=8), CPU)
    assert row["frames"] == 32
    assert row["kinds"]["fp32"]["within"]
    assert not row["kinds"]["bf16"]["within"]
    content = {"parts": {"correctness": {"x": {"state": "done", "row": row}}}, TRAININGS: {}}
    assert problems(content) == ["correctness: x, bf16: errors are larger than 1e-09"]


# Where the time goes


def test_every_phase_is_announced_as_often_as_it_happens() -> None:
    announced = Announced(TrainConfig("image_only", LEVEL, ppo=TINY_PPO))
    heard: list[str] = []
    announced.update(heard.append)
    minibatches = TINY_PPO.epochs * TINY_PPO.minibatches
    assert set(heard) == set(PHASES)
    assert heard.count("environment") == TINY_PPO.rollout_steps + 1  # it also looks before the first step
    assert heard.count("policy") == TINY_PPO.rollout_steps + 1  # and values what follows the last one
    for phase in ("forward", "backward", "optimiser"):
        assert heard.count(phase) == minibatches
    first = heard.index("forward")
    assert heard[first : first + 4] == ["forward", "backward", "optimiser", "minibatches"]
    announced.trainer.close()


def test_work_is_what_the_operations_do() -> None:
    a, b = torch.ones(3, 4), torch.ones(4, 5)
    with Work() as work:
        product = a @ b
        assert (work.flops, work.bytes) == (2 * 3 * 4 * 5, 4 * (12 + 20 + 15))
        product.T.expand(2, 5, 3)  # nothing moves
        assert work.bytes == 4 * (12 + 20 + 15)
        product.add_(1.0)
        assert work.bytes == 4 * (12 + 20 + 15) + 4 * 2 * 15
        torch.nn.functional.conv2d(torch.ones(2, 3, 7, 7), torch.ones(4, 3, 3, 3), padding=1)
    assert work.flops == 2 * 3 * 4 * 5 + 2 * 2 * 49 * 4 * 3 * 9


def test_recurrent_layers_are_counted_on_a_gpu_as_on_the_cpu() -> None:
    """There, a layer is one operation of cuDNN's; here, it falls into products."""
    layer, texts = torch.nn.GRU(5, 7, batch_first=True), torch.ones(3, 4, 5)
    with Work() as work:
        layer(texts)
    assert work.flops == recurrent_flops(texts, list(layer.parameters()))


def test_kernels_are_summed() -> None:
    kernels = [Kernel("a", 10, 20), Kernel("b", 15, 30), Kernel("a", 40, 50), Kernel("c", 42, 45)]
    assert busy_seconds(kernels) == pytest.approx(30e-9)
    assert busy_seconds([]) == 0
    assert longest(kernels, 2) == [
        {"name": "a", "count": 2, "seconds": pytest.approx(20e-9)},
        {"name": "b", "count": 1, "seconds": pytest.approx(15e-9)},
    ]
    assert by_phase([("policy", 1.0), ("forward", 2.0), ("policy", 3.0)])["policy"] == 4.0


def test_a_gpu_is_timed_by_its_events(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch's calls are stood in for, as there is no GPU."""
    waits: list[None] = []

    class Event:
        def __init__(self, enable_timing: bool) -> None:
            assert enable_timing

        def record(self) -> None:
            self.seconds = time.perf_counter()

        def elapsed_time(self, later: Event) -> float:
            return (later.seconds - self.seconds) * 1e3  # milliseconds

    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: waits.append(None))
    device = Device("cuda")
    first, last = device.mark(), device.mark()
    device.wait()
    assert waits == [None]
    assert device.seconds(first, last) == pytest.approx(last.seconds - first.seconds)


def test_rounding_is_allowed_only_inside() -> None:
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    with tf32_allowed(False):
        assert not torch.backends.cudnn.allow_tf32
        with tf32_allowed(True):
            assert torch.backends.cuda.matmul.allow_tf32
        assert not torch.backends.cuda.matmul.allow_tf32
    assert (torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32) == before


def test_what_a_gpu_adds_is_shown() -> None:
    nanoseconds = {"act_and_observe": 1.5, "observe": 1.0, "new_worlds": 30.0}
    driver = {
        "steps_per_second": 2e8,
        "graph_steps_per_second": 3e8,
        "bytes_a_world": 2600.0,
        "nanoseconds": nanoseconds,
    }
    row = {"level": LEVEL, "num_envs": 4096, "steps_per_second": 1e8, "driver": driver}
    assert "| 100 M   | 200 M        | 300 M" in tables.environment_table({"x": row})
    launch = {"seconds_a_launch": 2e-6, "seconds_in_a_graph": 1e-6}
    assert "| launch in a graph | 1.00 us  |" in tables.card_table({"launch": launch})


def test_the_time_of_five_million_frames_is_told_first() -> None:
    row = {
        **{"agent": "attention_fusion", "preset": "paper", "precision": "bf16", "mode": "eager"},
        **{"num_envs": 2048, "epochs": 4, "frames_per_second": 1e5},
    }
    others = [row | {"agent": "film", "frames_per_second": 1e6}, row | {"frames_per_second": 2e5, "mode": "graphs"}]
    entries = [{"state": "done", "row": each} for each in (row, *others)]
    named = {str(i): each for i, each in enumerate([*entries, {"state": "skipped", "why": "0 s were left"}])}
    run = {
        **{"run": "attention_fusion-GoToRedBall-0", "agent": "attention_fusion", "preset": "paper", "alone": True},
        **{"frames": 5_046_272, "asked_frames": 5_000_000, "seconds": 59.0, "ppo": {"num_envs": 2048, "epochs": 4}},
    }
    runs = [run, run | {"alone": False}, run | {"frames": 65_536}]
    report = {"parts": {"training": named}, TRAININGS: {"gpu": {"runs": runs}, "x": {"why": ""}}}
    told = tables.goal_text(report)
    assert "- 25.0 s at the highest rate measured (2,048 environments, 4 epochs, bf16, graphs)" in told
    assert told.count("59.0 s of training for 5,046,272 frames (attention_fusion-GoToRedBall-0") == 1
    assert told.endswith("alone on the device), within the goal")
    run["seconds"] = 61.0
    assert "MORE THAN THE GOAL" in tables.goal_text(report)
    assert "not measured yet" in tables.goal_text({"parts": {}, TRAININGS: {}})


def test_a_profiler_that_fails_costs_only_what_it_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(**unused: Any) -> Any:
        raise RuntimeError("CUPTI is missing")

    monkeypatch.setattr(training, "profile", broken)
    row = training.gaps({"x": lambda: torch.ones(3).sum()}, CPU, 2)["x"]
    assert row["seconds"] > 0
    assert (row["kernels"], row["why"]) == (0, "RuntimeError: CUPTI is missing")
    shown = tables.gaps_table({"x": {"collecting": row, "learning": row}})
    assert shown.endswith("The profiler failed: RuntimeError: CUPTI is missing")
    assert "| -                  |" in shown


@pytest.mark.parametrize("factor", [1.0, 1.1])
def test_a_compiler_that_computes_something_else_is_told(factor: float, monkeypatch: pytest.MonkeyPatch) -> None:
    def compile_(network: Any, **unused: Any) -> None:
        network._compiled_call_impl = lambda observation: factor * network.forward(observation)

    monkeypatch.setattr(torch.nn.Module, "compile", compile_)
    ppo = replace(TINY_PPO, rollout_steps=8, compile=True)
    trainer = Trainer(TrainConfig("image_only", LEVEL, ppo=ppo), Ranks())
    for _ in range(2):  # the heads of a policy that has just been made hardly depend on its network
        rollout, _ = trainer.collector.collect()
        rollout.rewards.uniform_()
        trainer.ppo.update(rollout, 0.0)
    errors = training.compiled_errors(trainer)
    trainer.close()
    assert errors["within"] == (factor == 1.0)
    assert (errors["gradient_error"] == 0) == (factor == 1.0)
    content = {"parts": {"compiled": {"x": {"state": "done", "row": {"kinds": {"compiled": errors}}}}}, TRAININGS: {}}
    assert problems(content) == ([] if factor == 1.0 else ["compiled: x, compiled: errors are larger than 0.0001"])


def test_compiled_code_is_kept_with_the_report_where_there_is_no_other_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    for place, kept in ((tmp_path / "usual", tmp_path / "usual"), (blocked / "no", tmp_path / "report" / "cache")):
        monkeypatch.setenv("NUMBA_CACHE_DIR", str(place))
        gpu_report._keep_compiled_code(tmp_path / "report")
        assert os.environ["NUMBA_CACHE_DIR"] == str(kept)


# Trainings


def test_the_first_training_is_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "three.toml"
    path.write_text(SWEEP.replace("[1]", "[1, 2, 3]"))
    plan = read_plan(path, tmp_path / "runs", here=False)
    asked: list[tuple[int, int]] = []
    done: set[str] = set()

    def sweep(part: Any, launcher: Any, at_once: int, folder: Path, stops: Any) -> Any:
        asked.append((len(part.jobs), at_once))
        done.update(job.name for job in part.jobs)
        return Tally()

    monkeypatch.setattr(trainings, "sweep", sweep)
    monkeypatch.setattr(trainings, "result_of", lambda job: {} if job.name in done else None)
    trainings.train(plan, 2, lambda: 100.0, 20.0, lambda told: None)
    assert asked == [(1, 1), (3, 2)]
    done.remove(plan.jobs[2].name)
    trainings.train(plan, 2, lambda: 100.0, 20.0, lambda told: None)
    assert asked[2:] == [(3, 2)]
    done.clear()
    trainings.train(plan, 2, lambda: 10.0, 20.0, lambda told: None)
    assert len(asked) == 3  # there is no time left


def test_a_training_saves_when_the_time_is_up(tmp_path: Path) -> None:
    path = tmp_path / "long.toml"
    path.write_text(SWEEP)
    plan = trainings.tiny(read_plan(path, tmp_path / "runs", here=False), TINY_PPO)
    (job,) = plan.jobs
    job = replace(job, config=replace(job.config, frames=10**9))
    plan = replace(plan, jobs=(job,))
    told: list[dict[str, Any]] = []
    trainings.train(plan, 1, lambda: 1.0 if frames_of(job) else 100.0, 20.0, told.append)
    (entry,) = told[-1]["runs"]
    assert not entry["finished"]
    assert 0 < entry["frames"] == read_tensors(job.run.training_file())[1]["training"]["frames"] < 10**9
    assert told[-1]["failures"] == {}
    assert "not finished" in tables.trainings_text({"long": told[-1]})


# On a GPU


def test_the_scale_of_a_gpu_makes_sense() -> None:
    scale = cuda_scale(2048)
    named = parts(scale)
    for part in named.values():
        assert part.items
        assert part.item_seconds < part.longest_seconds <= part.limit_seconds
    assert sum(part.limit_seconds for name, part in named.items() if name not in ("start", "compiled")) < 8.5 * 60
    assert {agent for agent, _ in scale.trained} >= {"attention_fusion", "film", "grounded"}
    for call in (*named["training"].items.values(), *named["compiled"].items.values()):
        config: TrainConfig = call.args[0]  # type: ignore[attr-defined]
        assert config.device == "cuda"
        replace(config, device="cpu", ppo=replace(config.ppo, cuda_graphs=False)).check()
    for level, split, text, _ in parity.RUNS:
        TrainConfig(level=level).task.check()
        replace(TrainConfig(level=level).task, split=split, text=text).check()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no GPU")
def test_a_gpu_is_measured() -> None:
    device = Device("cuda")
    row = measure(TrainConfig("attention_fusion", LEVEL, ppo=TINY_PPO, device="cuda"), device, 0.0, 2, explained=True)
    assert row["peak_memory_bytes"] > 0
    for half in ("collecting", "learning"):
        assert 0 < row[half]["busy_seconds"] < row[half]["seconds"]
    names = {kernel["name"] for kernel in row["collecting"]["longest"]}
    assert names
    assert row["work"]["forward"]["flops"] > 0
    assert parity.compare(LEVEL, "All", "true", 10, 50, 30, device)["same"]


def test_the_commands_of_the_page_are_understood() -> None:
    page = (ROOT / "docs" / "performance.md").read_text()
    commands = [line.partition("benchmarks.gpu_report")[2] for line in page.splitlines() if "-m benchmarks.gpu" in line]
    assert len(commands) > 2
    for arguments in commands:
        tyro.cli(GpuReportConfig, args=arguments.partition("#")[0].split()).check()
