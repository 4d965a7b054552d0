"""The file of episodes: what is saved is loaded, and everything else is refused with a message that says where."""

from __future__ import annotations

import io
import lzma
import os
import struct
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from played import records

from babyaipp.engine.state import CAUSES
from babyaipp.evaluation import records as module
from babyaipp.evaluation.packing import pack
from babyaipp.evaluation.protocol import FIRST_SEED, SUITES, get_suite
from babyaipp.evaluation.records import RecordError, Records, load_records, save_records, steps

EPISODES = 4
ARRAYS = ("lengths", "cause", "half_steps", "actions")


@pytest.fixture(scope="module")
def sound() -> Records:
    return records("reading", ("CrossTwo", "Courier"), (3, 8), EPISODES)


@pytest.fixture
def path(tmp_path, sound) -> Path:
    save_records(tmp_path / "episodes.npz", sound)
    return tmp_path / "episodes.npz"


def members(path: Path) -> dict[str, bytes]:
    """The unpacked files of an archive, by name."""
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def fields(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as archive:
        return dict(archive)


def npy(array: object, **kwargs) -> bytes:
    data = io.BytesIO()
    np.lib.format.write_array(data, np.asarray(array), **kwargs)
    return data.getvalue()


def write(
    path: Path, parts: list[tuple[str, bytes]] | dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED
) -> None:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in parts.items() if isinstance(parts, dict) else parts:
            archive.writestr(zipfile.ZipInfo(name), data, compression)


def refused(path: Path, episodes: int = EPISODES) -> str:
    """Why a file is refused."""
    with pytest.raises(RecordError) as caught:
        load_records(path, episodes)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert len(message) < 1500
    assert message.isprintable()
    return message


def edited(path: Path, **changes) -> str:
    """Why a file with other fields is refused."""
    np.savez_compressed(path, **fields(path) | changes)
    return refused(path)


def changed(path: Path, name: str, at: object, value: object) -> str:
    """Why a file with another element in a field is refused."""
    array = fields(path)[name]
    array[at] = value
    return edited(path, **{name: array})


def assert_same(one: Records, other: Records) -> None:
    for name in ("suite", "cells", "runs", "protocol", "package_version"):
        assert getattr(one, name) == getattr(other, name)
    for name in ARRAYS:
        expected, got = getattr(one, name), getattr(other, name)
        assert expected.dtype == got.dtype
        np.testing.assert_array_equal(expected, got)


def test_what_is_saved_is_loaded(path, sound):
    loaded = load_records(path, EPISODES)
    assert_same(loaded, sound)
    assert loaded.levels == ("CrossTwo", "Courier")
    np.testing.assert_array_equal(steps(loaded), sound.half_steps / 2)


@pytest.mark.parametrize("suite", SUITES)
def test_every_suite_is_saved_and_loaded_with_all_its_levels(tmp_path, suite):
    cells = get_suite(suite).cells()
    shape = (1, len(cells), 1000)
    actions = np.random.default_rng(1).integers(0, 7, shape[1] * shape[2] * 2).astype(np.uint8)
    lengths, cause = np.full(shape, 2, np.uint16), np.ones(shape, np.uint8)
    made = Records(get_suite(suite), cells, (0,), lengths, cause, lengths, actions)
    save_records(tmp_path / "episodes.npz", made)
    assert_same(load_records(tmp_path / "episodes.npz"), made)


def test_the_same_records_give_the_same_bytes(path, sound, tmp_path):
    save_records(tmp_path / "again.npz", replace(sound, actions=sound.actions.copy()))
    assert (tmp_path / "again.npz").read_bytes() == path.read_bytes()
    save_records(tmp_path / "again.npz", load_records(path, EPISODES))
    assert (tmp_path / "again.npz").read_bytes() == path.read_bytes()


def test_the_documented_fields_are_there(path):
    told = fields(path)
    table = [line.split("  ")[2] for line in module.__doc__.splitlines() if line.startswith("    ")]
    assert sorted(", ".join(table).split(", ")) == sorted(told)
    assert str(told["suite"]) == "reading"
    np.testing.assert_array_equal(told["seeds"], FIRST_SEED + np.arange(EPISODES))


def test_the_actions_of_a_cell_are_its_own(sound):
    start = 0
    for run in range(len(sound.runs)):
        for cell in range(len(sound.cells)):
            actions, offsets = sound.actions_of(run, cell)
            assert offsets[0] == 0
            np.testing.assert_array_equal(np.diff(offsets), sound.lengths[run, cell])
            np.testing.assert_array_equal(actions, sound.actions[start : start + len(actions)])
            start += len(actions)
    assert start == len(sound.actions)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"lengths": np.ones((2, 8, EPISODES), np.int64)}, "lengths is int64"),
        ({"cause": np.zeros((2, 8, EPISODES), np.uint8)}, "did not end"),
        ({"half_steps": np.ones((2, 7, EPISODES), np.uint16)}, "half_steps is uint16 of shape"),
        ({"actions": np.zeros(3, np.uint8)}, "actions are damaged"),
        ({"runs": (3, 3)}, "must be different training seeds"),
        ({"runs": (3,)}, "1 runs, 8 cells"),
        ({"cells": get_suite("reading").cells(("CrossTwo",))}, "2 runs, 4 cells"),
        ({"protocol": "0.9"}, "protocol='0.9'"),
    ],
)
def test_what_could_not_be_loaded_is_not_saved(tmp_path, sound, changes, why):
    with pytest.raises(RecordError, match=why):
        save_records(tmp_path / "episodes.npz", replace(sound, **changes))
    assert list(tmp_path.iterdir()) == []


