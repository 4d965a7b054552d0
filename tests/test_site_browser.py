"""The site in a real browser, headless: sorting, filtering, a replay to its end, markup as text, no errors.

Wants Chromium or Chrome and its driver: on Debian the packages `chromium` and `chromium-driver`.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from boards import MARKUP, entry, hostile
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select, WebDriverWait

from babyaipp.evaluation.films import reel
from babyaipp.evaluation.html import report_html
from babyaipp.leaderboard.site import Shown, build

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
DRIVER = shutil.which("chromedriver")

pytestmark = pytest.mark.skipif(not (BROWSER and DRIVER), reason="no Chromium or no chromedriver on this machine")

FLAGS = (
    *("headless=new", "no-sandbox", "disable-gpu", "disable-quic", "disable-dev-shm-usage", "window-size=1200,900"),
    *("no-first-run", "disable-background-networking", "disable-component-update", "disable-sync"),
)
SHOWN = " ".join(MARKUP.split())


@pytest.fixture(scope="module")
def entries() -> list[Shown]:
    return [
        entry("good", levels=("CrossTwo", "Courier"), runs=(3, 8, 9), planner="oracle", info={"title": "A good one"}),
        entry("evil", runs=(4, 5, 6), info=hostile()),
        entry("last", runs=(1,), ranked=False, info={"title": "An unranked one"}, badges=()),
        entry("other", suite="classic", levels=("Unlock",), info={"title": "Another suite"}),
    ]


@pytest.fixture(scope="module")
def folder(entries, tmp_path_factory) -> Path:
    """The site, and the page of an evaluation."""
    out = tmp_path_factory.mktemp("site")
    build(entries, out)
    report = dict(entries[0].report) | {"agent": MARKUP, "checkpoint": None, "greedy": True}
    (out / "report.html").write_text(report_html(report, entries[0].records), encoding="utf-8")
    return out


@pytest.fixture(scope="module")
def chrome(tmp_path_factory) -> Iterator[Chrome]:
    options = ChromeOptions()
    options.binary_location = BROWSER
    for flag in (*FLAGS, f"user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = Chrome(options, Service(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture
def browser(chrome, folder) -> Iterator[Chrome]:
    """Whatever a test does, the console stays empty: no errors, nothing that the page's policy had to block."""
    yield chrome
    assert chrome.get_log("browser") == []


def open_page(browser: Chrome, page: Path) -> None:
    browser.get(page.as_uri())


def one(browser: Any, selector: str) -> Any:
    return browser.find_element(By.CSS_SELECTOR, selector)


def titles(browser: Chrome) -> list[str]:
    """Of the entries that are seen, from top to bottom."""
    return [link.text for link in browser.find_elements(By.CSS_SELECTOR, ".board td.title a") if link.is_displayed()]


def column(browser: Chrome, number: int) -> list[str]:
    cells = browser.find_elements(By.CSS_SELECTOR, f".board td:nth-child({number})")
    return [cell.text.split("\n")[0] for cell in cells]


def test_a_table_is_sorted_by_its_headers(browser, entries, folder):
    open_page(browser, folder / "index.html")
    board = one(browser, "#suite-reading ~ .wide .board")
    by_rank = titles(board)
    assert by_rank[2] == "An unranked one"
    success = board.find_elements(By.CSS_SELECTOR, "thead th")[2]
    button = one(success, "button")
    button.click()
    assert success.get_attribute("aria-sort") == "descending"
    values = [float(text) for text in column(board, 3)]
    assert values == sorted(values, reverse=True)
    button.send_keys(Keys.ENTER)  # by keyboard, too
    assert success.get_attribute("aria-sort") == "ascending"
    values = [float(text) for text in column(board, 3)]
    assert values == sorted(values)
    title = board.find_elements(By.CSS_SELECTOR, "thead th")[1]
    one(title, "button").send_keys(Keys.SPACE)
    assert (title.get_attribute("aria-sort"), success.get_attribute("aria-sort")) == ("ascending", "none")
    assert titles(board)[1:] == ["A good one", "An unranked one"]
    rank = board.find_elements(By.CSS_SELECTOR, "thead th")[0]
    one(rank, "button").click()
    assert titles(board) == by_rank
    one(rank, "button").click()
    assert rank.get_attribute("aria-sort") == "descending"
    assert titles(board) == [*reversed(by_rank[:2]), by_rank[2]]  # what has no rank stays last


