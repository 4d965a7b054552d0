"""One comparison of the engine with the reference: what both do from the same seeds, and where they differ."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from random import Random
from typing import Any

import gymnasium as gym
import numpy as np
from policies import make_policy
from reference_runs import CAUSES, OBSERVATION, Recorder, crowded_world, rules_for_tiles, thing_names

import babyaipp
from babyaipp.levels import Level, parse_env_id
from babyaipp.tiles import NONE


@dataclass(frozen=True)
class Run:
    """One comparison: a batch of worlds, from the same number of seeds."""

    env_id: str
    calls: int
    """Calls of `step`; with `starts`, of `reset` without a seed."""
    seeds: range
    starts: bool = False
    """Only starts of episodes, and these in every respect."""
    policy: str = "uniform"
    options: str = ""
    """What episodes are told to start from: "", "rules", or "world"."""
    max_steps: int | None = None
    text: str = "true"
    sentence_order: str = "canonical"
    next_step: bool = False
    device: str = "cpu"
    output: str | None = None
    """What arrays the engine gives; None: NumPy's on the CPU, tensors on CUDA."""

    def __str__(self) -> str:
        kind = f"{self.calls + 1} starts" if self.starts else f"{self.calls} {self.policy} steps"
        given = {"options": self.options, "max_steps": self.max_steps, "text": self.text}
        given |= {"sentence_order": self.sentence_order, "next_step": self.next_step}
        given |= {"device": self.device, "output": self.output}
        plain = {None, "", "true", "canonical", False, "cpu"}
        rest = "".join(f", {name}={value}" for name, value in given.items() if value not in plain)
        return f"{self.env_id}: {kind}, seeds {self.seeds.start} to {self.seeds.stop - 1}{rest}"

    @property
    def cost(self) -> float:
        """Roughly how many seconds the reference takes."""
        level, _ = parse_env_id(self.env_id)
        cells = level.width * level.height
        a_start, a_step = 2e-6 * cells * (level.num_rows * level.num_cols) ** 0.5 + 5e-4, 3e-4
        first = a_start * (20 if self.options == "world" else 1)
        return len(self.seeds) * (first + self.calls * (a_start if self.starts else a_step + a_start / 30))


# The reference


def reference(run: Run) -> tuple[np.ndarray, np.ndarray, dict[str, Any], list[list[babyaipp.World]], Counter[str]]:
    """What the reference does in a run.

    Returns:
        (calls + 1, seeds) rows; (calls, seeds) actions; the options of the first reset; with `starts`, the worlds by
        call and seed; what happened how often.
    """
    arguments = {"text": run.text, "sentence_order": run.sentence_order, "max_steps": run.max_steps}
    recorder = Recorder(run.env_id, run.next_step, **arguments)
    level = recorder.state.level
    rows = np.zeros((run.calls + 1, len(run.seeds)), recorder.dtype)
    actions = np.zeros((run.calls, len(run.seeds)), np.int64)
    given: list[Any] = []
    worlds: list[list[babyaipp.World]] = [[] for _ in range(run.calls + 1 if run.starts else 0)]
    for i, seed in enumerate(run.seeds):
        random = Random(f"{run.env_id} {run.options} {seed}")
        if run.options == "world":
            recorder.state.reset(seed=seed)
            space = recorder.state.observation_space["mission"]
            given.append(crowded_world(recorder.state.world, level, space, random))
        elif run.options == "rules":
            given.append(rules_for_tiles(level, random) if random.random() < 0.9 else None)
        options = {run.options: given[i]} if run.options and given[i] is not None else None
        recorder.reset(rows[0, i], seed, options)
        if run.starts:
            for call in range(run.calls + 1):
                if call:
                    recorder.reset(rows[call, i], None, options)
                worlds[call].append(recorder.state.world)
        else:
            column = rows[:, i].copy()
            actions[:, i] = recorder.play(column, make_policy(run.policy, recorder.state, seed))
            rows[:, i] = column
    return rows, actions, {run.options: given} if run.options else {}, worlds, recorder.counts


# The engine


