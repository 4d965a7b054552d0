"""Learning curves that are given to an evaluation are read with care and drawn on its page."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from babyaipp.cli import main
from babyaipp.evaluation.html import learning_chart
from babyaipp.evaluation.learning import read_curves


def curve_file(folder: Path, lines: list[object]) -> Path:
    folder.mkdir()
    file = folder / "progress.jsonl"
    file.write_text("".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines))
    return file


def test_curves_are_of_millions_of_frames_and_called_as_their_folders(tmp_path):
    file = curve_file(
        tmp_path / "some-run",
        [{"frames": 0, "success": 0}, {"frames": 5, "note": "none"}, {"frames": 250_000, "success": 0.5, "more": 1}],
    )
    (curve,) = read_curves([file])
    assert curve.label == "some-run"
    assert curve.points == ((0.0, 0.0), (0.25, 0.5))


def test_many_lines_become_means_of_neighbours(tmp_path):
    file = curve_file(tmp_path / "long", [{"frames": 1e6 * k, "success": k % 2} for k in range(1000)])
    (curve,) = read_curves([file])
    assert len(curve.points) == 100
    assert curve.points[0] == (4.5, 0.5)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["nothing"], "line 1: is no JSON object"),
        (["[1]"], "line 1: is no JSON object"),
        (["[" * 100_000], "line 1: is no JSON object"),
        ([{"frames": 1, "success": 0.5}, {"frames": 2, "success": 1.5}], "line 2: needs numbers"),
        ([{"frames": 1, "success": float("nan")}], "line 1: needs numbers"),
        ([{"frames": 1, "success": True}], "line 1: needs numbers"),
        ([{"success": 0.5}], "line 1: needs numbers"),
        ([{"frames": -1, "success": 0.5}], "frames=-1 must not be below"),
        ([{"frames": 2, "success": 0.5}, {"frames": 1, "success": 0.5}], "line 2: frames=1 must not be below"),
        ([{"frames": 2}], "no line with frames and success"),
        ([], "no line with frames and success"),
    ],
)
def test_other_files_are_refused(tmp_path, lines, expected):
    with pytest.raises(ValueError, match=expected):
        read_curves([curve_file(tmp_path / "run", lines)])


def test_names_must_differ_and_colours_suffice(tmp_path):
    file = curve_file(tmp_path / "run", [{"frames": 1, "success": 0.5}])
    with pytest.raises(ValueError, match="two files in folders called 'run'"):
        read_curves([file, file])
    with pytest.raises(ValueError, match="7 files; at most 6"):
        read_curves([file] * 7)


def test_curves_are_drawn_with_their_names_escaped(tmp_path):
    files = [curve_file(tmp_path / name, [{"frames": 0, "success": 0.5}]) for name in ("a<b>", "c")]
    chart = learning_chart(read_curves(files))
    assert "a&lt;b&gt;" in chart
    assert "<b>" not in chart
    assert "million frames" in chart
    assert learning_chart([]) is None


def test_the_command_draws_them_and_plays_nothing_if_they_are_wrong(tmp_path, capsys):
    file = curve_file(tmp_path / "my-run", [{"frames": 1e6, "success": 0.5}])
    asked = ["evaluate", "--agent", "random", "--levels", "CrossTwo", "--episodes", "2", "--out", str(tmp_path / "out")]
    assert main([*asked, "--curve", str(tmp_path / "missing.jsonl")]) == 2
    assert "missing.jsonl" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert main([*asked, "--curve", str(file)]) == 0
    page = (tmp_path / "out" / "report.html").read_text()
    assert "my-run" in page
    assert "How it learned" in page