def test_arrays_in_another_order_of_memory_are_saved(path, sound, tmp_path):
    turned = {name: np.asfortranarray(getattr(sound, name)) for name in ARRAYS}
    save_records(tmp_path / "turned.npz", replace(sound, **turned))
    assert (tmp_path / "turned.npz").read_bytes() == path.read_bytes()


# Other files


def test_a_file_that_is_not_there_is_an_error_of_the_system(tmp_path):
    with pytest.raises(FileNotFoundError):
        load_records(tmp_path / "none.npz")


@pytest.mark.parametrize("data", [b"", b"text", b"PK\5\6", b"PK\5\6" + bytes(18), bytes(100_000)])
def test_other_files_are_refused(tmp_path, data):
    (tmp_path / "other.npz").write_bytes(data)
    refused(tmp_path / "other.npz")


def test_files_cut_short_anywhere_or_with_something_behind_are_refused(path):
    data = path.read_bytes()
    for size in range(0, len(data), 17):
        path.write_bytes(data[:size])
        assert "damaged" in refused(path)
    for more in (b"\0", b"PK\5\6" + bytes(18), data[-22:]):
        path.write_bytes(data + more)
        refused(path)


def test_too_large_files_are_refused_without_reading_them_whole(path, monkeypatch):
    size = path.stat().st_size
    monkeypatch.setattr(module, "MOST_BYTES", size - 1)
    assert f"has more than {size - 1} bytes" in refused(path)
    if os.path.exists("/dev/zero"):  # noqa: PTH110 - a device that never ends
        assert "bytes, which are allowed" in refused(Path("/dev/zero"))


def test_zip_bombs_are_refused_before_they_are_unpacked(path, monkeypatch):
    parts = members(path)
    bomb = npy(np.zeros(80_000_000, np.uint8))
    write(path, parts | {"actions.npy": bomb})
    assert path.stat().st_size < 1_000_000
    monkeypatch.setattr(module, "_array", None)  # which unpacks
    assert "unpacks to more than" in refused(path)


@pytest.mark.parametrize("told", [0, 1, 200, 1000, 2**25])
def test_members_that_lie_about_their_size_are_refused(path, told):
    write(path, members(path) | {"actions.npy": npy(np.zeros(10_000_000, np.uint8))})
    assert lied(path, "actions.npy", told)
    message = refused(path)
    assert "damaged" in message or "actions.npy" in message


def lied(path: Path, name: str, size: int) -> bool:
    """Put another unpacked size into the list of members, and before the member."""
    data = bytearray(path.read_bytes())
    places = 0
    for signature, size_at, name_at in ((b"PK\1\2", 24, 46), (b"PK\3\4", 22, 30)):
        at = data.find(signature)
        while at >= 0:
            if data[at + name_at :].startswith(name.encode()):
                data[at + size_at : at + size_at + 4] = struct.pack("<I", size)
                places += 1
            at = data.find(signature, at + 1)
    path.write_bytes(data)
    return places == 2


