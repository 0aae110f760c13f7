"""Cloud and haze by their colours and by a classification, in pixels of known cover.

Reflectances (DN) are medians of real scenes: forest in Laos, snow in Ontario, the haze over Congo,
a street of Corrientes, a cloud over Austria.
"""

import numpy as np
import pytest

from lulcmap.dataset.clearness import clear_by_classes, clear_by_colours

COVERS = {
    "forest": (300, 480, 340, 720, 2200, 2700, 2850, 1500, 700),
    "water": (450, 420, 300, 280, 230, 220, 200, 90, 60),
    "crops": (760, 1050, 900, 1400, 2500, 2900, 3000, 2300, 1500),
    "sand": (1400, 2300, 3200, 3500, 3600, 3700, 3800, 4600, 4200),
    "snow": (8200, 8300, 8100, 8000, 7900, 7800, 7600, 1200, 900),
    "haze": (1950, 1900, 1650, 1900, 2700, 3000, 3100, 1900, 1200),
    "cloud": (5500, 5600, 5800, 6000, 6200, 6300, 6400, 5600, 4600),
}


def scene(cover, size=160):
    return np.broadcast_to(
        np.array(COVERS[cover], np.uint16)[:, None, None], (9, size, size)
    ).copy()


@pytest.mark.parametrize("cover", ["forest", "water", "crops", "sand", "snow"])
def test_ground_is_clear_and_snow_is_no_cloud(cover):
    assert clear_by_colours(scene(cover)).all()


@pytest.mark.parametrize("cover", ["haze", "cloud"])
def test_haze_and_cloud_are_not_clear(cover):
    assert not clear_by_colours(scene(cover)).any()


def test_a_cloud_masks_its_surroundings_and_no_more():
    s2 = scene("forest")
    s2[:, 60:80, 60:80] = scene("cloud", 20)

    clear = clear_by_colours(s2)

    assert not clear[48:92, 48:92].any()
    clear[48:92, 48:92] = True
    assert clear.all()


def test_a_roof_is_no_cloud():
    s2 = scene("crops")
    s2[:, 60:64, 60:90] = scene("cloud", 30)[:, :4]

    assert clear_by_colours(s2).all()


def test_where_a_classification_finds_clouds_a_hall_is_none_but_a_veil_is():
    codes = np.full((160, 160), 5, np.uint8)
    hall, veil = scene("crops"), scene("crops")
    hall[:, 60:80, 60:80] = scene("cloud", 20)
    veil[:, 60:100, 60:100] = scene("haze", 40)

    assert clear_by_colours(hall, codes).all()
    assert not clear_by_colours(veil, codes)[60:100, 60:100].any()


def test_snow_of_the_classification_is_clear_whatever_its_colours():
    codes = np.full((160, 160), 11, np.uint8)

    assert clear_by_colours(scene("cloud"), codes).all()


def test_nodata_is_not_clear():
    s2 = scene("forest")
    s2[:, :10] = 0

    np.testing.assert_array_equal(clear_by_colours(s2), s2[0] != 0)


def test_clouds_of_the_classification_are_grown_and_defects_are_not():
    codes = np.full((40, 40), 4, np.uint8)
    codes[20, 20], codes[5, 35], codes[0, :] = 9, 1, 0

    masked = ~clear_by_classes(codes)

    expected = np.zeros((40, 40), bool)
    expected[16:25, 16:25] = True
    expected[5, 35] = True
    np.testing.assert_array_equal(masked, expected)
