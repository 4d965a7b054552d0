"""Minigrid's level generators, one for each name that a level row can ask for.

What Minigrid has is used as it is. Two of the original's levels have no counterpart of the same shape there
(`GoToRedBallMaze`, and `PutNext` in a maze); they are written here from Minigrid's parts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from minigrid.envs.babyai import goto, pickup, putnext, unlock
from minigrid.envs.babyai.core.roomgrid_level import RoomGridLevel
from minigrid.envs.babyai.core.verifier import GoToInstr, ObjDesc, PutNextInstr

from babyaipp.levels import Level


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


def _rooms(level: Level) -> dict[str, Any]:
    return {"room_size": level.room_size, "num_rows": level.num_rows, "num_cols": level.num_cols}


def _maze(level: Level) -> dict[str, Any]:
    return _rooms(level) | {"num_dists": level.num_objects}


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
    }
)
