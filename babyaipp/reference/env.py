"""The reference environment: one of Minigrid's BabyAI levels, with floor tiles and text.

`FloorDynamics` is what BabyAI++ adds to a level of Minigrid's; `make` puts the two together for a row of the
level table. The rules themselves are in `tiles.py`, the drawing of tiles in `floors.py`, the words in
`texts.py`: this file only applies them to Minigrid's objects.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from minigrid.core.roomgrid import Room, RoomGrid
from minigrid.envs.babyai.core.roomgrid_level import RejectSampling, RoomGridLevel

from babyaipp import tiles
from babyaipp.floors import draw_rules, integers, place_floors
from babyaipp.levels import Level, get_level, get_split
from babyaipp.reading import SCRATCH, draw_balanced_rules, lay_gates, lay_patches
from babyaipp.reference.generators import GENERATORS
from babyaipp.reference.grid import FloorGrid, floor_cells, grid_of, walls_and_cells
from babyaipp.reference.instrs import instr_of, instruction_of
from babyaipp.reference.rendering import Screen, map_cells
from babyaipp.spaces import observation_space
from babyaipp.texts import (
    SENTENCE_ORDERS,
    TEXT_SEEDS,
    check_sentence_order,
    describe,
    draw_described,
    parse_text_condition,
)
from babyaipp.tiles import COLORS, HAZARD_CLASSES, NONE, PROPERTIES, TILES
from babyaipp.world import World, check_given_rules

RENDER_MODES = ("human", "rgb_array", "ansi")

_HAZARDS = np.array([HAZARD_CLASSES.index(tile.hazard) for tile in TILES])


@dataclass(frozen=True)
class _Start:
    """What `reset` was asked to start from; None: drawn."""

    rules: dict[str, str] | None = None
    world: World | None = None

    @classmethod
    def parse(cls, options: Mapping[str, Any] | None, level: Level) -> _Start:
        if options is not None and not isinstance(options, Mapping):
            raise ValueError(f"reset options must be a mapping with the keys rules or world; got {options!r}")
        options = dict(options or {})
        unknown = sorted(set(map(str, options)) - {"rules", "world"})
        if unknown:
            raise ValueError(f"unknown reset options {unknown}; allowed: rules, world")
        if len(options) > 1:
            raise ValueError("reset options 'rules' and 'world' exclude each other: a world has its own rules")
        rules, world = options.get("rules"), options.get("world")
        if rules is not None:
            rules = check_given_rules(level, rules)
        if world is not None:
            if not isinstance(world, World):
                raise ValueError(f"reset option 'world' must be a babyaipp.World; got {type(world).__name__}")
            world.validate()
            world.check_fits(level)
        return cls(rules, world)


class FloorDynamics(RoomGridLevel):
    """What the floor tiles and the text add to one of Minigrid's BabyAI levels.

    The observation is a dict: `image` (7, 7, 3) uint8, Minigrid's encoding of the cells in view, by column and
    row; `direction` int, 0 right, 1 down, 2 left, 3 up; `mission` str, the instruction; `description` str, what
    is told of the floors. `info` holds `rules` (floor colour -> property) and, at the end of an episode,
    `success` (bool) and `cause`: "success", "failure", "timeout", or the deadly property's name.

    Rules: arXiv 2004.07200, section 3, with the corrections that the README lists.

    Attributes:
        world: the start of the current episode.
        rules: floor colour -> property.
        description: what is told of them.
        half_steps: time since the start, two a step.
        last_effect: what a tile did in the last step, for people; empty if nothing.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": list(RENDER_MODES), "render_fps": 10}

    # Minigrid does not annotate what it keeps of an episode.
    grid: FloorGrid
    instrs: Any
    agent_pos: Any
    agent_dir: int
    render_mode: str | None

    world: World
    rules: dict[str, str]
    description: str

    def __init__(
        self,
        level: Level,
        split: str,
        *,
        text: str = "true",
        sentence_order: str | None = None,
        max_steps: int | None = None,
        render_mode: str | None = None,
        **kwargs: Any,
    ) -> None:
        if max_steps is not None and (type(max_steps) is not int or max_steps < 1):
            raise ValueError(f"max_steps={max_steps!r} must be an int of at least 1, or None for the level's own limit")
        if render_mode is not None and render_mode not in RENDER_MODES:
            raise ValueError(f"unknown render_mode={render_mode!r}; allowed: {', '.join(RENDER_MODES)}")
        self.level = level
        self.split = get_split(level, split)
        self.text_condition = parse_text_condition(text)
        self.sentence_order = check_sentence_order(sentence_order, level.sentence_order)
        self._allowed = level.allowed(self.split)
        self._start = _Start()
        self._screen = Screen()
        self._max_steps = max_steps
        super().__init__(max_steps=max_steps, render_mode=render_mode, **kwargs)
        self.observation_space = observation_space(level, self.text_condition, self.agent_view_size)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Start an episode.

        Args:
            seed: begin the random stream anew; None: go on with it.
            options: `{"rules": {"green": "trap"}}` sets what the floors do instead of drawing it;
                `{"world": world}` starts from exactly this `World`, its time limit and text included.

        Raises:
            ValueError: unknown options, or rules or a world that do not fit; the environment stays as it was.
        """
        self._start = _Start.parse(options, self.level)
        with self._window_at_rest():
            obs, _ = super().reset(seed=seed)
        self.half_steps = 0
        self.last_effect = ""
        self._cell_steps = 0
        self._color_steps = 0
        if self._start.world is not None:
            self.max_steps = self._start.world.max_steps
        elif self._max_steps is not None:
            self.max_steps = self._max_steps
        self.world = self._start.world or self._current_world()
        if self.render_mode == "human":
            self.render()
        return obs, {"rules": dict(self.rules)}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Take one step.

        Args:
            action: 0 left, 1 right, 2 forward, 3 pickup, 4 drop, 5 toggle, 6 done.

        Raises:
            ValueError: unknown action; the environment stays as it was.
        """
        if not self.action_space.contains(action):
            raise ValueError(f"unknown action {action!r}; allowed: integers from 0 to {tiles.DONE}")
        color = self._color_at(self.agent_pos)
        prop = self._property_of(color)
        self.half_steps += tiles.step_half_steps(prop)
        self.step_count = self.half_steps / tiles.HALF_STEPS_PER_STEP - 1  # Minigrid adds the one
        x, y = self.agent_pos
        fell = tiles.falls(prop, self._color_steps) and self._can_enter(x, y + 1)
        if fell:
            self.agent_pos = (x, y + 1)
        turned = tiles.turns_around(prop, int(action))
        if turned:
            self.agent_dir = (self.agent_dir + 2) % 4
        executed = tiles.effective_action(prop, int(action), self._cell_steps)
        half_step = tiles.step_half_steps(prop) != tiles.HALF_STEPS_PER_STEP
        changed = fell or turned or half_step or executed != action
        self.last_effect = f"{PROPERTIES[prop]}: {TILES[prop].effect}" if changed else ""
        ahead = tuple(map(int, self.front_pos))
        tile_ahead, thing_ahead = self.grid.tile_at(*ahead), self.grid.get(*ahead)
        if tile_ahead is not None and tile_ahead is not thing_ahead:
            executed = tiles.action_on_held(executed)
        elif tile_ahead is not None and executed == tiles.DROP and self.carrying is not None:
            self.grid.bare(*ahead)  # Minigrid drops an object only where there is nothing
        acted_from = tuple(self.agent_pos)

        self._fulfilled = False
        with self._window_at_rest():
            obs, reward, terminated, truncated, _ = super().step(executed)

        color_after = self._color_at(self.agent_pos)
        self._cell_steps = tiles.next_cell_steps(self._cell_steps, tuple(self.agent_pos) != acted_from)
        self._color_steps = tiles.next_color_steps(self._color_steps, color, color_after)
        prop_after = self._property_of(color_after)
        cause = ("success" if self._fulfilled else "failure") if terminated else "timeout"
        if tiles.is_deadly(prop_after):
            self.half_steps = tiles.half_steps_after(prop_after, self.half_steps, self.max_steps)
            self.step_count = self.half_steps / tiles.HALF_STEPS_PER_STEP
            reward, terminated, cause = 0.0, tiles.is_terminal(prop_after), PROPERTIES[prop_after]
            truncated = self.half_steps >= tiles.HALF_STEPS_PER_STEP * self.max_steps
            self.last_effect = f"{cause}: {TILES[prop_after].effect}"
        info: dict[str, Any] = {"rules": dict(self.rules)}
        if terminated or truncated:
            info |= {"success": cause == "success", "cause": cause}
        if self.render_mode == "human":
            self.render()
        return obs, float(reward), terminated, truncated, info

    def gen_obs(self) -> dict[str, Any]:
        """The current observation."""
        obs = super().gen_obs()
        return {
            "image": obs["image"],
            "direction": int(self.agent_dir),
            "mission": self.mission,
            "description": self.description,
        }

    def render(self) -> np.ndarray | str | None:
        """The world with its text beside it: an array (height, width, 3) uint8, a string, or a window."""
        if self.render_mode == "ansi":
            agent = (int(self.agent_pos[0]), int(self.agent_pos[1]), int(self.agent_dir))
            return self._screen.as_text(map_cells(self.grid, agent), self.status())
        if self.render_mode is None:
            return super().render()
        world = self.get_frame(self.highlight, self.tile_size, self.agent_pov)
        frame = self._screen.as_image(world, self.status())
        if self.render_mode == "rgb_array":
            return frame
        self.window = self._screen.show(frame, f"BabyAI++ {self.level.name}", self.metadata["render_fps"])
        return None

    def status(self) -> list[str]:
        """What a person should know beside the picture, a paragraph each."""
        time = self.half_steps / tiles.HALF_STEPS_PER_STEP
        carrying = f"carrying: {self.carrying.color} {self.carrying.type}" if self.carrying else ""
        return [
            f"{self.mission}.",
            self.description,
            f"time: {time:g} of {self.max_steps}",
            carrying,
            self.last_effect,
        ]

    @contextmanager
    def _window_at_rest(self) -> Iterator[None]:
        """Minigrid draws the window before the floors have had their say; it is drawn afterwards."""
        render_mode, self.render_mode = self.render_mode, None
        try:
            yield
        finally:
            self.render_mode = render_mode

    def _reward(self) -> float:
        # Minigrid asks for the reward only when the instruction is fulfilled.
        self._fulfilled = True
        return tiles.success_reward(self.half_steps, self.max_steps)

    def _gen_grid(self, width: int, height: int) -> None:
        """Make the episode's world: from the given one, or by Minigrid's generator and then the floors."""
        world = self._start.world
        if world is not None:
            self._take_over(world)
            described = [COLORS.index(color) for color in world.described]
        else:
            while True:
                self._generate(width, height)
                if self._add_floors():
                    break
            described = None
        # One draw, whatever the text condition, so that the worlds to come do not depend on it.
        text_seed = integers(self.np_random, 0, TEXT_SEEDS)
        if described is None:
            colors = sum(1 << COLORS.index(color) for color in self.rules)
            out = [NONE] * len(COLORS)
            shuffled = self.sentence_order == SENTENCE_ORDERS[1]
            count = draw_described(text_seed, colors, self.level.withheld, shuffled, out)
            described = out[:count]
        self._described = tuple(COLORS[color] for color in described)
        sentences = describe(
            text_seed,
            self.text_condition,
            self._described,
            self.rules,
            self._allowed,
            self.level.properties(self.split),
            self.level.balanced,
        )
        self.description = " ".join(sentences)

    def _generate(self, width: int, height: int) -> None:
        # As in Minigrid, draw until a sound world comes out; unlike there, without printing what was rejected.
        while True:
            try:
                RoomGrid._gen_grid(self, width, height)
                self.gen_mission()
                self.validate_instrs(self.instrs)
            except (RecursionError, RejectSampling):
                continue
            break
        self.surface = self.mission = self.instrs.surface(self)

    def _add_floors(self) -> bool:
        """Draw rules and tiles; False if there is no way to lay them."""
        allowed = np.zeros(len(COLORS), np.int64)
        for color, names in self._allowed.items():
            allowed[COLORS.index(color)] = sum(1 << PROPERTIES.index(name) for name in names)
        properties = np.full(len(COLORS), NONE)
        dynamics = self.level.dynamics
        if dynamics.num_deadly is None:
            draw_rules(self.np_random, allowed, dynamics.num_colors, self.split == "Fixed", properties)
        else:
            draw_balanced_rules(self.np_random, allowed, dynamics.num_deadly, _HAZARDS, properties)
        drawn = {COLORS[i]: PROPERTIES[prop] for i, prop in enumerate(properties) if prop != NONE}
        self._set_rules(drawn if self._start.rules is None else self._start.rules)
        cells = floor_cells(self.grid)
        grid = np.stack([cells, np.full_like(cells, NONE)])
        x, y = map(int, self.agent_pos)
        rooms = (self.room_size, self.num_cols)
        rules = self._properties
        if self.level.floors == "strewn":
            place_floors(self.np_random, grid, x, y, *rooms, self.num_rows, rules, _HAZARDS)
        elif self.level.floors == "gates":
            lay_gates(self.np_random, grid, self.room_size, rules, _HAZARDS)
        else:
            scratch = np.zeros((SCRATCH, 1), np.int64)
            direction = int(self.agent_dir)
            if not lay_patches(self.np_random, grid, x, y, direction, *rooms, allowed, rules, _HAZARDS, scratch, 0):
                return False
        self.grid = FloorGrid(self.grid, grid[1])
        return True

    def _take_over(self, world: World) -> None:
        self._set_rules(world.rules)
        self.grid = grid_of(world)
        side = self.room_size - 1
        self.room_grid = [
            [Room((column * side, row * side), (self.room_size, self.room_size)) for column in range(self.num_cols)]
            for row in range(self.num_rows)
        ]
        self.agent_pos = world.agent[:2]
        self.agent_dir = world.agent[2]
        self.instrs = instr_of(world.instruction)
        self.surface = self.mission = world.instruction_text

    def _set_rules(self, rules: Mapping[str, str]) -> None:
        self.rules = {color: rules[color] for color in COLORS if color in rules}
        self._properties = np.full(len(COLORS), NONE)
        for color, name in self.rules.items():
            self._properties[COLORS.index(color)] = PROPERTIES.index(name)

    def _current_world(self) -> World:
        walls, cells = walls_and_cells(self.grid)
        return World(
            level=self.level.name,
            split=self.split,
            width=self.width,
            height=self.height,
            room_size=self.room_size,
            max_steps=self.max_steps,
            instruction=instruction_of(self.instrs),
            rules=dict(self.rules),
            described=self._described,
            walls=walls,
            cells=cells,
            agent=(int(self.agent_pos[0]), int(self.agent_pos[1]), int(self.agent_dir)),
        )

    def _color_at(self, position: Any) -> int:
        tile = self.grid.tile_at(*position)
        return NONE if tile is None else COLORS.index(tile.color)

    def _property_of(self, color: int) -> int:
        return NONE if color == NONE else int(self._properties[color])

    def _can_enter(self, x: int, y: int) -> bool:
        thing = self.grid.get(x, y)
        return thing is None or thing.can_overlap()


