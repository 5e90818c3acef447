"""Images on which a student and its teacher disagree."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image as Pillow

from mmvitkd.inspection.images import ImageData

from .page import Cell, Gallery, Picture, Section, Table, Text
from .predictions import Predictions

EACH = 12  # images of a kind
SMALL = 64  # of a side: smaller ones stay lossless
WRONG = '✗'


def examples(found: Predictions, data: ImageData) -> Section:
    """Count agreements, and lay out images on which the best student differs."""
    section = Section('Examples', heading='Where the student differs')
    section.blocks += [Text(note, warning=True) for note in found.others()]
    able = found.comparable()
    pairs = [
        (student.name, teacher.name)
        for student, teacher in found.loaded.pairs()
        if student.name in able and teacher.name in able
    ]
    best = next((pair for pair in pairs if pair[0] == found.best), None)
    if best is None:
        section.blocks.append(
            Text('A student and its teacher are needed for this.', warning=True)
        )
        return section
    section.blocks.append(_agreement(found, pairs))
    section.blocks.append(
        Text(f'T is {best[1]}, S is {best[0]}; in brackets, how sure each is.')
    )
    for what, chosen in _kinds(found, *best).items():
        places = np.flatnonzero(chosen)
        # the surest first
        sure = sum(found.sure(name)[places] for name in best)
        places = places[np.argsort(-sure, kind='stable')]
        pictures = [_picture(found, int(i), best, data) for i in places[:EACH]]
        few = f', {len(pictures)} of them here' if len(places) > EACH else ''
        caption = f'{what}: {len(places)} of {found.count} images{few}'
        section.blocks.append(Gallery(caption, pictures))
    return section


def _agreement(found: Predictions, pairs: list[tuple[str, str]]) -> Table:
    rows = []
    labels = found.labels
    for student, teacher in pairs:
        ours, theirs = found.classes(student), found.classes(teacher)
        counts = [ours == theirs]
        if found.labelled:
            right, known = ours == labels, theirs == labels
            counts += [right, right & known, known & ~right, right & ~known]
            counts += [~right & ~known]
        shares = [100 * float(count.mean()) for count in counts]
        cells = [Cell(f'{share:.1f}', share) for share in shares]
        rows.append([Cell(student), Cell(teacher), *cells])
    columns = ['student', 'teacher', 'same answer']
    caption = f'Answers beside those of the teacher; % of {found.count} images.'
    if found.labelled:
        columns += ['right', 'both right', 'only teacher', 'only student']
        columns += ['neither']
        known = {name: found.classes(name) == labels for _, name in pairs}
        told = [f'{name}, {100 * k.mean():.1f} %' for name, k in known.items()]
        caption += f' Right: {"; ".join(told)}.'
    return Table('agreement', caption, columns, rows, frozenset(columns[2:]))


def _picture(
    found: Predictions, i: int, names: tuple[str, str], data: ImageData
) -> Picture:
    """Show an image; S and T after the best student and its teacher."""
    image = data[found.places[i]]
    lines = []
    if found.labelled:
        lines.append((f'label {found.name(int(found.labels[i]))}', False))
    for letter, name in zip('ST', names, strict=True):
        answer, sure = int(found.classes(name)[i]), float(found.sure(name)[i])
        wrong = found.labelled and answer != found.labels[i]
        text = f'{letter} {found.name(answer)} ({sure:.2f})'
        lines.append((f'{text} {WRONG}' if wrong else text, wrong))
    told = '; '.join(text for text, _ in lines).replace(WRONG, 'wrong')
    return Picture(*encode(image.pixels), f'Image {image.name}: {told}', lines)


def _kinds(found: Predictions, student: str, teacher: str) -> dict[str, np.ndarray]:
    ours, theirs, labels = found.classes(student), found.classes(teacher), found.labels
    differ = theirs != ours
    if not found.labelled:
        return {'Disagreements': differ}
    return {
        'Teacher right, student wrong': differ & (theirs == labels),
        'Student right, teacher wrong': differ & (ours == labels),
        'Both wrong, each in its own way': differ
        & (theirs != labels)
        & (ours != labels),
    }


def encode(pixels: np.ndarray) -> tuple[bytes, str]:
    """Make a file of uint8 RGB ``(H, W, 3)``; return its bytes and its kind."""
    out = io.BytesIO()
    kind = 'png' if max(pixels.shape[:2]) <= SMALL else 'jpeg'
    Pillow.fromarray(pixels).save(out, format=kind)
    return out.getvalue(), f'image/{kind}'
