"""The report for people, from its JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from benchmarks.gpu.training import PHASES
from benchmarks.measurement import count_text, table

Rows = Mapping[str, Mapping[str, Any]]
"""By item, what was measured."""

_HALVES = ("collecting", "learning")
_SHOWN = 6
"""Kernels of a half of an update."""
_GOAL_FRAMES = 5e6
_GOAL_SECONDS = 60
_GOAL = ("attention_fusion", "paper")


def part_text(name: str, title: str, entries: Mapping[str, Any], card: Mapping[str, Any]) -> str:
    """A part: its title, its tables, and what was not measured.

    Args:
        name: of the part.
        title: of the part.
        entries: its items, as in the report.
        card: the items of the part `card`, for comparison.
    """
    rows = {item: entry["row"] for item, entry in entries.items() if entry["state"] == "done"}
    texts = [f"## {title}"]
    if rows:
        texts.append(_TABLES[name](rows) if name != "update" else update_text(rows, card))
    missing = [
        f"- {item}, {entry['state']}: {entry['why'].splitlines()[0]}"
        for item, entry in entries.items()
        if entry["state"] != "done"
    ]
    if missing:
        texts.append("Not measured:\n\n" + "\n".join(missing))
    return "\n\n".join(texts)


def start_table(rows: Rows) -> str:
    """Seconds of first steps."""
    return table(
        ["device", "first step, s"], [[name, f"{took:.1f}"] for row in rows.values() for name, took in row.items()]
    )


def card_table(rows: Rows) -> str:
    """Rates and costs."""
    lines = []
    for name, row in rows.items():
        if "flops_per_second" in row:
            lines.append([name, f"{count_text(row['flops_per_second'])}FLOP/s"])
        elif "bytes_per_second" in row:
            lines.append([f"{name}, read and written", f"{count_text(row['bytes_per_second'])}B/s"])
        else:
            lines.append([name, f"{row['seconds_a_launch'] * 1e6:.2f} us"])
            if "seconds_in_a_graph" in row:
                lines.append([f"{name} in a graph", f"{row['seconds_in_a_graph'] * 1e6:.2f} us"])
    return table(["what", "measured"], lines)


def parity_table(rows: Rows) -> str:
    """What was compared, and where it differed first."""
    lines = []
    for row in rows.values():
        difference = row["first_difference"]
        where = f"step {difference['step']}: {', '.join(difference['arrays'])}" if difference else ""
        lines.append(
            [
                *(row["level"], row["split"], row["text"], f"{row['steps']:,}", f"{row['episodes']:,}"),
                *("yes" if row["same"] else "NO", where, row["device"][:16]),
            ]
        )
    header = ["level", "split", "text", "steps", "episodes", "same bits", "first difference", "SHA-256 begins"]
    return table(header, lines)


def environment_table(rows: Rows) -> str:
    """Steps a second."""
    header = ["level", "worlds", "steps/s", "driver alone", "as a graph"]
    header += ["ns a step, no new worlds", "ns an observation", "ns a new world", "bytes a world"]
    lines = []
    for row in rows.values():
        driver = row.get("driver")
        told = ["-"] * 6
        if driver:
            parts = driver["nanoseconds"]
            told = [count_text(driver[name]) for name in ("steps_per_second", "graph_steps_per_second")]
            told += [f"{parts[name]:.3f}" for name in ("act_and_observe", "observe", "new_worlds")]
            told.append(f"{driver['bytes_a_world']:,.0f}")
        lines.append([row["level"], f"{row['num_envs']:,}", count_text(row["steps_per_second"]), *told])
    return table(header, lines)


def correctness_table(rows: Rows) -> str:
    """Losses on both, and errors."""
    header = ["agent", "sizes", "arithmetic", "loss, CPU", "loss, device", "value loss, CPU", "value loss, device"]
    header += ["largest error of a loss", "of the gradient", "limit", "within", "of the parameters, after an update"]
    lines = []
    for row in rows.values():
        for name, kind in row["kinds"].items():
            losses = kind["losses"]
            figures = [losses[loss][place] for loss in ("loss", "value_loss") for place in ("cpu", "device")]
            worst = max(each["error"] for each in losses.values())
            lines.append(
                [
                    *(f"`{row['agent']}`", row["preset"], name, *(f"{each:.6g}" for each in figures)),
                    *(f"{worst:.1e}", f"{kind['gradient_error']:.1e}", f"{kind['limit']:.0e}"),
                    *("yes" if kind["within"] else "NO", f"{kind['parameters_error']:.1e}"),
                ]
            )
    return table(header, lines)


def training_table(rows: Rows) -> str:
    """Frames a second, and shares of the phases."""
    header = ["agent", "sizes", "precision", "mode", "environments", "frames/s", "5 M frames, s", "an update, s"]
    header += ["first ones, s", "memory, GiB", *(f"{phase}, %" for phase in PHASES)]
    lines = []
    for row in rows.values():
        total, peak = sum(row["phases"].values()), row["peak_memory_bytes"]
        frames = row["num_envs"] * row["rollout_steps"]
        lines.append(
            [
                *(f"`{row['agent']}`", row["preset"], row["precision"], row["mode"], f"{row['num_envs']:,}"),
                *(count_text(row["frames_per_second"]), f"{_GOAL_FRAMES / row['frames_per_second']:.1f}"),
                *(f"{frames / row['frames_per_second']:.3f}", f"{sum(row['first_update_seconds']):.1f}"),
                "-" if peak is None else f"{peak / 2**30:.1f}",
                *(f"{100 * row['phases'][phase] / total:.0f}" for phase in PHASES),
            ]
        )
    return table(header, lines)


def compiled_text(rows: Rows) -> str:
    """As of training, with gaps, and how far the gradients are from those without a compiler."""
    lines = []
    for item, row in rows.items():
        for kind in row["kinds"].values():
            figures = [f"{kind[name]:.6g}" for name in ("loss", "eager_loss")]
            error = [f"{kind['gradient_error']:.1e}", f"{kind['limit']:.0e}", "yes" if kind["within"] else "NO"]
            lines.append([item, *figures, *error])
    header = ["training", "loss", "loss, eager", "error of the gradient", "limit", "within"]
    return "\n\n".join([training_table(rows), gaps_table(rows), table(header, lines)])


def gaps_table(rows: Rows) -> str:
    """How much of the halves of an update the device waits for work."""
    lines = []
    for item, row in rows.items():
        for half in _HALVES:
            entry = row[half]
            figures = [f"{entry['seconds'] * 1e3:.1f}", "-", "-"]
            if entry["kernels"]:  # else the profiler saw nothing
                waits = max(0.0, 1 - entry["busy_seconds"] / entry["seconds"])
                figures[1:] = f"{entry['busy_seconds'] * 1e3:.1f}", f"{100 * waits:.0f}"
            lines.append([item, half, *figures, f"{entry['kernels']:,}"])
    failures = {
        f"The profiler failed: {row[half]['why']}" for row in rows.values() for half in _HALVES if "why" in row[half]
    }
    header = ["training", "half", "ms", "device at work, ms", "gaps, %", "kernels"]
    return "\n\n".join([table(header, lines), *sorted(failures)])


def update_text(rows: Rows, card: Mapping[str, Any]) -> str:
    """Of each training: phases beside the card's rates, gaps, and what runs longest."""
    rates = {name: entry["row"] for name, entry in card.items() if entry["state"] == "done"}
    matrix = rates.get("matrix bf16", {}).get("flops_per_second")
    copy = rates.get("copy", {}).get("bytes_per_second")
    texts = [training_table(rows)]
    for item, row in rows.items():
        texts += [f"### {item}", _work_table(row, matrix, copy)]
    texts.append(gaps_table(rows))
    for item, row in rows.items():
        for half in _HALVES:
            shown = row[half]["longest"][:_SHOWN]
            lines = [[each["name"], f"{each['count']:,}", f"{each['seconds'] * 1e3:.2f}"] for each in shown]
            texts += [f"Longest of {half}, {item}:", table(["kernel", "times", "ms"], lines)]
    return "\n\n".join(texts)