@functools.cache
def _environment_class(generator: str) -> type[FloorDynamics]:
    base, _ = GENERATORS[generator]
    return type(f"{base.__name__}WithFloors", (FloorDynamics, base), {"__doc__": FloorDynamics.__doc__})


def make(level: str, split: str, **kwargs: Any) -> FloorDynamics:
    """The reference environment of a level and split; what `gymnasium.make` calls.

    Args:
        level: name of a row of the level table.
        split: "Train", "HeldOut", "All", or "Val" or "Fixed" where the level has it.
        **kwargs: `text` ("true", "lorem", "lorem_any", "shuffled_rules", "none", "paraphrase",
            "paraphrase_heldout", "contradict", "withheld=n"), `sentence_order` ("canonical", "shuffled"; None: the
            level's own), `max_steps` (int, instead of the level's own), `render_mode` ("human", "rgb_array", "ansi")
            and the other arguments of Minigrid's environments (`tile_size`, `highlight`, `agent_pov`,
            `agent_view_size`).

    Raises:
        ValueError: an argument is not one of these; the message says what is allowed.
    """
    row = get_level(level)
    _, arguments = GENERATORS[row.generator]
    return _environment_class(row.generator)(level=row, split=split, **arguments(row), **kwargs)


make.metadata = FloorDynamics.metadata  # type: ignore[attr-defined]  # gymnasium.make looks for the render modes
