from collections.abc import Sequence
from copy import deepcopy
from typing import Any

from mmpretrain.models.backbones import SwinTransformer
from mmpretrain.models.backbones.swin_transformer import SwinBlock
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mmvitkd.registry import MODELS

from .mini_window_attention import AlwaysMaskedMSA, MiniWindowMSA
from .weight_sharing import share_linears


class LocalTransform(nn.Module):
    """A norm, and a depthwise convolution of 7x7 beside what it yields.

    Args:
        norm: What the norm is a copy of.
        channels: Of the tokens.
    """

    def __init__(self, norm: nn.Module, channels: int) -> None:
        super().__init__()
        self.norm = deepcopy(norm)
        self.conv = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)

    def forward(self, x: Tensor, hw: tuple[int, int]) -> Tensor:
        """Map ``(B, N, C)`` to ``(B, N, C)``."""
        x = self.norm(x)
        maps = x.transpose(1, 2).unflatten(2, hw)  # (B, C, H, W)
        return x + self.conv(maps).flatten(2).transpose(1, 2)


class MiniSwinBlock(SwinBlock):
    """MMPretrain's block, whose residual stream is transformed before the MLP."""

    local: LocalTransform | None

    def forward(self, x: Tensor, hw_shape: tuple[int, int]) -> Tensor:
        """Map ``(B, N, C)`` to ``(B, N, C)``."""
        if self.with_cp and x.requires_grad:
            # a reentrant one runs shared weights' hooks twice under DDP
            return checkpoint(self._map, x, hw_shape, use_reentrant=False)
        return self._map(x, hw_shape)

    def _map(self, x: Tensor, hw: tuple[int, int]) -> Tensor:
        x = x + self.attn(self.norm1(x), hw)
        if self.local is not None:
            x = self.local(x, hw)
        return self.ffn(self.norm2(x), identity=x)


@MODELS.register_module()
class MiniSwin(SwinTransformer):
    """Mini-Swin, a Swin of which consecutive blocks of a stage share their weights.

    Of `MiniViT: Compressing Vision Transformers with Weight Multiplexing
    <https://arxiv.org/abs/2204.07154>`_. The blocks are as many as a Swin's, shifted
    alike, and as expensive; the first of every ``share_num`` has the weights of
    attention, relative positions and MLP that all of these use. Each has its own norms,
    stochastic depth, two linear maps over heads, before and after the softmax, and a
    norm and a convolution before the MLP.

    Args:
        *args: As for ``SwinTransformer``.
        share_num: How many blocks have the same weights, in all stages or in each.
            The paper's Mini-Swin-T shares whole stages, ``(2, 2, 6, 2)``; S and B two
            blocks each. Defaults to 2.
        mlp_transform: Whether there is a norm and a convolution before the MLP.
            Defaults to True.
        mask_unshifted: Mask the windows that are not shifted as if they were, by which
            the released Mini-Swins were trained. Defaults to False.
        identity_init: Begin the maps over heads as the identity; else by a truncated
            normal distribution of deviation 0.02, as released, so that the first
            attention is about uniform and its output about zero. Defaults to False.
        **kwargs: As for ``SwinTransformer``.

    Raises:
        ValueError: If ``share_num`` does not divide the blocks of each stage.
    """

    def __init__(
        self,
        *args: Any,
        share_num: int | Sequence[int] = 2,
        mlp_transform: bool = True,
        mask_unshifted: bool = False,
        identity_init: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        shared = share_num
        if isinstance(shared, int):
            shared = [shared] * len(self.depths)
        if len(shared) != len(self.depths) or any(
            number < 1 or depth % number
            for number, depth in zip(shared, self.depths, strict=False)
        ):
            raise ValueError(
                'share_num must divide the blocks of every stage, which has '
                f'{tuple(self.depths)}, got {share_num}'
            )
        for stage, number in zip(self.stages, shared, strict=True):
            for i, block in enumerate(stage.blocks):
                owner = stage.blocks[i - i % number] if i % number else None
                _set_up(block, owner, mlp_transform, mask_unshifted, identity_init)


def _set_up(
    block: SwinBlock,
    owner: SwinBlock | None,
    mlp_transform: bool,
    mask_unshifted: bool,
    identity_init: bool,
) -> None:
    """Make MMPretrain's block into Mini-Swin's, with the weights of an earlier one."""
    if owner is not None:
        share_linears(block, owner)
    # upstream's constructor names these classes: only forward differs
    block.__class__ = MiniSwinBlock
    block.local = None
    attention = block.attn.w_msa
    if mlp_transform:
        block.local = LocalTransform(block.norm1, attention.embed_dims)
    if mask_unshifted:
        block.attn.__class__ = AlwaysMaskedMSA
    attention.__class__ = MiniWindowMSA
    attention.set_up(owner and owner.attn.w_msa, identity_init)
