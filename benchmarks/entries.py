"""This repository's entries of the leaderboard, of suite `reading`: `python -m benchmarks.entries runs/reading`.

Planners and agents play by the documented commands, which are printed. Agents are trained first, one for each level and
training seed, all in the same way: they imitate the oracle (`agents.imitate --dagger`), since reinforcement learning
finds no reward on some of the levels (docs/baselines.md). What a former call has finished is not done again.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from tqdm import tqdm  # type: ignore[import-untyped]

from agents.checkpoints import SUFFIX, load_agent_file, run_name
from agents.cli import run_command, usage_errors
from babyaipp.evaluation.protocol import RANKED_SEEDS, get_suite
from babyaipp.evaluation.report import REPORT_FILE

ROOT = Path(__file__).parent.parent
AUTHORS = "The authors of BabyAI++"
SUITE = "reading"
EPISODES: Mapping[str, int] = {"MinefieldHard": 20_000}
"""Of a training, by level; else `USUAL_EPISODES`."""
USUAL_EPISODES = 40_000
_FAILED = 1
_DEMONSTRATIONS = "In training the oracle, which sees the whole world and its rules, told the right actions (DAgger)."


@dataclass(frozen=True)
class Subject:
    """Who plays."""

    title: str
    code: str
    privileged: str
    trained: bool = True
    copies: int = RANKED_SEEDS
    """Training seeds; those who always act alike have one."""
    greedy: bool = True
    """Take the likeliest actions. Who cannot read draws them: where it is torn, the likeliest ones turn about for ever,
    and on Train, too, it succeeds more often so."""

    @property
    def seeds(self) -> tuple[int, ...]:
        """From 0 on."""
        return tuple(range(self.copies))


SUBJECTS: Mapping[str, Subject] = {
    "random": Subject("Random actions", "babyaipp/evaluation/agents.py", "", trained=False, greedy=False),
    "oracle": Subject(
        "Oracle (planner)",
        "babyaipp/planners/oracle.py",
        "It sees the whole world and knows the rules of the floors.",
        trained=False,
        copies=1,
    ),
    "blind": Subject(
        "Blind (planner)",
        "babyaipp/planners/blind.py",
        "It sees the whole world, and knows how often each rule holds, but not the text.",
        trained=False,
        copies=1,
    ),
    "grounded": Subject(
        "Grounded",
        "agents/grounded.py",
        f"{_DEMONSTRATIONS} Built in: which word names which colour of the image, that descriptions speak of floors "
        "and instructions of objects, and that names of colours mean nothing else.",
    ),
    "image_only": Subject("Image only", "agents/image_only.py", _DEMONSTRATIONS, greedy=False),
    "film": Subject("FiLM", "agents/film.py", _DEMONSTRATIONS, greedy=False),
    "concat_fusion": Subject("Concatenation", "agents/concat_fusion.py", _DEMONSTRATIONS, greedy=False),
    "attention_fusion": Subject("Attention fusion", "agents/attention_fusion.py", _DEMONSTRATIONS, greedy=False),
}


@dataclass(frozen=True)
class EntriesConfig:
    """Train, evaluate and submit this repository's entries."""

    folder: Annotated[Path, tyro.conf.Positional] = Path("runs/reading")
    """Of the trainings and reports."""
    agents: tuple[str, ...] = tuple(SUBJECTS)
    """Some of them only."""
    processes: int = 2
    """At a time."""
    root: Path = ROOT / "leaderboards"
    """Folder of the boards."""
    hardware: str = "one core of a shared AMD EPYC server"
    """What a training ran on."""

    def check(self) -> None:
        """Raise ValueError, naming argument, value and what is allowed."""
        unknown = [name for name in self.agents if name not in SUBJECTS]
        if unknown:
            raise ValueError(f"agents has {unknown[0]!r}; allowed: {', '.join(SUBJECTS)}")
        if self.processes < 1:
            raise ValueError(f"processes={self.processes} must be at least 1")


def training(agent: str, level: str, seed: int, folder: Path) -> tuple[Path, list[str]]:
    """The checkpoint of an agent, and the command that makes it."""
    name = run_name(agent, level, "Train", seed)
    command = [sys.executable, "-m", "agents.imitate", "--agent", agent, "--level", level, "--seed", str(seed)]
    command += ["--dagger", "--episodes", str(EPISODES.get(level, USUAL_EPISODES)), "--evaluation-episodes", "0"]
    return folder / name / f"{name}{SUFFIX}", [*command, "--out", str(folder / name)]