def _work_table(row: Mapping[str, Any], matrix: float | None, copy: float | None) -> str:
    """Phases with what they do, against the rates of the card in bfloat16."""
    header = ["phase", "ms", "TFLOP", "TFLOP/s", "of the matrix rate, %", "GB", "of the copy rate, %", "floor, ms"]
    lines: list[list[str]] = []
    floors: list[float] = []
    total = {"flops": 0, "bytes": 0}
    phases = {phase: (row["phases"][phase], row["work"][phase]) for phase in PHASES}
    for _, work in phases.values():
        total = {name: total[name] + work[name] for name in total}
    for phase, (seconds, work) in (phases | {"all": (sum(row["phases"].values()), total)}).items():
        flops_share = work["flops"] / seconds / matrix if matrix and seconds else None
        bytes_share = work["bytes"] / seconds / copy if copy and seconds else None
        if phase == "all":
            floor = sum(floors) if len(floors) == len(phases) else None
        else:
            floor = max(work["flops"] / matrix, work["bytes"] / copy) if matrix and copy else None
            floors += [] if floor is None else [floor]
        lines.append(
            [
                *(phase, f"{seconds * 1e3:.2f}", f"{work['flops'] / 1e12:.4g}"),
                *(f"{work['flops'] / max(seconds, 1e-12) / 1e12:.4g}", _percent(flops_share)),
                *(f"{work['bytes'] / 1e9:.4g}", _percent(bytes_share)),
                "-" if floor is None else f"{floor * 1e3:.2f}",
            ]
        )
    return table(header, lines)


