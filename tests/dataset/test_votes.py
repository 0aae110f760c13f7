"""Votes of annotators, against the definitions written out pixel by pixel."""

from collections import Counter
from itertools import product

import numpy as np
import pytest

from lulcmap.dataset.votes import SCHEMES, merge_votes


def by_hand(votes, scheme):
    """The label of one pixel, in the words of the paper."""
    opinions = [one for one in votes if one != 255]
    if not opinions:
        return 255
    label, times = Counter(opinions).most_common(1)[0]
    says = {
        "strict": len(opinions) == 3 and times == 3,
        "consensus": times == len(opinions),
        "majority": times >= 2 or len(opinions) == 1,
        "simple-majority": times >= 2,
    }
    return label if says[scheme] else 255


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_scheme_is_what_the_paper_says(scheme):
    cases = list(product((0, 3, 8, 255), repeat=3))
    votes = np.uint8(cases).T[:, None, :]

    labels = merge_votes(votes, scheme)

    assert labels[0].tolist() == [by_hand(one, scheme) for one in cases]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_non_expert_is_not_asked(scheme):
    experts = np.random.default_rng(0).choice(np.uint8([0, 1, 255]), (3, 8, 9))

    alone, beside = (
        merge_votes(np.concatenate([experts, np.full((1, 8, 9), other, np.uint8)]), scheme)
        for other in (1, 255)
    )

    np.testing.assert_array_equal(alone, merge_votes(experts, scheme))
    np.testing.assert_array_equal(beside, alone)


def test_who_agrees_under_a_harder_scheme_agrees_under_an_easier_one():
    votes = np.random.default_rng(1).choice(np.uint8([0, 1, 2, 255]), (4, 50, 50))
    labels = {scheme: merge_votes(votes, scheme) for scheme in SCHEMES}

    for hard, easy in (
        ("strict", "consensus"),
        ("consensus", "majority"),
        ("strict", "simple-majority"),
        ("simple-majority", "majority"),
    ):
        held = labels[hard] != 255
        np.testing.assert_array_equal(labels[hard][held], labels[easy][held])


@pytest.mark.parametrize(
    ("shape", "scheme"), [((2, 4, 4), "strict"), ((4, 4), "strict"), ((3, 4, 4), "loud")]
)
def test_what_is_no_vote_is_refused(shape, scheme):
    with pytest.raises(ValueError, match=r"votes have shape|no such scheme"):
        merge_votes(np.zeros(shape, np.uint8), scheme)
