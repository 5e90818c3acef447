from collections.abc import Callable, Iterable
from typing import Protocol, runtime_checkable

from mmpretrain.structures import DataSample
from torch import Tensor, nn

from mmvitkd.registry import MODELS

from .tap import Feature, Tap


@runtime_checkable
class TeacherProtocol(Protocol):
    """What a distiller asks of a teacher, whatever stands behind it.

    A class that has these attributes and methods can be a teacher; one that derives
    from this has those that are given here. ``docs/writing_a_teacher.md`` walks
    through one.

    Attributes:
        model: The frozen classifier, or None where there is none to run.
        input_size: ``(H, W)`` of the images that the model gets; None: the student's.
        classes: Names of its classes, where it knows them.
        softmax_only: Whether its logits are known but for a constant of each image.
        stop_early: Whether a forward ends when the last tap has fired.
    """

    model: nn.Module | None = None
    input_size: tuple[int, int] | None = None
    classes: tuple[str, ...] | None = None
    softmax_only: bool = False
    stop_early: bool = False

    # those that do nothing return, since a body without a statement is abstract to
    # type checkers
    def load(self) -> None:
        """Read the weights, or whatever training needs; may be called again."""
        return

    def check(self, tap: Tap) -> None:
        """Refuse a tap that it can't yield, by a ValueError that offers others."""
        return

    def describe(self) -> str:
        """Tell in a few words what it is, for the log."""
        classifier = self if self.model is None else self.model
        return type(getattr(classifier, 'backbone', classifier)).__name__

    def apply(self, fn: Callable) -> None:
        """Move to another device or precision, as ``nn.Module._apply`` does."""
        return

    def prepare(self, inputs: Tensor, preprocessor: nn.Module) -> Tensor:
        """Make of the student's images ``(B, C, H, W)`` those that the model gets."""
        return inputs

    def required_student_taps(self, student: nn.Module) -> list[Tap]:
        """List the student's taps without whose features it can't run: none."""
        return []

    def forward_unmasked(
        self,
        inputs: Tensor,
        preprocessor: nn.Module,
        taps: Iterable[Tap],
        data_samples: list[DataSample] | None = None,
    ) -> dict[Tap, Feature]:
        """Yield its features of whole images, without a student."""
        return self(inputs, preprocessor, taps, data_samples)

    def __call__(
        self,
        inputs: Tensor,
        preprocessor: nn.Module,
        taps: Iterable[Tap],
        data_samples: list[DataSample] | None = None,
        student_features: dict[Tap, Feature] | None = None,
    ) -> dict[Tap, Feature]:
        """Yield its features of a batch; no gradient flows into them.

        Args:
            inputs: Images ``(B, C, H, W)``, as the student gets them.
            preprocessor: The student's, which normalised them.
            taps: Of which modules.
            data_samples: The samples; None in the dry run.
            student_features: Of the :meth:`required_student_taps`, None if there are
                none.
        """
        raise NotImplementedError


def require_teacher(name: str, teacher: object) -> TeacherProtocol:
    """Return a teacher that keeps the protocol.

    Raises:
        ValueError: If it lacks something; the message lists what.
    """
    if isinstance(teacher, TeacherProtocol):
        return teacher
    public = [key for key in dir(TeacherProtocol) if not key.startswith('_')]
    missing = [key for key in (*public, '__call__') if not hasattr(teacher, key)]
    raise ValueError(
        f"teacher '{name}' is a {type(teacher).__name__} without {', '.join(missing)}: "
        'derive it from mmvitkd.models.TeacherProtocol, which has what most need'
    )


def build_teachers(
    one: dict | None, several: dict | None
) -> dict[str, TeacherProtocol]:
    """Build a distiller's teachers from ``teacher=`` or ``teachers=``.

    Raises:
        ValueError: If both are given, or one is no teacher.
    """
    if one is not None and several is not None:
        raise ValueError('give teacher= or teachers=, not both')
    cfgs = {'teacher': one} if one is not None else dict(several or {})
    return {
        name: require_teacher(name, MODELS.build({'type': 'Teacher', **cfg}))
        for name, cfg in cfgs.items()
    }
