"""This repository's entries of the leaderboard, by the documented commands, which are printed.

    python -m benchmarks.entries runs/reading                                  # suite reading, taught by the oracle
    python -m benchmarks.entries runs/baselines --sweep sweeps/baselines.toml  # what a sweep trains, by suite
    python -m benchmarks.entries runs/planners --suite classic --agents oracle blind

Without `--sweep` agents are trained first, one for each level and training seed, all in the same way: they imitate the
oracle (`agents.imitate --dagger`), since reinforcement learning finds no reward on some of the levels
(docs/baselines.md). With it they are those of `agents.sweep`; an entry then has the levels of its suite that the sweep
has. What a former call has finished is not done again.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import tyro
from tqdm import tqdm  # type: ignore[import-untyped]

from agents.checkpoints import SUFFIX, load_agent_file, run_name
from agents.cli import run_command, usage_errors
from agents.sweeps.plan import Plan, read_plan
from agents.sweeps.work import result_of
from babyaipp.evaluation.protocol import RANKED_SEEDS, SUITES, get_suite
from babyaipp.evaluation.report import REPORT_FILE

ROOT = Path(__file__).parent.parent
AUTHORS = "The authors of BabyAI++"
USUAL_SUITE = "reading"
HARDWARE = "one core of a shared AMD EPYC server"
EPISODES: Mapping[str, int] = {"MinefieldHard": 20_000}
"""Of a training by imitation, by level; else `USUAL_EPISODES`."""
USUAL_EPISODES = 40_000
_FAILED = 1
_DEMONSTRATIONS = "In training the oracle, which sees the whole world and its rules, told the right actions (DAgger)."


@dataclass(frozen=True)
class Subject:
    """Who plays."""

    title: str
    code: str
    prior: str = ""
    """What it knows besides its observations."""
    trained: bool = True
    alike: bool = False
    """It always acts alike, so that one training seed is enough."""
    greedy: bool = True
    """Take the likeliest actions. Who cannot read draws them: where it is torn, the likeliest ones turn about for ever,
    and on Train, too, it succeeds more often so."""


SUBJECTS: Mapping[str, Subject] = {
    "random": Subject("Random actions", "babyaipp/evaluation/agents.py", trained=False, greedy=False),
    "oracle": Subject(
        "Oracle (planner)",
        "babyaipp/planners/oracle.py",
        "It sees the whole world and knows the rules of the floors.",
        trained=False,
        alike=True,
    ),
    "blind": Subject(
        "Blind (planner)",
        "babyaipp/planners/blind.py",
        "It sees the whole world, and knows how often each rule holds, but not the text.",
        trained=False,
        alike=True,
    ),
    "grounded": Subject(
        "Grounded",
        "agents/grounded.py",
        "Built in: which word names which colour of the image, that descriptions speak of floors "
        "and instructions of objects, and that names of colours mean nothing else.",
    ),
    "image_only": Subject("Image only", "agents/image_only.py", greedy=False),
    "film": Subject("FiLM", "agents/film.py", greedy=False),
    "concat_fusion": Subject("Concatenation", "agents/concat_fusion.py", greedy=False),
    "attention_fusion": Subject("Attention fusion", "agents/attention_fusion.py", greedy=False),
}


@dataclass(frozen=True)
class EntriesConfig:
    """Train, evaluate and submit this repository's entries."""

    folder: Annotated[Path, tyro.conf.Positional] = Path("runs/reading")
    """Of the trainings and reports."""
    agents: tuple[str, ...] = ()
    """Some of them only; by default all, or those of the sweep."""
    suite: str = USUAL_SUITE
    """What is played, without a sweep."""
    levels: tuple[str, ...] = ()
    """Some of the suite's only, without a sweep."""
    seeds: tuple[int, ...] = tuple(range(RANKED_SEEDS))
    """Of the trainings, without a sweep."""
    minutes: float | None = None
    """Of a training by imitation, at most."""
    sweep: Path | None = None
    """A .toml file: its trainings are taken instead of imitation."""
    finished: bool = False
    """Train nothing: take the levels of the sweep on which all trainings of these agents are finished."""
    tag: str | None = None
    """What the names of a sweep's entries end with, before the suite; ppo-<preset> by default."""
    processes: int = 2
    """At a time."""
    root: Path = ROOT / "leaderboards"
    """Folder of the boards."""
    hardware: str | None = None
    """What a training ran on; needed where that was a GPU, else one core of the server that ours ran on."""

    def check(self) -> None:
        """Raise ValueError, naming argument, value and what is allowed."""
        unknown = [name for name in self.agents if name not in SUBJECTS]
        if unknown:
            raise ValueError(f"agents has {unknown[0]!r}; allowed: {', '.join(SUBJECTS)}")
        if self.processes < 1:
            raise ValueError(f"processes={self.processes} must be at least 1")
        if not self.seeds:
            raise ValueError("seeds must not be empty")
        if self.minutes is not None and not self.minutes > 0:
            raise ValueError(f"minutes={self.minutes:g} must be more than 0")
        for name in ("tag", "finished"):
            if getattr(self, name) and self.sweep is None:
                raise ValueError(f"{name}={getattr(self, name)!r} is for the entries of a sweep: give --sweep, too")
        get_suite(self.suite).cells(self.levels or None)