class Engine:
    """The engine's side of a run, through its public interface."""

    def __init__(self, run: Run, dtype: np.dtype[Any]) -> None:
        self.level, self.split = parse_env_id(run.env_id)
        self.run = run
        self.envs = babyaipp.make_vec(
            self.level.name,
            self.split,
            len(run.seeds),
            device=run.device,
            output=run.output,
            text=run.text,
            sentence_order=run.sentence_order,
            max_steps=run.max_steps,
            autoreset_mode=gym.vector.AutoresetMode.NEXT_STEP if run.next_step else gym.vector.AutoresetMode.SAME_STEP,
        )
        self._dtype = dtype

    def reset(self, rows: np.ndarray, seeds: list[int] | None, options: dict[str, Any]) -> None:
        """Start episodes; write the call's (seeds,) rows."""
        obs, infos = self.envs.reset(seed=seeds, options=options or None)
        self._write(rows, obs, infos)

    def step(self, rows: np.ndarray, actions: np.ndarray) -> None:
        """Take a step; write the call's (seeds,) rows."""
        obs, rewards, terminations, truncations, infos = self.envs.step(self._sent(actions))
        self._write(rows, obs, infos)
        rows["reward"], rows["terminated"] = _array(rewards), _array(terminations)
        rows["truncated"] = _array(truncations)
        ended = rows["terminated"] | rows["truncated"]
        if not ended.any():
            return
        final = infos if self.run.next_step else infos["final_info"]
        rows["cause"][ended] = _cause_numbers(final["cause"])[ended]
        rows["length"][ended] = _array(infos["episode"]["l"])[ended]
        np.testing.assert_array_equal(_array(infos["_episode"]), ended)
        np.testing.assert_array_equal(_array(infos["episode"]["r"])[ended], rows["reward"][ended])
        if self.run.next_step:
            return
        np.testing.assert_array_equal(_array(infos["_final_obs"]), ended)
        rows["final_rules"][ended] = _array(final["rules"])[ended]
        for name in OBSERVATION:
            if isinstance(infos["final_obs"], dict):
                rows[f"final_{name}"][ended] = _array(infos["final_obs"][name])[ended]
            else:
                for i in np.flatnonzero(ended):
                    rows[f"final_{name}"][i] = infos["final_obs"][i][name]

    def records(self) -> np.ndarray:
        """(seeds,) the state."""
        from babyaipp.engine.state import WORLD

        return _array(self.envs.state()).view(WORLD).reshape(len(self.run.seeds))

    def _sent(self, actions: np.ndarray) -> Any:
        if self.run.device == "cpu":
            return actions
        import torch

        return torch.as_tensor(actions, device=self.run.device)

    def _write(self, rows: np.ndarray, obs: dict[str, Any], infos: dict[str, Any]) -> None:
        for name in OBSERVATION:
            rows[name] = _array(obs[name])
        rows["rules"] = _array(infos["rules"])
        records = self.records()
        for name in ("half_steps", "steps", "max_steps", "cell_steps", "color_steps", "rng"):
            rows[name] = records[name]
        rows["carried"] = records["carried"]
        for i, name in enumerate(("agent_x", "agent_y", "agent_dir")):
            rows["agent"][:, i] = records[name]
        cells = rows["seen"].shape[1]
        rows["seen"] = records["seen"][:, :cells]
        rows["tiles"] = tile_colors(records["seen"][:, :cells], records["hidden"][:, :cells])


