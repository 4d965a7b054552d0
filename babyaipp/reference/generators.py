"""Minigrid's level generators, one for each name that a level row can ask for.

What Minigrid has is used as it is. Two of the original's levels have no counterpart of the same shape there
(`GoToRedBallMaze`, and `PutNext` in a maze); they are written here from Minigrid's parts. The reading levels are drawn
by `babyaipp.reading`; here it is done.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from minigrid.core.world_object import Ball, Box, Key, Wall
from minigrid.envs.babyai import goto, pickup, putnext, unlock
from minigrid.envs.babyai.core.roomgrid_level import RoomGridLevel
from minigrid.envs.babyai.core.verifier import GoToInstr, ObjDesc, PutNextInstr

from babyaipp import reading
from babyaipp.levels import OBJECT_TYPES, Level
from babyaipp.tiles import COLORS


class GoToRedBallMaze(RoomGridLevel):
    """Go to the red ball, the only object in a maze of rooms."""

    def gen_mission(self) -> None:
        self.place_agent()
        self.connect_all()
        column = self._rand_int(0, self.num_cols)
        row = self._rand_int(0, self.num_rows)
        ball, _ = self.add_object(column, row, "ball", "red")
        self.check_objs_reachable()
        self.instrs = GoToInstr(ObjDesc(ball.type, ball.color))


class PutNextMaze(RoomGridLevel):
    """Put an object next to another one, in a maze of rooms."""

    def __init__(self, num_dists: int, **kwargs: Any) -> None:
        self.num_dists = num_dists
        super().__init__(**kwargs)

    def gen_mission(self) -> None:
        self.place_agent()
        self.connect_all()
        objects = self.add_distractors(num_distractors=self.num_dists, all_unique=False)
        self.check_objs_reachable()
        move, fixed = self._rand_subset(objects, 2)
        self.instrs = PutNextInstr(ObjDesc(move.type, move.color), ObjDesc(fixed.type, fixed.color))


class Crossing(RoomGridLevel):
    """Go to the red ball on the other side of walls with two gaps each."""

    carries = False

    def __init__(self, num_walls: int, **kwargs: Any) -> None:
        self.num_walls = num_walls
        super().__init__(num_rows=1, num_cols=1, **kwargs)

    def gen_mission(self) -> None:
        plan = np.zeros((reading.SCRATCH, 1), np.int64)
        reading.draw_crossing(self.np_random, self.room_size, self.num_walls, self.carries, plan, 0)
        numbers = plan[:, 0].tolist()
        for i in range(reading.WALLS, reading.WALLS + 3 * self.num_walls, 3):
            x, *gaps = numbers[i : i + 3]
            for y in range(1, self.room_size - 1):
                if y not in gaps:
                    self.grid.set(x, y, Wall())
        self._put_agent(numbers)
        self._put_objects(numbers)

    def _put_agent(self, plan: list[int]) -> None:
        self.agent_pos = (plan[reading.AGENT_X], plan[reading.AGENT_Y])
        self.agent_dir = plan[reading.AGENT_DIR]

    def _put_objects(self, plan: list[int]) -> None:
        self.put_obj(Ball("red"), plan[reading.FAR_X], plan[reading.FAR_Y])
        self.instrs = GoToInstr(ObjDesc("ball", "red"))


class Courier(Crossing):
    """Put an object next to one on the other side of a wall with two gaps."""

    carries = True

    def _put_objects(self, plan: list[int]) -> None:
        descriptions = []
        for x in (reading.NEAR_X, reading.FAR_X):
            kind, color = divmod(plan[x + 2], len(COLORS))
            thing = (Key, Ball, Box)[kind](COLORS[color])
            assert thing.type == OBJECT_TYPES[kind]
            self.put_obj(thing, plan[x], plan[x + 1])
            descriptions.append(ObjDesc(thing.type, thing.color))
        self.instrs = PutNextInstr(*descriptions)


class Minefield(Crossing):
    """Go to the red ball in a room, or in one of two with a door between them; `floors.py` fills them with tiles."""

    def __init__(self, **kwargs: Any) -> None:
        RoomGridLevel.__init__(self, num_rows=1, **kwargs)

    def gen_mission(self) -> None:
        door_y = 0
        if self.num_cols > 1:
            # In the lowest row: elsewhere, who stands on magic floors would fall instead of going through.
            door_y = self.height - 2
            self.room_grid[0][0].door_pos[0] = (self.room_size - 1, door_y)
            self.add_door(0, 0, 0, locked=False)
        plan = np.zeros((reading.SCRATCH, 1), np.int64)
        reading.draw_field(self.np_random, self.room_size, self.num_cols, door_y, plan, 0)
        self._put_agent(plan[:, 0].tolist())
        self._put_objects(plan[:, 0].tolist())


def _rooms(level: Level) -> dict[str, Any]:
    return {"room_size": level.room_size, "num_rows": level.num_rows, "num_cols": level.num_cols}


def _maze(level: Level) -> dict[str, Any]:
    return _rooms(level) | {"num_dists": level.num_objects}


def _walls(level: Level) -> dict[str, Any]:
    return {"room_size": level.room_size, "num_walls": level.num_walls}


GENERATORS: Mapping[str, tuple[type[RoomGridLevel], Callable[[Level], dict[str, Any]]]] = MappingProxyType(
    {  # name in the level row -> class, and its arguments for a row
        "GoToRedBallNoDists": (goto.GoToRedBallNoDists, lambda level: {}),
        "GoToRedBallMaze": (GoToRedBallMaze, _rooms),
        "PutNextLocal": (
            putnext.PutNextLocal,
            lambda level: {"room_size": level.room_size, "num_objs": level.num_objects},
        ),
        "PutNext": (PutNextMaze, _maze),
        "GoTo": (goto.GoTo, _maze),
        "GoToLocal": (goto.GoToLocal, lambda level: {"room_size": level.room_size, "num_dists": level.num_objects}),
        "Unlock": (unlock.Unlock, _rooms),
        "PickupLoc": (pickup.PickupLoc, lambda level: {}),
        "GoToSeq": (goto.GoToSeq, _maze),
        "Crossing": (Crossing, _walls),
        "Courier": (Courier, _walls),
        "Minefield": (Minefield, lambda level: {"room_size": level.room_size, "num_cols": level.num_cols}),
    }
)
