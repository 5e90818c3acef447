from typing import Any

from torch import Tensor

from ..tap import Tap

SHOWN = 3  # classes in a message


class Task:
    """What a distiller asks of a kind of model.

    It has no state: the model is handed to every method. It is chosen by the class that
    a model derives from, so no framework is imported that the model is not of.

    Attributes:
        base: Module and name of that class.
        called: What messages call such a model.
        scope: In whose registry such models are found; None for ours.
        classifies: Whether an image has labels of its own, ``(B,)`` or ``(B, K)``.
        augments: Whether a model's ``train_cfg`` has batch augments (Mixup, CutMix).
        sides: Of the dry run's images, tried in this order, if any size will do; ``()``
            where it is the training's.
        several_labels: Whether logits are of classes that do not exclude each other.
        labels_places: Whether every place of an image has a label, ``(B, H, W)``.
    """

    base = ''
    called = 'model'
    scope: str | None = None
    classifies = False
    augments = False
    sides: tuple[int, ...] = ()
    several_labels = False
    labels_places = False

    @classmethod
    def suits(cls, kind: type) -> bool:
        """Whether models of a class have this task."""
        return any(f'{c.__module__}.{c.__name__}' == cls.base for c in kind.__mro__)

    def run(
        self, model: Any, inputs: Tensor, data_samples: list[Any] | None = None
    ) -> Any:
        """Run a model without labels, so that its taps fire.

        Args:
            model: Of this task.
            inputs: Images ``(B, C, H, W)``, preprocessed.
            data_samples: Theirs; None, or others' than this task's, for blank ones.
        """
        return model(inputs, None)

    def check_tap(self, model: Any, tap: Tap) -> None:
        """Refuse a tap of which no two models have the same.

        Raises:
            ValueError: If it is one.
        """

    def check_loss(self, model: Any, loss: Any) -> None:
        """Refuse a loss that a student of this task has no labels or logits for.

        Raises:
            ValueError: If it is one.
        """
        if self.classifies:
            return
        if getattr(loss, 'needs_labels', False) and not self.labels_places:
            raise ValueError(
                f'{type(loss).__name__} needs one class an image, which the images of '
                f'a {type(model).__name__} have not: take a loss without labels, such '
                'as KDLoss'
            )
        if self.several_labels and getattr(loss, 'exclusive', False):
            raise ValueError(
                f'{type(loss).__name__} takes classes that exclude each other, but the '
                f'heads of a {type(model).__name__} tell of every place and anchor '
                "which classes are there: take KDLoss(activation='sigmoid'), or a term "
                'on features'
            )

    def check_heads(self, student: Any, teacher: Any, widths: tuple[int, int]) -> None:
        """Refuse logits of two heads of which equal places mean other things.

        Args:
            student: Of this task.
            teacher: The model; None if its outputs are stored.
            widths: How many logits a place either tap yields.

        Raises:
            ValueError: If they are such.
        """

    def check_data(self, model: Any, metainfo: dict[str, Any]) -> str | None:
        """Refuse data of what a model's heads do not tell apart.

        Args:
            model: Of this task.
            metainfo: The data set's.

        Returns:
            A warning, of classes that the heads have and the data have not; or None.

        Raises:
            ValueError: If the data have more than the heads.
        """
        return None

    def labelled_places(self, data_samples: list[Any] | None) -> list[int] | None:
        """List which images have labels; None where all have, or it is not asked."""
        return None

    def labels(self, model: Any, data_samples: list[Any] | None) -> Tensor | None:
        """Return the labels of a batch that terms and hooks look at; None without."""
        return None

    def logits_module(self, model: Any) -> Any:
        """Return the part of a model that yields its logits, or None."""
        return None

    def logits(self, output: Any) -> Tensor | None:
        """Read the logits of a batch off what that part yields; None if it has none."""
        return None

    def count_classes(self, model: Any) -> int | None:
        """Return how many classes the logits are of, where the model says it."""
        return None

    def rows(
        self, logits: dict[str, Tensor], labels: Tensor | None
    ) -> tuple[dict[str, Tensor], Tensor | None]:
        """Lay out logits and labels for counting, a row for each prediction.

        Args:
            logits: Of student and teachers, by name.
            labels: Of :meth:`labels`.

        Returns:
            ``(n, K)`` by name, and ``(n,)`` indices.
        """
        return logits, labels


def compare_numbers(names: Any, classes: int | None, head: str) -> str | None:
    """Compare the classes of a data set with those that a head tells apart.

    Args:
        names: Of the data set's; None if it tells none.
        classes: How many the head has; None if it does not say.
        head: What the config calls it.

    Returns:
        A warning, if the head has more.

    Raises:
        ValueError: If the data set has more.
    """
    if not names or not classes or len(names) == classes:
        return None
    shown = ', '.join(map(repr, names[:SHOWN])) + ', ...' * (len(names) > SHOWN)
    said = (
        f'the data set has {len(names)} classes ({shown}), and the {head} tells '
        f'{classes} apart'
    )
    if len(names) < classes:
        return f'{said}: the last {classes - len(names)} will not be learnt'
    raise ValueError(
        f'{said}: set num_classes={len(names)} there, or give the data set '
        'metainfo=dict(classes=(...)) of fewer'
    )
