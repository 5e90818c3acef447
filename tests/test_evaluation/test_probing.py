"""Features of every image once and in order, by however many processes."""

import os

import pytest
import torch
from mmpretrain.structures import DataSample

from mmvitkd.datasets.digits import load_scans
from mmvitkd.evaluation.probing import (
    Features,
    extract_features,
    knn_accuracy,
    label_of,
    linear_accuracy,
)
from tests.test_tools.runs import in_processes

COUNT = 101  # of no number of processes or images a batch a multiple
SETS = slice(0, 300), slice(300, 300 + COUNT)


def scans(part: slice) -> Features:
    pixels, labels = load_scans()
    return Features(
        torch.tensor(pixels[part]).flatten(1).float(),
        torch.tensor(labels[part]).long(),
    )


def forward(samples: list[int]) -> tuple[torch.Tensor, list[int]]:
    return torch.tensor([[float(i), -float(i)] for i in samples]), samples


def judged(file) -> None:
    """What a process makes of the digits' pixels, and the order of its features."""
    if 'RANK' in os.environ:
        torch.distributed.init_process_group('gloo')
    train, test = map(scans, SETS)
    found = extract_features(range(COUNT), forward, batch_size=7)
    linear = linear_accuracy(train, test, [1e-4, 1e-2, 1.0])
    knn = knn_accuracy(train, test, [1, 5])
    rank = torch.distributed.get_rank() if torch.distributed.is_initialized() else 0
    torch.save([found.values, found.labels, knn, tuple(linear)], f'{file}{rank}.pt')


def test_two_processes_have_what_one_has(tmp_path):
    judged(tmp_path / 'one')
    in_processes(2, judged, tmp_path / 'two')
    results = [torch.load(tmp_path / f'{name}.pt') for name in ('one0', 'two0', 'two1')]
    values, labels, knn, (top1, strength, _) = results[0]
    assert torch.equal(values, torch.stack([labels, -labels], 1).float())
    assert labels.tolist() == list(range(COUNT))
    for other in results[1:]:
        assert torch.equal(other[0], values) and torch.equal(other[1], labels)
        assert other[2] == knn
        assert other[3][0] == pytest.approx(top1, abs=1.5)  # rounding of sums
        assert other[3][1] == strength
    # the digits' pixels are good features, which is known of them
    assert knn[1] > 85 and top1 > 80


def test_the_strength_is_chosen_on_images_held_out():
    """The class is in a small difference of two channels, which takes large weights."""
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(400, 2, generator=draw)
    x = torch.stack([x[:, 0], x[:, 0] + 0.1 * x[:, 1]], 1)
    y = (x[:, 1] > x[:, 0]).long()
    train, test = Features(x[:200], y[:200]), Features(x[200:], y[200:])
    chosen = linear_accuracy(train, test, [1e-6, 1e3])
    assert chosen.strength == 1e3 and chosen.at_end and chosen.top1 > 95
    assert linear_accuracy(train, test, [1e3]).top1 == chosen.top1
    assert linear_accuracy(train, test, [1e-6]).top1 < 70


def test_of_strengths_that_are_right_alike_the_surest_is_taken():
    """At the strongest, weights are nearly zero, and the larger classes have all."""
    labels = torch.tensor([0] * 7 + [1] * 8 + [2] * 8)  # 7 of each without the 2
    draw = torch.Generator().manual_seed(0)
    x = torch.eye(3)[labels] * 8 + torch.randn(len(labels), 3, generator=draw)
    train = test = Features(x, labels)
    assert linear_accuracy(train, test, [1e-4]).top1 < 80
    chosen = linear_accuracy(train, test, [1e-4, 1e-2])
    assert chosen.strength == 1e-2 and chosen.top1 == 100


def test_images_without_labels_are_left_out():
    train, test = map(scans, SETS)
    more = Features(
        torch.cat([train.values, test.values]),
        torch.cat([train.labels, torch.full((COUNT,), -1)]),
    )
    assert knn_accuracy(more, test, [3]) == knn_accuracy(train, test, [3])
    nothing = Features(train.values, torch.full_like(train.labels, -1))
    with pytest.raises(ValueError, match='no labelled images to learn from'):
        knn_accuracy(nothing, test, [3])
    with pytest.raises(ValueError, match='no labelled images to test on'):
        linear_accuracy(train, nothing, [1.0])


def test_features_that_are_nan():
    with pytest.raises(ValueError, match='NaN or infinite'):
        extract_features(range(3), lambda s: (torch.full((len(s), 2), torch.nan), s), 2)
    with pytest.raises(ValueError, match='no images'):
        extract_features([], forward, 2)


def test_the_label_of_a_sample():
    assert label_of(DataSample()) == -1
    assert label_of(DataSample().set_gt_label(4)) == 4
    with pytest.raises(ValueError, match='has 2 labels'):
        label_of(DataSample().set_gt_label([1, 2]))
