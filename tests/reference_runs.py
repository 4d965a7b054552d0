"""What the reference does, call by call, as arrays that the engine's state and outputs can be compared with."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

import gymnasium as gym
import numpy as np
from policies import Policy

from babyaipp import World
from babyaipp.instructions import Position, parse_instruction
from babyaipp.levels import OBJECT_TYPES, Level, is_deadly_name
from babyaipp.tiles import COLORS, DROP, NONE, PICKUP, PROPERTIES, TOGGLE
from babyaipp.wrappers import TokenObservation

CAUSES = ("", "success", "failure", "timeout", *PROPERTIES)
WHOLE_EVERY = 16
"""The whole grid is compared each so many calls, besides the starts and ends of episodes."""

OBSERVATION = ("image", "direction", "mission", "description")
_TYPES = ("", "empty", "wall", "floor", "door", "key", "ball", "box")
_COLORS = ("red", "green", "blue", "purple", "yellow", "grey")  # as Minigrid numbers them


def call_dtype(env: TokenObservation) -> np.dtype[Any]:
    """What a call (a reset or a step) returns, and the state that it leaves."""
    level = env.unwrapped.level
    cells = level.width * level.height
    observation = [
        ("image", np.uint8, (7, 7, 3)),
        ("direction", np.int64),
        ("mission", np.int32, (env.mission_words,)),
        ("description", np.int32, (env.sentences, env.sentence_words)),
        ("rules", np.int8, (len(COLORS),)),
    ]
    return np.dtype(
        [
            *observation,
            *((f"final_{name}", *rest) for name, *rest in observation),  # zeros where nothing ended
            ("reward", np.float64),
            ("terminated", np.bool_),
            ("truncated", np.bool_),
            ("cause", np.uint8),
            ("length", np.int32),
            ("agent", np.int64, (3,)),
            ("carried", np.uint8),
            ("half_steps", np.int32),
            ("steps", np.int32),
            ("max_steps", np.int32),
            ("cell_steps", np.int32),
            ("color_steps", np.int32),
            ("rng", np.uint64, (5,)),
            ("whole", np.bool_),  # the grid is given, too
            ("seen", np.uint8, (cells,)),
            ("tiles", np.int8, (cells,)),  # colour, also of those under objects
        ]
    )


class Recorder:
    """Plays the reference and writes down what it does.

    Args:
        env_id: the environment.
        next_step: a call after an episode's end resets, instead of the call that ends it.
        arguments: of `gymnasium.make`.
    """

    def __init__(self, env_id: str, next_step: bool = False, **arguments: Any) -> None:
        self.env = TokenObservation(gym.make(env_id, disable_env_checker=True, **arguments).unwrapped)
        self.state: Any = self.env.unwrapped
        self.dtype = call_dtype(self.env)
        self.counts: Counter[str] = Counter()
        self._next_step = next_step
        self._steps = 0  # of the episode
        self._ended = False

    def reset(self, row: np.void, seed: int | None = None, options: dict[str, Any] | None = None) -> None:
        """Start an episode; write the call's row."""
        obs, info = self.env.reset(seed=seed, options=options)
        self._begin(row, obs, info)

    def play(self, rows: np.ndarray, policy: Policy) -> np.ndarray:
        """Play on, over the ends of episodes.

        Args:
            rows: (calls + 1,), the first of which the last reset has written; the others are written.
            policy: what plays.

        Returns:
            (calls,) int64, the actions.
        """
        policy.begin()
        actions = np.zeros(len(rows) - 1, np.int64)
        for i, row in enumerate(rows[1:]):
            if self._ended:
                actions[i] = i % 7  # passed over
                obs, info = self.env.reset()
                self._begin(row, obs, info)
                policy.begin()
                continue
            actions[i] = policy.action()
            self._step(row, rows[i], int(actions[i]), whole=i % WHOLE_EVERY == 0)
            if _ends(row) and not self._next_step:
                obs, info = self.env.reset()
                row_end = row.copy()
                self._begin(row, obs, info)
                for name in (*OBSERVATION, "rules"):
                    row[f"final_{name}"] = row_end[name]
                for name in ("reward", "terminated", "truncated", "cause", "length"):
                    row[name] = row_end[name]
                policy.begin()
            elif _ends(row):
                self._ended = True
        return actions

    def _begin(self, row: np.void, obs: dict[str, Any], info: dict[str, Any]) -> None:
        self._ended = False
        self._steps = 0
        self._texts = (self.state.mission, self.state.description)
        row["mission"], row["description"] = obs["mission"], obs["description"]
        row["rules"] = rules_row(info["rules"])
        row["rng"] = rng_words(self.state.np_random.bit_generator)
        self._observe(row, obs)
        self._look(row, whole=True)
        self.counts["episodes"] += 1
        sequence = type(self.state.instrs).__name__ if hasattr(self.state.instrs, "instr_a") else "one"
        self._kind = f"success of {sequence.removesuffix('Instr').lower()}"
        self._emptied: set[tuple[int, ...]] = set()
        self._located = any(words in self.state.mission for words in (" on your ", " in front of ", " behind you"))

    def _step(self, row: np.void, before: np.void, action: int, whole: bool) -> None:
        state = self.state
        ahead = tuple(map(int, state.front_pos))
        thing_ahead, tile_ahead = state.grid.get(*ahead), state.grid.tile_at(*ahead)
        is_door = thing_ahead is not None and thing_ahead.type == "door"
        was_door = is_door and (thing_ahead.is_open, thing_ahead.is_locked)
        carried = state.carrying
        obs, reward, terminated, truncated, info = state.step(action)
        self._steps += 1
        self.counts["steps"] += 1
        if (state.mission, state.description) != self._texts:
            raise AssertionError(f"the text changed within an episode: {self._texts}, then {state.mission!r}")
        for name in ("mission", "description", "rng"):
            row[name] = before[name]
        row["rules"] = rules_row(info["rules"])
        row["reward"], row["terminated"], row["truncated"] = reward, terminated, truncated
        if terminated or truncated:
            row["cause"] = CAUSES.index(info["cause"])
            row["length"] = self._steps
            self.counts[f"cause {info['cause']}"] += 1
            if info["success"]:
                self.counts[self._kind] += 1
                self.counts["success with a location"] += self._located
                self.counts["success and timeout at once"] += truncated
            self.counts["deadly although fulfilled"] += bool(state._fulfilled and not info["success"])
        self._observe(row, obs)
        self._look(row, whole or terminated or truncated)
        # What really happened.
        if state.last_effect:
            self.counts[f"effect {state.last_effect.partition(':')[0]}"] += 1
        if action == PICKUP and carried is None and state.carrying is not None:
            self.counts["pickup" if tile_ahead is None else "pickup from a tile"] += 1
        if action == DROP and carried is not None and state.carrying is None:
            self.counts["drop" if tile_ahead is None else "drop on a tile"] += 1
        if is_door and (thing_ahead.is_open, thing_ahead.is_locked) != was_door:
            self.counts["unlock" if was_door[1] else "close" if was_door[0] else "open"] += 1
        if thing_ahead is not None and thing_ahead.type != "floor" and state.grid.get(*ahead) in (None, tile_ahead):
            self._emptied.add(ahead)
        front = tuple(map(int, state.front_pos))
        if front in self._emptied and state.grid.get(*front) in (None, state.grid.tile_at(*front)):
            # Minigrid looks for an object that is gone where it was, until the next drop.
            known = {tuple(position) for desc in _goals(state.instrs) for position in desc.obj_poss}
            self.counts["faces where a goal was" if front in known else "faces what was emptied"] += 1
        if action == TOGGLE and thing_ahead is not None and thing_ahead.type == "box":
            destroyed = state.grid.get(*ahead) is None
            self.counts["box destroyed" if destroyed else "box on a tile not toggled"] += 1

    def _observe(self, row: np.void, obs: dict[str, Any]) -> None:
        row["image"], row["direction"] = obs["image"], obs["direction"]

    def _look(self, row: np.void, whole: bool) -> None:
        state = self.state
        row["agent"] = (*state.agent_pos, state.agent_dir)
        row["carried"] = 0 if state.carrying is None else thing_code(state.carrying)
        row["half_steps"], row["steps"], row["max_steps"] = state.half_steps, self._steps, state.max_steps
        row["cell_steps"], row["color_steps"] = state._cell_steps, state._color_steps
        row["whole"] = whole
        if whole:
            row["seen"] = [thing_code(thing) for thing in state.grid.grid]
            row["tiles"] = [NONE if tile is None else _COLORS.index(tile.color) for tile in state.grid.tiles]


