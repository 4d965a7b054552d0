"""The engine as one of Gymnasium's vector environments: what its users see.

Checks what comes in, lets a driver step the worlds, hands out the arrays that it fills.
"""

from __future__ import annotations

import operator
from functools import cached_property
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.error import ClosedEnvironmentError, ResetNeeded
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from babyaipp.engine.arrays import Settings, Step
from babyaipp.engine.convert import check_max_steps, rules_row, world_of
from babyaipp.engine.devices import Cuda, Host, parse_device, parse_output
from babyaipp.engine.drive import DISABLED, NEXT_STEP, SAME_STEP
from babyaipp.engine.observe import VIEW
from babyaipp.engine.starts import Starts
from babyaipp.engine.state import LEAVE, RESET, RESET_TO_WORLD, RESET_WITH_RULES, parameters
from babyaipp.levels import LEVELS, Level, get_level, get_split
from babyaipp.spaces import image_space, text_sizes, token_space
from babyaipp.texts import check_sentence_order, parse_text_condition
from babyaipp.tiles import COLORS, DONE, NONE
from babyaipp.world import World

_ENTROPY_SEEDS = 2**63
_AUTORESET_NUMBERS = {
    AutoresetMode.SAME_STEP: SAME_STEP,
    AutoresetMode.NEXT_STEP: NEXT_STEP,
    AutoresetMode.DISABLED: DISABLED,
}