def test_a_small_member_that_tells_of_a_large_one_is_refused(path):
    """The header tells of more elements than there are bytes."""
    with io.BytesIO() as data:
        np.lib.format.write_array_header_1_0(data, {"descr": "|u1", "fortran_order": False, "shape": (10**15,)})
        header = data.getvalue()
    write(path, members(path) | {"actions.npy": header + bytes(100)})
    assert "actions.npy has 100 bytes" in refused(path)
    write(path, members(path) | {"actions.npy": header.replace(b"u1", b"U0") + bytes(100)})
    assert "actions.npy" in refused(path)


def test_a_long_list_of_members_is_refused_before_it_is_read(path, monkeypatch):
    sound = members(path)
    write(path, [*sound.items(), *((f"{i}.npy", b"") for i in range(5000))])
    monkeypatch.setattr(zipfile, "ZipFile", None)
    assert "lists 5014 members" in refused(path)
    data = bytearray(path.read_bytes())
    data[-12:-10] = struct.pack("<H", len(sound))  # how many it says they are
    path.write_bytes(data)
    assert "lists" in refused(path)
    path.write_bytes(data[:-22] + b"PK\6\7" + bytes(16) + data[-22:])  # where else the list may be
    assert "does not end as such files do" in refused(path)


@pytest.mark.parametrize("name", ["../actions.npy", "/tmp/actions.npy", "actions", "ACTIONS.npy", "a/../actions.npy"])
def test_members_of_other_names_are_refused(path, name):
    parts = members(path)
    write(path, [(name if part == "actions.npy" else part, data) for part, data in parts.items()])
    before = sorted(path.parent.iterdir())
    assert repr(name) in refused(path)
    assert sorted(path.parent.iterdir()) == before


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_members_given_twice_missing_or_unknown_are_refused(path):
    parts = members(path)
    for other in (
        [*parts.items(), ("cause.npy", parts["cause.npy"])],
        [(name, data) for name, data in parts.items() if name != "cause.npy"],
        [*parts.items(), ("score.npy", npy(1.0))],
        [(name, data) for name, data in parts.items() if name != "cause.npy"] + [("lengths.npy", parts["lengths.npy"])],
        [(name.replace("cause.npy", "score.npy"), data) for name, data in parts.items()],
    ):
        write(path, other)
        assert "each once" in refused(path)


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_compressions_are_refused(path, compression):
    write(path, members(path), compression)
    assert "compressed in a way that is not allowed" in refused(path)


def test_a_file_that_is_not_compressed_is_as_good(path, sound):
    write(path, members(path), zipfile.ZIP_STORED)
    assert_same(load_records(path, EPISODES), sound)


def test_locked_members_are_refused(path):
    data = bytearray(path.read_bytes())
    at = data.find(b"PK\1\2")
    data[at + 8] |= 1
    path.write_bytes(data)
    assert "damaged" in refused(path)


def test_pickles_are_refused_and_not_run(path, tmp_path):
    witness = tmp_path / "run"

    class Evil:
        def __reduce__(self):
            return (Path.touch, (witness,))

    parts = members(path)
    for name in ("actions", "cells", "suite", "runs"):
        evil = np.array([Evil()], object)
        write(path, parts | {f"{name}.npy": npy(evil, allow_pickle=True)})
        assert f"{name}.npy holds object" in refused(path)
    assert not witness.exists()


@pytest.mark.parametrize(
    "dtype", ["f8", "f2", "c16", "?", "M8[s]", "m8[s]", "V8", "S8", ">i8", [("a", "i8")], "(2,)i8"]
)
def test_other_kinds_of_arrays_are_refused(path, dtype):
    with io.BytesIO() as data:
        header = {"descr": dtype, "fortran_order": False, "shape": (2,)}
        np.lib.format.write_array_header_1_0(data, header)
        content = data.getvalue() + bytes(32)
    write(path, members(path) | {"runs.npy": content})
    assert "runs.npy" in refused(path)