def tile_colors(seen: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    """Minigrid's number of the colour of each tile, also of those under objects; -1: none."""
    kind = seen & 7
    under = np.where(kind >= 5, (hidden & 7).astype(np.int8) - 1, NONE)  # only objects hide tiles
    return np.where(kind == 3, seen >> 3 & 7, under).astype(np.int8)


def _array(values: Any) -> np.ndarray:
    return values.cpu().numpy() if hasattr(values, "cpu") else np.asarray(values)


def _cause_numbers(causes: Any) -> np.ndarray:
    values = _array(causes)
    return np.array([CAUSES.index(cause or "") for cause in values]) if values.dtype == object else values


# The comparison


def compare(run: Run) -> tuple[Counter[str], str | None]:
    """Run both; what happened, and the first mismatch, if there is one."""
    expected, actions, options, worlds, counts = reference(run)
    got = np.zeros_like(expected)
    engine = Engine(run, expected.dtype)
    if run.device != "cpu" or run.output == "torch":
        expected["reward"] = expected["reward"].astype(np.float32)  # as tensors are
    counts["compared starts" if run.starts else "compared calls"] += expected.size
    for call in range(run.calls + 1):
        if call == 0:
            engine.reset(got[0], list(run.seeds), options)
        elif run.starts:
            engine.reset(got[call], None, options)
        else:
            engine.step(got[call], actions[call - 1])
        for i, world in enumerate(worlds[call] if worlds else ()):
            problem = compare_start(engine, engine.records()[i : i + 1], world)
            if problem:
                return counts, f"{run}\n  seed {run.seeds[i]}, episode {call}, at its start: {problem}"
    return counts, first_difference(run, expected, got, actions)


def compare_start(engine: Engine, record: np.ndarray, world: babyaipp.World) -> str | None:
    """Compare the record of a start with the reference's `World`, both ways."""
    from babyaipp.engine.convert import record_of, world_of
    from babyaipp.engine.state import WORLD

    made = world_of(record[0], engine.level, engine.split)
    if made != world:
        fields = [name for name in vars(world) if getattr(world, name) != getattr(made, name)]
        return "".join(f"\n  {name}: expected {getattr(world, name)}, got {getattr(made, name)}" for name in fields)
    back = np.zeros(1, WORLD)
    record_of(world, engine.level, back[0])
    parts = {name: (record[0][name], back[0][name]) for name in WORLD.names or () if name not in ("rng", "text_seed")}
    count = record[0]["num_described"]
    parts["described"] = tuple(values[:count] for values in parts["described"])  # what is behind does not count
    for name, (drawn, given) in parts.items():
        if not np.array_equal(drawn, given):
            return f"record_of(world)[{name!r}]: expected {drawn}, got {given}"
    return None


def first_difference(run: Run, expected: np.ndarray, got: np.ndarray, actions: np.ndarray) -> str | None:
    """The earliest call in which the rows of the two differ, in words."""
    differs: dict[str, np.ndarray] = {}
    for name in expected.dtype.names or ():
        unequal = expected[name] != got[name]
        unequal = unequal.any(axis=tuple(range(2, unequal.ndim)))
        differs[name] = unequal & expected["whole"] if name in ("seen", "tiles") else unequal
    differs.pop("whole")
    anywhere = np.logical_or.reduce(list(differs.values()))
    if not anywhere.any():
        return None
    call, i = map(int, np.argwhere(anywhere)[0])
    ends = expected["terminated"][:call, i] | expected["truncated"][:call, i]
    episode = call if run.starts else int(ends.sum())
    begin = 0 if run.starts or not ends.any() else int(np.flatnonzero(ends)[-1]) + run.next_step  # its start
    level, split = parse_env_id(run.env_id)
    lines = [
        f"{run}",
        f"  level {level.name}, split {split}, seed {run.seeds[i]}, episode {episode}, call {call}: "
        + ("a start" if run.starts or call == 0 else f"action {actions[call - 1, i]}, the episode's {call - begin}."),
        f"  actions of the episode so far: {actions[begin:call, i].tolist()}",
        f"  {int(anywhere.any(axis=0).sum())} of {anywhere.shape[1]} seeds differ somewhere",
    ]
    for name, where in differs.items():
        if where[call, i]:
            lines.append(f"  {name}: {_difference(name, expected[name][call, i], got[name][call, i], level)}")
    return "\n".join(lines)


def _difference(name: str, expected: Any, got: Any, level: Level) -> str:
    if name in ("seen", "tiles"):
        cells = np.flatnonzero(expected != got)
        show = thing_names if name == "seen" else int
        return "; ".join(
            f"at {cell % level.width}, {cell // level.width} expected {show(expected[cell])}, got {show(got[cell])}"
            for cell in cells[:5]
        )
    if "image" in name:
        places = np.argwhere((expected != got).any(axis=2))
        return "; ".join(f"at {x}, {y} expected {expected[x, y]}, got {got[x, y]}" for x, y in places[:5].tolist())
    return f"expected {np.asarray(expected).tolist()}, got {np.asarray(got).tolist()}"
