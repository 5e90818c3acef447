"""Features of a data set, and what nearest neighbours and a linear layer make of them.

All processes of a distributed run share the work: each runs the model on its part of
the images, and each judges its part.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from mmengine.dist import all_gather, all_reduce, get_rank, get_world_size
from torch import Tensor
from torch.utils.data import DataLoader, Subset

from mmvitkd.analysis.probing import LinearProbe, fit_linear, knn_votes
from mmvitkd.datasets.stratified import split_order

NO_LABEL = -1
# scikit-learn's C, from strong regularisation to weak
STRENGTHS = tuple(10.0**power for power in range(-5, 2))
HELD_OUT = 0.1  # of the training images, by which the strength is chosen


class Features(NamedTuple):
    """Of the images of a data set, in its order, on the CPU.

    Args:
        values: ``(N, D)``, float32.
        labels: ``(N,)``; -1 where an image has none.
    """

    values: Tensor
    labels: Tensor

    def labelled(self) -> 'Features':
        """Leave out images without a label."""
        kept = self.labels != NO_LABEL
        return Features(self.values[kept], self.labels[kept])


class LinearResult(NamedTuple):
    """How a linear layer does.

    Args:
        top1: Accuracy in percent.
        strength: scikit-learn's ``C`` that was chosen.
        at_end: Whether that is the least or the largest of several.
    """

    top1: float
    strength: float
    at_end: bool


def label_of(sample: Any) -> int:
    """Return the one label of a data sample, or that it has none.

    Raises:
        ValueError: If it has several.
    """
    label = sample.get('gt_label') if 'gt_label' in sample else None
    if label is None:
        return NO_LABEL
    if label.numel() != 1:
        raise ValueError(
            f'an image has {label.numel()} labels: k-NN and linear probes are for data '
            'sets with one class an image'
        )
    return int(label)


@torch.no_grad()
def extract_features(
    dataset: Any,
    forward: Callable[[list[Any]], tuple[Tensor, Sequence[int]]],
    batch_size: int,
    workers: int = 0,
    step: Callable[[int], None] | None = None,
) -> Features:
    """Compute the features of every image; the processes share them.

    Args:
        dataset: Of samples, by their index.
        forward: Takes samples in a list, returns features ``(B, D)`` and labels.
        batch_size: Of one forward.
        workers: Processes that load images. Defaults to 0.
        step: Called after every batch with the number of images that all processes
            together have done. Defaults to None.

    Raises:
        ValueError: If there are no images, or features are NaN or infinite.
    """
    count, world, rank = len(dataset), get_world_size(), get_rank()
    if not count:
        raise ValueError('the data set has no images')
    share = -(-count // world)
    # the last ones once more, so that all have equally many
    mine = [min(rank + world * i, count - 1) for i in range(share)]
    loader: Any = DataLoader(
        Subset(dataset, mine),
        batch_size,
        num_workers=workers,
        collate_fn=list,
        generator=torch.Generator(),  # the global stream is the training's
    )
    values, labels, done = [], [], 0
    for batch in loader:
        found, named = forward(batch)
        values.append(found.float().cpu())
        labels.append(torch.tensor([int(one) for one in named]))
        done += len(named)
        if step is not None:
            step(min(done * world, count))
    gathered = (
        _interleaved(torch.cat(values), count),
        _interleaved(torch.cat(labels), count),
    )
    if not gathered[0].isfinite().all():
        raise ValueError(
            'the features are NaN or infinite: has the training diverged, or do the '
            'weights not belong to the model?'
        )
    return Features(*gathered)


def _interleaved(share: Tensor, count: int) -> Tensor:
    """Bring what every process has of the images into their order."""
    return torch.stack(all_gather(share), dim=1).flatten(0, 1)[:count]


def total(value: Tensor) -> Tensor:
    """Sum a tensor over the processes."""
    value = value.clone()
    all_reduce(value)
    return value


def knn_accuracy(
    train: Features,
    test: Features,
    k: Sequence[int],
    temperature: float = 0.07,
    device: torch.device | str = 'cpu',
) -> dict[int, float]:
    """Classify test images by the nearest training images, as DINO does.

    Args:
        train: Of the neighbours; those without a label are left out, as in the next.
        test: Of the images to classify.
        k: Numbers of neighbours.
        temperature: Of their votes. Defaults to 0.07.
        device: Where to compute. Defaults to the CPU.

    Returns:
        Top-1 accuracy in percent, by ``k``.

    Raises:
        ValueError: If there are no labels, or fewer neighbours than a ``k``.
    """
    train, test = _checked(train, test)
    mine = _my_part(test)
    votes = knn_votes(
        mine.values.to(device),
        train.values.to(device),
        train.labels.to(device),
        _classes(train, test),
        k,
        temperature,
    )
    right = torch.tensor(
        [_count_right(one.cpu(), mine.labels) for one in votes], dtype=torch.float64
    )
    shares = 100 * total(right) / len(test.labels)
    return dict(zip(k, shares.tolist(), strict=True))


def linear_accuracy(
    train: Features,
    test: Features,
    strengths: Sequence[float] = STRENGTHS,
    held_out: float = HELD_OUT,
    device: torch.device | str = 'cpu',
) -> LinearResult:
    """Classify test images by a logistic regression on training images' features.

    Its regularisation is the one that does best on a stratified part of the training
    images, which is held out; the regression is then fitted to all of them.

    Args:
        train: To fit; those without a label are left out, as in the next.
        test: Of the images to classify.
        strengths: Values of scikit-learn's ``C``. Defaults to :data:`STRENGTHS`.
        held_out: Part of the training images that chooses among several. Defaults to a
            tenth.
        device: Where to compute. Defaults to the CPU.

    Raises:
        ValueError: If there are no labels, or too few to hold some out.
    """
    train, test = _checked(train, test)
    classes, chosen = _classes(train, test), strengths[0]
    if len(strengths) > 1:
        chosen = _choose_strength(train, classes, sorted(strengths), held_out, device)
    probe = _fit(train, classes, chosen, device)
    mine = _my_part(test)
    right = _count_right(probe(mine.values.to(device)).cpu(), mine.labels)
    top1 = 100 * float(total(torch.tensor(float(right)))) / len(test.labels)
    ends = min(strengths), max(strengths)
    return LinearResult(top1, chosen, len(strengths) > 1 and chosen in ends)


def _choose_strength(
    train: Features, classes: int, strengths: Sequence[float], part: float, device: Any
) -> float:
    """Return the strength that is right most often on images held out.

    Of equal ones, frequent where few are held out, the one that gives the labels the
    largest probability: weights that are nearly zero may be right as often, and follow
    the number of images in each class as soon as it differs.
    """
    count = len(train.labels)
    aside = max(round(part * count), 1)
    if aside >= count:
        raise ValueError(
            f'{count} labelled images are too few to hold some out: give one strength'
        )
    order = torch.from_numpy(split_order(train.labels.numpy()))
    kept, val = order[:-aside], order[-aside:]
    fitted = Features(train.values[kept], train.labels[kept])
    tested = _my_part(Features(train.values[val], train.labels[val]))
    found = []
    for probe in _path(fitted, classes, strengths, device):
        scores = probe(tested.values.to(device)).cpu()
        right = float(_count_right(scores, tested.labels))
        error = float(F.cross_entropy(scores, tested.labels, reduction='sum'))
        right, error = total(torch.tensor([right, error])).tolist()
        found.append((right, -error))
    return strengths[found.index(max(found))]


def _path(
    train: Features, classes: int, strengths: Sequence[float], device: Any
) -> Iterator[LinearProbe]:
    """Fit from strong regularisation to weak, each beginning with the last one."""
    probe = None
    for strength in strengths:
        probe = _fit(train, classes, strength, device, probe)
        yield probe


def _fit(
    train: Features,
    classes: int,
    strength: float,
    device: Any,
    start: LinearProbe | None = None,
) -> LinearProbe:
    """Fit a linear layer; every process has its own part of the images."""
    mine = _my_part(train)
    values, labels = mine.values.to(device), mine.labels.to(device)
    return fit_linear(values, labels, classes, strength, start, total)


def _my_part(features: Features) -> Features:
    rank, world = get_rank(), get_world_size()
    return Features(features.values[rank::world], features.labels[rank::world])


def _checked(train: Features, test: Features) -> tuple[Features, Features]:
    """Leave out images without labels.

    Raises:
        ValueError: If none are left.
    """
    train, test = train.labelled(), test.labelled()
    for part, use in ((train, 'learn from'), (test, 'test on')):
        if not len(part.labels):
            raise ValueError(
                f'there are no labelled images to {use}: k-NN and linear probes need '
                'the labels of both data sets'
            )
    return train, test


def _classes(train: Features, test: Features) -> int:
    return int(max(train.labels.max(), test.labels.max())) + 1


def _count_right(scores: Tensor, labels: Tensor) -> int:
    return int((scores.argmax(1) == labels).sum())
