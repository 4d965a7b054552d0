"""What the documents say is true: their programs run, their generated parts are current, their links lead somewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ALL_IDS

from babyaipp import BatchedWorlds
from babyaipp.levels import parse_env_id
from babyaipp.planners import headroom
from babyaipp.reference.env import make
from babyaipp.texts import TEXT_CONDITIONS

ROOT = Path(__file__).parent.parent
DOCUMENTS = [
    "README.md",
    "docs/environments.md",
    "docs/engine.md",
    "docs/levels.md",
    "docs/performance.md",
    "docs/training.md",
]
PROGRAMS = [
    (document, number, program)
    for document in DOCUMENTS
    for number, program in enumerate(re.findall(r"```python\n(.*?)```", (ROOT / document).read_text(), re.DOTALL))
]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_programs_run(document, tmp_path):
    """One after the other in one namespace, as a reader would; what they write goes to a folder of its own."""
    programs = "".join(program for name, _, program in PROGRAMS if name == document)
    pytest.importorskip("stable_baselines3")
    prologue = "import warnings; warnings.simplefilter('ignore')\nimport gymnasium, babyaipp, stable_baselines3\n"
    search = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | {"PYTHONPATH": search}
    subprocess.run([sys.executable, "-c", prologue + programs], cwd=tmp_path, env=environment, check=True, timeout=600)


def test_every_text_condition_is_listed():
    for text in [ROOT.joinpath("docs/environments.md").read_text(), BatchedWorlds.__doc__, make.__doc__]:
        assert text is not None
        listed = text.partition("sentence_order")[0]
        assert all(f'"{name}"' in listed for name in TEXT_CONDITIONS)


def test_the_level_table_is_current():
    table = subprocess.run(
        [sys.executable, "-m", "babyaipp.cli", "levels", "--markdown"], capture_output=True, text=True, check=True
    ).stdout
    assert table.count("\n") > 16
    assert table in (ROOT / "README.md").read_text()


def test_the_table_of_headroom_is_current():
    """Of every id; two rows are measured anew."""
    rows = (ROOT / "docs/levels.md").read_text().partition("<!-- headroom:")[2].splitlines()
    assert [row for row in rows if row.startswith("| id ")] == headroom.header([], markdown=True).splitlines()[:1]
    assert [row.split(" | ")[0] for row in rows[3:]] == [f"| {name[9:-3]}" for name in ALL_IDS]
    for env_id in ("BabyAIpp-CrossTwo-Val-v0", "BabyAIpp-GoToRedBall-All-v0"):
        entry = headroom.measure(*parse_env_id(env_id), episodes=1000)
        assert headroom.rows(entry, [env_id], markdown=True) in rows


@pytest.mark.parametrize("document", [*DOCUMENTS, "CONTRIBUTING.md", "CHANGELOG.md"])
def test_paths_exist(document):
    text = (ROOT / document).read_text()
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link]
    paths = re.findall(r"`((?:babyaipp|tests|agents|docs)/[\w/]+\.\w+)`", text)
    for path in [*links, *paths]:
        assert ((ROOT / document).parent / path).exists() or (ROOT / path).exists(), path
