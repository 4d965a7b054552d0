"""The board: what entries say of themselves is shown as text, and films show what the environments do."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import markdown as markdown_package
import numpy as np
import pytest
from boards import INFO, MARKUP, entry, hostile, made_up_anchors
from markupsafe import escape
from minigrid.core.constants import IDX_TO_OBJECT
from played import records

from babyaipp import make_vec
from babyaipp.engine.state import CAUSES, COLOR_SHIFT, EMPTY, FLOOR, SUCCESS, TILE_MASK, TYPE_MASK
from babyaipp.evaluation import report as evaluation
from babyaipp.evaluation.films import SHORT, choose, film, reel
from babyaipp.evaluation.html import report_html
from babyaipp.evaluation.records import RecordError, Records, episode_seeds, load_records
from babyaipp.evaluation.report import Evaluation
from babyaipp.leaderboard.site import Shown, build, escaped, link, markdown, pages, plain, profile_chart, ranking
from babyaipp.reference.env import make
from babyaipp.texts import split_sentences

LEVELS_SHOWN = ("CrossTwo", "Courier")


class Page(HTMLParser):
    """What a browser would make of a page: elements with their attributes, and the text that is shown."""

    VOID = frozenset({"meta", "link", "input", "br", "img"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.data: dict[str, list[str]] = {"": []}
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == [], "elements that are not closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        place = self._open[-1] if self._open and self._open[-1] in ("script", "style") else ""
        self.data.setdefault(place, []).append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.data[""]).split())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def board() -> list[Shown]:
    """Entries of two suites, one of them with markup in every field."""
    return [
        entry(
            "good",
            levels=LEVELS_SHOWN,
            runs=(3, 8, 9),
            planner="oracle",
            info={"title": "A good one"},
            badges=("replayed", "reproduced"),
        ),
        entry("evil", runs=(4, 5, 6), info=hostile()),
        entry("other", suite="classic", levels=("GoToRedBall",), runs=(1,), ranked=False),
    ]


@pytest.fixture(scope="module")
def site(board) -> dict[str, str]:
    return pages(board)


# Strangers' texts


def test_markup_in_any_field_is_shown_as_text(site):
    shown = " ".join(MARKUP.split())
    for name in ("index.html", "entries/evil.html"):
        page = Page(site[name])
        assert shown in page.text
        assert not page.all("img")
        assert "<script>alert" not in site[name]
    told = Page(site["entries/evil.html"]).text
    assert told.count(shown) >= len(INFO) - 2  # suite and levels are shown as the report has them
    assert f"another <b>field</b>{shown}" in told


def test_pages_have_no_scripts_but_their_own_and_run_nothing_inline(site):
    for text in site.values():
        page = Page(text)
        scripts = [attributes.get("type") for attributes in page.all("script")]
        assert scripts.count(None) == 1
        assert set(scripts) <= {None, "application/json"}
        for _, attributes in page.elements:
            assert not [name for name in attributes if name.startswith("on") or name == "style" or name == "src"]
        (policy,) = [a["content"] for a in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; ")
        assert "unsafe" not in policy


def test_nothing_is_fetched_and_links_lead_to_pages_or_to_what_was_declared(site):
    for name, text in site.items():
        page = Page(text)
        assert [a["href"] for a in page.all("link")] == ["data:,"]
        for attributes in page.all("a"):
            target = attributes["href"] or ""
            if "://" in target:
                assert target in (INFO["paper"], INFO["code"])
                assert attributes["rel"] == "noopener nofollow"
            else:
                assert str(Path(name).parent / target).replace("entries/../", "") in site


@pytest.mark.parametrize("address", ["https://example.org/a?b=c&d", "http://example.org:80/"])
def test_addresses_of_web_pages_become_links(address):
    (attributes,) = Page(str(link(address))).all("a")
    assert attributes == {"href": address, "rel": "noopener nofollow"}


@pytest.mark.parametrize(
    "address",
    [
        *(
            "javascript:alert(1)",
            "JaVaScRiPt://example.org/%0aalert(1)",
            "data:text/html,x",
            "//example.org",
            "https://",
        ),
        *("https://user@example.org", "https://[bad", " https://example.org", "https://example.org/\n", "ftp://x.org"),
        *("https://example.org/ \"onclick='x'", 5, None, ["https://example.org"], "https://example.org/" + "x" * 500),
    ],
)
def test_other_addresses_do_not(address):
    assert Page(str(escape(link(address)))).all("a") == []


def test_markdown_shows_markup_as_text(board):
    text = markdown(board)
    (row,) = [line for line in text.splitlines() if "v1/evil/" in line]
    assert row.count("|") == text.splitlines()[4].count("|")
    page = Page(markdown_package.markdown(text, extensions=["tables"]))
    assert {tag for tag, _ in page.elements} <= {"h2", "p", "table", "thead", "tbody", "tr", "th", "td", "a"}
    assert sorted(a["href"] for a in page.all("a")) == ["v1/evil/", "v1/good/", "v1/other/"]
    assert " ".join(MARKUP.split())[:100] in page.text


@pytest.mark.parametrize("text", [MARKUP, "a|b\nc\r\n\n# d", "www.example.org a@b.org http://x.org `x` *y* ~z~ $w$ \\"])
def test_no_sign_of_markdown_survives_in_a_cell(text):
    assert not set(re.sub(r"&#\d+;", "", escaped(text))) & set("|<>[]`*_~$\\#!\n\r&:@.")


def test_signs_that_control_others_are_left_out():
    assert plain("a\u202eb\x00c\ud800d\u2028e\tf") == "a b c d e f"
    assert plain([1000, {"a": None, "b": 0.5}, True]) == "1000, a: ; b: 0.5, yes"


@pytest.mark.parametrize("name", ["../x", "a/b", "<b>", "", ".x", "A", "a" * 101, "a\n"])
def test_names_are_names_of_files(board, name):
    with pytest.raises(ValueError, match="name="):
        replace(board[0], name=name)


def test_badges_are_known(board):
    with pytest.raises(ValueError, match="allowed: replayed, reproduced"):
        replace(board[0], badges=("trusted",))


# The board


def test_entries_are_ranked_by_success_and_others_come_after(board):
    (reading, rows), (classic, others) = ranking(board)
    assert (reading.name, classic.name) == ("reading", "classic")
    assert [(row.entry.name, row.rank) for row in rows] == [("good", 1), ("evil", 2)]
    assert rows[0].entry.success == 1 > rows[1].entry.success
    assert [row.rank for row in others] == [None]
    same = replace(board[0], name="twin")
    ((_, three),) = ranking([board[0], same, replace(board[1], ranked=False)])
    assert [(row.entry.name, row.rank) for row in three] == [("good", 1), ("twin", 1), ("evil", None)]


def test_a_name_belongs_to_one_entry(board):
    with pytest.raises(ValueError, match="'good' is there more than once"):
        ranking([board[0], board[1], board[0]])


def test_tables_tell_the_scores(board, site):
    score = board[0].report["scores"]["success"]
    told = f"{score['iqm']:.3f}"
    between = f"{score['interval'][0]:.3f} to {score['interval'][1]:.3f}"
    (line,) = [line for line in markdown(board).splitlines() if "v1/good/" in line]
    assert f"| {told} | {between} |" in line
    assert f"{told}{between}" in Page(site["index.html"]).text
    assert "replayed, reproduced" in line


def test_the_same_entries_give_the_same_bytes(board, site, tmp_path):
    files = build(list(reversed(board)), tmp_path)
    assert {path.relative_to(tmp_path).as_posix(): path.read_text() for path in files} == site
    assert markdown(board) == markdown(list(reversed(board)))


def test_pages_of_entries_that_are_no_more_are_removed_and_others_kept(board, tmp_path):
    build(board[:2], tmp_path)
    (tmp_path / "entries" / "mine.html").write_text("mine")
    build(board[1:2], tmp_path)
    assert sorted(path.name for path in (tmp_path / "entries").iterdir()) == ["evil.html", "mine.html"]


def test_a_board_without_entries_says_so(tmp_path):
    build([], tmp_path)
    assert "There are no entries yet" in (tmp_path / "index.html").read_text()
    assert markdown([]) == ""


def test_profiles_are_drawn_beside_others_of_the_same_levels(board):
    assert "An agent" not in profile_chart(board[0], board)
    one, other = replace(board[1], name="one"), board[1]
    assert str(profile_chart(one, [other, one, board[0]])).count('<path class="l') == 2


# The page of an evaluation


def test_the_page_of_an_evaluation_escapes_too(board):
    report = dict(board[0].report) | {"agent": MARKUP, "checkpoint": None, "greedy": True}
    page = Page(report_html(report, board[0].records))
    assert " ".join(MARKUP.split()) in page.text
    assert not page.all("img")
    for level in LEVELS_SHOWN:
        assert level in page.text
    assert "no result of the protocol" in page.text


def test_an_evaluation_writes_its_page(tmp_path, monkeypatch):
    asked = Evaluation("random", levels=("CrossTwo",), seeds=(1, 2), episodes=3)
    _, cells = asked.check()
    monkeypatch.setattr(evaluation, "load_anchors", lambda: made_up_anchors(cells, 3))
    told = evaluation.run_evaluation(asked, tmp_path / "report")
    played = load_records(tmp_path / "report" / evaluation.EPISODES_FILE, 3)
    assert (tmp_path / "report" / evaluation.PAGE_FILE).read_text() == report_html(told, played)


# Films


def things_at(told: dict[str, Any], frame: int) -> list[int]:
    """As the player works it out."""
    things = list(bytes.fromhex(told["things"]))
    for when, cell, thing in told["changes"]:
        if when <= frame:
            things[cell] = thing
    return things


def carried_at(told: dict[str, Any], frame: int) -> int:
    return next((thing for when, thing in reversed(told["carried"]) if when <= frame), 0)


@pytest.fixture(scope="module")
def varied() -> Records:
    """Episodes with doors and things to carry."""
    return records("classic", ("Unlock", "PickupLoc", "PutNextLocal"), (3,))


@pytest.mark.parametrize("number", range(3))
def test_films_show_what_the_reference_does(varied, number):
    cells = [k for k, cell in enumerate(varied.cells) if (cell.split, cell.text) == varied.suite.main]
    at = (0, cells[number], 1)
    cell = varied.cells[at[1]]
    told = json.loads(json.dumps(film(varied, at)))
    env: Any = make(cell.level, cell.split, text=cell.text)
    env.reset(seed=int(episode_seeds(4)[1]))
    assert told["mission"] == env.mission
    assert told["description"] == list(split_sentences(env.description))
    assert told["rules"] == env.rules
    ended, info = False, {}
    for frame, pose in enumerate(told["poses"]):
        if frame:
            assert not ended
            _, _, terminated, truncated, info = env.step(int(told["actions"][frame - 1]))
            ended = terminated or truncated
        x, y = env.agent_pos
        assert (pose >> 2, pose & 3) == (y * told["width"] + x, env.agent_dir)
        assert told["half_steps"][frame] == env.half_steps
        grid = env.grid.encode()  # (width, height, 3)
        for place, thing in enumerate(things_at(told, frame)):
            kind, color, state = grid[place % told["width"], place // told["width"]].tolist()
            if IDX_TO_OBJECT[kind] in ("empty", "floor"):
                assert thing == 0
            else:
                assert (thing & 7, (thing >> 3) & 7, thing >> 6) == (kind, color, state)
        carried = carried_at(told, frame)
        assert bool(carried) == (env.carrying is not None)
        if carried:
            assert (carried & 7, (carried >> 3) & 7) == env.carrying.encode()[:2]
        notes = [told["notes"][number] for when, number in told["effects"] if when == frame]
        assert notes == ([env.last_effect] if env.last_effect else [])
    assert ended
    assert told["cause"] == info["cause"]


@pytest.mark.parametrize("number", range(3))
def test_films_show_what_the_engine_does(varied, number):
    cells = [k for k, cell in enumerate(varied.cells) if (cell.split, cell.text) == varied.suite.main]
    at = (0, cells[number], 2)
    cell, told = varied.cells[at[1]], film(varied, at)
    envs = make_vec(cell.level, cell.split, 1, text=cell.text, autoreset_mode="NextStep")
    envs.reset(seed=[int(episode_seeds(4)[2])])
    size = told["width"] * told["height"]
    for frame, pose in enumerate(told["poses"]):
        if frame:
            _, _, terminated, truncated, infos = envs.step(np.array([int(told["actions"][frame - 1])]))
        state = envs.state()[0]
        assert pose == 4 * (int(state["agent_y"]) * told["width"] + int(state["agent_x"])) + int(state["agent_dir"])
        assert told["half_steps"][frame] == state["half_steps"]
        assert carried_at(told, frame) == state["carried"]
        things = things_at(told, frame)
        for place, seen in enumerate(state["seen"][:size].tolist()):
            kind = seen & TYPE_MASK
            assert things[place] == (0 if kind in (EMPTY, FLOOR) else seen)
            tile = (seen >> COLOR_SHIFT) & 7 if kind == FLOOR else None
            hidden = int(state["hidden"][place]) & TILE_MASK
            if tile is not None:
                assert told["tiles"][place] == str(tile)
            elif kind != EMPTY and hidden:
                assert told["tiles"][place] == str(hidden - 1)
            elif kind == EMPTY:
                assert told["tiles"][place] == "."
    assert terminated[0] or truncated[0]
    assert infos["cause"][0] == told["cause"]
    envs.close()


def test_these_films_hold_doors_and_things_that_are_carried(varied):
    films = [film(varied, (0, k, episode)) for k in range(len(varied.cells)) for episode in range(4)]
    assert any(told["changes"] for told in films)
    assert any(told["carried"] for told in films)
    assert any(told["effects"] for told in films)


def test_a_success_and_a_failure_of_each_level_are_chosen(varied):
    levels: dict[str, list[bool]] = {level: [] for level in varied.levels}
    for run, number, episode in choose(varied):
        cell = varied.cells[number]
        assert (cell.split, cell.text) == varied.suite.main
        success = bool(varied.cause[run, number, episode] == SUCCESS)
        levels[cell.level].append(success)
        alike = (varied.cause[:, number] == SUCCESS) == success
        if varied.lengths[run, number, episode] > SHORT:
            assert varied.lengths[run, number, episode] == varied.lengths[:, number][alike].min()
        else:
            assert not (alike & (varied.lengths[:, number] <= SHORT)).reshape(-1)[: run * 4 + episode].any()
    for level, kinds in levels.items():
        (number,) = [
            k for k, c in enumerate(varied.cells) if c.level == level and (c.split, c.text) == varied.suite.main
        ]
        there = varied.cause[:, number] == SUCCESS
        assert kinds == [kind for kind in (True, False) if (there == kind).any()]


def test_records_that_tell_something_else_are_refused():
    played = records()
    cause = played.cause.copy()
    cause[:] = CAUSES.index("failure")
    with pytest.raises(RecordError, match="episode 0 of CrossTwo/HeldOut/true, run 3, seed 2000000000, does not go"):
        reel(replace(played, cause=cause))