def goal_text(report: Mapping[str, Any]) -> str:
    """How long 5 million frames of the paper's attention fusion take: as trained, and at the highest rate measured."""
    agent, preset = _GOAL
    lines = []
    rows = [
        entry["row"]
        for part in ("training", "update", "compiled", "float32")
        for entry in report["parts"].get(part, {}).values()
        if entry["state"] == "done" and (entry["row"]["agent"], entry["row"]["preset"]) == _GOAL
    ]
    if rows:
        best = max(rows, key=lambda row: row["frames_per_second"])
        how = f"{best['num_envs']:,} environments, {best['epochs']} epochs, {best['precision']}, {best['mode']}"
        lines.append(f"{_GOAL_FRAMES / best['frames_per_second']:.1f} s at the highest rate measured ({how})")
    for sweep in report["trainings"].values():
        for run in sweep.get("runs", ()):
            if run["alone"] and run["frames"] >= run["asked_frames"] and (run["agent"], run["preset"]) == _GOAL:
                ppo = run["ppo"]
                how = f"{ppo['num_envs']:,} environments, {ppo['epochs']} epochs, one run alone on the device"
                told = f"{run['seconds']:.1f} s of training for {run['frames']:,} frames ({run['run']}: {how})"
                if run["frames"] >= _GOAL_FRAMES:
                    told += ", within the goal" if run["seconds"] <= _GOAL_SECONDS else ", MORE THAN THE GOAL"
                lines.append(told)
    title = f"{_GOAL_FRAMES / 1e6:.0f} M frames of `{agent}`, {preset} sizes; the goal is {_GOAL_SECONDS} s:"
    return "\n".join([title, "", *(f"- {line}" for line in lines or ["not measured yet"])])


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f}"


def trainings_text(sweeps: Mapping[str, Any]) -> str:
    """How far the trainings are, and what the finished ones reached."""
    texts = ["## Trainings"]
    for name, entry in sweeps.items():
        if "why" in entry:
            texts.append(f"{name}: {entry['why'].splitlines()[0]}")
            continue
        finished = sum(run["finished"] for run in entry["runs"])
        texts.append(f"{name}: {finished} of {entry['asked']} runs are finished")
        lines = []
        for run in entry["runs"]:
            rate = count_text(run["frames"] / run["seconds"]) if run["seconds"] else "-"
            reached = ", ".join(f"{split} {success:.3f}" for split, success in run["success"].items())
            last = f"{run['curve'][-1][2]:.3f}" if run["curve"] else "-"
            lines.append(
                [
                    *(run["run"], run["preset"], f"{run['frames']:,} of {run['asked_frames']:,}"),
                    *(f"{run['seconds']:.1f}", rate, last, reached or ("-" if run["finished"] else "not finished")),
                ]
            )
        if lines:
            header = ["run", "sizes", "frames", "s", "frames/s", "success in training", "evaluated"]
            texts.append(table(header, lines))
        texts += [f"{run} failed: {why.splitlines()[0]}" for run, why in entry.get("failures", {}).items()]
    return "\n\n".join(texts)


_TABLES: Mapping[str, Callable[[Rows], str]] = {
    "start": start_table,
    "card": card_table,
    "parity": parity_table,
    "environment": environment_table,
    "correctness": correctness_table,
    "training": training_table,
    "compiled": compiled_text,
    "float32": training_table,
}


def report_text(report: Mapping[str, Any], titles: Mapping[str, str]) -> str:
    """All of it; `titles`: of the parts, in their order."""
    device, parts = report.get("device", {}), report["parts"]
    head = f"# GPU report\n\n{device.get('name', 'unknown device')}; {report['machine']['processor']}"
    texts = [part_text(name, titles[name], parts[name], parts.get("card", {})) for name in titles if name in parts]
    if report["trainings"]:
        texts.append(trainings_text(report["trainings"]))
    return "\n\n".join([head, goal_text(report), *texts]) + "\n"
