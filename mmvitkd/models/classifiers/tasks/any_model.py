from typing import Any

from .classifier import Classifier


class AnyModel(Classifier):
    """Any other model of MMEngine's, whose own loss knows what its samples hold.

    Where they have labels of classes, terms get these.
    """

    called = 'model'
    augments = False

    @classmethod
    def suits(cls, kind: type) -> bool:
        """Whether it is one: always."""
        return True

    def labelled_places(self, data_samples: list[Any] | None) -> list[int] | None:
        """List which images have labels; None where all have, or none has."""
        return super().labelled_places(data_samples) or None