def test_tables_are_filtered_by_text_and_rank(browser, entries, folder):
    open_page(browser, folder / "index.html")
    everything = titles(browser)
    assert len(everything) == len(entries)
    field = one(browser, "#filter")
    field.send_keys("GOOD one")
    assert titles(browser) == ["A good one"]
    assert one(browser, "#count").text == "1 of 4 entries"
    field.send_keys(Keys.CONTROL, "a", Keys.NULL, Keys.DELETE)
    assert titles(browser) == everything
    one(browser, "#ranked").send_keys(Keys.SPACE)
    assert titles(browser) == [title for title in everything if title != "An unranked one"]


def test_markup_is_shown_as_text(browser, folder):
    open_page(browser, folder / "index.html")
    assert any(title.startswith(SHOWN[:100]) for title in titles(browser))
    one(browser, "a[href='entries/evil.html']").click()
    assert one(browser, "h1").text == SHOWN
    assert browser.find_elements(By.CSS_SELECTOR, "img, main bdi *, h1 bdi *, .declared bdi *") == []


@pytest.mark.parametrize("page", ["entries/good.html", "entries/other.html", "report.html"])
def test_a_replay_is_played_to_its_end(browser, entries, folder, page):
    shown = next(each for each in entries if each.name == ("other" if "other" in page else "good"))
    films = reel(shown.records)["films"]
    open_page(browser, folder / page)
    chooser = Select(one(browser, "#film"))
    assert len(chooser.options) == len(films)
    number = min(range(len(films)), key=lambda number: len(films[number]["poses"]))
    told = films[number]
    chooser.select_by_index(number)
    assert one(browser, "#mission").text == told["mission"]
    assert one(browser, "#description").text.split("\n") == told["description"]
    assert one(browser, "#outcome").text == ""
    canvas = one(browser, "#canvas")
    empty = picture(browser)
    Select(one(browser, "#speed")).select_by_visible_text("fast")
    one(browser, "#play").click()
    last = len(told["poses"]) - 1
    WebDriverWait(browser, 60).until(lambda _: one(browser, "#step").text == f"{last} / {last}")
    assert one(browser, "#play").text == "Play"
    assert one(browser, "#outcome").text.startswith(f"The end: {told['cause']}, after {last} step")
    assert f"time {told['half_steps'][-1] / 2:g} of {told['max_steps']}" in one(browser, "#now").text
    assert picture(browser) != empty
    assert place(canvas) == agent(told, last)


def test_a_replay_is_stepped_by_keys_and_by_the_slider(browser, entries, folder):
    told = reel(entries[0].records)["films"][0]
    open_page(browser, folder / "entries/good.html")
    canvas = one(browser, "#canvas")
    for frame in range(1, min(6, len(told["poses"]))):
        canvas.send_keys(Keys.ARROW_RIGHT)
        assert place(canvas) == agent(told, frame)
        assert canvas.get_attribute("data-frame") == str(frame)
    canvas.send_keys(Keys.ARROW_LEFT, Keys.ARROW_LEFT)
    assert canvas.get_attribute("data-frame") == str(frame - 2)
    canvas.send_keys(Keys.END)
    assert one(browser, "#outcome").text.startswith("The end")
    one(browser, "#slider").send_keys(Keys.HOME)
    assert canvas.get_attribute("data-frame") == "0"
    one(browser, "#forth").click()
    assert place(canvas) == agent(told, 1)


@pytest.mark.parametrize("page", ["index.html", "entries/good.html", "entries/evil.html", "report.html"])
def test_pages_fit_a_phone(browser, folder, page):
    """Only what may be scrolled by itself is wider than the screen."""
    metrics = {"width": 360, "height": 740, "deviceScaleFactor": 1, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        open_page(browser, folder / page)
        assert browser.execute_script("return document.documentElement.scrollWidth") <= 360
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def picture(browser: Chrome) -> str:
    return str(browser.execute_script("return document.getElementById('canvas').toDataURL()"))


def place(canvas: Any) -> tuple[int, ...]:
    return tuple(int(canvas.get_attribute(f"data-{name}")) for name in ("x", "y", "direction"))


def agent(told: dict[str, Any], frame: int) -> tuple[int, int, int]:
    pose = told["poses"][frame]
    return (pose >> 2) % told["width"], (pose >> 2) // told["width"], pose & 3
