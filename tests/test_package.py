"""Installing and importing: light, quiet, found by Gymnasium."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from importlib.metadata import entry_points, version
from pathlib import Path

import gymnasium as gym
import pytest
from conftest import ALL_IDS

import babyaipp

ROOT = Path(__file__).parent.parent


def run(program: str) -> str:
    """The output of a program in a fresh interpreter without a display."""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env={}, check=True)
    assert done.stderr == ""
    return done.stdout


def test_importing_is_light_and_quiet():
    heavy = ("torch", "pygame", "minigrid", "numba", "PIL", "jinja2", "pydantic", "scipy", "stable_baselines3", "tyro")
    assert run(f"import babyaipp, sys\nprint([name for name in {heavy} if name in sys.modules])") == "[]\n"


def test_playing_a_world_needs_no_torch():
    program = (
        "import babyaipp, gymnasium as gym, sys\n"
        "env = gym.make('BabyAIpp-GoTo-All-v0', render_mode='rgb_array')\n"
        "env.reset(seed=0); env.step(0); env.render()\n"
        "print('torch' in sys.modules)"
    )
    assert run(program) == "False\n"


def test_importing_registers_every_id():
    assert set(ALL_IDS) <= set(gym.registry)
    babyaipp.register_envs()  # again: changes nothing, warns of nothing


def test_ids_are_found_without_an_import_by_naming_the_module():
    assert run("import gymnasium as gym\nprint(gym.make('babyaipp:BabyAIpp-GoTo-All-v0').spec.id)").startswith(
        "BabyAIpp"
    )


def test_the_plugin_entry_point_registers_every_id():
    """Gymnasium 1.0 stopped loading these entry points; loaders that read them find all ids."""
    program = (
        "from importlib.metadata import entry_points\n"
        "import gymnasium as gym\n"
        "before = len(gym.registry)\n"
        "[e.load()() for e in entry_points(group='gymnasium.envs') if e.value.startswith('babyaipp')]\n"
        "print(len(gym.registry) - before, gym.make('BabyAIpp-GoTo-All-v0').spec.id)"
    )
    assert run(program) == f"{len(ALL_IDS)} BabyAIpp-GoTo-All-v0\n"
    assert [e.name for e in entry_points(group="gymnasium.envs") if e.value.startswith("babyaipp")] == ["__root__"]


def test_environments_can_be_made_again_from_their_spec():
    env = gym.make("BabyAIpp-GoTo-All-v0", text="lorem")
    again = gym.make(gym.envs.registration.EnvSpec.from_json(env.spec.to_json()))
    assert again.unwrapped.text_condition == env.unwrapped.text_condition


def test_the_version_is_written_once():
    assert version("babyaipp") == babyaipp.__version__
    assert f"## {babyaipp.__version__}" in (ROOT / "CHANGELOG.md").read_text()
    assert f"version: {babyaipp.__version__}" in (ROOT / "CITATION.cff").read_text()


def test_constraints_pin_every_dependency():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pinned = {
        line.split("==")[0].lower().replace("_", "-") for line in (ROOT / "constraints.txt").read_text().splitlines()
    }
    named = project["dependencies"] + [name for extra in project["optional-dependencies"].values() for name in extra]
    for requirement in named:
        name = requirement.split(">=")[0].split("[")[0]
        assert name == "babyaipp" or name in pinned
        assert "==" not in requirement


@pytest.mark.slow
def test_the_wheel_holds_the_package_only(tmp_path):
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--quiet", "--wheel-dir", str(tmp_path), str(ROOT)]
    subprocess.run(command, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    listing = subprocess.run(
        [sys.executable, "-m", "zipfile", "-l", str(wheel)], capture_output=True, text=True, check=True
    )
    tops = {line.split("/")[0] for line in listing.stdout.splitlines()[1:]}
    assert {top.split("-")[0] for top in tops} == {"babyaipp"}
    assert "babyaipp/py.typed" in listing.stdout
    data = [path for path in ROOT.glob("babyaipp/*/templates/*") if path.is_file()]
    assert len(data) >= 8
    for path in [*data, ROOT / "babyaipp" / "evaluation" / "anchors.npz"]:
        assert path.relative_to(ROOT).as_posix() in listing.stdout