@pytest.mark.parametrize("name", [*ARRAYS, "runs", "seeds", "format_version"])
def test_numbers_that_are_none_are_refused(path, name):
    array = fields(path)[name]
    for value in (np.nan, np.inf, 1.0):
        assert f"{name}.npy holds float64" in edited(path, **{name: np.full(array.shape, value)})


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"{'descr': '<i8', 'fortran_order': False, 'shape': (2,), }",
        b"{'descr': '<i8', 'fortran_order': False}",
        b"{'descr': '<i8', 'fortran_order': True, 'shape': (1, 2)}",
        b"{'descr': '<i8', 'fortran_order': False, 'shape': (-2, -1)}",
        b"{'descr': '<i8', 'fortran_order': False, 'shape': (0, 99999999999999999999)}",
        b"{'descr': '<i8', 'fortran_order': False, 'shape': (0x" + b"f" * 8000 + b",)}",
        b"{'descr': '<i8', 'fortran_order': False, 'shape': (1, 1, 1, 1)}",
        b"{'descr': __import__('os'), 'fortran_order': False, 'shape': (2,)}",
        b"(" * 5000 + b")" * 5000,
        b"-" * 9000 + b"1",
        b"\xff" * 50,
    ],
)
def test_unsound_headers_are_refused(path, header):
    content = b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header + bytes(15)
    write(path, members(path) | {"runs.npy": content})
    refused(path)


@pytest.mark.parametrize("content", [b"", b"\x93NUM", b"\x93NUMPY\2\0" + bytes(20), b"\x93NUMPY\1\0\xff\xff"])
def test_members_that_are_no_arrays_are_refused(path, content):
    write(path, members(path) | {"runs.npy": content})
    assert "runs.npy" in refused(path)


# Fields


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("format", "babyaipp demonstrations", "is not a file of episodes"),
        ("format_version", 2, "format_version='2'; this package reads 1"),
        ("format_version", "1", "format_version='1'; this package reads 1"),
        ("format_version", [1], "format_version='[1]'"),
        ("format_version", np.arange(500), "format_version='[  0   1"),
        ("protocol", "1.1", "protocol='1.1'; this package verifies '1.0'"),
        ("protocol", "", "protocol=''"),
        ("suite", "readin", "unknown suite 'readin'"),
        ("suite", ["reading"], "suite has shape (1,)"),
        ("suite", 3, "suite is int64"),
        ("package_version", "x" * 201, "package_version is <U201"),
        ("package_version", "1\x1b[2J", "package_version has characters"),
        ("package_version", "\u202e1.0", "package_version has characters"),
        ("package_version", "1\n2", "package_version has characters"),
        ("packing", "zip", "unknown packing 'zip'"),
        ("cells", ["CrossTwo/Train/true"], "cells must be all of each level"),
        ("cells", "CrossTwo/Train/true", "cells is"),
        ("cells", [""], "cell '' is not in suite reading"),
        ("cells", ["../../etc/passwd"], "cell '../../etc/passwd' is not in suite reading"),
        ("causes", ["success", "timeout", "success"], "causes="),
        ("causes", ["won"], "causes=['won'] must be of success, failure"),
        ("causes", ["a" * 150] * 999, "causes="),
        ("runs", np.array([3, 3]), "runs=[3, 3] must be different"),
        ("runs", np.array([3, -1]), "runs=[3, -1] must be different training seeds, 0 or more"),
        ("runs", np.array([3]), "must be uint16 of shape (1, 8, 4)"),
        ("runs", np.array(3), "runs is int64 of shape ()"),
        ("runs", np.array([[3, 8]]), "runs is int64 of shape (1, 2)"),
        ("runs", np.arange(65), "65 runs, 8 cells"),
        ("seeds", np.arange(4), "episode 0 has seed 0; the protocol's is 2000000000"),
        ("seeds", FIRST_SEED + np.array([0, 1, 2, 2]), "episode 3 has seed 2000000002; the protocol's is 2000000003"),
        ("seeds", FIRST_SEED + np.array([0, 2, 1, 3]), "episode 1 has seed 2000000002"),
        ("seeds", FIRST_SEED + np.arange(5), "seeds is int64 of shape (5,); must be int64 of shape (4,)"),
        ("lengths", np.ones((2, 8, 3), np.uint16), "lengths is uint16 of shape (2, 8, 3)"),
        ("lengths", np.ones((2, 8, 4), np.int16), "lengths is int16"),
        ("cause", np.ones((8, 2, 4), np.uint8), "cause is uint8 of shape (8, 2, 4)"),
        ("half_steps", np.ones((1, 8, 4), np.uint16), "half_steps is uint16 of shape (1, 8, 4)"),
        ("actions", np.ones((2, 2), np.uint8), "actions is uint8 of shape (2, 2)"),
        ("actions", np.ones(3, np.int8), "actions is int8"),
        ("actions", np.ones(3, np.uint8), "actions are damaged"),
    ],
)  # fmt: skip
def test_other_fields_are_refused(path, name, value, why):
    assert why in edited(path, **{name: value})


