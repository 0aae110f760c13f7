"""The page that labels, driven by clicks and keys in headless Chromium."""

import json
import re
import signal
import subprocess
import sys
from contextlib import contextmanager
from datetime import date

import numpy as np
import pyogrio
import pytest
from pyproj import Transformer

from lulcmap.dataset import Glimpse
from lulcmap.evaluation import draw_sample, write_sample
from lulcmap.viewer import AnswerStore
from lulcmap.viewer.dates import DateFile, DatesAsked, dates_path
from tests.viewer.pictures import write_labelled_land

NAMES = {1: "trees", 4: "crops", 6: "built"}


@pytest.fixture(scope="module")
def land(tmp_path_factory):
    return write_labelled_land(tmp_path_factory.mktemp("land"))


@pytest.fixture
def sample(land, tmp_path):
    path = tmp_path / "sample.gpkg"
    write_sample(path, draw_sample(land[0], size=20, min_per_class=5))
    return path


@contextmanager
def serving(sample, land, *options):
    """``lulcmap label`` as a process of its own, and the address of its page."""
    command = [sys.executable, "-m", "lulcmap", "label", sample, "--map", land[0]]
    other = land[0].with_name("land-2023.tif")
    process = subprocess.Popen(
        [*map(str, command), "--composite", str(other), "--interpreter", "anna", *options],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        process.address = process.stdout.readline().strip()
        yield process
    finally:
        process.kill()
        process.stdout.close()
        process.wait()


@contextmanager
def opened(browser, address, **options):
    """The page, when it shows a point; whatever it throws or blocks is a fault."""
    context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}} | options)
    context.set_default_timeout(240_000)  # a busy machine is slow, not wrong
    page = context.new_page()
    faults = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda line: faults.append(line.text) if line.type == "error" else None)
    page.faults = faults
    page.goto(address)
    page.wait_for_selector("#classes button")
    page.wait_for_selector("#map .leaflet-tile-loaded")
    try:
        yield page
    finally:
        context.close()


def held(sample):
    with AnswerStore(sample) as store:
        return {one.point: one for one in store.answers()}


def question(page, number):
    page.wait_for_function(
        "n => document.getElementById('question').textContent.startsWith(`Point ${n}:`)",
        arg=number,
    )


def test_points_are_labelled_with_keys_and_clicks_alone(browser, sample, land):
    with serving(sample, land) as server, opened(browser, server.address) as page:
        question(page, 1)
        page.keyboard.press("2")  # trees
        question(page, 2)
        page.get_by_role("button", name="crops").click()
        question(page, 3)
        page.keyboard.press("n")
        page.keyboard.press("7")  # built, not sure
        question(page, 4)
        page.keyboard.press("x")
        question(page, 5)
        page.keyboard.press("c")
        page.keyboard.type("1 house, 2 trees")
        page.keyboard.press("Escape")
        page.keyboard.press("2")
        question(page, 6)
        answers = held(sample)
        assert page.locator("#progress").get_attribute("value") == "5"
        assert page.faults == []

    assert [answers[i].name for i in range(1, 6)] == ["trees", "crops", "built", None, "trees"]
    assert [answers[i].is_sure for i in range(1, 6)] == [True, True, False, False, True]
    assert answers[5].comment == "1 house, 2 trees"
    assert not any(one.map_shown for one in answers.values())


def test_back_next_and_undo(browser, sample, land):
    with serving(sample, land) as server, opened(browser, server.address) as page:
        question(page, 1)
        for number in (2, 3):
            page.keyboard.press("2")
            question(page, number)
        page.keyboard.press("ArrowLeft")
        question(page, 2)
        assert page.get_by_role("button", name="trees").get_attribute("aria-pressed") == "true"
        page.keyboard.press("5")
        question(page, 3)
        assert held(sample)[2].name == "crops"
        page.keyboard.press("z")
        question(page, 2)
        assert held(sample)[2].name == "trees"
        page.get_by_role("button", name="Undo").click()
        page.wait_for_selector("#status:has-text('undone')")
        page.keyboard.press("z")
        question(page, 1)
        page.keyboard.press("z")
        page.wait_for_selector("#status:has-text('no answer of yours')")
        assert held(sample) == {}
        page.keyboard.press("ArrowRight")
        question(page, 2)
        assert page.faults == []


def test_the_map_is_hidden_until_it_is_asked_for_and_this_is_kept(browser, sample, land):
    with serving(sample, land) as server, opened(browser, server.address) as page:
        question(page, 1)
        assert page.locator("#mapped").text_content() == ""
        page.keyboard.press("m")
        page.wait_for_selector("#mapped:has-text('The map says')")
        page.keyboard.press("2")
        question(page, 2)
        assert page.locator("#mapped").text_content() == ""
        page.keyboard.press("2")
        question(page, 3)

    assert [held(sample)[i].map_shown for i in (1, 2)] == [True, False]


