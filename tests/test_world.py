"""Worlds survive JSON and ASCII, and unsound ones are refused with a message that says why."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace

import gymnasium as gym
import pytest
from conftest import ALL_IDS

from babyaipp import World

MAP = """
## ## ## ## ## ## ## ##
## >b .. _b .. .. .. ##
## .. Kp .. _g .. .. ##
## .. .. Or .. .. .. ##
## .. .. .. .. .. .. ##
## .. .. .. .. Be .. ##
## .. .. .. .. .. .. ##
## ## ## ## ## ## ## ##
"""
RULES = {"blue": "slippery", "green": "trap"}


def nested(depth: int) -> dict:
    tree: dict = {"kind": "goto", "desc": {"type": "ball"}}
    for _ in range(depth):
        tree = {"kind": "and", "a": tree, "b": tree}
    return tree


@pytest.fixture
def data(recordings):
    row = next(row for row in recordings if row["level"] == "PutNextLocal")
    return json.loads(json.dumps(World.from_dict(row).to_dict()))


@pytest.mark.parametrize("env_id", ALL_IDS)
def test_worlds_survive_json_ascii_and_pickle(env_id):
    env = gym.make(env_id, sentence_order="shuffled").unwrapped
    for seed in range(3):
        env.reset(seed=seed)
        world = env.world
        assert World.from_dict(json.loads(json.dumps(world.to_dict()))) == world
        assert World.from_ascii(world.to_ascii()) == world
        assert pickle.loads(pickle.dumps(world)) == world
        assert World.from_dict(world.to_dict()).described == world.described


def test_a_map_alone_is_a_world():
    world = World.from_ascii(MAP, rules=RULES)
    assert (world.level, world.split, world.max_steps) == ("GoToRedBall", "All", 64)
    assert world.agent == (1, 1, 0)
    assert (1, 1, "floor", "blue", 0) in world.cells
    assert world.instruction.desc.positions == ((3, 3),)
    assert world.text == "go to the red ball. blue floors are slippery. green floors are trap. "
    assert world.to_ascii().count(">b") == 1


def test_every_kind_of_thing_can_be_drawn():
    rows = MAP.replace("Be", "/y").replace("Kp", "Dr").replace("_g", "Lb")
    world = World.from_ascii(rows, rules={"blue": "trap"})
    states = {cell[2:] for cell in world.cells}
    assert {("door", "yellow", 0), ("door", "red", 1), ("door", "blue", 2)} <= states
    assert World.from_ascii(world.to_ascii()) == world


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.pop("walls"), "missing keys: walls"),
        (lambda d: d.update(color=1), "unknown keys: color"),
        (lambda d: d.update(level="GoToX"), "unknown level 'GoToX'"),
        (lambda d: d.update(split="Fixd"), "unknown split 'Fixd' of level PutNextLocal; allowed: Train"),
        (lambda d: d.update(width=9), "9 x 8 cells with rooms of 8 do not fit level PutNextLocal: 8 x 8"),
        (lambda d: d.update(width="8"), "width must be of type int; got '8'"),
        (lambda d: d.update(max_steps=0), "max_steps must be at least 1; got 0"),
        (lambda d: d.update(agent=[0, 0, 0]), "agent at 0, 0 must stand on an empty cell or a tile"),
        (lambda d: d.update(agent=[-1, 3, 0]), "agent at -1, 3 must stand"),
        (lambda d: d.update(agent=[4, 4]), r"agent must hold \[int, int, int\]; got \[4, 4\]"),
        (lambda d: d["agent"].__setitem__(2, 4), "direction 4 must be 0 right, 1 down"),
        (lambda d: d["walls"].pop(0), "outer cell 0, 0 must be a wall"),
        (lambda d: d["walls"].append([0, 0]), "more than one thing at 0, 0"),
        (lambda d: d["walls"].append([8, 0]), "position 8, 0 is outside of 8 x 8"),
        (lambda d: d["cells"].append([3, 9, "ball", "red", 0]), "position 3, 9 is outside"),
        (lambda d: d["cells"][0].__setitem__(2, "lava"), "unknown type and state 'lava' 0"),
        (lambda d: d["cells"][0].__setitem__(4, 3), "unknown type and state 'floor' 3"),
        (lambda d: d["cells"][0].__setitem__(3, "pink"), "unknown colour 'pink'"),
        (lambda d: d["cells"][0].__setitem__(3, "red"), "the red floor at .* has no rule"),
        (lambda d: d.update(rules={"green": "lava"}), "unknown property 'lava' of green; allowed: trap"),
        (lambda d: d.update(rules=[1]), "rules must map floor colours to properties"),
        (lambda d: d.update(text="hello"), "is not .* followed by sentences"),
        (
            lambda d: d.update(text=d["text"] + "red floors are trap. "),
            "text says 'red floors are trap.' but the rules",
        ),
        (lambda d: d.update(instruction_text="go to the red ball"), "is not 'go to the red ball. ' followed by"),
        (lambda d: d["instruction"].update(kind="jump"), "unknown kind .* allowed kinds: goto, open"),
        (lambda d: d["instruction"]["move"].update(type="door"), "unknown type 'door'; allowed: key, ball, box"),
        (lambda d: d["instruction"]["move"].update(positions=[[1, 1]]), r"the objects of .* are .*, not"),
        (lambda d: d["instruction"]["move"].update(positions=[1]), r"positions must be a list of \[int, int\]"),
        (lambda d: d["instruction"]["move"].update(positions=[["4", 1.9]]), r"positions must be a list of"),
        (lambda d: d.update(instruction=nested(3000)), "'and' cannot stand inside 'and'"),
        (lambda d: d.update(agent=[4, 4, True]), r"agent must hold \[int, int, int\]"),
        (lambda d: d["instruction"].pop("fixed"), r"missing keys \['fixed'\]"),
    ],
)
def test_unsound_json_is_refused(data, change, message):
    change(data)
    with pytest.raises(ValueError, match=message):
        World.from_dict(data)


@pytest.mark.parametrize(
    ("old", "new", "kwargs", "message"),
    [
        (">b", "..", {}, "must show one agent .*; got 0"),
        ("Kp", "^^", {}, "must show one agent .*; got 2"),
        ("Kp", "Kq", {}, "cannot read the cell 'Kq' at 2, 2; allowed: ##"),
        ("Kp", "", {}, "rows of the map must be equally long"),
        (".. ##", ".. .. ##", {}, "rows of the map must be equally long"),
        ("Or", "..", {}, "no object matches 'the red ball'"),
        ("Kp", "Or", {}, "cannot give the instruction 'go to a red ball'"),
        ("", "", {"instruction": "go to the pink ball"}, "not an object description: 'the pink ball'"),
        ("", "", {"instruction": "dance"}, "not an instruction: 'dance'"),
        ("", "", {"instruction": "go to the blue key"}, "level GoToRedBall cannot give the instruction"),
        ("", "", {"rules": {}}, "the blue floor at 1, 1 has no rule"),
        ("", "", {"max_steps": "x"}, "max_steps must be a whole number; got 'x'"),
        ("", "", {"max_steps": 2.7}, "max_steps must be a whole number; got 2.7"),
        ("", "", {"instruction": 5}, "instruction must be a string; got 5"),
        ("", "", {"level": [1]}, r"level must be a string; got \[1\]"),
        ("\n##", "\nrules: green trap, green magic\n##", {}, "'green' has two rules"),
        ("\n##", "\nrules: green trap\nuntold: green magic\n##", {"rules": None}, "told and untold"),
        ("\n##", "\nfoo: bar\n##", {}, "unknown line 'foo: bar'; allowed: level, split"),
        ("##", "", {}, "no level has 6 x 6 cells; sizes: 8 x 8"),
    ],
)
def test_unsound_maps_are_refused(old, new, kwargs, message):
    rows = MAP.replace(old, new, 1 if old not in ("##",) else -1) if old else MAP
    with pytest.raises(ValueError, match=message):
        World.from_ascii(rows, **({"rules": RULES} | kwargs))


@pytest.mark.parametrize(
    "change", [{"agent": (1.0, 1, 0)}, {"max_steps": 2.5}, {"walls": ((0.0, 0),)}, {"width": True}]
)
def test_worlds_of_other_types_are_refused_before_a_reset_changes_anything(change):
    env = gym.make("BabyAIpp-GoToRedBall-All-v0").unwrapped
    env.reset(seed=0)
    env.step(2)
    before = (env.half_steps, env.np_random.bit_generator.state, tuple(env.agent_pos))
    with pytest.raises(ValueError, match="must"):
        env.reset(options={"world": replace(env.world, **change)})
    for wrong in ({"seed": -1}, {"options": 5}, {"options": [1]}):
        with pytest.raises((ValueError, gym.error.Error)):
            env.reset(**wrong)
    assert (env.half_steps, env.np_random.bit_generator.state, tuple(env.agent_pos)) == before
