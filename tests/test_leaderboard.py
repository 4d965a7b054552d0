"""Entries of the leaderboard: made from a report, verified by playing again, and refused for whatever is not true."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from entries import (
    ANCHORS,
    EPISODES,
    NAME,
    TOLD,
    change_episodes,
    edit,
    make_entry,
    seal,
    small_records,
    verify,
    write_report,
)
from played import records

from babyaipp.engine.state import CAUSES
from babyaipp.evaluation import packing
from babyaipp.evaluation.protocol import EPISODES as PROTOCOL_EPISODES
from babyaipp.evaluation.protocol import EVALUATION_SEEDS, OBSERVATIONS, get_suite
from babyaipp.leaderboard.entry import ENTRY_FILE, EPISODES_FILE, Entry, EntryError, read_entry, schema
from babyaipp.leaderboard.submit import submit
from babyaipp.leaderboard.verify import find_entries, most_episode_bytes, without_copies
from babyaipp.tiles import DONE

ROOT = Path(__file__).parent.parent


@pytest.fixture
def folder(tmp_path) -> Path:
    return make_entry(tmp_path)


def refusals(folder: Path) -> str:
    """What a refused entry is told, all lines of it; each is a short one that names a file or the folder."""
    verdict = verify(folder)
    assert not verdict.sound
    assert not verdict.ranked
    for line in verdict.refusals:
        assert line.isprintable()
        assert len(line) < 1500
    return "\n".join(verdict.refusals)


# Sound entries


def test_an_entry_has_the_scores_of_its_episodes(folder, tmp_path):
    assert sorted(file.name for file in folder.iterdir()) == [ENTRY_FILE, EPISODES_FILE]
    assert [child.name for child in folder.parent.iterdir()] == [NAME]
    verdict = verify(folder)
    assert verdict.refusals == ()
    assert verdict.name == NAME
    assert verdict.episodes == 2 * 4 * EPISODES
    assert verdict.steps == int(small_records().lengths.sum())
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert verdict.entry.model_dump(mode="json")["summary"] == report["scores"] == verdict.report["scores"]
    assert verdict.entry.training_seeds == (3, 8)
    assert verdict.entry.levels == ("CrossTwo",)
    assert (verdict.entry.agent, verdict.entry.greedy) == ("random", True)


def test_a_part_of_a_suite_or_few_seeds_are_not_ranked(folder):
    verdict = verify(folder)
    assert not verdict.ranked
    assert "lacks levels of the suite: CrossMany" in verdict.unranked[0]
    assert verdict.unranked[1] == "has 2 training seeds; ranked are those with at least 3"


def test_a_whole_suite_with_three_seeds_is_ranked(tmp_path):
    whole = records("reading", get_suite("reading").levels, (0, 1, 2), 1)
    assert verify(make_entry(tmp_path, whole), episodes=1).ranked


def test_the_same_run_under_several_seeds_is_not_ranked(tmp_path):
    one = records("reading", get_suite("reading").levels, (0,), 1)
    arrays = {name: np.repeat(getattr(one, name), 3, axis=0) for name in ("lengths", "cause", "half_steps")}
    thrice = dataclasses.replace(one, runs=(0, 1, 2), actions=np.tile(one.actions, 3), **arrays)
    verdict = verify(make_entry(tmp_path, thrice), episodes=1)
    assert verdict.sound
    assert verdict.unranked == ("has the same actions in runs 0 and 1", "has the same actions in runs 0 and 2")


def test_a_sample_is_played_on_the_reference(folder):
    verdict = verify(folder, reference=5)
    assert verdict.sound
    assert verdict.referenced == 5


def test_the_number_of_threads_makes_no_difference(folder):
    assert verify(folder, num_threads=2).report == verify(folder).report


def test_submitting_gives_the_same_bytes_again(folder, tmp_path):
    other = make_entry(tmp_path / "other")
    for name in (ENTRY_FILE, EPISODES_FILE):
        assert (folder / name).read_bytes() == (other / name).read_bytes()


def test_the_committed_schema_is_that_of_the_model():
    assert (ROOT / "leaderboards" / "schema.json").read_bytes() == schema()  # else: babyaipp leaderboard schema


def test_the_schema_and_the_protocol_name_the_same_observations():
    told = json.loads(schema())
    assert tuple(told["properties"]["observation"]["enum"]) == OBSERVATIONS
    assert told["additionalProperties"] is False
    assert set(told["required"]) == set(Entry.model_fields)


# Refused: entry.json


FIELDS = [
    ({"format_version": 2}, "format_version=2"),
    ({"protocol": "1.1"}, "protocol='1.1': this package verifies '1.0'"),
    ({"suite": "writing"}, "suite='writing'"),
    ({"suite": "classic"}, "levels=['CrossTwo'] must be some of"),
    ({"suite": "fixed", "levels": ["GoToRedBallHard"]}, "suite='fixed', but episodes.npz has 'reading'"),
    ({"name": "other"}, "name='other' must be that of the folder"),
    ({"name": "../small-one"}, "name='../small-one': must be 1 to 60"),
    ({"title": ""}, "title=''"),
    ({"title": "a\nb"}, "title='a\\nb'"),
    ({"title": "a\x1b[2Jb"}, "title='a\\x1b[2Jb'"),
    ({"title": "\u202eabc"}, "title='\\u202eabc'"),
    ({"title": "a\u2028b"}, "title="),
    ({"title": " a"}, "title=' a': must be one line of printable characters"),
    ({"title": "x" * 201}, "title='xxx"),
    ({"title": "\ud800"}, "entry.json"),
    ({"authors": []}, "authors"),
    ({"authors": "me"}, "authors='me'"),
    ({"authors": ["me", 1]}, "authors.1=1"),
    ({"paper": "http://example.org"}, "paper"),
    ({"code": "javascript:alert(1)"}, "code='javascript:alert(1)'"),
    ({"code": "https://user@example.org/"}, "code="),
    ({"code": 'https://example.org/"onclick='}, "code="),
    ({"code": None}, "code=None"),
    ({"commit": "abc"}, "commit='abc': must be the 40 digits"),
    ({"title": "\u3164"}, "must be one line of printable characters"),
    ({"code": "agents/../x"}, "code='agents/../x': must be an address that begins with https://, or"),
    ({"code": "example.org"}, "code='example.org': must be an address"),
    ({"parameters": -1}, "parameters=-1"),
    ({"parameters": "7"}, "parameters='7'"),
    ({"parameters": 1.5}, "parameters=1.5"),
    ({"parameters": True}, "parameters=True"),
    ({"frames": 10**20}, "frames=1"),
    ({"frames": 10**40}, "a number of 41 digits"),
    ({"training_seeds": [3, 3]}, "training_seeds=[3, 3] must be different"),
    ({"training_seeds": [8, 3]}, "training_seeds=[8, 3], but episodes.npz has [3, 8]"),
    ({"training_seeds": [3]}, "training_seeds=[3], but"),
    ({"training_seeds": [3, EVALUATION_SEEDS]}, f"seed={EVALUATION_SEEDS} is not for training"),
    ({"training_seeds": [3, -1]}, "training_seeds.1=-1"),
    ({"training_seeds": []}, "training_seeds"),
    ({"training_text": "loremm"}, "training_text='loremm'"),
    ({"observation": "pixels"}, "observation='pixels'"),
    ({"greedy": 1}, "greedy=1"),
    ({"checkpoint_sha256": {"../x": "0" * 64}}, "checkpoint_sha256.../x"),
    ({"checkpoint_sha256": {"x": "0" * 63}}, "checkpoint_sha256.x="),
    ({"episodes_sha256": "0" * 64}, "episodes_sha256='000"),
    ({"summary": {}}, "summary"),
    ({"summary": {"success": {"iqm": 1.0}}}, "summary.success.interval is missing"),
    ({"levels": ["CrossTwo", "CrossTwo"]}, "must be some of"),
    ({"levels": ["CrossTwo", "CrossMany"]}, "levels=['CrossTwo', 'CrossMany'], but episodes.npz has ['CrossTwo']"),
    ({"levels": ["CrossMany", "CrossTwo"]}, "in this order"),
    ({"levels": ["<script>"]}, "levels.0='<script>'"),
    ({"date": "2026-02-30"}, "date='2026-02-30'"),
    ({"date": 20260131}, "date=20260131"),
    ({"curve": []}, "curve is unknown"),
    ({"\x1b]0;x\x07": 1}, "\\x1b]0;x\\x07 is unknown"),
    ({f"field{k}": 1 for k in range(1000)}, "and 980 more"),
]


@pytest.mark.parametrize(("changes", "expected"), FIELDS, ids=lambda value: ascii(value)[:40])
def test_fields_that_are_not_allowed_or_not_true_are_refused(folder, changes, expected):
    edit(folder, **changes)
    assert expected in refusals(folder)


@pytest.mark.parametrize("name", list(Entry.model_fields))
def test_no_field_may_be_missing(folder, name):
    file = folder / ENTRY_FILE
    told = json.loads(file.read_text())
    del told[name]
    file.write_text(json.dumps(told))
    assert f"entry.json: {name} is missing" in refusals(folder)


def places(value, at=()):
    """Where the numbers of a summary stand."""
    if isinstance(value, (dict, list)):
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        return [place for key, each in pairs for place in places(each, (*at, key))]
    return [at]


def test_every_number_of_the_summary_is_checked(folder):
    summary = json.loads((folder / ENTRY_FILE).read_text())["summary"]
    found = places(summary)
    assert len(found) == 5 * (1 + 2 + 1 + 2 + 1)
    for *way, last in found:
        for change in (0.00001, -1e-12, 1.0):
            claimed = json.loads(json.dumps(summary))
            part = claimed
            for key in way:
                part = part[key]
            part[last] += change
            edit(folder, summary=claimed)
            names = [key for key in (*way, last) if isinstance(key, str)]
            assert f"entry.json: summary.{'.'.join(names)}: " in refusals(folder)
    edit(folder, summary=summary)
    assert verify(folder).sound


def test_scores_that_are_missing_or_made_up_are_refused(folder):
    summary = json.loads((folder / ENTRY_FILE).read_text())["summary"]
    edit(folder, summary={name: value for name, value in summary.items() if name != "trust"})
    assert "summary.trust is only in one of them" in refusals(folder)
    edit(folder, summary=summary | {"beauty": summary["success"]})
    assert "summary.beauty is only in one of them" in refusals(folder)
    edit(folder, summary=summary | {"success": summary["success"] | {"levels": {"CrossMany": 1.0}}})
    assert "summary.success.levels.CrossMany is only in one of them" in refusals(folder)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda text: text.replace('"iqm": ', '"iqm": NaN, "x": ', 1), "has the number 'NaN'; all must be finite"),
        (lambda text: text.replace('"iqm": ', '"iqm": -Infinity, "x": ', 1), "all must be finite"),
        (lambda text: text.replace('"iqm": ', '"iqm": 1e999, "x": ', 1), "has the number '1e999'"),
        (lambda text: text.replace('"title"', '"name": "x", "title"'), "has key 'name' twice in one object"),
        (lambda text: text.replace('"title"', '"n\\u0061me": "x", "title"'), "has key 'name' twice in one object"),
        (lambda text: text.replace('"iqm": ', '"iqm": 0.5, "iqm": ', 1), "has key 'iqm' twice in one object"),
        (lambda text: text[:-3], "is no JSON"),
        (lambda text: text + "{}", "is no JSON"),
        (lambda text: "\ufeff" + text, "is no JSON"),
        (lambda text: "[" * 100_000, "is nested too deeply"),
        (lambda text: '{"title": ' * 500 + "1" + "}" * 500, "entry.json"),
        (lambda text: "[]", "entry.json"),
        (lambda text: "", "is no JSON"),
        (lambda text: text + " " * 2**18, "entry.json: has "),
    ],
)
def test_json_with_more_than_one_reading_or_none_is_refused(folder, change, expected):
    file = folder / ENTRY_FILE
    file.write_text(change(file.read_text()))
    assert expected in refusals(folder)


def test_other_encodings_are_refused(folder):
    file = folder / ENTRY_FILE
    file.write_bytes(file.read_text().encode("utf-16"))
    assert "entry.json: is not UTF-8" in refusals(folder)


def test_all_that_is_wrong_is_told_at_once(folder):
    edit(folder, title="", parameters=-1, more=1)
    assert len(verify(folder).refusals) >= 3
    folder = folder.rename(folder.parent / "another")
    told = json.loads((folder / ENTRY_FILE).read_text())
    del told["more"]
    (folder / ENTRY_FILE).write_text(json.dumps(told | {"title": "x", "parameters": 0, "episodes_sha256": "0" * 64}))
    found = refusals(folder)
    assert "name='small-one' must be that of the folder" in found
    assert "episodes_sha256" in found


# Refused: episodes.npz


def with_actions(arrays: dict, actions: np.ndarray) -> dict:
    return {"actions": packing._pack_digits(actions), "packing": np.asarray(packing.BASE)}


ENDED = 2


def other_actions(arrays: dict) -> dict:
    actions = small_records().actions.copy()
    told = small_records()
    assert CAUSES[told.cause[0, 0, ENDED]] != "timeout"
    actions[told.offsets[ENDED] : told.offsets[ENDED + 1]] = (
        DONE  # which does nothing, so that the episode does not end
    )
    return with_actions(arrays, actions)


def action_out_of_range(arrays: dict) -> dict:
    data = np.frombuffer(
        packing.lzma.compress(
            b"\x07" * int(arrays["lengths"].sum()), packing.lzma.FORMAT_RAW, filters=packing._FILTERS
        ),
        np.uint8,
    )
    return {"actions": data, "packing": np.asarray(packing.LZMA)}


def other_cause(arrays: dict) -> dict:
    cause = arrays["cause"].copy()
    cause[1, 2, 1] = (cause[1, 2, 1] % (len(arrays["causes"]) - 1)) + 1
    return {"cause": cause}


def other_time(arrays: dict) -> dict:
    half_steps = arrays["half_steps"].copy()
    half_steps[1, 3, 2] += 1
    return {"half_steps": half_steps}


def fewer(arrays: dict) -> dict:
    return {name: arrays[name][..., :-1] for name in ("seeds", "lengths", "cause", "half_steps")}


def without_a_cell(arrays: dict) -> dict:
    return {name: arrays[name][:, :-1] for name in ("lengths", "cause", "half_steps")} | {"cells": arrays["cells"][:-1]}


EPISODE = "of CrossTwo/"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (other_actions, f"episode {ENDED} {EPISODE}Train/true, run 3, seed 200000000{ENDED}, has not ended"),
        (other_cause, f"episode 1 {EPISODE}HeldOut/lorem, run 8, seed 2000000001, ends by"),
        (other_time, f"episode 2 {EPISODE}HeldOut/contradict, run 8, seed 2000000002, ends after"),
        (action_out_of_range, "action 7 is out of range"),
        (fewer, "must be int64 of shape (3,)"),
        (without_a_cell, "cells must be all of each level"),
        (lambda arrays: {"seeds": arrays["seeds"][[0, 1, 1]]}, "episode 2 has seed 2000000001"),
        (lambda arrays: {"seeds": arrays["seeds"] + 3}, "episode 0 has seed 2000000003"),
        (lambda arrays: {"runs": np.array([3, 3])}, "runs=[3, 3] must be different training seeds"),
        (lambda arrays: {"runs": np.array([3, 9])}, "training_seeds=[3, 8], but episodes.npz has [3, 9]"),
        (lambda arrays: {"protocol": np.asarray("0.9")}, "protocol='0.9'"),
        (lambda arrays: {"format_version": np.asarray(2)}, "format_version='2'"),
        (lambda arrays: {"suite": np.asarray("classic")}, "is not in suite classic"),
        (lambda arrays: {"lengths": arrays["lengths"] * np.nan}, "which is not allowed"),
        (lambda arrays: {"more": np.zeros(1)}, "must hold format"),
        (lambda arrays: {"../x": np.zeros(1)}, "must hold format"),
    ],
    ids=lambda value: getattr(value, "__name__", "")[:20],
)
def test_episodes_that_are_not_those_of_the_protocol_or_go_otherwise_are_refused(folder, change, expected):
    change_episodes(folder, change)
    found = refusals(folder)
    assert expected in found
    assert "episodes.npz" in found


def test_a_pickle_is_not_opened(folder, tmp_path):
    class Trap:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "sprung"),))

    with np.load(folder / EPISODES_FILE) as archive:
        arrays = {name: archive[name] for name in archive.files}
    np.savez(folder / EPISODES_FILE, **arrays | {"runs": np.array([Trap()], object)})
    seal(folder)
    assert "runs.npy holds object" in refusals(folder)
    assert not (tmp_path / "sprung").exists()


def test_a_zip_bomb_is_not_unpacked(folder):
    data = io.BytesIO()
    with zipfile.ZipFile(folder / EPISODES_FILE) as archive, zipfile.ZipFile(data, "w") as bomb:
        for name in archive.namelist():
            content = bytes(2**27) if name == "actions.npy" else archive.read(name)
            bomb.writestr(name, content, zipfile.ZIP_DEFLATED, 9)
    assert len(data.getvalue()) < 2**20
    (folder / EPISODES_FILE).write_bytes(data.getvalue())
    seal(folder)
    assert "unpacks to more than" in refusals(folder)


def test_large_files_are_not_read(folder):
    os.truncate(folder / EPISODES_FILE, 2 * 2**20 + 1)
    assert "has 2097153 bytes; allowed for suite reading and 2 runs: 2097152" in refusals(folder)
    os.truncate(folder / EPISODES_FILE, 2**40)
    assert "has 1099511627776 bytes; allowed: 67108864" in refusals(folder)


def test_more_runs_may_have_more_bytes():
    assert most_episode_bytes("reading", 1) == most_episode_bytes("reading", 3) == 2 * 2**20
    assert most_episode_bytes("reading", 4) == 4 * 2**20
    assert most_episode_bytes("classic", 1) == most_episode_bytes("classic", 64) == 64 * 2**20


# Refused: the folder


def test_nothing_else_may_stand_in_the_folder(folder):
    for name in ("README.md", ".hidden", "x\x1b[2J", "entry.json~"):
        (folder / name).touch()
        assert "allowed: entry.json, episodes.npz" in refusals(folder)
        (folder / name).unlink()
    (folder / "more").mkdir()
    assert "holds 'more'" in refusals(folder)


@pytest.mark.parametrize("name", [ENTRY_FILE, EPISODES_FILE])
def test_links_pipes_and_folders_are_not_files(folder, name):
    away = (folder / name).rename(folder.parent / "away")
    assert f"{name}: is missing" in refusals(folder)
    (folder / name).symlink_to(away)
    assert f"{name}: must be a regular file" in refusals(folder)
    (folder / name).unlink()
    os.mkfifo(folder / name)
    assert f"{name}: must be a regular file" in refusals(folder)
    (folder / name).unlink()
    (folder / name).mkdir()
    assert f"{name}: must be a regular file" in refusals(folder)


def test_a_link_to_a_folder_and_a_file_are_no_entries(folder):
    link = folder.parent / "a-link"
    link.symlink_to(folder)
    assert "must be a folder, and no link" in refusals(link)
    assert "must be a folder, and no link" in refusals(folder / ENTRY_FILE)


@pytest.mark.parametrize("name", ["Small", "a_b", "-a", "a-", "a--b", "a" * 61, "a b", "\xe4", "x\x1b[2J", "a.b"])
def test_folders_with_other_names_are_refused(folder, name):
    other = folder.rename(folder.parent / name)
    edit(other, name=name)
    assert "the folder's name must be 1 to 60 of a-z and 0-9" in refusals(other)
    assert verify(other).name.isprintable()


def test_the_actions_of_another_entry_are_refused(folder, tmp_path):
    make_entry(tmp_path, told=dataclasses.replace(TOLD, name="a-copy", title="Another"))
    verdicts = without_copies([verify(each) for each in find_entries(folder.parent)])
    assert [verdict.name for verdict in verdicts] == ["a-copy", NAME]
    for verdict, other in zip(verdicts, (NAME, "a-copy"), strict=True):  # who copied whom, nobody can tell
        (line,) = verdict.refusals
        assert line == f"episodes.npz: has the actions of a run of the entry {other}: one of them is a copy"


def test_runs_in_another_order_are_a_copy_too(folder, tmp_path):
    make_entry(tmp_path, small_records((8, 3)), dataclasses.replace(TOLD, name="turned"))
    make_entry(tmp_path, small_records((5, 6)), dataclasses.replace(TOLD, name="another"))
    verdicts = without_copies([verify(each) for each in find_entries(folder.parent)])
    assert [(verdict.name, verdict.sound) for verdict in verdicts] == [
        ("another", True),
        (NAME, False),
        ("turned", False),
    ]


def test_entries_are_found(folder, tmp_path):
    board = folder.parent
    (board / "badges.json").touch()
    (board / "stray.txt").touch()
    assert find_entries(folder) == (folder,)
    assert find_entries(board) == (folder, board / "stray.txt")
    for wrong in (tmp_path / "none", folder / ENTRY_FILE):
        with pytest.raises(ValueError, match="is no folder"):
            find_entries(wrong)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="holds no entries"):
        find_entries(tmp_path / "empty")


# Submitting


def test_a_submission_that_would_be_refused_leaves_nothing_behind(tmp_path):
    report = write_report(tmp_path / "report", small_records())
    told = json.loads((report / "report.json").read_text())
    told["scores"]["success"]["iqm"] = 1.0
    (report / "report.json").write_text(json.dumps(told))
    with pytest.raises(EntryError, match=r"summary\.success\.iqm"):
        submit(report, TOLD, tmp_path / "boards", anchors=ANCHORS, episodes=EPISODES)
    assert list((tmp_path / "boards" / "v1").iterdir()) == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"name": "../x"}, "name"),
        ({"title": "a\nb"}, "title"),
        ({"code": "example.org"}, "code"),
        ({"observation": "x"}, "observation"),
    ],
)
def test_fields_of_a_submission_are_checked_before_anything_is_written(tmp_path, change, expected):
    report = write_report(tmp_path / "report", small_records())
    with pytest.raises(EntryError, match=f"entry.json: {expected}="):
        submit(report, dataclasses.replace(TOLD, **change), tmp_path / "boards", anchors=ANCHORS, episodes=EPISODES)
    assert not (tmp_path / "boards").exists()


def test_submitting_refuses_another_number_of_episodes_than_the_protocols(tmp_path):
    report = write_report(tmp_path / "report", small_records())
    with pytest.raises(ValueError, match=f"has 3 episodes a cell; the protocol asks for {PROTOCOL_EPISODES}"):
        submit(report, TOLD, tmp_path / "boards", anchors=ANCHORS)


def test_submitting_refuses_folders_without_a_report(tmp_path):
    with pytest.raises(ValueError, match="does not hold report"):
        submit(tmp_path, TOLD, tmp_path / "boards", anchors=ANCHORS)
    report = write_report(tmp_path / "report", small_records())
    for text, expected in (("[]", "has no 'agent'"), ("{", "is no JSON"), ('{"agent": "x"}', "has no 'greedy'")):
        (report / "report.json").write_text(text)
        with pytest.raises(ValueError, match=expected):
            submit(report, TOLD, tmp_path / "boards", anchors=ANCHORS, episodes=EPISODES)


def test_an_entry_is_overwritten_only_if_asked_for(folder, tmp_path):
    before = (folder / ENTRY_FILE).read_bytes()
    told = dataclasses.replace(TOLD, title="Another title")
    with pytest.raises(ValueError, match="is there already"):
        make_entry(tmp_path, told=told)
    assert (folder / ENTRY_FILE).read_bytes() == before
    make_entry(tmp_path, told=told, overwrite=True)
    assert read_entry(folder).title == "Another title"
    assert [child.name for child in folder.parent.iterdir()] == [NAME]
    with pytest.raises(EntryError):
        make_entry(tmp_path, small_records((1, 2)), told=dataclasses.replace(TOLD, title=""), overwrite=True)
    assert read_entry(folder).title == "Another title"


def test_checkpoints_are_hashed_by_name(tmp_path):
    files = [tmp_path / name for name in ("b.safetensors", "a.safetensors")]
    for file in files:
        file.write_text("")
    entry = read_entry(make_entry(tmp_path, checkpoints=tuple(files)))
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert entry.checkpoint_sha256 == {"a.safetensors": empty, "b.safetensors": empty}
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "a.safetensors").touch()
    with pytest.raises(ValueError, match=r"same name: a\.safetensors"):
        make_entry(tmp_path, checkpoints=(*files, tmp_path / "more" / "a.safetensors"), overwrite=True)
