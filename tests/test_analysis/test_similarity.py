"""Distances by hand, what they are blind to, and CKA by the textbook."""

import pytest
import torch

from mmvitkd.analysis import (
    LinearCKA,
    attention_divergence,
    relation_angle,
    relation_difference,
    relations,
    unbiased_hsic,
)
from mmvitkd.models import CorrelationLoss


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def rotation(width, seed=9):
    return torch.linalg.qr(noise(width, width, seed=seed)).Q


def cka(x, y, batch=None):
    accumulated = LinearCKA()
    for xs, ys in zip(x.split(batch or len(x)), y.split(batch or len(y)), strict=True):
        accumulated.update([xs], [ys])
    return accumulated.compute().item()


def textbook_hsic(x, y):
    """Song et al. 2012, equation 5, as sums over distinct examples."""
    n = len(x)
    k, l = x @ x.T, y @ y.T  # noqa: E741
    terms = [0.0, 0.0, 0.0]
    for i in range(n):
        for j in range(n):
            if i == j:
                continue
            terms[0] += k[i, j] * l[i, j]
            for q in range(n):
                if q in (i, j):
                    continue
                terms[2] += k[i, j] * l[i, q]
                for r in range(n):
                    if r not in (i, j, q):
                        terms[1] += k[i, j] * l[q, r]
    pairs = n * (n - 1)
    triples, quadruples = pairs * (n - 2), pairs * (n - 2) * (n - 3)
    return terms[0] / pairs + terms[1] / quadruples - 2 * terms[2] / triples


def test_divergence_by_hand():
    teacher = torch.tensor([[0.5, 0.5], [1.0, 0.0]]).view(1, 1, 2, 2)
    student = torch.tensor([[0.25, 0.75], [0.5, 0.5]]).view(1, 1, 2, 2)
    rows = 0.5 * torch.tensor([2.0, 2 / 3]).log().sum(), torch.tensor(2.0).log()
    found = attention_divergence(student, teacher)
    assert found.item() == pytest.approx(sum(rows).item() / 2, rel=1e-6)


def test_divergence_of_equal_maps_is_zero_and_of_others_positive():
    maps = noise(3, 4, 5, 5).softmax(-1)
    other = noise(3, 4, 5, 5, seed=1).softmax(-1)
    assert attention_divergence(maps, maps).item() == pytest.approx(0, abs=1e-7)
    assert attention_divergence(maps, other) > 0.05


def test_divergence_averages_heads_and_takes_other_numbers_of_them():
    teacher = noise(3, 4, 5, 5).softmax(-1)
    student = teacher.mean(1, keepdim=True)
    assert attention_divergence(student, teacher).item() == pytest.approx(0, abs=1e-7)


def test_divergence_is_finite_where_the_student_never_looks():
    teacher = torch.full((1, 1, 2, 2), 0.5)
    assert attention_divergence(torch.eye(2).view(1, 1, 2, 2), teacher).isfinite()


def test_divergence_of_other_tokens():
    with pytest.raises(ValueError, match=r'\(1, 1, 2, 2\) and \(1, 1, 3, 3\)'):
        attention_divergence(torch.eye(2)[None, None], torch.eye(3)[None, None])


def test_relations_by_hand():
    x = torch.tensor([[[1.0, 2.0, 0.0, 0.0], [0.0, 3.0, 0.0, 1.0]]])
    assert torch.equal(relations(x)[0], torch.tensor([[5.0, 6.0], [6.0, 10.0]]) / 2)


def test_relation_difference_is_what_the_correlation_loss_trains():
    student, teacher = noise(2, 5, 8), noise(2, 5, 12, seed=1)
    loss = CorrelationLoss(loss_weight=1.0, reduction='mean')(student, teacher)
    found = relation_difference(student, teacher)
    assert found.item() == pytest.approx(loss.item(), rel=1e-6)