def evaluation(agent: str, folder: Path) -> tuple[Path, list[str]]:
    """The report on an agent, and the command that makes it."""
    subject, out = SUBJECTS[agent], folder / f"report-{agent}"
    told = ["--agent", f"agents.{agent}:load", "--checkpoint", str(folder)] if subject.trained else ["--agent", agent]
    told += ["--suite", SUITE, "--seeds", *(str(seed) for seed in subject.seeds)]
    told += [] if subject.greedy else ["--sampled"]
    return out / REPORT_FILE, [*_babyaipp("evaluate"), *told, "--out", str(out)]


def submission(agent: str, folder: Path, root: Path, hardware: str) -> list[str]:
    """The command that makes an agent's entry of its report and its checkpoints."""
    subject = SUBJECTS[agent]
    report = evaluation(agent, folder)[0].parent
    told = ["--name", agent.replace("_", "-"), "--title", subject.title, "--authors", AUTHORS, "--code", subject.code]
    files = [training(agent, level, seed, folder)[0] for seed in subject.seeds for level in get_suite(SUITE).levels]
    sizes = [_size(file) for file in files] if subject.trained else [(0, 0)]
    told += ["--parameters", str(max(size for size, _ in sizes)), "--frames", str(max(frames for _, frames in sizes))]
    told += ["--hardware", hardware if subject.trained else "none: it is not trained"]
    told += ["--privileged", subject.privileged] if subject.privileged else []
    told += ["--checkpoint", *map(str, files)] if subject.trained else []
    commit = _commit()
    told += ["--commit", commit] if commit else []
    return [*_babyaipp("leaderboard", "submit"), str(report), *told, "--root", str(root), "--overwrite"]


def make_entries(config: EntriesConfig) -> int:
    """Do what is left; returns the exit status."""
    with usage_errors():
        config.check()
    config.folder.mkdir(parents=True, exist_ok=True)
    trained = [agent for agent in config.agents if SUBJECTS[agent].trained]
    trainings = [
        training(agent, level, seed, config.folder)
        for seed in range(RANKED_SEEDS)
        for agent in trained
        for level in get_suite(SUITE).levels
    ]
    try:
        _run_all("trainings", trainings, config)
        _run_all("evaluations", [evaluation(agent, config.folder) for agent in config.agents], config)
        for agent in config.agents:
            _run(submission(agent, config.folder, config.root, config.hardware), None)
    except subprocess.CalledProcessError as error:
        print(f"error: exit status {error.returncode}: {shlex.join(error.cmd)}", error.output or "", file=sys.stderr)
        return _FAILED
    return 0


def _run_all(what: str, jobs: Sequence[tuple[Path, list[str]]], config: EntriesConfig) -> None:
    """Run the commands whose file is not there yet, several at a time."""
    left = [(file, command) for file, command in jobs if not file.exists()]
    with (
        ThreadPoolExecutor(config.processes) as pool,
        tqdm(total=len(jobs), initial=len(jobs) - len(left), desc=what) as bar,
    ):
        running = [pool.submit(_run, command, file.parent.with_suffix(".log")) for file, command in left]
        try:
            for each in as_completed(running):
                each.result()
                bar.update()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _run(command: Sequence[str], log: Path | None) -> None:
    """Run a command to its end; what it prints goes to a file, if there is one."""
    tqdm.write(f"$ {shlex.join(command)}", file=sys.stderr)
    if log is None:
        subprocess.run(command, check=True)
        return
    with log.open("w") as out:
        try:
            subprocess.run(command, check=True, stdout=out, stderr=subprocess.STDOUT)
        except subprocess.CalledProcessError as error:
            error.output = f"\nsee {log}"
            raise


def _babyaipp(*arguments: str) -> list[str]:
    """The command `babyaipp` of this Python."""
    return [sys.executable, "-m", "babyaipp", *arguments]


def _commit() -> str | None:
    """Git's name of the code that is here, if nothing of it was changed since."""
    git = ["git", "-C", str(ROOT)]
    try:
        changed = subprocess.run(
            [*git, "diff", "--quiet", "HEAD", "--", "agents", "babyaipp", "benchmarks"], check=False
        )
        found = subprocess.run([*git, "rev-parse", "HEAD"], check=False, capture_output=True, text=True)
    except FileNotFoundError:
        return None
    return found.stdout.strip() if changed.returncode == 0 and found.returncode == 0 else None


def _size(file: Path) -> tuple[int, int]:
    """Parameters and frames of a trained agent."""
    trained = load_agent_file(file)
    return trained.parameters, int(trained.training["frames"])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    return run_command(EntriesConfig, make_entries, arguments)


if __name__ == "__main__":
    sys.exit(main())
