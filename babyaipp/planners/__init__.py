"""Planners: they see the whole world. `oracle` knows the rules of the floors, `blind` does not.

What one gains over the other is what there is to gain by reading.
"""

from __future__ import annotations

from babyaipp.planners.protocol import PLANNERS, Planner, ReferenceWorlds, make_planner

__all__ = ["PLANNERS", "Planner", "ReferenceWorlds", "make_planner"]