class BatchedWorlds(VectorEnv[dict[str, Any], Any, Any]):
    """Worlds of a level, stepped together by compiled code.

    The same level, split and seeds give the same episodes as Gymnasium's `SyncVectorEnv` over the reference
    environment in `TokenObservation`, bit for bit, and so do the episodes that follow without a seed.

    Observations are a dict of arrays: `image` (n, 7, 7, 3) uint8, `direction` (n,) int64, `mission`
    (n, mission_words) int32, `description` (n, sentences, sentence_words) int32. `infos` hold `rules`, (n, 6) int8:
    for each colour of `babyaipp.tiles.COLORS` the number of its property in `PROPERTIES` there, -1 if it has none.

    When episodes end, `infos` also hold `episode`, a dict of returns `r` and lengths in actions `l`; with same-step
    autoreset, as Gymnasium defines them, `final_obs`, an (n,) object array of observations, and `final_info`, a
    dict of `rules`, `success`, (n,) bool, and `cause`, (n,) of "success", "failure", "timeout" or the name of a
    deadly property; in the other modes `success` and `cause`. Masks, such as `_final_obs`, tell which environments
    they speak of. With torch all this is tensors and there after every step: `final_obs` a dict as observations
    are, `cause` numbers in `babyaipp.engine.state.CAUSES`.

    Args:
        level: name of a row of the level table, or a row.
        split: "Train", "HeldOut", "All", or "Val" or "Fixed" where the level has it.
        num_envs: how many worlds.
        device: "cpu", "cuda" or "cuda:<number>".
        output: "numpy" or "torch"; None: NumPy arrays on the CPU, tensors on CUDA, which gives no others. Rewards
            are float64, as tensors float32.
        autoreset_mode: "SameStep", "NextStep", "Disabled", or Gymnasium's `AutoresetMode`.
        num_threads: threads on the CPU; results do not depend on it.
        text: "true", "lorem", "lorem_any", "shuffled_rules", "none", "paraphrase", "paraphrase_heldout", "contradict",
            "withheld=n".
        sentence_order: "canonical" or "shuffled"; None: the level's own.
        max_steps: time limit, instead of the level's own.
        copy: what is returned may be kept. Without, the next call overwrites observations, rules, and tensors in
            `infos`.
        episode_statistics: whether infos have `episode`; Gymnasium's `RecordEpisodeStatistics` insists on adding it
            itself.
        mission_words: size of `mission`; None: the longest instruction of the level.
        sentences: rows of `description`; None: the most that the level can have.
        sentence_words: columns of `description`; None: the longest sentence of the text condition.
        render_mode: None, as the engine does not render.

    Attributes:
        level: the row of the level table.
        device: full name of the device.

    Raises:
        ValueError: an argument is not one of these; the message says what is allowed.
        RuntimeError: this machine lacks the device, or what it needs.
    """

    metadata: dict[str, Any] = {"render_modes": [], "autoreset_mode": AutoresetMode.SAME_STEP}  # noqa: RUF012

    def __init__(
        self,
        level: str | Level,
        split: str = "Train",
        num_envs: int = 1,
        *,
        device: Any = "cpu",
        output: str | None = None,
        autoreset_mode: str | AutoresetMode = AutoresetMode.SAME_STEP,
        num_threads: int = 1,
        text: str = "true",
        sentence_order: str | None = None,
        max_steps: int | None = None,
        copy: bool = True,
        episode_statistics: bool = True,
        mission_words: int | None = None,
        sentences: int | None = None,
        sentence_words: int | None = None,
        render_mode: None = None,
    ) -> None:
        for name, flag in (("copy", copy), ("episode_statistics", episode_statistics)):
            if not isinstance(flag, bool):
                raise ValueError(f"{name}={flag!r} must be True or False")
        self.level = level if isinstance(level, Level) else get_level(level)
        self.split = get_split(self.level, split)
        self.num_envs = _check_count("num_envs", num_envs)
        self.text_condition = parse_text_condition(text)
        self.sentence_order = check_sentence_order(sentence_order, self.level.sentence_order)
        self.autoreset_mode = _parse_autoreset_mode(autoreset_mode)
        self.copy = copy
        self.episode_statistics = episode_statistics
        device = parse_device(device)
        self.output = parse_output(output, device)
        self.metadata = {**type(self).metadata, "autoreset_mode": self.autoreset_mode}
        num_threads = _check_count("num_threads", num_threads)
        if max_steps is not None:
            check_max_steps("max_steps", max_steps)
        if render_mode is not None:
            raise ValueError(
                f"render_mode={render_mode!r}: the engine does not render; allowed: None, or the reference "
                "environment, by gymnasium.make_vec(..., vectorization_mode='sync')"
            )
        sizes = text_sizes(self.level, self.text_condition, mission_words, sentences, sentence_words)
        self.single_action_space = spaces.Discrete(DONE + 1)
        self.single_observation_space = spaces.Dict(
            {
                "image": image_space(VIEW),
                "direction": spaces.Discrete(4),
                "mission": token_space(sizes.mission_words),
                "description": token_space(sizes.sentences, sizes.sentence_words),
            }
        )
        settings = Settings(copy, self.autoreset_mode == AutoresetMode.SAME_STEP, episode_statistics)
        record = parameters(self.level, self.split, self.text_condition, self.sentence_order, max_steps)
        shape = (self.num_envs, *sizes)
        self._memory: Host | Cuda
        if device == "cpu":
            self._memory = Host(self.output, num_threads, shape, record, settings)
        else:
            self._memory = Cuda(device, shape, record, settings)
        self.device = self._memory.name
        self._driver: Any = self._memory.driver
        self._arrays = self._memory.arrays
        self._autoreset = _AUTORESET_NUMBERS[self.autoreset_mode]
        self._no_rules = self._memory.put(np.full((self.num_envs, len(COLORS)), NONE, np.int8))
        self._leave = self._memory.put(np.full(self.num_envs, LEAVE, np.int64))
        self._begun = False  # every world has begun an episode
        self._arguments = {
            "level": self.level.name if LEVELS.get(self.level.name) is self.level else self.level,
            "split": self.split,
            "num_envs": self.num_envs,
            "device": device,
            "output": self.output,
            "autoreset_mode": self.autoreset_mode,
            "num_threads": num_threads,
            "text": text,
            "sentence_order": sentence_order,
            "max_steps": max_steps,
            "copy": copy,
            "episode_statistics": episode_statistics,
            **sizes._asdict(),
        }

    def __reduce__(self) -> tuple[Any, ...]:
        """For `copy` and `pickle`: made anew, with the same worlds in it."""
        state = self._memory.copy() if self._begun else None
        kept = {
            name: self.__dict__[name] for name in ("spec", "_np_random", "_np_random_seed") if name in self.__dict__
        }
        return _restored, (self._arguments, state, kept)

    @cached_property
    def observation_space(self) -> spaces.Space[Any]:  # type: ignore[override]
        """The space of batched observations; made when asked for, as it is large for many worlds."""
        return batch_space(self.single_observation_space, self.num_envs)

    @cached_property
    def action_space(self) -> spaces.Space[Any]:  # type: ignore[override]
        """The space of batched actions."""
        return batch_space(self.single_action_space, self.num_envs)

    def reset(self, *, seed: Any = None, options: Any = None) -> tuple[dict[str, Any], dict[str, Any]]:
        """Begin episodes.

        Args:
            seed: an int, `seed + i` for the i-th environment, or a sequence of one int or None each: their random
                streams begin anew. The others go on; before the first reset they get seeds from `np_random`.
            options: `rules`, a mapping from floor colour to property such as `{"green": "trap"}`, instead of drawing
                them; `world`, a `World` to start from exactly, its time limit and text included; either of them one
                for all or a sequence of one or None each. `reset_mask`, (n,) bool: leave the others as they are.

        Returns:
            Observations of all environments, and infos with `rules`.

        Raises:
            ValueError: unknown options, or values that do not fit; nothing has changed then.
            ResetNeeded: a mask before all environments have been reset once.
        """
        if self.closed:
            self._refuse()
        starts = Starts.parse(seed, options, self.num_envs, self.level)
        if not self._begun and len(starts.rows) < self.num_envs:
            raise ResetNeeded("reset option 'reset_mask': first, all environments must be reset once")
        if starts.first_seed is not None:
            self._np_random, self._np_random_seed = seeding.np_random(starts.first_seed)
        seeds = starts.seeds
        if not self._begun and len(seeds) < self.num_envs:
            seeds = dict(enumerate(self.np_random.integers(_ENTROPY_SEEDS, size=self.num_envs).tolist())) | seeds
        actions = np.full(self.num_envs, LEAVE, np.int64)
        actions[starts.rows] = RESET
        actions[list(starts.rules)] = RESET_WITH_RULES
        actions[list(starts.worlds)] = RESET_TO_WORLD
        rules = np.full((self.num_envs, len(COLORS)), NONE, np.int8)
        for row, given in starts.rules.items():
            rules[row] = rules_row(given)
        self._memory.write_seeds(seeds)
        self._memory.write_worlds(starts.worlds, self.level)
        observation = self._advance(self._memory.put(actions), self._memory.put(rules))
        self._begun = True
        return observation, {"rules": self._arrays.rules()}

    def step(self, actions: Any) -> Step:
        """Take a step in every environment.

        Args:
            actions: (n,) integers: 0 left, 1 right, 2 forward, 3 pickup, 4 drop, 5 toggle, 6 done. On CUDA a tensor
                on the device; to check its values would make the CPU wait, so unknown ones become the nearest.

        Returns:
            Observations, rewards, terminations, truncations, infos.

        Raises:
            ValueError: actions of another shape, dtype or device, or unknown ones; nothing has changed then.
            ResetNeeded: before the first reset; on the CPU, also if an episode has ended and autoreset is disabled.
        """
        if not self._begun or self._autoreset == DISABLED:
            self._check_begun()
            self._check_none_ended()
        read = self._memory.read_actions(actions)
        self._driver.advance(read, self._no_rules, self._autoreset, self._arrays.renewed())
        return self._arrays.step()

    def step_some(self, actions: Any, mask: np.ndarray) -> Step:
        """As `step`, in some environments: the others stay as they are, their rewards are 0, and nothing ends there.

        On the CPU only. With autoreset disabled, those whose episode has ended may be left so until all have.

        Args:
            actions: (n,) integers, as of `step`; those of the others do not matter, but must be actions.
            mask: (n,) bool, which ones take a step.

        Raises:
            ValueError: as `step`; or a mask of another shape or dtype, or worlds on CUDA.
            ResetNeeded: before the first reset; or an episode has ended where a step is wanted.
        """
        self._check_begun()
        if not isinstance(self._memory, Host):
            raise ValueError(f"step_some: the worlds are on {self.device}; allowed: cpu")
        if mask.shape != (self.num_envs,) or mask.dtype != np.bool_:
            raise ValueError(f"mask is {mask.dtype} of shape {mask.shape}; must be bool of shape ({self.num_envs},)")
        if (self._memory.ended() & mask).any() and self._autoreset == DISABLED:
            self._check_none_ended()
        read = self._memory.read_actions(actions)
        read[~mask] = LEAVE
        self._driver.advance(read, self._no_rules, self._autoreset, self._arrays.renewed())
        return self._arrays.step()

    def observe(self) -> dict[str, Any]:
        """The current observations.

        Raises:
            ResetNeeded: before the first reset.
        """
        self._check_begun()
        return self._advance(self._leave, self._no_rules)

    def action_mask(self) -> Any:
        """Which actions may do something.

        Returns:
            (n, 7) int8: 0 where an action certainly changes nothing but the clock, whatever the rules are, judged by
            what the agent has seen and done. A row suits `single_action_space.sample`.

        Raises:
            ResetNeeded: before the first reset.
        """
        self._check_begun()
        return self._memory.action_mask()

    def state(self) -> Any:
        """A copy of all worlds, with everything that their future depends on.

        Returns:
            (n,) records `babyaipp.engine.state.WORLD`; on CUDA (n, bytes of a record) uint8 tensor.

        Raises:
            ResetNeeded: before the first reset.
        """
        self._check_begun()
        return self._memory.copy()

    def set_state(self, state: Any) -> None:
        """Put these worlds in the place of those there are: what follows is what followed on `state`.

        Worlds may be picked and repeated as the elements of any array: `state[[3] * n]` is the fourth one everywhere.

        Args:
            state: n worlds as `state` gives them, of this level and kind of device.

        Raises:
            ValueError: another kind or shape, worlds that the level cannot have, or, where autoreset is in the same
                step, that have ended; nothing has changed then.
        """
        if self.closed:
            self._refuse()
        self._memory.restore(state, self.level, with_ended=self._autoreset != SAME_STEP)
        self._begun = True

    def world(self, index: int) -> World:
        """The world of an environment: the start of the episode, right after a reset or an end.

        Later the grid and the agent as they are, for looking at (`to_ascii`): what is carried, and tiles beneath
        objects, are left out.

        Raises:
            ResetNeeded: before the first reset.
            IndexError: there is no such environment.
            TypeError: the index is not an integer.
        """
        self._check_begun()
        row = range(self.num_envs)[operator.index(index)]
        return world_of(self._memory.record(row), self.level, self.split)

    def close_extras(self, **kwargs: Any) -> None:
        """End the threads."""
        self._begun = False
        self._memory.close()

    def _advance(self, actions: Any, rules: Any) -> dict[str, Any]:
        self._driver.advance(actions, rules, self._autoreset, self._arrays.renewed())
        return self._arrays.observation()

    def _check_begun(self) -> None:
        if not self._begun:
            self._refuse()

    def _check_none_ended(self) -> None:
        rows = np.flatnonzero(self._memory.ended())
        if len(rows):
            raise ResetNeeded(
                f"the episodes of environments {rows.tolist()} have ended and autoreset is disabled: reset them, "
                "by options={'reset_mask': mask}"
            )

    def _refuse(self) -> None:
        if self.closed:
            raise ClosedEnvironmentError("the worlds have been closed")
        raise ResetNeeded("reset must be called first")


