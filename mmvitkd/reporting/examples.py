"""Images on which a student and its teacher disagree."""

from __future__ import annotations

import io

import numpy as np
import torch
from PIL import Image as Pillow

from mmvitkd.inspection.images import Image
from mmvitkd.inspection.models import Captured

from .models import LoadedModels
from .page import Cell, Gallery, Picture, Section, Table, Text

EACH = 12  # images of a kind
SMALL = 64  # of a side: smaller ones stay lossless
WRONG = '✗'


class Examples:
    """Collects the outputs of all models, and shows where the best student differs.

    Args:
        loaded: The models.
        classes: Names of the classes; empty where they are unknown.
    """

    def __init__(self, loaded: LoadedModels, classes: list[str]) -> None:
        self.loaded = loaded
        self.classes = classes
        self.images: list[Image] = []
        self.logits: dict[str, list[torch.Tensor]] = {m.name: [] for m in loaded.models}

    def update(self, images: list[Image], outputs: dict[str, Captured]) -> None:
        """Take a batch."""
        self.images += images
        for name, logits in self.logits.items():
            logits.append(outputs[name].logits.float().cpu())

    def section(self) -> Section:
        """Count agreements, and lay out the images."""
        section = Section('Examples', heading='Where the student differs')
        teacher = self.loaded.teacher
        best = self.loaded.best
        if teacher is None or best not in self.logits:
            section.blocks.append(
                Text('A student and its teacher are needed for this.', warning=True)
            )
            return section
        probabilities = {k: torch.cat(v).softmax(1) for k, v in self.logits.items()}
        predictions = {k: v.argmax(1).numpy() for k, v in probabilities.items()}
        labels = np.array([-1 if i.label is None else i.label for i in self.images])
        labelled = bool((labels >= 0).all())
        section.blocks.append(
            self._agreement(teacher.name, predictions, labels, labelled)
        )
        section.blocks.append(
            Text(f'T is {teacher.name}, S is {best}; in brackets, how sure each is.')
        )
        theirs, ours = predictions[teacher.name], predictions[best]
        for what, chosen in _kinds(theirs, ours, labels, labelled).items():
            places = np.flatnonzero(chosen)
            # the surest first
            names = (teacher.name, best)
            sure = np.sum([probabilities[n].max(1).values.numpy() for n in names], 0)
            places = places[np.argsort(-sure[places], kind='stable')]
            pictures = [
                self._picture(i, labelled, names, probabilities) for i in places[:EACH]
            ]
            few = f', {len(pictures)} of them here' if len(places) > EACH else ''
            caption = f'{what}: {len(places)} of {len(labels)} images{few}'
            section.blocks.append(Gallery(caption, pictures))
        return section

    def _agreement(
        self,
        teacher: str,
        predictions: dict[str, np.ndarray],
        labels: np.ndarray,
        labelled: bool,
    ) -> Table:
        theirs = predictions[teacher]
        rows = []
        for model in self.loaded.students:
            ours = predictions[model.name]
            counts = [ours == theirs]
            if labelled:
                right, known = ours == labels, theirs == labels
                counts += [right, right & known, known & ~right, right & ~known]
                counts += [~right & ~known]
            shares = [100 * float(count.mean()) for count in counts]
            cells = [Cell(f'{share:.1f}', share) for share in shares]
            rows.append([Cell(model.name), *cells])
        columns = ['student', 'same answer']
        told = teacher
        if labelled:
            columns += ['right', 'both right', 'only teacher', 'only student']
            columns += ['neither']
            told += f', right on {100 * (theirs == labels).mean():.1f} %'
        return Table(
            'agreement',
            f'Answers beside those of {told}; % of {len(labels)} images.',
            columns,
            rows,
            frozenset(columns[1:]),
        )

    def _picture(
        self,
        i: int,
        labelled: bool,
        names: tuple[str, str],
        probabilities: dict[str, torch.Tensor],
    ) -> Picture:
        image = self.images[i]
        lines = []
        if labelled and image.label is not None:
            lines.append((f'label {self._class(image.label)}', False))
        for letter, name in zip('TS', names, strict=True):
            share, answer = probabilities[name][i].max(0)
            wrong = labelled and int(answer) != image.label
            text = f'{letter} {self._class(int(answer))} ({float(share):.2f})'
            lines.append((f'{text} {WRONG}' if wrong else text, wrong))
        told = '; '.join(text for text, _ in lines).replace(WRONG, 'wrong')
        return Picture(*encode(image.pixels), f'Image {image.name}: {told}', lines)

    def _class(self, index: int) -> str:
        return self.classes[index] if index < len(self.classes) else str(index)


def _kinds(
    theirs: np.ndarray, ours: np.ndarray, labels: np.ndarray, labelled: bool
) -> dict[str, np.ndarray]:
    differ = theirs != ours
    if not labelled:
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
