from torch import Tensor

from mmvitkd.registry import MODELS

from .contrast import Contrast


@MODELS.register_module()
class InterClassContrast(Contrast):
    """The batch's samples of other classes repel; all anchors count.

    The opposite of :class:`IntraClassContrast`: it draws classes apart, as the
    cross-entropy does already, so nothing has to be certain first. Ours, for
    comparison. See :class:`Contrast` for the equation and the arguments.
    """

    def negatives(self, anchors: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Compare ``(B, C)`` anchors with each other; see :class:`Contrast`."""
        return anchors @ anchors.T, labels[:, None] != labels
