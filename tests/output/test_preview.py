import numpy as np
import pytest
from PIL import Image

from lulcmap.errors import OutputError
from lulcmap.legend import CLASSES, legend_of
from lulcmap.output.preview import coloured, draw_preview, true_colour

EMPTY = (233, 236, 239)


def halves(first: int, second: int, shape: tuple[int, int] = (40, 60)) -> np.ndarray:
    classes = np.full(shape, first, np.uint8)
    classes[:, shape[1] // 2 :] = second
    return classes


def colours(picture: Image.Image) -> set[tuple[int, ...]]:
    return {colour for _, colour in picture.getcolors(1 << 24)}


def test_classes_have_the_legends_colours():
    classes = np.uint8([[cover.id for cover in CLASSES] + [255]])

    assert [tuple(pixel) for pixel in coloured(classes)[0].tolist()] == [
        *(cover.rgb for cover in CLASSES),
        EMPTY,
    ]


def test_classes_of_another_legend_have_its_colours():
    legend = legend_of(["vines", "water"], ["7B2D43", "419BDF"])

    pixels = coloured(np.uint8([[0, 1, 2, 255]]), legend)

    assert pixels[0].tolist() == [[0x7B, 0x2D, 0x43], [0x41, 0x9B, 0xDF], [*EMPTY], [*EMPTY]]


def test_true_colour_is_red_green_blue_and_grey_stays_grey():
    composite = np.full((9, 50, 50), 1000, np.uint16)
    composite[:, :25] = 2000
    composite[2, 10:15, :] = 2500  # B04
    composite[:, 49, :] = 0

    pixels = true_colour(composite)

    assert (np.ptp(pixels[20:25], axis=-1) == 0).all()
    assert (pixels[12, :, 0] > pixels[12, :, 1]).all()
    assert (pixels[20, 0] > pixels[30, 0]).all()
    assert tuple(pixels[49, 0]) == EMPTY


def test_snow_does_not_darken_the_rest():
    composite = np.full((9, 50, 50), 1500, np.uint16)
    composite[:, :10] = 500
    composite[:, 40:] = 9000

    pixels = true_colour(composite)

    assert (pixels[45] == 255).all()
    assert (pixels[25] > 120).all()


def test_an_empty_composite_is_empty():
    assert (true_colour(np.zeros((9, 4, 4), np.uint16)) == EMPTY).all()


def test_the_picture_has_three_panels_and_the_classes_they_show(tmp_path):
    out = tmp_path / "preview.png"
    composite = np.random.default_rng(0).integers(1, 4000, (9, 40, 60), np.uint16)

    draw_preview(
        out, halves(0, 6), composite=composite, truth=halves(0, 1), title="Land", note="good"
    )

    picture = Image.open(out)
    shown = colours(picture.convert("RGB"))
    assert picture.width == 1600
    assert {CLASSES[i].rgb for i in (0, 1, 6)} <= shown
    assert not {CLASSES[i].rgb for i in (2, 3, 4, 5, 7, 8)} & shown


def test_the_map_alone_is_one_panel_as_wide_as_its_title(tmp_path):
    out = tmp_path / "preview.png"

    draw_preview(out, halves(4, 255, (300, 10)), title="A rather long title of a narrow country")

    picture = Image.open(out)
    assert 500 < picture.width < 700
    assert {CLASSES[4].rgb, EMPTY} <= colours(picture.convert("RGB"))


def test_a_missing_folder_is_a_one_line_error(tmp_path):
    with pytest.raises(OutputError, match="could not be written"):
        draw_preview(tmp_path / "no" / "preview.png", halves(0, 1), title="Land")
