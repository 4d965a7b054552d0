"""Reads a sweep from TOML: level x agent x seed, with the settings of each training.

levels = ["CrossTwo"]
agents = ["grounded", "image_only"]
seeds = [1, 2, 3]
retries = 1                        # how often a run that fails is tried again
evaluate = ["Train", "HeldOut"]    # splits; none if left out
episodes = 1000                    # of the evaluation, a split

[settings]                         # of every training, named as the options of agents.train
frames = 5e6
ppo.num_envs = 256

[[overrides]]                      # for some of the runs; of several that apply, the last one counts
agent = "attention_fusion"         # level, agent or seed, or several of them: all must match
settings.preset = "paper"

[cluster]                          # for --launcher submitit; see `Cluster`
partition = "gpu"
"""

from __future__ import annotations

import math
import tomllib
import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from agents.checkpoints import run_name
from agents.registry import load_agent
from agents.runs import Run
from agents.train import GIVEN_ANEW
from agents.training.config import TrainConfig
from agents.training.ppo import PPOConfig
from babyaipp.levels import get_level, get_split, suggest

_AXES = {"levels": "level", "agents": "agent", "seeds": "seed"}
_NOT_SETTINGS = {
    **{axis: f"it is one of {plural!r}" for plural, axis in _AXES.items()},
    "out": "the sweep chooses the folders; give --folder",
    "minutes": "runs of a sweep are told apart by what they are, not by how fast the machine was; give frames",
}


@dataclass(frozen=True)
class Cluster:
    """What submitit asks a cluster for, for each run."""

    name: str = "slurm"
    """Executor of submitit: slurm, or local to try it on this machine."""
    partition: str | None = None
    gpus: int = 0
    cpus: int = 1
    memory_gb: float | None = None
    minutes: int = 240
    """A run that takes longer is put into the queue again, where it goes on."""


@dataclass(frozen=True)
class Job:
    """A run of a sweep."""

    config: TrainConfig
    """Settings, with the folder in `out`."""
    splits: tuple[str, ...]
    """To evaluate on."""
    episodes: int

    @property
    def run(self) -> Run:
        """Its folder."""
        assert self.config.out is not None
        return Run(self.config.out)

    @property
    def name(self) -> str:
        """Of the folder, such as "grounded-CrossTwo-1"."""
        return self.run.folder.name

    def asked(self) -> dict[str, Any]:
        """All that its result depends on, as JSON can hold it."""
        return {"settings": self.config.as_json(), "splits": list(self.splits), "episodes": self.episodes}


@dataclass(frozen=True)
class Plan:
    """A sweep."""

    name: str
    """Of its file."""
    jobs: tuple[Job, ...]
    retries: int = 1
    cluster: Cluster = field(default_factory=Cluster)


@dataclass(frozen=True)
class _Table:
    """The file, as it is written."""

    levels: tuple[str, ...]
    agents: tuple[str, ...]
    seeds: tuple[int, ...]
    retries: int = 1
    evaluate: tuple[str, ...] = ()
    episodes: int = 1000
    settings: dict[str, Any] = field(default_factory=dict)
    overrides: tuple[dict[str, Any], ...] = ()
    cluster: dict[str, Any] = field(default_factory=dict)


