"""The benchmark runs as documented and says what it measured; its figures are not judged here."""

from __future__ import annotations

import json
import re
import shlex
from collections import deque
from dataclasses import replace
from itertools import repeat
from pathlib import Path

import pytest
import tyro

from benchmarks import instructions, measurement, peers, startup, throughput

ROOT = Path(__file__).parent.parent


def run(*arguments: str) -> int:
    return throughput.main(["--quick", "--num-envs", "8", *arguments])


def test_a_run_prints_its_tables_and_writes_its_figures(tmp_path, capsys):
    file = tmp_path / "figures.json"
    sections = ["speed", "batches", "threads", "latency", "memory"]
    assert run("--levels", "GoToRedBall", "GoToSeq", "--sections", *sections, "--json", str(file)) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["figures.json"]
    figures = json.loads(file.read_text())
    assert figures["machine"]["cores"] >= 1
    assert {"numpy", "numba", "gymnasium"} <= set(figures["machine"]["versions"])
    assert [row["level"] for row in figures["speed"]] == ["GoToRedBall", "GoToSeq"]
    for row in figures["speed"]:
        for subject in ("engine", "kernel", "reference", "worlds_a_second"):
            assert row[subject]["median"] > 0
            assert row[subject]["quartile_low"] <= row[subject]["median"] <= row[subject]["quartile_high"]
        assert row["engine_over_reference"]["median"] > 0
        assert 0 <= row["ends_a_step"] < 1
    assert [row["num_envs"] for row in figures["batches"]] == [1, 4]
    assert figures["threads"]["two_over_one"]["engine"]["median"] > 0
    assert 0 < figures["latency"]["median"] <= figures["latency"]["nine_of_ten"]
    assert all(row["record_bytes"] < row["batch_bytes_a_world"] for row in figures["memory"])
    printed = capsys.readouterr().out
    for text in (
        "load average",
        "GoToSeq",
        "two threads over one",
        "a step at batch 1",
        "memory a world",
        "3.5 M, 350",
    ):
        assert text in printed


def test_the_first_step_is_timed_in_a_process_of_its_own(tmp_path, monkeypatch):
    """With compiling switched off, since that is what takes long."""
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    found = startup.first_step("GoToRedBall", 2, tmp_path)
    assert found["seconds"] > found["importing_and_making_seconds"] > 0
    assert found["notice"] is None


def test_a_failed_first_step_is_not_taken_for_a_fast_one(tmp_path):
    with pytest.raises(RuntimeError, match="GoToRedBal"):
        startup.first_step("GoToRedBal", 2, tmp_path)


def test_ratios_are_of_rounds_that_stood_side_by_side():
    def samples(*rates: float) -> list[measurement.Sample]:
        return [measurement.Sample(int(rate), 1.0, 1.0) for rate in rates]

    assert measurement.ratio(samples(100, 10, 400), samples(10, 1, 20))["median"] == 10
    assert measurement.rates(samples(1, 3, 2))["median"] == 2


def test_subjects_take_turns_in_both_orders():
    order: list[str] = []

    def call(name: str) -> int:
        order.append(name)
        return 1

    samples = measurement.in_turns({name: lambda name=name: call(name) for name in "ab"}, rounds=3, seconds=0)
    assert order == ["a", "b", "b", "a", "a", "b"]
    assert [len(each) for each in samples.values()] == [3, 3]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--levels", "GoToRedBal"], "did you mean 'GoToRedBall'"),
        (["--sections", "sped"], "unknown section 'sped'; allowed: speed, batches"),
        (["--num-envs", "0"], "num_envs=0 must be at least 1"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(arguments, message, capsys):
    assert run(*arguments) == 2
    assert message in capsys.readouterr().err


def test_a_peer_is_timed_in_a_process_of_its_own():
    result = peers.measure(peers.PEERS[0], cores=1, num_envs=1, seconds=0.2)
    assert result["steps_per_second"] > 0
    assert result["versions"]["minigrid"]


def test_a_peer_that_is_not_there_is_reported_and_no_error(monkeypatch):
    absent = replace(peers.PEERS[0], package="no-such-peer")
    monkeypatch.setattr(peers, "PEERS", (absent,))
    assert peers.run_child(absent.name, 1, 1, 0.1) == {"missing": "no-such-peer is not installed"}
    lost = peers.measure(absent, 1, 1, 0.1, python=str(ROOT / "no-such-python"))
    assert "no-such-python" in lost["missing"]
    assert "no-such-python" in throughput.peer_table([lost])


def test_the_commands_of_the_page_are_understood():
    page = (ROOT / "docs" / "performance.md").read_text()
    commands = re.findall(r"python -m benchmarks\.throughput([^\n`#]*)", page)
    assert len(commands) > 2
    for arguments in commands:
        tyro.cli(throughput.ThroughputConfig, args=shlex.split(arguments)).check()


def test_instructions_are_counted():
    """As many for a loop's second half as for its first. The loop is compiled code that allocates nothing."""

    def instructions_of(rounds: int) -> int:
        try:
            return min(instructions.count_instructions(lambda: deque(repeat(None, rounds), maxlen=0)) for _ in range(2))
        except OSError as error:
            pytest.skip(f"tracing is not allowed here: {error}")

    few, more, most = map(instructions_of, (400, 800, 1200))
    assert 1000 < most - more < 20_000
    assert most - more == pytest.approx(more - few, rel=0.2)
