"""The page of maps in Chromium: served and exported, used by mouse, keys and screen readers."""

import http.server
import re
import threading
from functools import partial

import numpy as np
import pytest
import rasterio
import shapely

from lulcmap.viewer import export
from lulcmap.viewer.export import export_page
from lulcmap.viewer.opened import open_site, serve_site
from tests.products.maps import GRID, write_map, write_regions
from tests.viewer.maps import HOSTILE, patches, write_layers, write_whole

WIDTHS = {"desktop": (1280, 800), "tablet": (820, 1000), "phone": (390, 780)}

SHAPE = (300, 420)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Two years with a composite and regions, one of a hostile name."""
    folder = tmp_path_factory.mktemp("maps")
    old = write_whole(folder / "land-2020.tif", patches(SHAPE, seed=1), plan="a")
    new = write_whole(folder / "land-2024.tif", patches(SHAPE, seed=2), plan="b")
    write_layers(new, SHAPE, plan="b")
    west, north = GRID * (0, 0)
    shapes = [
        shapely.box(west, north - 1500, west + 2000, north),
        shapely.box(west + 2000, north - 1500, west + 4200, north),
    ]
    regions = write_regions(folder / "regions.gpkg", shapes, name=["West", HOSTILE])
    return open_site([old, new], regions=regions)


@pytest.fixture(params=["served", "exported", "folder"])
def address(request, site, tmp_path, monkeypatch):
    """Address of the page: of the server, of one file, or of a file with a folder beside it."""
    if request.param != "served":
        if request.param == "folder":
            monkeypatch.setattr(export, "MAX_FILE_TILES", 0)
        yield export_page(site, tmp_path / "page").path.as_uri()
    else:
        with serve_site(site) as served:
            yield served


@pytest.fixture
def open_page(browser):
    """What opens a page and, at the end, sees that nothing went wrong in it."""
    faults, pages = [], []

    def opened(address, width="desktop", **options):
        size = dict(zip(("width", "height"), WIDTHS[width], strict=True))
        context = browser.new_context(viewport=size, **options)
        page = context.new_page()
        pages.append(context)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda said: _note(said, faults))
        page.on("request", lambda asked: _check_own(asked.url, address, faults))
        page.goto(address)
        wait_until_shown(page)
        return page

    yield opened
    for context in pages:
        context.close()
    assert faults == []


def _note(said, faults):
    """Note what the page complains of, but for the slowness of what ``colours`` does."""
    if said.type in ("error", "warning") and "willReadFrequently" not in said.text:
        faults.append(said.text)


def _check_own(url, address, faults):
    start = re.match(r"http://[^/]+/[^/]+/|file:///", address)[0]
    if not url.startswith((start, "data:", "blob:")):
        faults.append(f"asked {url}")


def wait_until_shown(page):
    """Wait until the page shows its maps and their areas."""
    wait(page, "globalThis.lulcmapPage")
    wait(page, "document.getElementById('total').textContent.includes('mapped')")


def wait(page, condition):
    """Wait until an expression is true; Playwright's own wait is stopped by the page's policy."""
    for _ in range(600):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(100)
    raise AssertionError(f"never: {condition}")


def colours(page):
    """How many pixels of the classes of the left map are shown, by colour."""
    counts = page.evaluate(
        """() => {
          const counts = {};
          for (const canvas of document.querySelectorAll('.leaflet-left-pane canvas')) {
            const { data } = canvas.getContext('2d').getImageData(0, 0, 256, 256);
            for (let i = 0; i < data.length; i += 4) {
              if (!data[i + 3]) continue;
              const name = [0, 1, 2].map((k) => data[i + k].toString(16).padStart(2, '0')).join('');
              counts[name] = (counts[name] ?? 0) + 1;
            }
          }
          return counts;
        }"""
    )
    return {name.upper(): count for name, count in counts.items()}


def settled(page):
    """Wait until the tiles of the left map are painted."""
    wait(
        page,
        "lulcmapPage.layers.left && !lulcmapPage.layers.left.layer.isLoading()"
        " && document.getElementById('total').textContent.includes('mapped')",
    )


def test_classes_are_shown_in_the_colours_of_the_map_and_can_be_hidden(address, site, open_page):
    page = open_page(address)
    settled(page)
    legend = {cover.colour: cover.name for cover in site.maps[0].legend}

    assert set(colours(page)) == set(legend)
    page.get_by_label("trees").uncheck()
    assert set(colours(page)) == set(legend) - {"397D49"}
    assert "off=trees" in page.url
    page.keyboard.press("1")
    assert set(colours(page)) == set(legend) - {"397D49", "419BDF"}
    page.get_by_role("button", name="None").click()
    assert colours(page) == {}
    page.get_by_role("button", name="All").click()
    assert set(colours(page)) == set(legend)


def test_the_chart_shows_the_areas_of_the_view(address, site, open_page):
    page = open_page(address)
    with rasterio.open(site.maps[0].parts[0].raster.path) as dataset:
        mapped = (dataset.read(1) != 255).sum() / 10_000

    total = page.locator("#total").inner_text()
    assert float(re.match(r"([\d.]+) km² mapped", total)[1]) == pytest.approx(mapped, rel=0.01)
    shares = [float(text.strip("<%")) for text in page.locator("#legend .share").all_inner_texts()]
    assert sum(shares) == pytest.approx(100, abs=4)
    page.evaluate("lulcmapPage.map.setView([0, 0], 8, { animate: false })")
    wait(page, "document.getElementById('total').textContent.startsWith('0 mapped')")


def test_a_pixel_is_read_by_mouse_and_by_key(address, site, open_page):
    page = open_page(address)
    box = page.locator("#map").bounding_box()
    lon, lat = page.evaluate(
        "(() => { const at = lulcmapPage.map.containerPointToLatLng([840, 420]);"
        " return [at.lng, at.lat]; })()"
    )
    page.mouse.click(box["x"] + 840, box["y"] + 420)
    page.wait_for_selector("#pixel dl")
    told = page.locator("#pixel").inner_text()
    from lulcmap.viewer.inspect import pixel_at

    old, new = (pixel_at(one, lon, lat) for one in site.maps)
    if old["class"]:
        assert old["class"].replace("_", " ") in told
    if new["class"]:
        assert "Sentinel-2 only" in told
        assert "Confidence" in told
    page.locator("#map").focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_timeout(400)
    before = page.locator("#pixel").inner_text()
    page.keyboard.press("i")
    wait(page, f"document.getElementById('pixel').innerText !== {before!r}")


def test_two_years_and_a_composite_are_compared_by_a_border_that_moves(address, open_page):
    page = open_page(address)
    divider = page.locator("#divider")

    assert not divider.is_visible()
    page.get_by_label("Compare").select_option("land-2024")
    assert divider.is_visible()
    assert "land-2020, then in land-2024" in page.locator("#columns").inner_text()
    divider.focus()
    page.keyboard.press("PageUp")
    assert divider.get_attribute("aria-valuenow") == "60"
    box = divider.bounding_box()
    page.mouse.move(box["x"] + 22, 300)
    page.mouse.down()
    page.mouse.move(box["x"] + 122, 300)
    page.mouse.up()
    assert int(divider.get_attribute("aria-valuenow")) > 65
    page.get_by_label("Compare").select_option("land-2024, false colour")
    wait(
        page,
        "[...document.querySelectorAll('.leaflet-right-pane img')].some((i) => i.naturalWidth > 1)",
    )
    assert "right=picture-1" in page.url


def test_a_link_shows_the_same_again(address, open_page):
    page = open_page(address)
    page.get_by_label("Compare").select_option("land-2024")
    page.get_by_label("crops").uncheck()
    page.keyboard.press("[")
    page.evaluate("lulcmapPage.map.setZoom(13, { animate: false })")
    page.evaluate("lulcmapPage.swipe.set(30)")
    page.get_by_label("Areas of").select_option("West")
    wait(page, "document.getElementById('total').textContent.includes('in West')")
    link = page.url

    again = open_page(link)
    wait(again, "document.getElementById('total').textContent.includes('in West')")

    assert again.url == link
    assert again.get_by_label("Compare").input_value() == "map-1"
    assert again.get_by_label("Opacity").input_value() == "90"
    assert not again.get_by_label("crops").is_checked()
    assert again.locator("#total").inner_text() == page.locator("#total").inner_text()


def test_regions_are_outlined_and_measured(address, open_page):
    page = open_page(address)

    assert page.locator(".leaflet-overlay-pane path").count() >= 4
    page.get_by_label("Areas of").select_option(HOSTILE)
    wait(page, "document.getElementById('total').textContent.includes('<img')")
    assert page.locator("#legend-title").inner_text() == f"Classes in {HOSTILE}"
    assert page.locator("img[src=x]").count() == 0


def test_hostile_names_are_shown_as_text(browser, open_page, tmp_path):
    path = write_map(
        tmp_path / f"{HOSTILE}.tif".replace("/", ""),
        np.ones((60, 60), np.uint8),
        names={1: HOSTILE, 2: "</script><script>document.title='x'</script>"},
    )
    with serve_site(open_site([path])) as address:
        page = open_page(address)

        assert page.locator("#legend .name").first.inner_text() == HOSTILE
        page.keyboard.press("i")
        page.wait_for_selector("#pixel dl")
        assert page.locator("img[src=x]").count() == 0
        assert page.title() != "x"


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(site, open_page, axe, width, scheme):
    with serve_site(site) as address:
        page = open_page(address, width, color_scheme=scheme, bypass_csp=True)
        page.get_by_label("Compare").select_option("land-2024")
        page.locator("summary").click()
        page.keyboard.press("i")
        page.wait_for_selector("#pixel dl")
        for state in ("page", "help"):
            if state == "help":
                page.get_by_role("button", name="Keys").click()
            page.evaluate(axe)
            found = page.evaluate("axe.run()")["violations"]
            assert [(one["id"], one["impact"], one["help"]) for one in found] == []


def test_a_phone_shows_map_and_legend_and_folds_the_panel(site, open_page):
    with serve_site(site) as address:
        page = open_page(address, "phone")

        width = page.evaluate("document.documentElement.scrollWidth")
        panel = page.locator("#panel").bounding_box()
        page.get_by_role("button", name="Fold the panel").click()
        folded = page.locator("#panel").bounding_box()

    assert width == 390
    assert panel["width"] == 390
    assert panel["height"] < 0.55 * 780
    assert folded["height"] < 100


def test_dark_and_light_follow_the_system_until_one_is_chosen(site, open_page):
    with serve_site(site) as address:
        page = open_page(address, color_scheme="dark")
        theme = "document.documentElement.dataset.theme"
        first = page.evaluate(theme)
        page.keyboard.press("d")
        second = page.evaluate(theme)
        page.reload()
        wait_until_shown(page)
        third = page.evaluate(theme)

    assert (first, second, third) == ("dark", "light", "light")


class _Elsewhere(http.server.BaseHTTPRequestHandler):
    """Another site."""

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<title>elsewhere</title>")

    def log_message(self, *words):
        """Say nothing."""


def test_another_site_reads_nothing_even_with_the_token(site, browser):
    elsewhere = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Elsewhere)
    threading.Thread(target=elsewhere.serve_forever, daemon=True).start()
    with serve_site(site) as address:
        page = browser.new_page()
        page.goto(f"http://localhost:{elsewhere.server_address[1]}/")
        ask = partial(
            page.evaluate,
            """async ([url, mode]) => {
            try { const answer = await fetch(url, { mode }); return answer.status; }
            catch { return "refused"; }
        }""",
        )

        assert ask([f"{address}api/site", "cors"]) == "refused"
        assert ask([f"{address}api/site", "no-cors"]) in (0, "refused")
        assert (
            page.evaluate(
                """(url) => new Promise((done) => {
                const image = new Image();
                image.onload = () => done("shown"); image.onerror = () => done("refused");
                image.src = url;
            })""",
                f"{address}api/pictures/0/5/16/9",
            )
            == "refused"
        )
        page.close()
    elsewhere.shutdown()
    elsewhere.server_close()