def test_a_look_at_the_map_is_kept_after_a_reload_and_an_edit(browser, sample, land):
    with serving(sample, land) as server, opened(browser, server.address) as page:
        question(page, 1)
        page.keyboard.press("m")
        page.wait_for_selector("#mapped:has-text('The map says')")
        page.reload()
        question(page, 1)
        page.keyboard.press("2")
        question(page, 2)
        assert held(sample)[1].map_shown
        page.keyboard.press("ArrowLeft")
        question(page, 1)
        page.keyboard.press("5")
        question(page, 2)
        assert held(sample)[1].name == "crops"
        assert held(sample)[1].map_shown
        page.keyboard.press("2")
        question(page, 3)
        assert not held(sample)[2].map_shown


def test_a_look_without_an_answer_is_kept_after_a_restart(browser, sample, land):
    with serving(sample, land) as server, opened(browser, server.address) as page:
        question(page, 1)
        page.keyboard.press("m")
        page.wait_for_selector("#mapped:has-text('The map says')")
    with serving(sample, land) as server, opened(browser, server.address) as page:
        question(page, 1)
        page.keyboard.press("2")
        question(page, 2)

    assert held(sample)[1].map_shown


def test_single_dates_are_shown_small_and_large(browser, sample, land):
    with AnswerStore(sample) as store:
        first = store.points[0]
    days = [("2024-04-01", True), ("2024-07-01", False), ("2024-09-01", None)]
    with DateFile(dates_path(sample)) as file:
        file.start(DatesAsked("earth-search", (date(2024, 1, 1), date(2024, 12, 31)), 3))
        file.keep(
            first,
            [
                Glimpse(
                    day,
                    np.full((4, 96, 96), 400 * number, np.uint16),
                    None if clear is None else np.full((96, 96), clear),
                )
                for number, (day, clear) in enumerate(days, 1)
            ],
        )

    with serving(sample, land) as server, opened(browser, server.address) as page:
        question(page, 1)
        names = page.locator("#dates .name").all_text_contents()
        page.wait_for_function(
            "[...document.querySelectorAll('#dates img')].every((one) => one.naturalWidth === 96)"
        )
        page.keyboard.press("]")
        page.wait_for_selector("#map .leaflet-image-layer")
        first_large = page.get_attribute("#map .leaflet-image-layer", "src")
        page.keyboard.press("]")
        pressed = page.locator("#dates [aria-pressed=true]").all_text_contents()
        page.keyboard.press("Space")  # false colour
        page.wait_for_selector("#map .leaflet-image-layer[src$='/1/1']")
        page.locator("#dates button").nth(1).click()
        assert page.locator("#map .leaflet-image-layer").count() == 0
        page.keyboard.press("2")
        question(page, 2)
        missing = page.locator("#dates").text_content()
        assert page.faults == []

    assert names == ["2024-04-01", "2024-07-01 cloudy", "2024-09-01"]
    assert first_large.endswith(f"/{first.id}/0/0")
    assert pressed == ["2024-07-01 cloudy"]
    assert missing.startswith("The dates of this point were not read.")


def hold(page, path):
    """Hold what the page sends to a path, as a slow disk does, until it is released."""
    page.evaluate(
        """path => {
            const send = fetch;
            const gate = new Promise(open => (globalThis.release = open));
            globalThis.sent = [];
            globalThis.fetch = async (to, options) => {
                if (to === path) {
                    sent.push(JSON.parse(options.body));
                    await gate;
                }
                return send(to, options);
            };
        }""",
        path,
    )


def comment_on(page, text):
    """Type a comment, and stay in it."""
    page.keyboard.press("c")
    page.locator("#comment").fill(text)


def test_a_comment_waits_for_the_answer_of_its_point(browser, sample, land):
    with serving(sample, land) as server, opened(browser, server.address) as page:
        question(page, 1)
        comment_on(page, "a palm")
        page.get_by_role("button", name="Next").click()
        question(page, 2)
        assert page.locator("#comment").input_value() == ""
        assert held(sample) == {}
        page.reload()
        question(page, 1)
        assert page.locator("#comment").input_value() == "a palm"
        page.keyboard.press("2")
        question(page, 2)
        page.keyboard.press("2")
        question(page, 3)
        assert page.faults == []

    assert [held(sample)[i].comment for i in (1, 2)] == ["a palm", ""]