_CODES = {(kind, color): _TYPES.index(kind) | i << 3 for kind in _TYPES for i, color in enumerate(_COLORS)}


def _goals(instr: Any) -> list[Any]:
    if hasattr(instr, "instr_a"):
        return _goals(instr.instr_a) + _goals(instr.instr_b)
    return [instr.desc] if type(instr).__name__ == "GoToInstr" else []


def _ends(row: np.void) -> bool:
    return bool(row["terminated"] or row["truncated"])


def thing_code(thing: Any) -> int:
    """A thing in the grid as one byte: bits 0 to 2 type, 3 to 5 colour, 6 and 7 state of a door."""
    if thing is None:
        return 1
    if thing.type == "door":
        return _CODES["door", thing.color] | (0 if thing.is_open else 2 if thing.is_locked else 1) << 6
    return _CODES[thing.type, thing.color]


def rules_row(rules: dict[str, str]) -> list[int]:
    """Property number of each colour of `tiles.COLORS`, -1: none."""
    return [PROPERTIES.index(rules[color]) if color in rules else NONE for color in COLORS]


def rng_words(bit_generator: Any) -> list[int]:
    """The state of a PCG64 as five 64-bit words; the last is the buffered half, with bit 32 if there is one."""
    state = bit_generator.state
    value, increment, low = state["state"]["state"], state["state"]["inc"], 2**64 - 1
    return [value >> 64, value & low, increment >> 64, increment & low, state["has_uint32"] << 32 | state["uinteger"]]