@dataclass(frozen=True)
class Batch:
    """Entries of a suite that are made alike, one for each agent."""

    folder: Path
    suite: str
    agents: tuple[str, ...]
    levels: tuple[str, ...]
    """Of the suite."""
    seeds: tuple[int, ...]
    tag: str | None = None
    """Of a sweep; without one the oracle teaches."""
    minutes: float | None = None
    """Of a training by imitation, at most."""

    @property
    def split(self) -> str:
        """Trained on."""
        return "Fixed" if self.suite == "fixed" else "Train"

    def name(self, agent: str) -> str:
        """Of an entry."""
        parts = [agent.replace("_", "-"), self.tag, self.suite if self.suite != USUAL_SUITE else None]
        return "-".join(part for part in parts if part)

    def title(self, agent: str) -> str:
        """Of an entry, for people."""
        subject = SUBJECTS[agent]
        how = "DAgger" if self.tag is None else self.tag.replace("-", ", ").replace("ppo", "PPO")
        return f"{subject.title} ({how})" if subject.trained else subject.title

    def privileged(self, agent: str) -> str:
        """What the agent was given besides observations."""
        subject = SUBJECTS[agent]
        taught = subject.trained and self.tag is None
        return " ".join(part for part in (_DEMONSTRATIONS if taught else "", subject.prior) if part)

    def seeds_of(self, agent: str) -> tuple[int, ...]:
        """Training seeds that play."""
        return self.seeds[:1] if SUBJECTS[agent].alike else self.seeds

    def checkpoint(self, agent: str, level: str, seed: int) -> Path:
        """Where a training leaves its agent."""
        name = run_name(agent, level, self.split, seed)
        return self.folder / name / f"{name}{SUFFIX}"

    def training(self, agent: str, level: str, seed: int) -> tuple[Path, list[str]]:
        """The checkpoint of an agent that the oracle teaches, and the command that makes it."""
        file = self.checkpoint(agent, level, seed)
        command = [sys.executable, "-m", "agents.imitate", "--agent", agent, "--level", level, "--seed", str(seed)]
        command += ["--split", self.split] if self.split != "Train" else []
        command += ["--dagger", "--episodes", str(EPISODES.get(level, USUAL_EPISODES)), "--evaluation-episodes", "0"]
        command += ["--minutes", f"{self.minutes:g}"] if self.minutes is not None else []
        return file, [*command, "--out", str(file.parent)]

    def evaluation(self, agent: str) -> tuple[Path, list[str]]:
        """The report on an agent, and the command that makes it."""
        subject = SUBJECTS[agent]
        out = self.folder / ("report-" + (agent if self.suite == USUAL_SUITE else f"{agent}-{self.suite}"))
        told = ["--agent", agent]
        if subject.trained:
            told = ["--agent", f"agents.{agent}:load", "--checkpoint", str(self.folder)]
        told += ["--suite", self.suite]
        told += ["--levels", *self.levels] if self.levels != get_suite(self.suite).levels else []
        told += ["--seeds", *map(str, self.seeds_of(agent))]
        told += [] if subject.greedy else ["--sampled"]
        return out / REPORT_FILE, [*_babyaipp("evaluate"), *told, "--out", str(out)]

    def submission(self, agent: str, root: Path, hardware: str) -> list[str]:
        """The command that makes an agent's entry of its report and its checkpoints."""
        subject = SUBJECTS[agent]
        told = ["--name", self.name(agent), "--title", self.title(agent), "--authors", AUTHORS, "--code", subject.code]
        files = []
        if subject.trained:
            files = [self.checkpoint(agent, level, seed) for seed in self.seeds_of(agent) for level in self.levels]
        sizes = [_size(file) for file in files] or [(0, 0)]
        told += ["--parameters", str(max(size for size, _ in sizes)), "--frames", str(max(each for _, each in sizes))]
        told += ["--hardware", hardware if subject.trained else "none: it is not trained"]
        privileged = self.privileged(agent)
        told += ["--privileged", privileged] if privileged else []
        told += ["--checkpoint", *map(str, files)] if files else []
        commit = _commit()
        told += ["--commit", commit] if commit else []
        report = self.evaluation(agent)[0].parent
        return [*_babyaipp("leaderboard", "submit"), str(report), *told, "--root", str(root), "--overwrite"]


