import numpy as np
import pytest

from lulcmap.evaluation.olofsson import estimate_adjusted

# Olofsson et al. (2014), table 8: rows the map, columns the reference; deforestation, forest gain,
# stable forest, stable non-forest
COUNTS = np.array([[66, 0, 5, 4], [0, 55, 8, 12], [1, 0, 153, 11], [2, 1, 9, 313]])
PIXELS = np.array([200_000, 150_000, 3_200_000, 6_450_000])
HECTARES = 0.09 * PIXELS


def points(counts):
    mapped, truth = np.indices(counts.shape)
    return mapped.ravel().repeat(counts.ravel()), truth.ravel().repeat(counts.ravel())


@pytest.fixture
def estimates():
    mapped, truth = points(COUNTS)
    return estimate_adjusted(mapped, mapped, truth, areas=HECTARES, n_classes=4)


def printed(estimates, digits):
    return [(round(one.value, digits), round(one.margin, digits)) for one in estimates]


def test_the_published_areas_are_found_to_the_printed_digits(estimates):
    assert printed(estimates.areas, None) == [
        (21_158, 6_158),
        (11_686, 3_756),
        (285_770, 15_510),
        (581_386, 16_282),
    ]


def test_the_published_error_matrix_of_areas_is_found(estimates):
    np.testing.assert_array_equal(
        estimates.proportions.round(4),
        [
            [0.0176, 0, 0.0013, 0.0011],
            [0, 0.0110, 0.0016, 0.0024],
            [0.0019, 0, 0.2967, 0.0213],
            [0.0040, 0.0020, 0.0179, 0.6212],
        ],
    )


def test_the_published_accuracies_are_found_to_the_printed_digits(estimates):
    assert printed([estimates.overall], 2) == [(0.95, 0.02)]
    assert printed(estimates.users, 2) == [(0.88, 0.07), (0.73, 0.10), (0.93, 0.04), (0.96, 0.02)]
    assert [round(one.value, 2) for one in estimates.producers] == [0.75, 0.85, 0.93, 0.96]
    # The paper prints 0.21, 0.23, 0.03 and 0.01; its own equation 7 gives 0.25 for the second and
    # 0.02 for the last. So do others: these are what PyMapAccuracy's tests expect of this table.
    margins = [0.21330593, 0.25440369, 0.03432379, 0.01836120]
    assert [one.margin for one in estimates.producers] == pytest.approx(margins, rel=5e-5)


def test_the_example_of_2013_is_found_too():
    """Olofsson et al. (2013), table 4: every margin of it is what its equations give."""
    mapped, truth = points(np.array([[97, 0, 3], [3, 279, 18], [2, 1, 97]]))

    estimates = estimate_adjusted(
        mapped, mapped, truth, areas=np.array([22_353, 1_122_543, 610_228]), n_classes=3
    )

    assert printed(estimates.users, 2) == [(0.97, 0.03), (0.93, 0.03), (0.97, 0.03)]
    assert printed(estimates.producers, 2) == [(0.48, 0.22), (0.99, 0.01), (0.90, 0.04)]
    assert round(estimates.overall.value, 2) == 0.94
    assert printed(estimates.areas, -1)[0] == (45_110, 21_070)  # pixels


def test_producers_accuracy_varies_as_the_papers_equation_7_says(estimates):
    n, sizes = COUNTS, COUNTS.sum(axis=1)
    strata = PIXELS.astype(float)
    of_class = (strata / sizes) @ n
    users = np.diag(n) / sizes
    producers = strata / sizes * np.diag(n) / of_class
    spread = strata[:, None] ** 2 * (n / sizes[:, None]) * (1 - n / sizes[:, None])
    spread /= (sizes - 1)[:, None]
    np.fill_diagonal(spread, 0)
    own = strata**2 * (1 - producers) ** 2 * users * (1 - users) / (sizes - 1)
    variance = (own + producers**2 * spread.sum(axis=0)) / of_class**2

    margins = [one.margin for one in estimates.producers]

    np.testing.assert_allclose(margins, 1.96 * np.sqrt(variance))


def test_the_example_of_2013_is_found():
    """Olofsson et al. (2013), Remote Sensing of Environment 129:122-131, section 4."""
    mapped, truth = points(np.array([[97, 0, 3], [3, 279, 18], [2, 1, 97]]))

    estimates = estimate_adjusted(
        mapped, mapped, truth, areas=np.array([22353, 1122543, 610228.0]), n_classes=3
    )

    assert estimates.areas[0].value == pytest.approx(45_112, abs=1)
    assert estimates.areas[0].margin / 1.96 == pytest.approx(10_752, abs=1)
    assert estimates.overall.value == pytest.approx(0.944, abs=5e-4)
    assert estimates.producers[0].value == pytest.approx(0.48, abs=5e-3)


def test_margins_are_how_much_samples_differ_also_where_strata_are_not_the_classes():
    rng = np.random.default_rng(5)
    strata = rng.choice(3, 40_000, p=[0.1, 0.3, 0.6])
    mapped = np.where(rng.random(strata.size) < 0.8, strata, rng.integers(0, 3, strata.size))
    truth = np.where(rng.random(strata.size) < 0.7, mapped, rng.integers(0, 3, strata.size))
    members = [np.flatnonzero(strata == stratum) for stratum in range(3)]
    right = mapped == truth
    expected = [
        right.mean(),
        right[mapped == 0].mean(),
        right[truth == 0].mean(),
        (truth == 0).mean(),
    ]

    values, margins = [], []
    for _ in range(500):
        drawn = np.concatenate([rng.choice(one, 300, replace=False) for one in members])
        estimates = estimate_adjusted(
            strata[drawn], mapped[drawn], truth[drawn], areas=np.bincount(strata) / 4e4, n_classes=3
        )
        chosen = [estimates.overall, estimates.users[0], estimates.producers[0], estimates.areas[0]]
        values.append([one.value for one in chosen])
        margins.append([one.margin for one in chosen])

    np.testing.assert_allclose(np.mean(values, axis=0), expected, rtol=0.01)
    np.testing.assert_allclose(np.mean(margins, axis=0), 1.96 * np.std(values, axis=0), rtol=0.1)


def test_a_point_counts_as_the_area_of_its_pixel():
    truth = np.array([0, 0, 1, 1])
    weights = np.array([3.0, 3.0, 1.0, 1.0])

    estimates = estimate_adjusted(
        np.zeros(4, int),
        np.zeros(4, int),
        truth,
        areas=np.array([80.0]),
        n_classes=2,
        weights=weights,
    )

    assert [one.value for one in estimates.areas] == [60, 20]
    assert estimates.users[0].value == 0.75


def test_a_class_that_is_nowhere_has_no_accuracy():
    mapped = np.array([0, 0, 1, 1])

    estimates = estimate_adjusted(mapped, mapped, mapped, areas=np.array([1.0, 1.0]), n_classes=3)

    assert np.isnan([estimates.users[2].value, estimates.producers[2].margin]).all()
    assert (estimates.areas[2].value, estimates.overall.value, estimates.overall.margin) == (
        0,
        1,
        0,
    )


def test_a_stratum_with_one_point_is_refused():
    with pytest.raises(ValueError, match="each needs two"):
        estimate_adjusted(
            np.array([0, 0, 1]), np.zeros(3, int), np.zeros(3, int), areas=np.ones(2), n_classes=1
        )