def read_plan(path: Path, folder: Path, here: bool = True) -> Plan:
    """The sweep in a file.

    Args:
        path: TOML.
        folder: where the run folders lie.
        here: whether the runs are computed on this machine, which then must have the device that they ask for.

    Raises:
        ValueError: the file cannot be read, or asks for something that makes no sense; the message says where.
    """
    if not path.is_file():
        raise ValueError(f"sweep {str(path)!r}: there is no such file")
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not TOML: {error}") from None
    try:
        return _plan(path.stem, content, folder.absolute(), here)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _plan(sweep: str, content: Mapping[str, Any], folder: Path, here: bool) -> Plan:
    table = _Table(**_typed(_Table, content, ""))
    for plural in _AXES:
        values = getattr(table, plural)
        if not values:
            raise ValueError(f"{plural} must not be empty")
        twice = sorted({str(value) for value in values if values.count(value) > 1})
        if twice:
            raise ValueError(f"{plural} has {', '.join(twice)} more than once")
    for name, least in (("retries", 0), ("episodes", 1)):
        if getattr(table, name) < least:
            raise ValueError(f"{name}={getattr(table, name)} must be at least {least}")
    for agent in table.agents:
        load_agent(agent)
    for level in table.levels:
        for split in table.evaluate:
            get_split(get_level(level), split)
    cluster = Cluster(**_typed(Cluster, table.cluster, "cluster"))
    for name, least in (("gpus", 0), ("cpus", 1), ("minutes", 1)):
        if getattr(cluster, name) < least:
            raise ValueError(f"cluster.{name}={getattr(cluster, name)} must be at least {least}")
    base = _settings(table.settings, "settings")
    overrides = [_override(each, f"overrides[{i}]", table) for i, each in enumerate(table.overrides)]
    jobs = []
    for level in table.levels:
        for agent in table.agents:
            for seed in table.seeds:
                axes: dict[str, Any] = {"level": level, "agent": agent, "seed": seed}
                settings = base
                for match, changes in overrides:
                    if match.items() <= axes.items():
                        settings = settings | changes | {"ppo": settings["ppo"] | changes["ppo"]}
                config = TrainConfig(**axes | settings | {"ppo": PPOConfig(**settings["ppo"])})
                run = run_name(agent, level, config.split, seed)
                try:
                    _check(config, here)
                except ValueError as error:
                    raise ValueError(f"run {run}: {error}") from None
                jobs.append(Job(replace(config, out=folder / run), table.evaluate, table.episodes))
    return Plan(sweep, tuple(jobs), table.retries, cluster)


def _check(config: TrainConfig, here: bool) -> None:
    if not here:  # a cluster has devices that this machine may lack
        config = replace(config, device="cpu", ppo=replace(config.ppo, cuda_graphs=False))
    config.check()


def check_folders(jobs: Sequence[Job]) -> None:
    """Raise ValueError if a folder holds a run that cannot become the one that is asked for."""
    for job in jobs:
        if not job.run.training_file().exists():
            continue
        stored, asked = job.run.read_config(), job.config.as_json()
        for name, now in asked.items():
            before = stored.get(name)
            if name == "frames" and before > now:
                raise ValueError(f"{job.run.folder} was trained with frames={before}, and frames={now} is asked for")
            if name not in GIVEN_ANEW and before != now:
                raise ValueError(
                    f"{job.run.folder} was trained with {_difference(name, before, now)} is asked for; "
                    "choose another --folder"
                )


def _difference(name: str, before: Any, now: Any) -> str:
    if isinstance(before, dict) and isinstance(now, dict):
        for key in now.keys() | before.keys():
            if before.get(key) != now.get(key):
                return _difference(f"{name}.{key}", before.get(key), now.get(key))
    return f"{name}={before!r}, and {name}={now!r}"


def _override(content: Mapping[str, Any], where: str, table: _Table) -> tuple[dict[str, Any], dict[str, Any]]:
    """Which runs it is for, and its settings."""
    known = (*_AXES.values(), "settings")
    _check_names(content, known, where)
    match = {name: value for name, value in content.items() if name != "settings"}
    for plural, axis in _AXES.items():
        if axis in match and match[axis] not in getattr(table, plural):
            raise ValueError(
                f"{where}.{axis}={match[axis]!r} is none of the {plural}: {_listed(getattr(table, plural))}"
            )
    settings = content.get("settings")
    if not isinstance(settings, dict):
        raise ValueError(f"{where} must have settings")
    return match, _settings(settings, f"{where}.settings")


