"""Between Minigrid's instructions, which watch an episode, and plain trees."""

from __future__ import annotations

from typing import Any

from minigrid.envs.babyai.core import verifier

from babyaipp.instructions import Instruction, ObjectDescription

_ACTIONS: dict[str, Any] = {
    "goto": verifier.GoToInstr,
    "open": verifier.OpenInstr,
    "pickup": verifier.PickupInstr,
    "putnext": verifier.PutNextInstr,
}
_SEQUENCES: dict[str, Any] = {
    "and": verifier.AndInstr,
    "before": verifier.BeforeInstr,
    "after": verifier.AfterInstr,
}


def instruction_of(instr: Any) -> Instruction:
    """The tree of one of Minigrid's instructions whose objects have been found."""
    for kind, sequence in _SEQUENCES.items():
        if isinstance(instr, sequence):
            return Instruction(kind, a=instruction_of(instr.instr_a), b=instruction_of(instr.instr_b))
    if isinstance(instr, verifier.PutNextInstr):
        return Instruction("putnext", _description_of(instr.desc_move), _description_of(instr.desc_fixed))
    kind = next(kind for kind, action in _ACTIONS.items() if isinstance(instr, action))
    return Instruction(kind, _description_of(instr.desc))


def instr_of(instruction: Instruction) -> Any:
    """Minigrid's instruction for a tree; it finds its objects when its verifier is reset."""
    if instruction.a is not None and instruction.b is not None:
        return _SEQUENCES[instruction.kind](instr_of(instruction.a), instr_of(instruction.b))
    parts = (desc for desc in (instruction.desc, instruction.fixed) if desc is not None)
    return _ACTIONS[instruction.kind](*(verifier.ObjDesc(desc.type, desc.color, desc.loc) for desc in parts))


def _description_of(desc: verifier.ObjDesc) -> ObjectDescription:
    positions = tuple((int(x), int(y)) for x, y in desc.obj_poss)
    return ObjectDescription(desc.type, desc.color, desc.loc, positions)
