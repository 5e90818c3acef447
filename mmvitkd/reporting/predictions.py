"""What all models predict for the images, and which of them can be compared."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mmvitkd.inspection.images import Image
from mmvitkd.inspection.models import Captured
from mmvitkd.utils.class_names import name_class

from .models import LoadedModels


class Predictions:
    """Collects classes and confidences.

    Args:
        loaded: The models.
        names: Of the classes; empty where they are unknown.
        total: How many images the split has.
    """

    def __init__(self, loaded: LoadedModels, names: Sequence[str], total: int) -> None:
        self.loaded = loaded
        self.names = names
        self.total = total
        self.places: list[int] = []
        self._labels: list[int] = []
        self._classes: dict[str, list[np.ndarray]] = {}
        self._sure: dict[str, list[np.ndarray]] = {}
        self._widths: dict[str, int] = {}

    def update(
        self, places: list[int], images: list[Image], outputs: dict[str, Captured]
    ) -> None:
        """Take a batch: the images' places in their split, they, and the outputs."""
        self.places += places
        self._labels += [-1 if i.label is None else i.label for i in images]
        for name in [model.name for model in self.loaded.models]:
            logits = outputs[name].logits.float().cpu()
            sure, classes = logits.softmax(1).max(1)
            self._classes.setdefault(name, []).append(classes.numpy())
            self._sure.setdefault(name, []).append(sure.numpy())
            self._widths[name] = logits.shape[1]

    @property
    def count(self) -> int:
        return len(self.places)

    @property
    def labels(self) -> np.ndarray:
        """The class of every image ``(N,)``; -1 where it has not just one."""
        return np.array(self._labels)

    @property
    def labelled(self) -> bool:
        return self.count > 0 and bool((self.labels >= 0).all())

    @property
    def best(self) -> str | None:
        """The name of the best student that could be read, the distilled first."""
        students = [student.name for student in self.loaded.students]
        distilled = [student.name for student, _ in self.loaded.pairs()]
        names = [self.loaded.best, *reversed(distilled), *reversed(students)]
        return next((name for name in names if name in self._widths), None)

    def classes(self, name: str) -> np.ndarray:
        """Return what a model predicts ``(N,)``."""
        return np.concatenate(self._classes[name])

    def sure(self, name: str) -> np.ndarray:
        """Return how sure a model is of it ``(N,)``, from 0 to 1."""
        return np.concatenate(self._sure[name])

    @property
    def number_of_classes(self) -> int:
        """The best student's, or as many as the labels need."""
        known = self._widths.get(self.best or '', 0)
        return max(known, int(self.labels.max(initial=-1)) + 1)

    def comparable(self) -> list[str]:
        """List the models of the best student's classes, that one first."""
        width = self._widths.get(self.best or '')
        names = [m.name for m in self.loaded.models if self._widths[m.name] == width]
        return sorted(names, key=lambda name: name != self.best)

    def others(self) -> list[str]:
        """Tell which models have other classes, so that nothing compares them."""
        width = self._widths.get(self.best or '')
        return [
            f"{name} has {found} classes, which are none of {self.best}'s {width}: its "
            'predictions are not compared'
            for name, found in self._widths.items()
            if width is not None and found != width
        ]

    def name(self, index: int) -> str:
        """Name a class."""
        return name_class(index, self.names)