def batches_of_sweep(plan: Plan, folder: Path, agents: Sequence[str] = (), tag: str | None = None) -> list[Batch]:
    """The entries that the trainings of a sweep can become: one batch for each suite that has some of its levels.

    Args:
        plan: the sweep.
        folder: of its runs.
        agents: some of its agents only.
        tag: what names end with; None: that of the preset.

    Raises:
        ValueError: an agent that the sweep does not have; trainings that are not alike.
    """
    configs = [job.config for job in plan.jobs]
    there = tuple(dict.fromkeys(config.agent for config in configs))
    for name in agents:
        if name not in there:
            raise ValueError(f"agents has {name!r}, which sweep {plan.name!r} has not; allowed: {', '.join(there)}")
    alike = {(config.preset, config.split, config.text) for config in configs}
    if len(alike) > 1:
        raise ValueError(f"sweep {plan.name!r}: trainings of one entry must have the same preset, split and text")
    ((preset, split, text),) = alike
    if text != "true":
        raise ValueError(f"sweep {plan.name!r} trains with text={text!r}; allowed: 'true'")
    levels, seeds = ({getattr(config, name): None for config in configs} for name in ("level", "seed"))
    found = []
    for suite in ("fixed",) if split == "Fixed" else ("reading", "classic"):
        chosen = tuple(level for level in SUITES[suite].levels if level in levels)
        if chosen:
            found.append(Batch(folder, suite, tuple(agents) or there, chosen, tuple(seeds), tag or f"ppo-{preset}"))
    return found


def make_entries(config: EntriesConfig) -> int:
    """Do what is left; returns the exit status."""
    with usage_errors():
        config.check()
        batches = _batches(config)
    config.folder.mkdir(parents=True, exist_ok=True)
    pairs = [(batch, agent) for batch in batches for agent in batch.agents]
    try:
        if config.sweep is None:
            _run_all("trainings", _trainings(batches[0]), config)
        elif not config.finished:
            options = ["--processes", str(config.processes), "--folder", str(config.folder)]
            _run([sys.executable, "-m", "agents.sweep", str(config.sweep), *options], None)
        _run_all("evaluations", [batch.evaluation(agent) for batch, agent in pairs], config)
        for batch, agent in pairs:
            _run(batch.submission(agent, config.root, config.hardware or HARDWARE), None)
    except subprocess.CalledProcessError as error:
        print(f"error: exit status {error.returncode}: {shlex.join(error.cmd)}", error.output or "", file=sys.stderr)
        return _FAILED
    return 0


def _batches(config: EntriesConfig) -> list[Batch]:
    if config.sweep is not None:
        plan = read_plan(config.sweep, config.folder, here=False)
        if config.finished:
            plan = _finished(plan, config.agents)
        if config.hardware is None and any(job.config.device != "cpu" for job in plan.jobs):
            raise ValueError(f"sweep {plan.name!r} is trained on a GPU: tell with --hardware on which")
        return batches_of_sweep(plan, config.folder, config.agents, config.tag)
    agents = config.agents or tuple(SUBJECTS)
    levels = tuple(level for level in get_suite(config.suite).levels if level in (config.levels or (level,)))
    return [Batch(config.folder, config.suite, agents, levels, config.seeds, minutes=config.minutes)]


def _finished(plan: Plan, agents: Sequence[str]) -> Plan:
    """A sweep without the levels on which some of its agents, or of those that are given, are not trained yet."""
    asked = [job for job in plan.jobs if job.config.agent in (agents or (job.config.agent,))]
    left = {job.config.level for job in asked if result_of(job) is None}
    kept = tuple(job for job in plan.jobs if job.config.level not in left)
    if not kept:
        raise ValueError(f"sweep {plan.name!r} has finished no level in {plan.jobs[0].run.folder.parent}")
    return replace(plan, jobs=kept)


def _trainings(batch: Batch) -> list[tuple[Path, list[str]]]:
    """Checkpoints and commands of what the oracle teaches."""
    trained = [agent for agent in batch.agents if SUBJECTS[agent].trained]
    return [batch.training(agent, level, seed) for seed in batch.seeds for agent in trained for level in batch.levels]


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
