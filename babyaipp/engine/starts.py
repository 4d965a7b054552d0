"""What `BatchedWorlds.reset` is asked for, checked as a whole before anything changes."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from babyaipp.engine.convert import check_max_steps
from babyaipp.levels import Level
from babyaipp.world import World, check_given_rules

_OPTIONS = ("rules", "world", "reset_mask")

_Checked = TypeVar("_Checked")


@dataclass(frozen=True)
class Starts:
    """How the environments of a batch begin their episodes."""

    rows: np.ndarray
    """(resets,) int64: the environments that are reset."""
    seeds: dict[int, int]
    """Of those that begin their random streams anew; the others go on with theirs."""
    first_seed: int | None
    """The one seed that the others are counted from, if there is one."""
    rules: dict[int, dict[str, str]]
    """Floor colour -> property, where it is not drawn."""
    worlds: dict[int, World]

    @classmethod
    def parse(cls, seed: Any, options: Any, num_envs: int, level: Level) -> Starts:
        """What the arguments of `reset` ask for.

        Raises:
            ValueError: an argument is unknown, of the wrong length, or does not fit the level.
        """
        if options is not None and not isinstance(options, Mapping):
            raise ValueError(f"reset options must be a mapping with the keys {', '.join(_OPTIONS)}; got {options!r}")
        options = dict(options or {})
        unknown = sorted(set(map(str, options)) - set(_OPTIONS))
        if unknown:
            raise ValueError(f"unknown reset options {unknown}; allowed: {', '.join(_OPTIONS)}")
        rows = _rows(options.get("reset_mask"), num_envs)
        seeds, first_seed = _seeds(seed, num_envs)
        rules = _each("rules", options.get("rules"), Mapping, num_envs, lambda given: check_given_rules(level, given))
        worlds = _each("world", options.get("world"), World, num_envs, lambda given: _check_world(given, level))
        if rules.keys() & worlds.keys():
            raise ValueError("reset options 'rules' and 'world' exclude each other: a world has its own rules")
        if len(rows) < num_envs:
            chosen = frozenset(rows.tolist())
            seeds, rules, worlds = _only(seeds, chosen), _only(rules, chosen), _only(worlds, chosen)
        return cls(rows, seeds, first_seed, rules, worlds)


def _rows(mask: Any, num_envs: int) -> np.ndarray:
    if mask is None:
        return np.arange(num_envs)
    if hasattr(mask, "cpu"):  # a tensor, wherever it is
        mask = mask.cpu().numpy()
    if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_ or mask.shape != (num_envs,):
        got = f"{mask.dtype} of shape {mask.shape}" if isinstance(mask, np.ndarray) else repr(mask)
        raise ValueError(f"reset option 'reset_mask' must be a bool array of shape ({num_envs},); got {got}")
    rows = np.flatnonzero(mask)
    if not len(rows):
        raise ValueError(f"reset option 'reset_mask' must be true somewhere; got {mask!r}")
    return rows


def _seeds(seed: Any, num_envs: int) -> tuple[dict[int, int], int | None]:
    """Seeds by environment, and the one that they are counted from, if any."""
    if seed is None:
        return {}, None
    if hasattr(seed, "tolist"):  # of NumPy or torch
        seed = seed.tolist()
    if isinstance(seed, Sequence) and not isinstance(seed, str | bytes):
        if len(seed) != num_envs:
            raise ValueError(f"seed: {len(seed)} seeds for {num_envs} environments; allowed: one int or None each")
        return {row: _check_seed(each) for row, each in enumerate(seed) if each is not None}, None
    first = _check_seed(seed)
    return {row: first + row for row in range(num_envs)}, first


def _check_seed(seed: Any) -> int:
    try:
        number = operator.index(seed)
    except TypeError:
        number = -1
    if number < 0 or isinstance(seed, bool):
        raise ValueError(f"seed={seed!r} must be an int of at least 0, None, or a sequence of these")
    return number


def _each(name: str, given: Any, kind: type, num_envs: int, check: Callable[[Any], _Checked]) -> dict[int, _Checked]:
    """One entry an environment, from one for all or a sequence; what is given many times is checked once."""
    if given is None:
        return {}
    if isinstance(given, kind) or not isinstance(given, list | tuple):
        return dict.fromkeys(range(num_envs), check(given))
    if len(given) != num_envs:
        raise ValueError(f"reset option {name!r}: {len(given)} entries for {num_envs} environments")
    checked: dict[int, _Checked] = {}
    by_identity: dict[int, _Checked] = {}
    for row, each in enumerate(given):
        if each is None:
            continue
        if id(each) not in by_identity:
            try:
                by_identity[id(each)] = check(each)
            except ValueError as error:
                raise ValueError(f"reset option {name!r}, environment {row}: {error}") from None
        checked[row] = by_identity[id(each)]
    return checked


def _only(entries: dict[int, _Checked], rows: frozenset[int]) -> dict[int, _Checked]:
    return {row: entry for row, entry in entries.items() if row in rows}


def _check_world(world: Any, level: Level) -> World:
    if not isinstance(world, World):
        raise ValueError(f"reset option 'world' must be a babyaipp.World; got {type(world).__name__}")
    world.validate()
    world.check_fits(level)
    check_max_steps("world: max_steps", world.max_steps)
    return world
