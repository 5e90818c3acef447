"""Nearest neighbours by hand, and a linear layer as scikit-learn fits it."""

import math

import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from mmvitkd.analysis.probing import fit_linear, knn_votes
from mmvitkd.datasets.digits import load_scans


def test_votes_by_hand():
    """Cosines 1, 0.6 and 0 with the query, whatever the lengths."""
    bank = torch.tensor([[0.0, 5.0], [3.0, 4.0], [2.0, 0.0]])
    labels = torch.tensor([2, 0, 0])
    one, two, three = knn_votes(
        torch.tensor([[7.0, 0.0]]), bank, labels, 3, (1, 2, 3), temperature=0.5
    )
    assert one.tolist() == [[pytest.approx(math.exp(2)), 0, 0]]
    both = math.exp(2) + math.exp(1.2)
    assert two.tolist() == [[pytest.approx(both), 0, 0]]
    assert three.tolist() == [[pytest.approx(both), 0, pytest.approx(1)]]


def test_the_temperature_decides_between_near_and_many():
    bank = torch.tensor([[1.0, 0.0], [1.0, 1.0], [1.0, -1.0]])
    votes = [
        knn_votes(bank[:1], bank, torch.tensor([0, 1, 1]), 2, [3], temperature)[0]
        for temperature in (0.07, 1.0)
    ]
    assert [int(vote.argmax()) for vote in votes] == [0, 1]


def test_more_neighbours_than_there_are():
    bank = torch.eye(3)
    with pytest.raises(ValueError, match='k=4: there are 3 .* at most 3'):
        knn_votes(bank, bank, torch.arange(3), 3, [1, 4])


def scans() -> tuple[torch.Tensor, torch.Tensor]:
    pixels, labels = load_scans()
    values = torch.tensor(pixels[:400]).flatten(1).float()
    return values, torch.tensor(labels[:400]).long()


@pytest.mark.parametrize('strength', [1e-3, 1.0])
def test_it_is_scikit_learns_logistic_regression(strength):
    x, y = scans()
    ours = fit_linear(x, y, 10, strength)
    scaled = StandardScaler().fit_transform(x.double().numpy())
    theirs = LogisticRegression(C=strength, max_iter=5000, tol=1e-8).fit(scaled, y)
    expected = torch.tensor(theirs.decision_function(scaled)).float()
    torch.testing.assert_close(ours(x), expected, rtol=0.02, atol=0.02)


def test_it_is_the_same_whatever_it_begins_with():
    x, y = scans()
    first = fit_linear(x, y, 10, 0.01)
    again = fit_linear(x, y, 10, 0.01, start=fit_linear(x, y, 10, 1.0))
    torch.testing.assert_close(first(x), again(x), rtol=0.02, atol=0.02)


def test_a_constant_channel_changes_nothing():
    x, y = scans()
    more = torch.cat([x, torch.full((len(x), 1), 3.0)], 1)
    plain, other = (fit_linear(v, y, 10, 0.01)(v) for v in (x, more))
    torch.testing.assert_close(plain, other, rtol=0.02, atol=0.02)