def _settings(content: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Fields of `TrainConfig`; `ppo` is a dict of fields of `PPOConfig`."""
    for name in content:
        if name in _NOT_SETTINGS:
            raise ValueError(f"{where}.{name} cannot be given: {_NOT_SETTINGS[name]}")
    ppo = content.get("ppo", {})
    if not isinstance(ppo, dict):
        raise ValueError(f"{where}.ppo={ppo!r} must be a table")
    others = {name: value for name, value in content.items() if name != "ppo"}
    read = _typed(TrainConfig, others, where, known=[name for name in _names(TrainConfig) if name not in _NOT_SETTINGS])
    return read | {"ppo": _typed(PPOConfig, ppo, f"{where}.ppo")}


def _names(kind: type[Any]) -> list[str]:
    return [each.name for each in fields(kind)]


def _typed(kind: type[Any], content: Mapping[str, Any], where: str, known: Sequence[str] = ()) -> dict[str, Any]:
    """The content as arguments of a dataclass.

    Raises:
        ValueError: unknown or missing names, or values of another type.
    """
    _check_names(content, known or _names(kind), where)
    hints = get_type_hints(kind, include_extras=True)
    prefix = f"{where}." if where else ""
    read = {name: _value(value, hints[name], prefix + name) for name, value in content.items()}
    if kind is _Table:
        missing = [name for name in _AXES if name not in read]
        if missing:
            raise ValueError(f"{', '.join(missing)} must be given")
    return read


def _check_names(content: Mapping[str, Any], known: Sequence[str], where: str) -> None:
    for name in content:
        if name not in known:
            raise ValueError(f"unknown key {where + '.' if where else ''}{name}; {suggest(name, tuple(known))}")


def _value(value: Any, hint: Any, where: str) -> Any:
    """A value of TOML as a field's type has it; 5e6 is a whole number, too."""
    if get_origin(hint) is Annotated:
        hint = get_args(hint)[0]
    allowed = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    for each in allowed:
        origin = get_origin(each)
        if origin is tuple and isinstance(value, list):
            return tuple(_value(item, get_args(each)[0], f"{where}[{i}]") for i, item in enumerate(value))
        if origin is dict and isinstance(value, dict):
            return {key: _value(item, get_args(each)[1], f"{where}.{key}") for key, item in value.items()}
        if each is Any:
            return value
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            if isinstance(each, type) and isinstance(value, each) and not (isinstance(value, bool) and each is int):
                return value
        elif each is float and math.isfinite(value):
            return float(value)
        elif each is int and (isinstance(value, int) or value.is_integer()):
            return int(value)
    names = _listed(
        [_TYPE_NAMES.get(get_origin(each) or each, str(each)) for each in allowed if each is not type(None)]
    )
    raise ValueError(f"{where}={value!r} must be {names}")


_TYPE_NAMES = {
    int: "a whole number",
    float: "a number",
    str: "a string",
    bool: "true or false",
    tuple: "a list",
    dict: "a table",
    Path: "a path",
}


def _listed(values: Sequence[Any]) -> str:
    return ", ".join(map(str, values))


def arguments(config: TrainConfig, resume: bool = False) -> list[str]:
    """The command line of `agents.train` for a training; without the folder.

    Args:
        config: of the training.
        resume: to go on: then all that may have changed is named, also where it is as the default.
    """
    defaults, listed = TrainConfig(), []
    for name, value in vars(config).items():
        always, never = name in _AXES.values(), name in ("out", "ppo", "agent_options")
        always |= resume and name in GIVEN_ANEW and value is not None
        if always or (not never and value != getattr(defaults, name)):
            listed += [_option(name), str(value)]
    for name, value in vars(config.ppo).items():
        if value != getattr(defaults.ppo, name):
            if isinstance(value, bool):
                listed.append(_option(f"ppo.{'' if value else 'no-'}{name}"))
            else:
                listed += [_option(f"ppo.{name}"), str(value)]
    if config.agent_options:
        listed += [
            "--agent-options",
            *[word for item in config.agent_options.items() for word in map(str, item)],
        ]
    return listed


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")