def test_a_class_or_next_right_after_an_edited_comment_is_not_lost(browser, sample, land):
    with serving(sample, land) as server, opened(browser, server.address) as page:
        question(page, 1)
        page.keyboard.press("2")
        question(page, 2)
        page.keyboard.press("ArrowLeft")
        question(page, 1)
        hold(page, "api/answers")
        comment_on(page, "a field")
        page.get_by_role("button", name="crops").click()
        assert [one["class"] for one in page.evaluate("sent")] == ["trees"]
        page.evaluate("release()")
        question(page, 2)
        assert [one["class"] for one in page.evaluate("sent")] == ["trees", "crops"]
        assert {one["point"] for one in page.evaluate("sent")} == {1}
        page.keyboard.press("ArrowLeft")
        question(page, 1)
        comment_on(page, "two fields")
        page.get_by_role("button", name="Next").click()
        question(page, 2)
        assert page.faults == []

    answer = held(sample)[1]
    assert (answer.name, answer.comment) == ("crops", "two fields")


def test_a_second_press_does_not_answer_a_point_that_was_not_seen(browser, sample, land):
    with serving(sample, land) as server, opened(browser, server.address) as page:
        question(page, 1)
        hold(page, "api/answers")
        page.keyboard.press("2")
        page.keyboard.press("2")
        page.evaluate("release()")
        question(page, 2)
        page.keyboard.press("5")
        question(page, 3)

    assert {point: one.name for point, one in held(sample).items()} == {1: "trees", 2: "crops"}


def draw_point(page, dx=10):
    box = page.locator("#map").bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2 + dx, box["y"] + box["height"] / 2)


def test_the_comment_of_a_drawing_is_not_that_of_the_point(browser, sample, land):
    with serving(sample, land) as server, opened(browser, server.address) as page:
        question(page, 1)
        comment_on(page, "of the point")
        page.keyboard.press("Escape")
        page.keyboard.press("2")
        question(page, 2)
        page.keyboard.press("ArrowLeft")
        question(page, 1)
        page.keyboard.press("o")
        assert page.locator("#comment").input_value() == ""
        draw_point(page)
        comment_on(page, "of the drawing")
        page.keyboard.press("Escape")  # leaves the comment, not the drawing
        page.keyboard.press("n")
        page.keyboard.press("5")
        page.wait_for_selector("#drawn li:has-text('crops, point')")
        assert page.locator("#comment").input_value() == "of the point"
        assert not page.locator("#unsure").is_checked()
        page.keyboard.press("ArrowRight")
        question(page, 2)
        assert page.faults == []

    assert held(sample)[1].comment == "of the point"
    drawn = pyogrio.read_dataframe(sample, layer="drawn")
    assert drawn["comment"].tolist() == ["of the drawing"]
    assert drawn["sure"].tolist() == [False]


def test_a_drawing_is_kept_once_however_often_its_class_is_pressed(browser, sample, land):
    with serving(sample, land) as server, opened(browser, server.address) as page:
        question(page, 1)
        page.keyboard.press("o")
        draw_point(page)
        hold(page, "api/drawn")
        page.keyboard.press("2")
        page.keyboard.press("2")
        page.keyboard.press("Escape")  # it is being kept
        assert len(page.evaluate("sent")) == 1
        page.evaluate("release()")
        page.wait_for_selector("#drawn li:has-text('trees, point')")
        assert held(sample) == {}
        assert page.faults == []

    assert len(pyogrio.read_dataframe(sample, layer="drawn")) == 1


def test_a_kill_in_between_loses_nothing_and_the_next_start_goes_on(browser, sample, land):
    with serving(sample, land) as server, opened(browser, server.address) as page:
        for number in range(1, 6):
            question(page, number)
            page.keyboard.press("2")
        question(page, 6)
        server.send_signal(signal.SIGKILL)
        server.wait()
        page.keyboard.press("3")
        page.wait_for_selector("#fault:has-text('The server does not answer')")
        question(page, 6)
    assert sorted(held(sample)) == [1, 2, 3, 4, 5]

    with serving(sample, land) as server, opened(browser, server.address) as page:
        question(page, 6)
        assert page.locator("#progress").get_attribute("value") == "5"
        page.keyboard.press("3")
        question(page, 7)
    assert sorted(held(sample)) == [1, 2, 3, 4, 5, 6]


