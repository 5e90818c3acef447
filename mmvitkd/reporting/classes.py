"""How often each class is right, and what it is taken for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure as Drawing

from mmvitkd.inspection.style import ON_BRIGHT, ON_DARK, SEQUENTIAL, save, style

from .page import Cell, Csv, Figure, Section, Table, Text, slug
from .predictions import Predictions

LARGEST = 30  # classes of a matrix that can be read
NUMBERED = 15  # classes of one whose cells have room for numbers
PAIRS = 20  # of the most confused, for each model
FEW = 10  # images of a class, below which its accuracy says little


def classes(found: Predictions, folder: Path) -> Section:
    """Lay out accuracies by class, and confusions; the figures go to a folder."""
    section = Section('Classes', heading='Right and wrong, class by class')
    if not found.labelled or found.best is None:
        section.blocks.append(
            Text('Images with one label each are needed for this.', warning=True)
        )
        return section
    section.blocks += [Text(note, warning=True) for note in found.others()]
    section.blocks.append(Text(_amount(found)))
    section.blocks.append(_by_class(found))
    if found.number_of_classes <= LARGEST:
        section.blocks += [_matrix(found, n, folder) for n in found.comparable()]
    else:
        section.blocks.append(_most_confused(found))
    return section


def confusion(found: Predictions, name: str) -> np.ndarray:
    """Count images by label and prediction, ``(K, K)``."""
    matrix = np.zeros([found.number_of_classes] * 2, dtype=int)
    np.add.at(matrix, (found.labels, found.classes(name)), 1)
    return matrix


def confused(found: Predictions, name: str) -> list[tuple[int, int, int]]:
    """List label, prediction and number of images of all mistakes, most often first."""
    answers = np.stack([found.labels, found.classes(name)])
    wrong = answers[:, answers[0] != answers[1]]
    pairs, counts = np.unique(wrong, axis=1, return_counts=True)
    order = np.argsort(-counts, kind='stable')
    return [(*pairs[:, i].tolist(), int(counts[i])) for i in order]


def _amount(found: Predictions) -> str:
    text = f'Of {found.count:,} images'
    if found.count < found.total:
        text += f' out of the {found.total:,} of the split, chosen evenly'
    text += '; the newest checkpoint of every run.'
    if found.count < found.total and found.count < FEW * found.number_of_classes:
        text += (
            f' With fewer than {FEW} images a class, the accuracy of one says little: '
            f'--count {min(found.total, FEW * found.number_of_classes)} takes more.'
        )
    return text


def _by_class(found: Predictions) -> Table:
    """List the classes, the best student's worst first."""
    names, labels, count = found.comparable(), found.labels, found.number_of_classes
    images = np.bincount(labels, minlength=count)
    accuracy = {}
    for name in names:
        right = np.bincount(labels[found.classes(name) == labels], minlength=count)
        accuracy[name] = 100 * right / np.maximum(images, 1)
    taken: dict[int, str] = {}
    for label, answer, times in confused(found, names[0]):
        taken.setdefault(label, f'{found.name(answer)} ({times})')
    first = accuracy[names[0]]
    rows = []
    for i in sorted(range(count), key=lambda i: (images[i] == 0, first[i], i)):
        cells = [Cell(f'{accuracy[n][i]:.1f}', float(accuracy[n][i])) for n in names]
        if not images[i]:
            cells = [Cell('')] * len(names)
        number = Cell(str(images[i]), int(images[i]))
        rows.append([Cell(found.name(i)), number, *cells, Cell(taken.get(i, ''))])
    columns = ['class', 'images', *names, 'mostly taken for']
    return Table(
        'classes',
        f'Accuracy of each class, %; the worst of {names[0]} first, and what that '
        'mostly takes it for (images).',
        columns,
        rows,
        frozenset(columns[1:-1]),
    )


def _most_confused(found: Predictions) -> Table:
    """List the pairs of classes that a model mistakes most often."""
    images = np.bincount(found.labels)
    rows = []
    for name in found.comparable():
        for label, answer, times in confused(found, name)[:PAIRS]:
            share = 100 * times / float(images[label])
            classes = [Cell(name), Cell(found.name(label)), Cell(found.name(answer))]
            numbers = [Cell(str(times), times), Cell(f'{share:.1f}', share)]
            rows.append([*classes, *numbers])
    return Table(
        'confusions',
        f'The {PAIRS} pairs of classes that each model confuses most often.',
        ['model', 'class', 'taken for', 'images', '% of the class'],
        rows,
        frozenset(('images', '% of the class')),
    )


def _matrix(found: Predictions, name: str, folder: Path) -> Figure:
    matrix = confusion(found, name)
    labels = [found.name(i) for i in range(len(matrix))]
    with style():
        drawing = _draw(matrix, labels, name)
    file = f'confusion-{slug(name)}'
    save(drawing, folder / file)
    right = int(matrix.diagonal().sum())
    alt = f'Confusion matrix of {name}: {right} of {found.count} images right.'
    for label, answer, times in confused(found, name)[:1]:
        alt += (
            f' Most often {labels[label]} is taken for {labels[answer]}, {times} times.'
        )
    rows = [[n, *row] for n, row in zip(labels, matrix.tolist(), strict=True)]
    return Figure(
        f'What {name} takes each class for',
        alt,
        folder / f'{file}.svg',
        Csv.of(file, [['class', *labels], *rows]),
    )


def _draw(matrix: np.ndarray, labels: list[str], name: str) -> Drawing:
    """Draw shares of each class; numbers of images where there is room."""
    side = 2.2 + 0.2 * max(len(labels), 10)
    figure, axes = plt.subplots(figsize=(side + 0.6, side))
    share = 100 * matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    image = axes.imshow(share, cmap=SEQUENTIAL, vmin=0, vmax=100)
    figure.colorbar(image, ax=axes, shrink=0.7, label='% of the class')
    ticks = range(len(labels))
    short = [label if len(label) <= 14 else f'{label[:13]}…' for label in labels]
    turned = 90 if max(map(len, short)) > 2 else 0
    axes.set_xticks(ticks, short, rotation=turned)
    axes.set_yticks(ticks, short)
    axes.set(xlabel=f'predicted by {name}', ylabel='label')
    axes.spines[:].set_visible(False)
    if len(labels) <= NUMBERED:
        for (i, j), count in np.ndenumerate(matrix):
            if count:
                ink = ON_BRIGHT if share[i, j] > 55 else ON_DARK
                axes.text(j, i, str(count), ha='center', va='center', color=ink, size=7)
    return figure
