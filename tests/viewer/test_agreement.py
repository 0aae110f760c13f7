"""Decisions of several interpreters, and kappas against published examples and scikit-learn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lulcmap.viewer.agreement import Answer, cohen_kappa, decide, fleiss_kappa, summary


def said(name, *, sure=True, point=1, who="anna"):
    return Answer(point, who, name, sure, "", "2024-05-06T07:08:09.123Z", False)


@pytest.mark.parametrize(
    ("answers", "name", "is_tie"),
    [
        ([said("trees")], "trees", False),
        ([said("trees"), said("grass")], None, True),
        ([said("trees"), said("grass"), said("grass")], "grass", False),
        ([said("trees"), said("grass", sure=False)], "trees", False),
        ([said("trees"), said("grass", sure=False), said("grass", sure=False)], "trees", False),
        ([said("trees", sure=False), said("grass", sure=False)], None, True),
        ([said("trees", sure=False)], "trees", False),
        ([said(None, sure=False)], None, False),
        ([said(None, sure=False), said("trees")], "trees", False),
        ([], None, False),
        ([said("a"), said("a"), said("b"), said("b"), said("c")], None, True),
    ],
)
def test_most_of_the_sure_ones_decide(answers, name, is_tie):
    decision = decide(answers)

    assert (decision.name, decision.is_tie) == (name, is_tie)
    assert decision.is_sure == (name is not None and any(one.is_sure for one in answers))


def test_cohens_kappa_of_a_published_example():
    # 50 grants, two readers: 20 times both yes, 15 both no (Wikipedia, "Cohen's kappa"): 0.40
    pairs = [("y", "y")] * 20 + [("y", "n")] * 5 + [("n", "y")] * 10 + [("n", "n")] * 15

    assert cohen_kappa(pairs) == pytest.approx(0.4)


def test_fleiss_kappa_of_a_published_example():
    # 14 raters, 10 subjects, 5 categories (Wikipedia, "Fleiss' kappa"): 0.210
    counts = np.array(
        [
            [0, 0, 0, 0, 14],
            [0, 2, 6, 4, 2],
            [0, 0, 3, 5, 6],
            [0, 3, 9, 2, 0],
            [2, 2, 8, 1, 1],
            [7, 7, 0, 0, 0],
            [3, 2, 6, 3, 0],
            [2, 5, 3, 2, 2],
            [6, 5, 2, 1, 0],
            [0, 2, 2, 3, 7],
        ]
    )

    assert fleiss_kappa(counts) == pytest.approx(0.210, abs=5e-4)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abc")), min_size=2))
def test_cohens_kappa_is_that_of_scikit_learn(pairs):
    metrics = pytest.importorskip("sklearn.metrics")
    one, other = zip(*pairs, strict=True)

    kappa = cohen_kappa(pairs)

    if len(set(one + other)) == 1:
        assert kappa is None
    else:
        assert kappa == pytest.approx(metrics.cohen_kappa_score(one, other))


def test_kappas_without_a_choice_are_unknown():
    assert cohen_kappa([("a", "a")] * 3) is None
    assert cohen_kappa([]) is None
    assert fleiss_kappa(np.array([[1, 0], [0, 1]])) is None  # one rater a point
    assert fleiss_kappa(np.array([[2, 0], [2, 0]])) is None


def test_summary_counts_people_ties_and_agreement():
    answers = [
        said("trees", point=1, who="anna"),
        said("trees", point=1, who="ben"),
        said("trees", point=2, who="anna"),
        said("grass", point=2, who="ben"),
        said(None, point=3, who="anna", sure=False),
        said("water", point=4, who="ben", sure=False),
    ]

    result = summary(answers, 10)

    assert (result["points"], result["answered"], result["decided"]) == (10, 4, 2)
    assert result["ties"] == [2]
    assert result["interpreters"][0] == {
        "interpreter": "anna",
        "answered": 3,
        "unsure": 0,
        "without_class": 1,
        "map_shown": 0,
    }
    agreement = result["agreement"]
    assert (agreement["points"], agreement["all_agree"]) == (2, 1)
    assert agreement["pairs"][0]["agreed"] == 0.5
    assert summary([said("trees")], 10)["agreement"] is None
