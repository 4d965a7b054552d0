"""The board is built from verified entries only, is told apart from what is stale, and the committed one is current."""

from __future__ import annotations

from pathlib import Path

import pytest
from boards import entry
from entries import ANCHORS, edit, write_report
from played import records

from babyaipp.cli import main
from babyaipp.evaluation.protocol import EPISODES
from babyaipp.evaluation.report import EPISODES_FILE
from babyaipp.leaderboard import verify as verifying
from babyaipp.leaderboard.board import stale_files, write_board
from babyaipp.leaderboard.site import Shown

ROOT = Path(__file__).parent.parent
PLACE = "<!-- leaderboard: made by `babyaipp leaderboard build` -->\n"
END = "<!-- end of leaderboard -->"
SUBMISSION = [
    *("--title", "Drawn | <i>actions</i>", "--authors", "A. Author", "--code", "agents/grounded.py"),
    *("--parameters", "0", "--frames", "0", "--hardware", "none", "--date", "2026-01-31"),
]


@pytest.fixture(scope="module")
def shown() -> list[Shown]:
    return [entry("best"), entry("other", ranked=False)]


def test_the_readme_above_gets_the_top_where_it_has_a_place(shown, tmp_path):
    root, above = tmp_path / "leaderboards", tmp_path / "README.md"
    above.write_text(f"before\n{PLACE}old\n{END}\nafter\n")
    assert above in write_board(root, shown)
    before, _, rest = above.read_text().partition(PLACE)
    table, _, after = rest.partition(END)
    assert (before, after) == ("before\n", "\nafter\n")
    lines = table.strip().splitlines()
    assert len(lines) == 3  # who is not ranked is not at the top
    assert lines[2].startswith("| reading | 1 | An agent | ")
    assert stale_files(root, shown) == []


@pytest.mark.parametrize("text", ["no place\n", PLACE, END, f"{END}{PLACE}"])
def test_a_readme_without_a_place_stays_as_it_is(shown, tmp_path, text):
    above = tmp_path / "README.md"
    above.write_text(text)
    assert above not in write_board(tmp_path / "leaderboards", shown)
    assert above.read_text() == text


def test_what_is_not_as_it_would_be_written_is_stale(shown, tmp_path):
    root, above = tmp_path / "leaderboards", tmp_path / "README.md"
    above.write_text(f"{PLACE}{END}")
    write_board(root, shown)
    page, left_over = root / "site" / "entries" / "best.html", root / "site" / "entries" / "gone.html"
    for path in (above, page, root / "README.md"):
        path.write_text(path.read_text().replace("0", "1"))
    left_over.write_text("")
    assert stale_files(root, shown) == sorted([above, page, root / "README.md", left_over])
    page.unlink()
    assert page in stale_files(root, shown)


def test_what_nobody_wrote_and_links_are_stale_and_links_are_not_followed(shown, tmp_path):
    root, elsewhere = tmp_path / "leaderboards", tmp_path / "elsewhere.html"
    elsewhere.write_text("mine")
    write_board(root, shown)
    page = root / "site" / "entries" / "best.html"
    strange = [root / "site" / "evil.html", root / "site" / "entries" / "deep" / "index.html"]
    for path in strange:
        path.parent.mkdir(exist_ok=True)
        path.touch()
    assert stale_files(root, shown) == sorted(strange)
    page.unlink()
    page.symlink_to(elsewhere)
    assert page in stale_files(root, shown)
    with pytest.raises(ValueError, match="is a link"):
        write_board(root, shown)
    assert elsewhere.read_text() == "mine"


def test_the_command_builds_checks_and_refuses(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(verifying, "load_anchors", lambda: ANCHORS)
    monkeypatch.chdir(tmp_path)
    report = write_report(tmp_path / "report", records("reading", ("CrossTwo",), (3,), EPISODES))
    assert main(["leaderboard", "submit", str(report), "--name", "drawn", *SUBMISSION]) == 0
    assert main(["leaderboard", "build", "--check"]) == 1
    assert "leaderboards/README.md is not current: run babyaipp leaderboard build" in capsys.readouterr().out
    assert not (tmp_path / "leaderboards" / "README.md").exists()
    assert main(["leaderboard", "build"]) == 0
    assert "written: leaderboards/README.md, leaderboards/site/index.html" in capsys.readouterr().out
    assert "Drawn &#124; &#60;i&#62;actions" in (tmp_path / "leaderboards" / "README.md").read_text()
    assert main(["leaderboard", "build", "--check"]) == 0

    folder = tmp_path / "leaderboards" / "v1" / "drawn"
    before = (tmp_path / "leaderboards" / "README.md").read_bytes()
    edit(folder, title="Another", summary={})
    assert main(["leaderboard", "build"]) == 1
    assert "drawn: refused" in capsys.readouterr().out
    assert (tmp_path / "leaderboards" / "README.md").read_bytes() == before


def test_the_committed_board_is_sound_and_current(capsys):
    status = main(["leaderboard", "build", "--check", "--root", str(ROOT / "leaderboards")])
    told = capsys.readouterr().out
    assert status == 0, told
    for name in ("random", "oracle", "blind", "grounded", "image-only", "film", "concat-fusion", "attention-fusion"):
        assert f"{name}: sound; " in told


def test_the_committed_entries_of_three_seeds_are_small():
    sizes = {file.parent.name: file.stat().st_size for file in ROOT.glob(f"leaderboards/v1/*/{EPISODES_FILE}")}
    assert sizes
    assert max(sizes.values()) < 2 * 2**20, sizes