def make_vec(level: str | Level, split: str = "Train", num_envs: int = 1, **kwargs: Any) -> BatchedWorlds:
    """The engine for a level and split; what `gymnasium.make_vec` calls.

    Args:
        level: name of a row of the level table, or a row.
        split: "Train", "HeldOut", "All", or "Val" or "Fixed" where the level has it.
        num_envs: how many worlds.
        **kwargs: see `BatchedWorlds`.

    Raises:
        ValueError: an argument is unknown; the message says what is allowed.
        RuntimeError: this machine lacks the device, or what it needs.
    """
    return BatchedWorlds(level, split, num_envs, **kwargs)


def _restored(arguments: dict[str, Any], state: Any, kept: dict[str, Any]) -> BatchedWorlds:
    worlds = BatchedWorlds(**arguments)
    worlds.__dict__.update(kept)
    if state is not None:
        worlds.set_state(state)
    return worlds


def _check_count(name: str, count: Any) -> int:
    if type(count) is not int or count < 1:
        raise ValueError(f"{name}={count!r} must be an int of at least 1")
    return count


def _parse_autoreset_mode(mode: Any) -> AutoresetMode:
    try:
        return AutoresetMode(mode)
    except ValueError:
        allowed = ", ".join(known.value for known in AutoresetMode)
        raise ValueError(f"unknown autoreset_mode={mode!r}; allowed: {allowed}") from None