@pytest.mark.parametrize('distance', [relation_angle, relation_difference])
def test_relations_do_not_see_rotations(distance):
    x, y = noise(2, 5, 8), noise(2, 5, 12, seed=1)
    assert distance(x, x @ rotation(8)).item() == pytest.approx(0, abs=1e-6)
    turned = distance(x @ rotation(8), y @ rotation(12))
    assert turned.item() == pytest.approx(distance(x, y).item(), rel=1e-4)
    assert distance(x, y) > 0.1


def test_scale_is_for_the_difference_alone():
    x = noise(2, 5, 8)
    assert relation_angle(3 * x, x).item() == pytest.approx(0, abs=1e-6)
    expected = (8 * relations(x)).square().mean()  # 9 - 1
    assert relation_difference(3 * x, x).item() == pytest.approx(expected.item())


def test_right_angle_between_relations():
    x = torch.tensor([[[1.0], [0.0]]])
    y = torch.tensor([[[0.0], [1.0]]])
    assert relation_angle(x, y).item() == 1


def test_tokens_of_other_grids():
    for distance in (relation_angle, relation_difference):
        with pytest.raises(ValueError, match='same images and grid'):
            distance(noise(2, 5, 8), noise(2, 6, 8))


def test_hsic_is_the_textbooks():
    x, y = noise(7, 3).double(), noise(7, 4, seed=1).double()
    found = unbiased_hsic((x @ x.T)[None], (y @ y.T)[None])
    assert found.item() == pytest.approx(textbook_hsic(x, y).item(), rel=1e-9)


def test_hsic_is_unbiased():
    """Of independent features it is zero in the mean, where the biased one is not."""
    found = [
        unbiased_hsic((x @ x.T)[None], (y @ y.T)[None]).item()
        for x, y in (
            (noise(8, 3, seed=i), noise(8, 3, seed=-1 - i)) for i in range(500)
        )
    ]
    error = torch.tensor(found).std() / len(found) ** 0.5
    assert abs(sum(found) / len(found)) < 3 * error


def test_cka_of_minibatches_is_the_ratio_of_mean_hsic():
    x, y = noise(14, 3), noise(14, 5, seed=1)
    y[:, :3] += x
    parts = [
        (a.double(), b.double()) for a, b in zip(x.split(7), y.split(7), strict=True)
    ]
    across, own_x, own_y = (
        sum(textbook_hsic(*pair(a, b)) for a, b in parts)
        for pair in (lambda a, b: (a, b), lambda a, b: (a, a), lambda a, b: (b, b))
    )
    expected = (across / (own_x * own_y) ** 0.5).item()
    assert cka(x, y, batch=7) == pytest.approx(expected, rel=1e-6)


def test_cka_of_the_same_is_one():
    x = noise(12, 6)
    assert cka(x, x, batch=4) == pytest.approx(1)


def test_cka_does_not_see_rotation_scale_and_offset():
    x, y = noise(32, 6), noise(32, 4, seed=1)
    y += x[:, :4]
    expected = cka(x, y, batch=8)
    assert 0.2 < expected < 0.9
    assert cka(5 * x @ rotation(6) + 100, y, batch=8) == pytest.approx(
        expected, rel=1e-3
    )
    stretched = x * torch.tensor([1.0, 9.0, 1.0, 1.0, 1.0, 1.0])
    assert abs(cka(stretched, y, batch=8) - expected) > 0.01


def test_cka_compares_every_layer_with_every_layer():
    x, y = (
        [noise(8, 2, 3, seed=i) for i in range(2)],
        [noise(8, 5, seed=i) for i in (5, 6, 7)],
    )
    together = LinearCKA()
    together.update(x, y)
    assert together.compute().shape == (2, 3)
    alone = cka(x[1].flatten(1), y[2])
    assert together.compute()[1, 2].item() == pytest.approx(alone)


def test_what_cka_refuses():
    with pytest.raises(ValueError, match='call update first'):
        LinearCKA().compute()
    with pytest.raises(ValueError, match='at least 4 examples a batch, got 3'):
        LinearCKA().update([noise(3, 2)], [noise(3, 2)])
    with pytest.raises(ValueError, match=r'hold \[4, 5\] images'):
        LinearCKA().update([noise(4, 2)], [noise(5, 2)])
