"""Policies that reach the far corners of the rules, for comparing the implementations; they play the reference.

Uniform and forward-heavy actions, and an `Expert` that knows the whole world. It is no oracle: it sets off for
what the instruction speaks of, or for anything else, picks up, drops, opens and destroys things on its way, and
often does something senseless. So every instruction is fulfilled now and then, and hardly ever in the same way.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from random import Random
from typing import Any, Protocol

from babyaipp.instructions import DIRECTIONS, Position
from babyaipp.tiles import DONE, DROP, FLIPLR, FLIPUD, FORWARD, LEFT, PICKUP, RIGHT, TOGGLE, is_deadly

_FORWARD_HEAVY = (10, 10, 60, 6, 5, 7, 2)


class Policy(Protocol):
    def begin(self) -> None: ...

    def action(self) -> int: ...


class Weighted:
    """Draws actions independently."""

    def __init__(self, random: Random, weights: tuple[int, ...]) -> None:
        self._random = random
        self._weights = weights

    def begin(self) -> None:
        """An episode has begun."""

    def action(self) -> int:
        """The next action."""
        return self._random.choices(range(7), self._weights)[0]


class Expert:
    """Goes after targets in the reference environment; see the module's docstring."""

    def __init__(self, env: Any, random: Random) -> None:
        self._env = env
        self._random = random

    def begin(self) -> None:
        """An episode has begun."""
        self._route: list[Position] = []
        self._place: dict[Position, int] = {}
        self._at_target: tuple[int, ...] = ()
        self._pending: list[int] = []
        self._noise = self._random.choice((0.02, 0.05, 0.25))
        self._avoids_traps = self._random.random() < 0.9
        self._detours = self._random.choice((0, 0, 2, 5, 9))
        self._emptied: list[Position] = []
        self._spoiled: list[Position] = []  # where goals were that do not count yet

    def action(self) -> int:
        """The next action."""
        if self._random.random() < self._noise:
            return self._random.randrange(7)
        if self._pending:
            return self._pending.pop()
        here = (int(self._env.agent_pos[0]), int(self._env.agent_pos[1]))
        if here not in self._place:
            self._set_off(here)
        if here not in self._place:
            return self._random.choice((LEFT, RIGHT, FORWARD, FORWARD, TOGGLE))
        index = self._place[here] + 1
        ahead = self._route[index]
        prop = self._env._property_of(self._env._color_at(here))
        direction = DIRECTIONS.index((ahead[0] - here[0], ahead[1] - here[1]))
        at_target = index == len(self._route) - 1
        if prop == FLIPUD and not at_target:
            direction = (direction + 2) % 4
        turns = (direction - self._env.agent_dir) % 4
        if turns:
            return self._turn(turns, prop)
        if at_target:
            self._place = {}
            self._pending = list(self._at_target[::-1])
            if PICKUP in self._at_target or TOGGLE in self._at_target:
                self._emptied.append(ahead)
                if self._env.grid.get(*ahead) in _later_objects(self._env.instrs):
                    self._spoiled.append(ahead)
            return self._pending.pop() if self._pending else DONE
        thing = self._env.grid.get(*ahead)
        if thing is not None and thing.type == "door" and not thing.is_open:
            return TOGGLE
        if not _passable(thing, self._env.carrying):
            self._place = {}
        return FORWARD

    def _turn(self, turns: int, prop: int) -> int:
        wanted = LEFT if turns == 3 else RIGHT
        knows = self._random.random() < 0.9
        return (RIGHT if wanted == LEFT else LEFT) if prop == FLIPLR and knows else wanted

    def _set_off(self, here: Position) -> None:
        self._route, self._place = [], {}
        if self._detours:
            self._detours -= 1
            targets, self._at_target = self._detour(here)
        elif self._spoiled and not _later_objects(self._env.instrs) and self._random.random() < 0.7:
            targets, self._at_target = {self._spoiled.pop()}, (DONE,)
        else:
            targets, self._at_target = self._next_of_instruction()
        self._route = self._way(here, targets)
        self._place = {position: i for i, position in enumerate(self._route[:-1])}

    def _detour(self, here: Position) -> tuple[set[Position], tuple[int, ...]]:
        """Something that has nothing to do with the instruction, or that spoils it."""
        random, env = self._random, self._env
        if env.carrying is not None and env.carrying.type == "key" and random.random() < 0.5:
            doors = self._positions(lambda thing: thing.type == "door" and thing.color == env.carrying.color)
            if doors:
                return set(doors), random.choice(((TOGGLE,), (TOGGLE, TOGGLE), (TOGGLE, TOGGLE, TOGGLE)))
        if env.carrying is not None and random.random() < 0.7:
            near = [p for p in self._free_cells() if abs(p[0] - here[0]) + abs(p[1] - here[1]) < 5]
            tiles = [p for p in near if env.grid.tile_at(*p) is not None]
            chosen = tiles if tiles and random.random() < 0.7 else near
            after = random.choice(((), (TOGGLE,), (PICKUP,), (TOGGLE, PICKUP), (FORWARD,), (DROP,)))
            return set(chosen[:1] if not chosen else [random.choice(chosen)]), (DROP, *after)
        if self._emptied and random.random() < 0.4:
            return {random.choice(self._emptied[-2:])}, random.choice(((DONE,), (DONE,), (DROP,)))
        things = self._positions(lambda thing: thing.type not in ("wall", "floor"))
        if not things:
            return set(), ()
        later = _later_objects(env.instrs)
        of_later = [p for p in things if env.grid.get(*p) in later]
        if of_later and random.random() < 0.6:
            things = of_later
        position = min(random.choices(things, k=random.choice((1, 3, 10))), key=lambda p: _distance(p, here))
        if env.grid.get(*position).type == "door":
            return {position}, random.choice(((TOGGLE,), (TOGGLE, TOGGLE), (DROP,)))
        return {position}, random.choice(((PICKUP,), (PICKUP,), (PICKUP, DROP), (TOGGLE,), (PICKUP, DROP, PICKUP)))

    def _next_of_instruction(self) -> tuple[set[Position], tuple[int, ...]]:
        actions = _actions(self._env.instrs)
        instr = self._random.choice(actions)
        carrying = self._env.carrying
        if hasattr(instr, "desc_move"):
            if any(carrying is thing for thing in instr.desc_move.obj_set):
                fixed = instr.desc_fixed.obj_poss
                return {p for p in self._free_cells() if any(_distance(p, q) == 1 for q in fixed)}, (DROP,)
            wanted, action = instr.desc_move.obj_set, PICKUP
        else:
            kind = type(instr).__name__
            wanted = instr.desc.obj_set
            action = {"PickupInstr": PICKUP, "OpenInstr": TOGGLE}.get(kind, DONE)
            if action == TOGGLE:
                locked = [door.color for door in wanted if door.is_locked]
                if locked and (carrying is None or (carrying.type, carrying.color) != ("key", locked[0])):
                    wanted, action = self._things_like("key", locked[0]), PICKUP
        if action == PICKUP and carrying is not None:
            return set(self._free_cells()), (DROP,)
        return set(self._positions(lambda thing: any(thing is other for other in wanted))), (action,)

    def _things_like(self, kind: str, color: str) -> list[Any]:
        return [thing for thing in self._env.grid.grid if thing and (thing.type, thing.color) == (kind, color)]

    def _positions(self, chosen: Callable[[Any], bool]) -> list[Position]:
        width = self._env.grid.width
        return [(i % width, i // width) for i, thing in enumerate(self._env.grid.grid) if thing and chosen(thing)]

    def _free_cells(self) -> list[Position]:
        width = self._env.grid.width
        things = enumerate(self._env.grid.grid)
        return [(i % width, i // width) for i, thing in things if thing is None or thing.type == "floor"]

    def _way(self, start: Position, targets: set[Position]) -> list[Position]:
        """A shortest way to a cell beside the nearest target, the target itself at its end; empty if there is none."""
        grid, carrying = self._env.grid, self._env.carrying
        came_from: dict[Position, Position] = {start: start}
        queue = deque([start])
        turn = self._random.randrange(4)
        while queue:
            here = queue.popleft()
            for i in range(4):
                step = DIRECTIONS[(i + turn) % 4]
                there = (here[0] + step[0], here[1] + step[1])
                if there in targets and there != start:
                    way = [there, here]
                    while way[-1] != start:
                        way.append(came_from[way[-1]])
                    return way[::-1]
                if there in came_from or not _passable(grid.get(*there), carrying):
                    continue
                if self._avoids_traps and is_deadly(self._env._property_of(self._env._color_at(there))):
                    continue
                came_from[there] = here
                queue.append(there)
        return []


def make_policy(name: str, env: Any, seed: int) -> Policy:
    """A policy by its name: uniform, forward or expert."""
    random = Random(f"{name} {seed}")
    if name == "expert":
        return Expert(env, random)
    return Weighted(random, _FORWARD_HEAVY if name == "forward" else (1,) * 7)


def _actions(instr: Any) -> list[Any]:
    if hasattr(instr, "instr_a"):
        return [*_actions(instr.instr_a), *_actions(instr.instr_b)]
    return [instr]


def _later_objects(instr: Any) -> list[Any]:
    """The goals that do not count yet: what becomes of them shows only when they do."""
    kind = type(instr).__name__
    if kind not in ("BeforeInstr", "AfterInstr") or "success" in (instr.a_done, instr.b_done):
        return []
    later = _actions(instr.instr_b if kind == "BeforeInstr" else instr.instr_a)
    return [thing for action in later for thing in action.desc.obj_set]


def _passable(thing: Any, carrying: Any) -> bool:
    if thing is None or thing.can_overlap():
        return True
    if thing.type != "door":
        return False
    has_key = carrying is not None and (carrying.type, carrying.color) == ("key", thing.color)
    return not thing.is_locked or has_key


def _distance(a: Position, b: Position) -> int:
    return abs(a[0] - b[0]) + abs(a[1] - b[1])
