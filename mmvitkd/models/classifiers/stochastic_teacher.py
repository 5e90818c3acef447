from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from mmvitkd.registry import MODELS

from ..utils import check_count, check_number
from .tap import Feature, Tap
from .teacher import Teacher


@MODELS.register_module()
class StochasticTeacher(Teacher):
    r"""A teacher that is sampled by dropout; the student says which samples count.

    SSD, from `Learning from Stochastic Teacher Representations Using Student-Guided
    Knowledge Distillation <https://arxiv.org/abs/2504.14307>`_: of the :math:`K`
    forwards with dropout those :math:`M` are kept, for each image, that are most alike
    the student's, and averaged by how much they are:

    .. math::
        s_k = \cos(g^S, g_k), \quad w = \mathrm{softmax}(s_{(1)}, \dots, s_{(M)}), \quad
        f^T = \sum_{m=1}^{M} w_m f_{(m)}

    :math:`g` is what both models yield at ``guide``, of equal shape, and :math:`f` what
    any tap yields. A student with its own trained copy as the teacher is the paper's
    self-distillation; on logits, any two models of the same classes do.

    Args:
        args: As for :class:`Teacher`.
        samples: :math:`K`, so many forwards does a step cost. Defaults to 20, as
            released.
        keep: :math:`M`. Defaults to 10, as released.
        drop_rate: Probability of every dropout of the model while it is sampled. None
            leaves those that it was built with. Defaults to None.
        guide: Path of the module, the student's and the teacher's alike, or a dict of
            ``student`` and ``teacher``. Defaults to ``'head'``.
        kwargs: As for :class:`Teacher`.

    Raises:
        ValueError: If an argument is out of range, or nothing is dropped.
    """

    def __init__(
        self,
        *args: Any,
        samples: int = 20,
        keep: int = 10,
        drop_rate: float | None = None,
        guide: str | dict[str, str] = 'head',
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.samples = check_count('samples', samples)
        self.keep = check_count('keep', keep)
        if keep > samples:
            raise ValueError(f'keep={keep} of samples={samples}: there are fewer')
        if isinstance(guide, str):
            guide = {'student': guide, 'teacher': guide}
        if set(guide) != {'student', 'teacher'}:
            raise ValueError(
                'guide must be a path, or dict(student=..., teacher=...), got '
                f'{guide!r}'
            )
        self._student_guide, self._guide = Tap(guide['student']), Tap(guide['teacher'])
        super().check(self._guide)
        self._dropouts = [
            module
            for module in self.model.modules()
            if isinstance(module, nn.modules.dropout._DropoutNd)
        ]
        if drop_rate is not None:
            if not 0 < check_number('drop_rate', drop_rate) < 1:
                raise ValueError(
                    f'drop_rate must be above 0 and below 1, got {drop_rate}'
                )
            for module in self._dropouts:
                module.p = drop_rate
        if not any(module.p for module in self._dropouts):
            raise ValueError(
                f'{type(self.model).__name__} drops nothing, so that its samples are '
                'all the same: '
                + ('give drop_rate=0.1' if self._dropouts else 'it has no dropout')
            )

    def required_student_taps(self, student: nn.Module) -> list[Tap]:
        """Ask for the student's representation that guides."""
        return [self._student_guide]

    def forward_unmasked(
        self,
        inputs: Tensor,
        preprocessor: nn.Module,
        taps: Iterable[Tap],
        data_samples: list[DataSample] | None = None,
    ) -> dict[Tap, Feature]:
        """Yield its features without dropout, as :class:`Teacher` does."""
        return super().__call__(inputs, preprocessor, taps, data_samples)

    @torch.no_grad()
    def __call__(
        self,
        inputs: Tensor,
        preprocessor: nn.Module,
        taps: Iterable[Tap],
        data_samples: list[DataSample] | None = None,
        student_features: dict[Tap, Feature] | None = None,
    ) -> dict[Tap, Feature]:
        """Yield the means of the samples that are most alike the student.

        Args:
            inputs: As for :class:`Teacher`, as are the next three.
            preprocessor: See there.
            taps: See there.
            data_samples: See there.
            student_features: Of the tap of :meth:`required_student_taps`.

        Raises:
            ValueError: If both guides have not the same shape.
        """
        if not student_features or self._student_guide not in student_features:
            raise ValueError(
                'a StochasticTeacher is guided by the student: it needs the features '
                'of its required_student_taps(student)'
            )
        taps = list(taps)
        wanted = list(dict.fromkeys([*taps, self._guide]))
        with self._dropping():
            seen = [
                self.forward_unmasked(inputs, preprocessor, wanted, data_samples)
                for _ in range(self.samples)
            ]
        guide = student_features[self._student_guide].value
        alike = torch.stack(
            [similarity(guide, sample[self._guide].value) for sample in seen]
        )  # (K, B)
        best = alike.topk(self.keep, dim=0)
        weights = torch.zeros_like(alike).scatter_(
            0, best.indices, best.values.softmax(0)
        )
        return {
            tap: seen[0][tap]._replace(
                value=_mean([sample[tap].value for sample in seen], weights)
            )
            for tap in taps
        }

    @contextmanager
    def _dropping(self) -> Iterator[None]:
        """Drop inside, and have all as it was afterwards."""
        try:
            for module in self._dropouts:
                module.train()
            yield
        finally:
            for module in self._dropouts:
                module.eval()


def similarity(student: Tensor, teacher: Tensor) -> Tensor:
    """Return the cosine of two representations of every image.

    Args:
        student: ``(B, ...)``.
        teacher: As the student's.

    Returns:
        ``(B,)``.

    Raises:
        ValueError: If the shapes differ.
    """
    if student.shape != teacher.shape:
        raise ValueError(
            f"the student's guide is {tuple(student.shape)} and the teacher's "
            f'{tuple(teacher.shape)}: a StochasticTeacher compares equal shapes, such '
            "as the logits of the same classes, guide='head'"
        )
    return F.cosine_similarity(student.flatten(1).float(), teacher.flatten(1).float())


def _mean(samples: list[Tensor], weights: Tensor) -> Tensor:
    """Average ``K`` tensors ``(B, ...)`` by ``(K, B)`` weights."""
    total = torch.zeros_like(samples[0])
    for sample, weight in zip(samples, weights.to(samples[0].dtype), strict=True):
        total += sample * weight.view(-1, *[1] * (sample.ndim - 1))
    return total
