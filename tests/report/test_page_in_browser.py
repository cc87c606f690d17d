"""The page in a real browser, without a window: it shows, sorts, slides, and has no error.

On Debian: apt-get install chromium chromium-driver. ``REPORT_SCREENSHOTS=DIR`` keeps pictures of the page.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_runs import drawn_album, write_experiment

from scripts.report.page.filling import make_page
from scripts.report.runs import find_runs, grouped
from scripts.report.table import make_table
from utils.scoring.classes import CITYSCAPES

webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium: tests/requirements.txt")

from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.support.ui import WebDriverWait  # noqa: E402

ROWS = {"baseline": 0.0, "ibn": 5.0, "isw": 8.0}
SCENES = 60
"""Of each of two domains, and one as the hardest; each has a picture, a truth and three predictions."""
PATIENCE = 30


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("page")
    table = make_table(grouped(find_runs([write_experiment(root / "logs", ROWS)])[0]))
    albums = [
        drawn_album(domain, [*ROWS], SCENES, first=first)
        for first, domain in enumerate(("gtav", "cityscapes"))
    ]
    file = root / "index.html"
    file.write_text(make_page(table, albums, CITYSCAPES, "Three rows", ["one line to notice"]))
    return file


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    from selenium.webdriver.chrome.service import Service

    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    driver = shutil.which("chromedriver")
    if browser is None or driver is None:
        pytest.skip("needs a browser: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    words = ["--headless=new", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1400,1000"]
    # Chromium refuses its sandbox to root, as which containers run.
    for word in [*words, *(["--no-sandbox"] if os.geteuid() == 0 else [])]:
        options.add_argument(word)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    started = webdriver.Chrome(options=options, service=Service(driver))
    yield started
    started.quit()


@pytest.fixture
def browser(chromium: Any, page: Path) -> Iterator[Any]:
    """The page, freshly opened; at the end nothing may have been an error."""
    chromium.get(page.as_uri())
    yield chromium
    assert chromium.get_log("browser") == []


def column(browser: Any, place: int) -> list[str]:
    cells = browser.find_elements(By.CSS_SELECTOR, f".scores tbody tr > :nth-child({place})")
    return [cell.get_attribute("data-value") for cell in cells]


def decoded(browser: Any) -> int:
    return browser.execute_script("return document.querySelectorAll('img[src]').length")


def test_every_section_shows(browser: Any) -> None:
    sections = browser.find_elements(By.CSS_SELECTOR, "main > section")
    names = ["scores", "classes", "curves", "conditions", "reliability", "pictures", "runs"]
    assert [section.get_attribute("id") for section in sections] == names
    assert all(section.size["height"] > 100 for section in sections)
    assert browser.find_element(By.CLASS_NAME, "notices").text == "one line to notice"
    # Nothing is wider than the window but tables that scroll on their own.
    assert browser.execute_script("return document.body.scrollWidth <= document.documentElement.clientWidth")


def test_tables_sort_by_mouse_and_by_keyboard(browser: Any) -> None:
    buttons = browser.find_elements(By.CSS_SELECTOR, ".scores .sort")
    buttons[1].click()
    scores = [float(value) for value in column(browser, 2)]
    assert scores == sorted(scores, reverse=True)
    assert column(browser, 1)[0] == "isw"
    buttons[1].send_keys(Keys.ENTER)
    assert [float(value) for value in column(browser, 2)] == sorted(scores)
    header = browser.find_elements(By.CSS_SELECTOR, ".scores thead th")
    assert [each.get_attribute("aria-sort") for each in header[:3]] == [None, "ascending", None]
    buttons[0].send_keys(Keys.SPACE)
    assert column(browser, 1) == ["baseline", "ibn", "isw"]


def test_a_slider_moves_all_pictures_of_its_scene(browser: Any) -> None:
    scene = browser.find_element(By.CLASS_NAME, "scene")
    slider = scene.find_element(By.CSS_SELECTOR, "input[type=range]")
    browser.execute_script("arguments[0].scrollIntoView()", scene)
    slider.send_keys(Keys.HOME)
    slider.send_keys(Keys.ARROW_RIGHT)
    lines = scene.find_elements(By.CLASS_NAME, "line")
    assert len(lines) == len(ROWS)
    for line in lines:
        stack = line.find_element(By.XPATH, "..")
        share = (line.rect["x"] + 1 - stack.rect["x"]) / stack.rect["width"]
        assert share == pytest.approx(0.01, abs=0.01)
    picture = browser.execute_script(
        "return getComputedStyle(arguments[0]).clipPath", scene.find_element(By.CLASS_NAME, "top")
    )
    assert picture == "inset(0px 0px 0px 1%)"


def test_a_picture_can_be_dragged(browser: Any) -> None:
    scene = browser.find_element(By.CLASS_NAME, "scene")
    stack = scene.find_element(By.CLASS_NAME, "slides")
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", stack)
    drag = webdriver.ActionChains(browser).move_to_element(stack).click_and_hold()
    drag.move_by_offset(stack.size["width"] // 4, 0).release().perform()
    slider = scene.find_element(By.CSS_SELECTOR, "input[type=range]")
    assert float(slider.get_attribute("value")) == pytest.approx(75, abs=2)


def test_the_left_side_may_be_the_picture(browser: Any) -> None:
    browser.find_element(By.ID, "left").send_keys("picture")
    shown = [
        browser.find_element(By.CLASS_NAME, f"left-{name}").is_displayed() for name in ("truth", "picture")
    ]
    assert shown == [False, True]
    assert browser.find_element(By.CLASS_NAME, "left-words").text == "picture"


def test_pictures_are_decoded_only_when_they_come_into_sight(browser: Any) -> None:
    stored = browser.execute_script("return document.querySelectorAll('script[type=\"text/plain\"]').length")
    assert stored >= 500
    assert decoded(browser) == 0
    scene = browser.find_element(By.CLASS_NAME, "scene")
    browser.execute_script("arguments[0].scrollIntoView()", scene)
    WebDriverWait(browser, PATIENCE).until(lambda _: scene.find_element(By.CSS_SELECTOR, "img.top[src]"))
    image = scene.find_element(By.CSS_SELECTOR, "img.top")
    WebDriverWait(browser, PATIENCE).until(lambda _: image.get_property("naturalWidth") == 256)
    assert decoded(browser) < stored / 2


def test_rows_of_the_curves_can_be_hidden(browser: Any) -> None:
    button = browser.find_element(By.CSS_SELECTOR, '.toggle[data-series="isw"]')
    button.click()
    assert button.get_attribute("aria-pressed") == "false"
    lines = browser.find_elements(By.CSS_SELECTOR, '.chart [data-series="isw"]')
    assert lines and not any(line.is_displayed() for line in lines)
    button.click()
    assert all(line.is_displayed() for line in lines)


def test_light_and_dark_are_readable(browser: Any) -> None:
    """Text and ground differ by more than WCAG's 4.5 in both."""
    for _ in range(2):
        theme = browser.execute_script("return document.documentElement.dataset.theme")
        for place in ("body", ".published-words, small", "nav a", ".best"):
            colours = browser.execute_script(COLOURS, place)
            assert contrast(*colours) > 4.5, (theme, place, colours)
        if folder := os.environ.get("REPORT_SCREENSHOTS"):
            keep_screenshots(browser, Path(folder), theme)
        browser.find_element(By.ID, "theme").click()


COLOURS = """
const element = document.querySelector(arguments[0]);
const numbers = (words) => words.match(/[0-9.]+/g).slice(0, 3).map(Number);
return [getComputedStyle(element).color, getComputedStyle(document.body).backgroundColor].map(numbers);
"""


def contrast(first: list[float], second: list[float]) -> float:
    """The contrast of two colours (0 to 255) by WCAG 2."""

    def luminance(colour: list[float]) -> float:
        linear = [
            c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in (v / 255 for v in colour)
        ]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted(map(luminance, (first, second)))
    return (high + 0.05) / (low + 0.05)


def keep_screenshots(browser: Any, folder: Path, theme: str) -> None:
    """A picture of each section, for people who look at them."""
    folder.mkdir(parents=True, exist_ok=True)
    for section in browser.find_elements(By.CSS_SELECTOR, "main > section"):
        browser.execute_script("arguments[0].scrollIntoView({behavior: 'instant'})", section)
        for image in section.find_elements(By.CSS_SELECTOR, "img")[:20]:
            WebDriverWait(browser, PATIENCE).until(lambda _, image=image: image.get_property("complete"))
        browser.save_screenshot(str(folder / f"{theme}-{section.get_attribute('id')}.png"))
