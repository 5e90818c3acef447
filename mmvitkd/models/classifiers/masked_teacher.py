from collections.abc import Iterable
from typing import Any

import torch
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from mmvitkd.registry import MODELS
from mmvitkd.utils.blocks import find_blocks

from ..utils import check_choice, check_number
from .grids import MAX_EXTRA_TOKENS
from .tap import Feature, Tap, find_module
from .tasks import task_of
from .teacher import Teacher


@MODELS.register_module()
class MaskedTeacher(Teacher):
    r"""A teacher that sees only the patches to which the student attends.

    MaskedKD, from `The Role of Masking for Efficient Supervised Knowledge Distillation
    of Vision Transformers <https://arxiv.org/abs/2302.10494>`_: the patches are ranked
    by the attention that the student's class token pays them, and the others are left
    out before the teacher's first block. Its answers are then others, and cost about
    ``keep_ratio`` of what they did.

    .. math::
        a = \frac{1}{h} \sum_{i=1}^{h} \mathrm{softmax} \Big(
            \frac{q_{cls}^{(i)} K^{(i)\top}}{\sqrt{d}} \Big)

    The paper's keys are those of the patches. In its released code they are those of
    all tokens, so that a head counts by the share that it leaves to the patches; that
    keeps other ones where heads look much at the class token itself.

    It answers taps that yield one vector an image, such as the ``head``.

    Args:
        args: As for :class:`Teacher`.
        keep_ratio: Share of the patches that it sees, above 0, at most 1. Defaults to
            0.5, by which the paper saves half of the teacher's cost.
        saliency: Path of the student's attention module that ranks them. It has a
            ``qkv`` layer and ``num_heads``. Defaults to that of the last block.
        softmax_over: What the softmax runs over, the ``'patches'``, as in the paper, or
            all ``'tokens'``, as in its released code. Defaults to ``'patches'``.
        kwargs: As for :class:`Teacher`.

    Raises:
        ValueError: If ``keep_ratio`` or ``softmax_over`` is out of range, or the model
            has no blocks that take tokens ``(B, L, C)``.
    """

    def __init__(
        self,
        *args: Any,
        keep_ratio: float = 0.5,
        saliency: str | None = None,
        softmax_over: str = 'patches',
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        if not 0 < check_number('keep_ratio', keep_ratio) <= 1:
            raise ValueError(
                f'keep_ratio must be above 0 and at most 1, got {keep_ratio}'
            )
        self.keep_ratio = keep_ratio
        self.saliency = saliency
        self.softmax_over = check_choice(
            'softmax_over', softmax_over, ('patches', 'tokens')
        )
        self._heads = 0
        model = getattr(self.model, 'backbone', self.model)  # timm's have none
        blocks = find_blocks(self.model)
        if not blocks or hasattr(model, 'stages'):
            raise ValueError(
                f'{type(model).__name__} has no row of blocks that could do with fewer '
                'tokens: a MaskedTeacher must be a plain ViT'
            )
        self._first = blocks[0]

    def required_student_taps(self, student: nn.Module) -> list[Tap]:
        """Ask to see the queries and keys of the student's attention.

        Raises:
            ValueError: If there are none at ``saliency``, or it is no classifier.
        """
        if not task_of(student).classifies:
            raise ValueError(
                'a MaskedTeacher sees the patches to which the class token of the '
                f'student attends, and a {type(student).__name__} has none that labels '
                "teach: take type='Teacher'"
            )
        path = self.saliency or _last_attention(student)
        attention = find_module(student, path)
        self._heads = getattr(attention, 'num_heads', 0)
        if not self._heads or not hasattr(attention, 'qkv'):
            raise ValueError(
                f"saliency='{path}' is a {type(attention).__name__} without qkv and "
                'num_heads: give the path of an attention module, e.g. '
                "'backbone.layers.11.attn'"
            )
        return [Tap(f'{path}.qkv', 'all'), Tap(f'{path}.qkv')]

    def forward_unmasked(
        self,
        inputs: Tensor,
        preprocessor: nn.Module,
        taps: Iterable[Tap],
        data_samples: list[DataSample] | None = None,
    ) -> dict[Tap, Feature]:
        """Answer on whole images, as :class:`Teacher` does, without a student."""
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
        """Answer on the student's images, of which a part of the patches is seen.

        Args:
            inputs: As for :class:`Teacher`, as are the next three.
            preprocessor: See there.
            taps: See there.
            data_samples: See there.
            student_features: Of the taps of :meth:`required_student_taps`, in their
                order, on these images.

        Raises:
            ValueError: If a tap yields tokens, or the teacher's patches are not as many
                as the student's.
        """
        if not student_features or not self._heads:
            raise ValueError(
                'a MaskedTeacher needs to see where the student looks: the features of '
                'its required_student_taps(student)'
            )
        tokens, patches = (feature.value for feature in student_features.values())
        ranks = class_attention(
            tokens, patches.shape[1], self._heads, self.softmax_over
        )
        kept = ranks.topk(max(1, round(self.keep_ratio * ranks.shape[1]))).indices
        kept = kept.sort().values  # (B, k)

        def leave_out(_: nn.Module, args: tuple) -> tuple:
            return _select(args[0], kept, ranks.shape[1]), *args[1:]

        handle = self._first.register_forward_pre_hook(leave_out)
        try:
            answers = self.forward_unmasked(inputs, preprocessor, taps, data_samples)
        except ValueError as error:
            raise ValueError(f'{error}; {_ADVICE}') from error
        except torch.cuda.OutOfMemoryError:
            raise
        except (RuntimeError, AssertionError, IndexError) as error:
            raise ValueError(
                f"the blocks of {self.describe()} can't do with fewer tokens, as those "
                'with rotary or relative positions, or windows '
                f'({type(error).__name__}: {error}): a MaskedTeacher must be a ViT '
                'whose positions are added before its first block; or take a Teacher'
            ) from error
        finally:
            handle.remove()
        for tap, answer in answers.items():
            if answer.value.ndim != 2:
                raise ValueError(f"tap '{tap.path}' yields tokens. {_ADVICE}")
        return answers


_ADVICE = (
    'a MaskedTeacher sees a part of the patches, so that its features are none of the '
    "student's: tap its head, or take a Teacher"
)


def class_attention(
    qkv: Tensor, patches: int, heads: int, softmax_over: str = 'patches'
) -> Tensor:
    """Return which patches a class token attends to, the mean over the heads.

    Args:
        qkv: Queries, keys and values ``(B, L, 3C)``, the class token's first.
        patches: How many of the ``L`` tokens, the last ones, are patches, ``N``.
        heads: How many heads ``C`` is divided into.
        softmax_over: The ``'patches'``, or all ``'tokens'``. Defaults to ``'patches'``.

    Returns:
        ``(B, N)``, which sums to 1, or over all tokens to less.

    Raises:
        ValueError: If there is no class token.
    """
    batch, length, _ = qkv.shape
    if length == patches:
        raise ValueError(
            'the student has no class token whose attention could rank the patches'
        )
    q, k, _ = qkv.view(batch, length, 3, heads, -1).unbind(2)  # (B, L, h, d)
    scores = torch.einsum('bhd,bnhd->bhn', q[:, 0], k) / q.shape[-1] ** 0.5
    if softmax_over == 'patches':
        scores = scores[..., length - patches :]
    return scores.float().softmax(-1).mean(1)[:, -patches:]


def _select(x: Tensor, kept: Tensor, patches: int) -> Tensor:
    """Take the extra tokens and the kept patches of ``(B, L, C)``."""
    extra = x.shape[1] - patches
    if not 0 <= extra <= MAX_EXTRA_TOKENS:
        raise ValueError(
            f"the student's {patches} patches rank the teacher's, which has "
            f'{x.shape[1]} tokens: both need the same grid (see input_size)'
        )
    index = (kept + extra)[..., None].expand(-1, -1, x.shape[2])  # (B, k, C)
    return torch.cat([x[:, :extra], x.gather(1, index)], dim=1)


def _last_attention(student: nn.Module) -> str:
    """Return the path of the last module with queries, keys and values in one."""
    paths = [
        name
        for name, module in student.named_modules()
        if hasattr(module, 'qkv') and hasattr(module, 'num_heads')
    ]
    if not paths:
        raise ValueError(
            f'{type(student).__name__} has no attention module with qkv and num_heads; '
            'saliency= names one'
        )
    return paths[-1]