def test_too_many_runs_are_refused(path):
    many = {name: np.ones((65, 8, 4), fields(path)[name].dtype) for name in ("lengths", "cause", "half_steps")}
    assert "65 runs; allowed: 1 to 64" in edited(path, runs=np.arange(65), **many)


def test_missing_episodes_are_refused(path):
    """The files of the protocol have 1,000 episodes a cell."""
    assert "8 cells, 1000 episodes a cell" in refused(path, 1000)
    assert "8 cells, 3 episodes a cell" in refused(path, 3)


def test_cells_in_another_order_of_another_suite_or_some_of_a_level_only_are_refused(path):
    cells = fields(path)["cells"]
    for other in (cells[::-1], cells[:3], np.concatenate([cells, cells]), np.roll(cells, 4)):
        assert "cells must be all of each level, in the suite's order" in edited(path, cells=other)
    classic = [cell.name for cell in get_suite("classic").cells(("GoToRedBall", "GoToLocal"))]
    assert "cell 'GoToRedBall/Train/true' is not in suite reading" in edited(path, cells=classic)


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("cause", 250, "has a cause without a name"),
        ("cause", 0, "did not end"),
        ("lengths", 0, "has no actions"),
        ("half_steps", 0, "took no time"),
    ],
)
def test_episodes_that_cannot_be_are_named(path, name, value, why):
    told = f"episode 2 of Courier/HeldOut/lorem, run 8, seed {FIRST_SEED + 2}, {why}"
    assert told in changed(path, name, (1, 6, 2), value)


def test_lengths_that_do_not_fit_the_actions_are_refused(path, sound):
    assert "actions are damaged" in changed(path, "lengths", (0, 0, 0), sound.lengths[0, 0, 0] + 18)


def test_too_many_actions_are_refused_before_they_are_unpacked(path, sound, monkeypatch):
    monkeypatch.setattr(module, "MOST_ACTIONS", len(sound.actions) - 1)
    monkeypatch.setattr(module, "unpack", None)
    assert f"{len(sound.actions)} actions are too many; allowed: {len(sound.actions) - 1}" in refused(path)


def test_actions_out_of_range_are_refused(path, sound):
    actions = sound.actions.copy()
    actions[100] = 7
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 9, "dict_size": 1 << 23}]
    data = np.frombuffer(lzma.compress(actions.tobytes(), lzma.FORMAT_RAW, filters=filters), np.uint8)
    assert "action 7 is out of range; allowed: 0 to 6" in edited(path, actions=data, packing="lzma")


def test_causes_are_told_by_name_so_that_their_numbers_may_change(path, sound):
    """A package of other properties numbers the causes otherwise."""
    told = fields(path)
    order = np.random.default_rng(1).permutation(len(CAUSES))
    places = np.argsort(order).astype(np.uint8)
    np.savez_compressed(path, **told | {"causes": told["causes"][order], "cause": places[told["cause"]]})
    assert_same(load_records(path, EPISODES), sound)


def test_text_that_numpy_cannot_read_is_refused(path):
    for number in (0x110000, 0xFFFFFFFF, 0xD800):
        damaged = np.array([number], np.uint32).view("<U1")
        write(path, members(path) | {"packing.npy": npy(damaged.reshape(()))})
        assert "packing has characters that are not allowed" in refused(path)


def test_the_packing_that_is_told_is_that_of_the_actions(path, sound):
    kind, _ = pack(sound.actions)
    other = "lzma" if kind == "base7" else "base7"
    assert "actions are damaged" in edited(path, packing=other)
