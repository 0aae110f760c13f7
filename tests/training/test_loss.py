"""The loss of hard, soft and partial labels, against plain numpy, pixel by pixel."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from lulcmap.dataset.pixels import Pixels
from lulcmap.training.batches import stack
from lulcmap.training.histograms import class_weights_of, count_classes
from lulcmap.training.loss import SetWeights, Target, focal_loss, pixel_weights

K = 5
MEMBERS = np.array([[True, False, True, True, False], [False, True, True, False, False]])


def percent(rng, shape):
    """Soft labels (K, H, W) whose sums are about 100."""
    return np.rint(100 * rng.dirichlet(np.full(K, 0.4), shape)).astype(np.uint8).transpose(2, 0, 1)


def problem(seed, *, size=4, spread=3.0):
    """Logits and labels of every kind, mixed."""
    rng = np.random.default_rng(seed)
    shape = (2, size, size)
    logits = rng.normal(0, spread, (2, K, size, size)).astype(np.float32)
    label = rng.choice([0, 1, 2, 3, 4, 253, 254, 255], shape)
    soft = np.stack([percent(rng, (size, size)) for _ in range(2)])
    soft[:, :, rng.random((size, size)) < 0.4] = 0  # certain
    weight = rng.integers(0, 101, shape).astype(np.uint8)
    alpha = rng.random(K).astype(np.float32) + 0.1
    return logits, label, soft, weight, alpha, rng.random(2).astype(np.float32) + 0.1


def by_hand(logits, label, soft, weight, alpha, set_alpha, gamma):
    """The mean loss, pixel by pixel in double precision."""
    total = divisor = 0.0
    for b, y, x in np.ndindex(label.shape):
        z, code = logits[b, :, y, x].astype(np.float64), label[b, y, x]
        p = np.exp(z - z.max()) / np.exp(z - z.max()).sum()
        q = soft[b, :, y, x].astype(np.float64)
        if code == 255:
            continue
        if code > 250:
            row = 254 - code
            distance, a = -math.log(p[MEMBERS[row]].sum()), set_alpha[row]
        elif q.any():
            q /= q.sum()
            distance = sum(one * math.log(one / p[k]) for k, one in enumerate(q) if one)
            a = (q * alpha).sum()
        else:
            distance, a = -math.log(p[code]), alpha[code]
        a *= weight[b, y, x] / 100
        total += a * (1 - math.exp(-distance)) ** gamma * distance
        divisor += a
    return total / max(divisor, 1e-6)


@given(st.integers(0, 10**6), st.sampled_from([0.0, 0.5, 1.0, 2.0]))
def test_every_kind_of_label_has_the_loss_that_the_formula_says(seed, gamma):
    logits, label, soft, weight, alpha, set_alpha = problem(seed)
    sets = SetWeights(torch.from_numpy(MEMBERS), torch.from_numpy(set_alpha))
    target = Target(*(torch.from_numpy(each) for each in (label, soft, weight)))

    loss = focal_loss(
        torch.from_numpy(logits), target, alpha=torch.from_numpy(alpha), gamma=gamma, sets=sets
    )

    expected = by_hand(logits, label, soft, weight, alpha, set_alpha, gamma)
    assert loss.item() == pytest.approx(expected, rel=1e-3, abs=1e-6)


def loss_of_0_1_0(logits, label, *, alpha, gamma):
    """The loss as it was before labels could be soft."""
    entropy = F.cross_entropy(logits, label, ignore_index=255, reduction="none")
    has_label = label != 255
    weight = alpha[torch.where(has_label, label, 0)] * has_label
    focus = (1 - torch.exp(-entropy)) ** gamma
    return (weight * focus * entropy).sum() / weight.sum().clamp(min=1e-6)


@given(st.integers(0, 10**6), st.sampled_from([0.0, 1.0, 2.0]))
def test_plain_labels_have_the_loss_and_the_gradient_they_always_had(seed, gamma):
    logits, label, *_, alpha, _ = problem(seed, spread=12)
    label = torch.from_numpy(np.where(label > 250, 255, label))
    old, new = (torch.from_numpy(logits.copy()).requires_grad_() for _ in range(2))
    weights = torch.from_numpy(alpha)

    before = loss_of_0_1_0(old, label, alpha=weights, gamma=gamma)
    after = focal_loss(new, Target(label), alpha=weights, gamma=gamma)
    before.backward()
    after.backward()

    assert torch.equal(before, after)
    assert torch.equal(old.grad, new.grad)


@given(st.integers(0, 10**6))
def test_a_soft_label_of_one_class_is_that_class(seed):
    logits, label, *_, alpha, _ = problem(seed)
    hard = torch.from_numpy(np.where(label > 250, 255, label))
    one_hot = (hard[:, None] == torch.arange(K)[:, None, None]) * 100
    soft = Target(hard, one_hot.to(torch.uint8))
    weights = torch.from_numpy(alpha)

    losses = [
        focal_loss(torch.from_numpy(logits), target, alpha=weights, gamma=2)
        for target in (Target(hard), soft)
    ]

    torch.testing.assert_close(*losses)


def test_a_network_that_says_what_the_teacher_says_has_nothing_to_learn():
    soft = torch.tensor([60, 30, 10, 0, 0], dtype=torch.uint8).view(1, K, 1, 1)
    logits = (soft.float() / 100).clamp(min=1e-30).log().requires_grad_()
    target = Target(torch.zeros(1, 1, 1, dtype=torch.long), soft)

    for gamma in (0, 2):
        loss = focal_loss(logits, target, alpha=torch.ones(K), gamma=gamma)
        (gradient,) = torch.autograd.grad(loss, logits)
        assert loss.item() == pytest.approx(0, abs=1e-6)
        assert gradient.abs().max() < 1e-6


def test_without_focus_the_gradient_is_that_of_the_cross_entropy():
    logits = torch.randn(2, K, 3, 3).requires_grad_()
    rng = np.random.default_rng(1)
    soft = torch.from_numpy(np.stack([percent(rng, (3, 3)) for _ in range(2)]))
    q = soft.float() / soft.sum(1, keepdim=True)
    target = Target(soft.argmax(1), soft)

    (ours,) = torch.autograd.grad(focal_loss(logits, target, alpha=torch.ones(K), gamma=0), logits)
    (theirs,) = torch.autograd.grad(F.cross_entropy(logits, q, reduction="mean"), logits)

    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("scale", [0.0, 1e-6, 50.0, 1e4, 1e6])
def test_gradients_stay_finite_however_sure_and_wrong_the_network_is(scale, gamma):
    logits, label, soft, weight, alpha, set_alpha = problem(3, size=16, spread=1)
    logits = torch.from_numpy(logits * np.float32(scale)).requires_grad_()
    sets = SetWeights(torch.from_numpy(MEMBERS), torch.from_numpy(set_alpha))
    target = Target(*(torch.from_numpy(each) for each in (label, soft, weight)))

    loss = focal_loss(logits, target, alpha=torch.from_numpy(alpha), gamma=gamma, sets=sets)
    loss.backward()

    assert math.isfinite(loss.item())
    assert torch.isfinite(logits.grad).all()


def test_logits_of_half_precision_give_nearly_the_same_loss():
    logits, label, soft, weight, alpha, set_alpha = problem(5, size=16)
    sets = SetWeights(torch.from_numpy(MEMBERS), torch.from_numpy(set_alpha))
    target = Target(*(torch.from_numpy(each) for each in (label, soft, weight)))
    whole = torch.from_numpy(logits)

    one, other = (
        focal_loss(each, target, alpha=torch.from_numpy(alpha), gamma=2, sets=sets)
        for each in (whole, whole.bfloat16().float())
    )

    torch.testing.assert_close(one, other, rtol=0.02, atol=0)


def test_a_set_weighs_as_much_as_an_average_pixel_of_its_classes():
    pixels = np.array([600.0, 100, 250, 50, 0])
    alpha = torch.tensor(class_weights_of(pixels, power=0.5))
    prior = torch.from_numpy(pixels).float() * alpha

    sets = SetWeights.of(torch.from_numpy(MEMBERS), alpha=alpha, prior=prior / prior.sum())

    for row, members in enumerate(MEMBERS):
        expected = np.average(alpha.numpy()[members], weights=pixels[members])
        assert sets.alpha[row].item() == pytest.approx(expected, rel=1e-5)
    empty = torch.tensor([[False, False, False, False, True]])
    assert SetWeights.of(empty, alpha=alpha, prior=prior).alpha.tolist() == [1.0]


@given(st.integers(0, 10**6))
def test_classes_are_counted_by_probabilities_and_weights(seed):
    _, label, soft, weight, *_ = problem(seed)
    planes = np.zeros((9, 4, 4), np.uint16), np.zeros((2, 4, 4), np.int16)
    ids = label[0].astype(np.uint8)

    counts = count_classes(Pixels(*planes, ids, soft[0], weight[0]), K)

    expected = np.zeros(K)
    for y, x in np.ndindex(ids.shape):
        q, w = soft[0, :, y, x].astype(float), weight[0, y, x] / 100
        if ids[y, x] < K:
            expected += w * (q / q.sum() if q.any() else np.eye(K)[ids[y, x]])
    np.testing.assert_allclose(counts, expected, atol=1e-9)


def test_the_loss_of_a_sample_does_not_depend_on_those_beside_it():
    logits, label, soft, weight, alpha, set_alpha = problem(8)
    sets = SetWeights(torch.from_numpy(MEMBERS), torch.from_numpy(set_alpha))
    s2, s1 = np.ones((9, 4, 4), np.uint16), np.ones((2, 4, 4), np.int16)
    one = Pixels(s2, s1, label[0].astype(np.uint8), soft[0], weight[0])
    other = Pixels(s2, s1, np.where(label[1] > 250, 255, label[1]).astype(np.uint8))
    weights = torch.from_numpy(alpha)

    def total(samples, where):
        target = stack(samples).target
        sums = pixel_weights(target, alpha=weights, sets=sets).sum()
        loss = focal_loss(
            torch.from_numpy(logits[where]), target, alpha=weights, gamma=2, sets=sets
        )
        return loss * sums

    both = total([one, other], slice(None))

    torch.testing.assert_close(both, total([one], [0]) + total([other], [1]))
    assert stack([other]).target.probabilities is None
    assert stack([other]).target.weight is None