def test_points_and_polygons_are_drawn(browser, sample, land):
    palms = "--add-class", "oil palm"
    with serving(sample, land, *palms) as server, opened(browser, server.address) as page:
        box = page.locator("#map").bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        page.keyboard.press("p")
        for dx, dy in ((-90, -60), (90, -60), (90, 60)):
            page.mouse.click(x + dx, y + dy)
        page.get_by_role("button", name="oil palm").click()
        page.wait_for_selector("#drawn li:has-text('oil palm, polygon')")
        page.keyboard.press("o")
        page.mouse.click(x + 10, y + 10)
        page.keyboard.press("2")
        page.wait_for_selector("#drawn li:has-text('trees, point')")
        page.keyboard.press("o")
        page.keyboard.press("Escape")
        assert held(sample) == {}
        page.keyboard.press("2")
        question(page, 2)
        page.get_by_role("button", name="Erase 2").click()
        page.wait_for_function("() => document.querySelectorAll('#drawn li').length === 1")
        assert page.faults == []

    layer = pyogrio.read_dataframe(sample, layer="drawn")
    assert layer["class"].tolist() == ["oil palm"]
    point = pyogrio.read_dataframe(sample, layer="sample").geometry.iloc[0]
    assert layer.geometry.iloc[0].distance(point) < 0.001


def test_pictures_show_both_mixes_and_the_other_date(browser, sample, land):
    with serving(sample, land) as server, opened(browser, server.address) as page:
        labels = page.locator("#strip .name").all_text_contents()
        assert labels == [
            *("land, true colour", "land, false colour"),
            *("land-2023, true colour", "land-2023, false colour"),
            "surroundings, land, true colour",
        ]
        pressed = page.locator("#strip [aria-pressed=true] .name")
        page.keyboard.press(" ")
        assert pressed.text_content() == "land, false colour"
        page.locator("#strip button").nth(2).click()
        assert pressed.text_content() == "land-2023, true colour"
        page.wait_for_selector("#map .leaflet-tile-loaded")
        assert page.faults == []


def test_the_whole_line_to_accuracy_and_areas(browser, sample, land, tmp_path):
    with AnswerStore(sample) as store:
        points = store.points
    xs, ys = Transformer.from_crs(4326, 32632, always_xy=True).transform(
        [one.lon for one in points], [one.lat for one in points]
    )
    rows, cols = (6_400_000 - np.array(ys)) // 10, (np.array(xs) - 500_000) // 10
    truth = [NAMES[int(one)] for one in land[1][rows.astype(int), cols.astype(int)]]
    with serving(sample, land) as server, opened(browser, server.address) as page:
        for point, name in zip(points, truth, strict=True):
            question(page, point.id)
            page.get_by_role("button", name=name, exact=True).click()
        page.wait_for_selector("#status:has-text('All points are answered')")

    for command in (
        ["evaluate", land[0], "--labels", sample, "--out", tmp_path / "accuracy"],
        ["areas", land[0], "--accuracy", tmp_path / "accuracy", "--out", tmp_path / "areas.csv"],
    ):
        subprocess.run([sys.executable, "-m", "lulcmap", *map(str, command)], check=True)

    metrics = json.loads((tmp_path / "accuracy" / "metrics.json").read_text())
    assert re.search(r'"overall_accuracy": *(\{"value": *)?1\.0', json.dumps(metrics))
    assert "adjusted_ha" in (tmp_path / "areas.csv").read_text()


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (390, "light")])
def test_axe_finds_nothing(browser, axe, sample, land, width, scheme):
    with AnswerStore(sample) as store:
        store.answer(1, "ben", "trees", is_sure=True)
    options = {"viewport": {"width": width, "height": 844}, "color_scheme": scheme}
    with (
        serving(sample, land) as server,
        opened(browser, server.address, **options, bypass_csp=True) as page,
    ):
        page.keyboard.press("p")
        page.keyboard.press("m")
        page.wait_for_selector("#mapped:has-text('The map says')")
        page.locator("#agreement summary").click()
        page.wait_for_selector("#people table")
        for key in ("", "?"):
            if key:
                page.keyboard.press(key)
            page.evaluate(axe)
            found = page.evaluate("axe.run()")["violations"]
            assert [(one["id"], one["impact"], one["help"]) for one in found] == []


@pytest.mark.parametrize("width", [1280, 768, 390])
def test_the_page_fits_and_every_control_has_a_name(browser, sample, land, width):
    with (
        serving(sample, land) as server,
        opened(browser, server.address, viewport={"width": width, "height": 844}) as page,
    ):
        overflow = "() => document.documentElement.scrollWidth - innerWidth"
        assert page.evaluate(overflow) <= 0
        nameless = page.evaluate(
            """() => [...document.querySelectorAll('button, input, select, textarea')].filter(one =>
                one.offsetParent && !one.textContent.trim() && !one.labels?.length
                && !one.ariaLabel).length"""
        )
        assert nameless == 0
        assert page.locator("#classes button").first.is_visible()
        page.locator("#classes button").nth(1).click()
        question(page, 2)