def random_rules(level: Level, random: Random) -> dict[str, str]:
    """Any colours with any properties, as many as the level has room for."""
    colors = random.sample(COLORS, random.randint(0, level.num_sentences))
    return {color: random.choice(PROPERTIES) for color in colors}


def rules_for_tiles(level: Level, random: Random) -> dict[str, str]:
    """Likewise, enough of them for the level's tiles."""
    while True:
        rules = random_rules(level, random)
        deadly = sum(is_deadly_name(name) for name in rules.values())
        needed_deadly, needed_harmless = level.needed_rules
        if deadly >= needed_deadly and len(rules) - deadly >= needed_harmless:
            return rules


def crowded_world(world: World, level: Level, space: gym.spaces.Space[str], random: Random) -> World:
    """A world of the level that its generator would not make: tiles, objects and doors all over, odd rules, any pose.

    Args:
        world: one that the generator made; its outer walls stay, and more or less of what is between them.
        level: its level.
        space: the level's instructions.
        random: what is drawn from.
    """
    while True:
        rules = random_rules(level, random)
        described = random.sample(sorted(rules), random.randint(0, len(rules)))
        paved, filled, doors = random.choice((0, 0.3, 0.8)), random.choice((0, 0.1, 0.4)), random.choice((0, 0.02, 0.1))
        broken, walled = random.choice(((0, 0), (0, 0), (0.3, 0.1), (1, 0)))
        colors = random.sample(COLORS, random.randint(1, 3))
        space.seed(random.randrange(2**31))
        instruction = parse_instruction(space.sample())
        kinds = {(x, y): kind for x, y, kind, _, _ in world.cells} | dict.fromkeys(world.walls, "wall")
        walls: list[Position] = []
        things: dict[Position, tuple[str, str, int]] = {}
        free: list[Position] = []
        for x in range(world.width):
            for y in range(world.height):
                kind, draw = kinds.get((x, y)), random.random()
                outer = x in (0, world.width - 1) or y in (0, world.height - 1)
                if outer or random.random() < (1 - broken if kind == "wall" else walled):
                    walls.append((x, y))
                elif kind == "door" or draw < doors:
                    things[x, y] = ("door", random.choice(colors), random.randrange(3))
                elif draw < doors + filled:
                    things[x, y] = (random.choice(OBJECT_TYPES), random.choice(colors), 0)
                else:
                    free.append((x, y))
        descs = [desc for action in instruction.actions for desc in (action.desc, action.fixed) if desc]
        if len(free) <= len(descs):
            continue
        random.shuffle(free)
        agent = (*free.pop(), random.randrange(4))
        for desc in descs:  # there is one, and no other one where the level cannot say "a"
            alike = [at for at, (kind, color, _) in things.items() if kind == desc.type and desc.color in (None, color)]
            if level.grammar.unique:
                for at in alike:
                    del things[at]
                alike = []
            if not alike:
                near = [at for at in free if abs(at[0] - agent[0]) + abs(at[1] - agent[1]) < 6]
                at = random.choice(near or free)
                free.remove(at)
                color = desc.color or random.choice(colors)
                things[at] = (desc.type, color, random.randrange(3) if desc.type == "door" else 0)
        for at in [*free, agent[:2]]:
            if rules and random.random() < paved:
                things[at] = ("floor", random.choice(sorted(rules)), 0)
        cells = tuple(sorted((*at, *thing) for at, thing in things.items()))
        made = World(
            level=level.name,
            split=world.split,
            width=level.width,
            height=level.height,
            room_size=level.room_size,
            max_steps=random.choice((3, 20, 50, world.max_steps)),
            instruction=instruction.located(cells, agent, level.room_size),
            rules=rules,
            described=tuple(described),
            walls=tuple(walls),
            cells=cells,
            agent=agent,
        )
        try:
            made.validate()
        except ValueError:  # nothing lies where the instruction says
            continue
        return made


def thing_names(code: int) -> str:
    """What the byte of `thing_code` means."""
    return f"{_TYPES[int(code) & 7]} {_COLORS[int(code) >> 3 & 7]} {int(code) >> 6}"
