"""Between Minigrid's instructions, which watch an episode, and plain trees."""

from __future__ import annotations

from typing import Any

from minigrid.envs.babyai.core import verifier

from babyaipp.instructions import Instruction, ObjectDescription

_INSTRUCTION_CLASSES: dict[str, tuple[Any, Any]] = {  # kind -> class of a sequence, or of an action
    "goto": (None, verifier.GoToInstr),
    "open": (None, verifier.OpenInstr),
    "pickup": (None, verifier.PickupInstr),
    "putnext": (None, verifier.PutNextInstr),
    "and": (verifier.AndInstr, None),
    "before": (verifier.BeforeInstr, None),
    "after": (verifier.AfterInstr, None),
}


def instruction_of(instr: verifier.Instr) -> Instruction:
    """The tree of one of Minigrid's instructions whose objects have been found."""
    for kind, (sequence, action) in _INSTRUCTION_CLASSES.items():
        if sequence is not None and isinstance(instr, sequence):
            return Instruction(kind, a=instruction_of(instr.instr_a), b=instruction_of(instr.instr_b))
        if action is not None and isinstance(instr, action):
            if kind == "putnext":
                return Instruction(kind, _description_of(instr.desc_move), _description_of(instr.desc_fixed))
            return Instruction(kind, _description_of(instr.desc))
    raise TypeError(f"unknown instruction {instr!r}")


def _description_of(desc: verifier.ObjDesc) -> ObjectDescription:
    positions = tuple((int(x), int(y)) for x, y in desc.obj_poss)
    return ObjectDescription(desc.type, desc.color, desc.loc, positions)


def instr_of(instruction: Instruction) -> verifier.Instr:
    """Minigrid's instruction for a tree; it finds its objects when its verifier is reset."""
    sequence, action = _INSTRUCTION_CLASSES[instruction.kind]
    if sequence is not None:
        assert instruction.a is not None and instruction.b is not None
        return sequence(instr_of(instruction.a), instr_of(instruction.b))
    descriptions = (instruction.desc, instruction.fixed)
    assert action is not None
    return action(*(verifier.ObjDesc(desc.type, desc.color, desc.loc) for desc in descriptions if desc is not None))
