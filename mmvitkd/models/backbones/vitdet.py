from collections.abc import Sequence
from math import isqrt
from typing import Any

from mmengine.logging import MMLogger
from mmpretrain.models.backbones import VisionTransformer
from mmpretrain.models.utils import resize_pos_embed, to_2tuple
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mmvitkd.registry import MODELS

from .window_attention import WindowAttention


@MODELS.register_module()
class ViTDet(VisionTransformer):
    """MMPretrain's ViT as the backbone of a detector.

    Of `Exploring Plain Vision Transformer Backbones for Object Detection
    <https://arxiv.org/abs/2203.16527>`_: most blocks attend within windows, a few
    over the whole map. Parameters are named as in MMPretrain's
    ``VisionTransformer``, so the weights of a classifier, also of a distilled one,
    load unchanged, without the class token's place in ``pos_embed``.

    Args:
        arch: As for ``VisionTransformer``. Defaults to ``'deit-small'``.
        img_size: Size of the images ``(H, W)``, or of square ones. Others work,
            positions are interpolated. Defaults to 1024.
        window_size: Tokens along a window's side. Defaults to 14.
        global_blocks: How many blocks attend over the whole map, spread evenly and
            with the last among them, or the indices of these blocks. Defaults to 4.
        rel_pos: Add decomposed relative positions to the attention. They begin at
            zero, and no classifier's checkpoint has them. Defaults to False.
        final_norm: Normalise the map, as a classifier does; the paper does not.
            Defaults to False.
        with_cp: Save memory in training by computing each block twice. Defaults to
            False.
        pretrain_img_size: Size of the images ``(H, W)`` that the weights were trained
            on. Defaults to None: 224, or with ``pos_resize='load'`` any square ones.
        pos_resize: When the absolute positions are interpolated. ``'forward'``, as in
            detectron2: ``pos_embed`` keeps the grid of ``pretrain_img_size``, and every
            forward fits it to its map. ``'load'``: a checkpoint's is fitted once to
            ``img_size``, and trained at that size. Defaults to ``'forward'``.
        kwargs: As for ``VisionTransformer``: ``drop_path_rate``, ``frozen_stages``,
            ``init_cfg`` and so on.

    Raises:
        ValueError: If ``global_blocks`` are not among the blocks, ``window_size`` is
            not positive, or ``pos_resize`` is unknown.
    """

    pos_embed: nn.Parameter

    def __init__(
        self,
        arch: str | dict[str, int] = 'deit-small',
        img_size: int | tuple[int, int] = 1024,
        *,
        window_size: int = 14,
        global_blocks: int | Sequence[int] = 4,
        rel_pos: bool = False,
        final_norm: bool = False,
        with_cp: bool = False,
        pretrain_img_size: int | tuple[int, int] | None = None,
        pos_resize: str = 'forward',
        patch_size: int = 16,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            arch,
            img_size,
            patch_size,
            out_type='featmap',
            with_cls_token=False,
            final_norm=final_norm,
            **kwargs,
        )
        if window_size < 1:
            raise ValueError(f'window_size must be at least 1, got {window_size}')
        self.window_size = window_size
        self.patch_size = patch_size
        self.global_blocks = _chosen(global_blocks, self.num_layers)
        self.with_cp = with_cp
        self.pretrain_grid: tuple[int, int] | None = None
        if pos_resize == 'forward' or pretrain_img_size is not None:
            height, width = to_2tuple(pretrain_img_size or 224)
            self.pretrain_grid = (-(-height // patch_size), -(-width // patch_size))
        self._set_up_positions(pos_resize)
        self._set_up_attention(rel_pos)

    def forward(self, x: Tensor) -> tuple[Tensor]:
        """Map images to features.

        Args:
            x: ``(B, 3, H, W)``.

        Returns:
            One map ``(B, C, H / 16, W / 16)``, rounded up.

        Raises:
            ValueError: If a window is larger than the image.
        """
        size = tuple(x.shape[2:])
        x, hw = self.patch_embed(x)  # (B, N, C)
        self._check_size(size, hw)
        x = x + resize_pos_embed(
            self.pos_embed, self.pos_grid, hw, self.interpolate_mode, 0
        )
        x = self.pre_norm(self.drop_after_pos(x)).unflatten(1, hw)  # (B, H, W, C)
        for layer in self.layers:
            if self.with_cp and self.training:
                x = checkpoint(layer, x, use_reentrant=False)
            else:
                x = layer(x)
        if self.final_norm:
            x = self.ln1(x)
        return (x.permute(0, 3, 1, 2).contiguous(),)

    def train(self, mode: bool = True) -> 'ViTDet':
        """Change the mode; frozen layers stay in eval mode."""
        super().train(mode)
        if self.frozen_stages > 0:
            self._freeze_stages()
        return self

    def _set_up_positions(self, pos_resize: str) -> None:
        """Let ``pos_embed``, which upstream made for ``img_size``, have its grid."""
        if pos_resize not in ('forward', 'load'):
            raise ValueError(
                f"pos_resize must be 'forward' or 'load', got '{pos_resize}'"
            )
        self.pos_resize = pos_resize
        self.pos_grid = self.patch_resolution
        if pos_resize == 'forward' and self.pretrain_grid is not None:
            self.pos_grid = self.pretrain_grid
            tokens = self.pos_grid[0] * self.pos_grid[1]
            self.pos_embed = nn.Parameter(
                self.pos_embed.new_zeros(1, tokens, self.embed_dims),
                requires_grad=self.pos_embed.requires_grad,
            )

    def _set_up_attention(self, rel_pos: bool) -> None:
        for i, layer in enumerate(self.layers):
            layer.channels_last = True  # for taps: it yields (B, H, W, C)
            # upstream's constructor names its attention class: only forward differs
            layer.attn.__class__ = WindowAttention
            if i in self.global_blocks:
                layer.attn.set_up(0, self.patch_resolution, rel_pos)
            else:
                window = to_2tuple(self.window_size)
                layer.attn.set_up(self.window_size, window, rel_pos)

    def _check_size(self, size: tuple[int, ...], hw: tuple[int, int]) -> None:
        windowed = len(self.global_blocks) < self.num_layers
        if windowed and min(hw) < self.window_size:
            least = self.window_size * self.patch_size
            raise ValueError(
                f'images of {size[0]}x{size[1]} give a map of {hw[0]}x{hw[1]} tokens, '
                f'smaller than a window of {self.window_size}x{self.window_size}: '
                f'resize or pad both sides to {least} at least (pad_size_divisor='
                f'{least} in the data_preprocessor does), or set window_size'
            )

    def _prepare_pos_embed(
        self, state_dict: dict[str, Tensor], prefix: str, *args: Any
    ) -> None:
        """Fit a checkpoint's position embedding; overrides upstream's.

        Upstream's resizes without a class token, or drops one at the same size, but
        does not do both.
        """
        stored = state_dict.get(prefix + 'pos_embed')
        if stored is None or stored.shape[1] == self.pos_embed.shape[1]:
            return
        grid = self._stored_grid(stored.shape[1])
        state_dict[prefix + 'pos_embed'] = resize_pos_embed(
            stored[:, stored.shape[1] - grid[0] * grid[1] :],
            grid,
            self.pos_grid,
            self.interpolate_mode,
            0,
        )
        if grid != self.pos_grid:
            MMLogger.get_current_instance().info(
                f'pos_embed: resized from {grid[0]}x{grid[1]} to '
                f'{self.pos_grid[0]}x{self.pos_grid[1]} tokens'
            )

    def _stored_grid(self, tokens: int) -> tuple[int, int]:
        """Tell a checkpoint's grid from its number of tokens.

        None, one or two of them lead: the class token and DeiT's distillation token.
        """
        for extra in range(3):
            grid = self.pretrain_grid or (isqrt(tokens - extra),) * 2
            if grid[0] * grid[1] == tokens - extra:
                return grid
        if self.pretrain_grid is None:
            hint = (
                'it is not square: set pretrain_img_size=(H, W) to that of its images'
            )
        else:
            hint = (
                f'pretrain_img_size gives a grid of {self.pretrain_grid}: set it to '
                'that of its images'
            )
            for extra in range(3):
                side = isqrt(tokens - extra)
                if side**2 == tokens - extra:
                    hint += f', {side * self.patch_size} if they are square'
                    break
        raise ValueError(f"the checkpoint's pos_embed has {tokens} tokens, but {hint}")


def _chosen(blocks: int | Sequence[int], layers: int) -> tuple[int, ...]:
    """Give the indices of blocks; a number of them is spread evenly."""
    if isinstance(blocks, int):
        if not 0 <= blocks <= layers:
            raise ValueError(
                f'global_blocks must be from 0 to the {layers} blocks, got {blocks}'
            )
        return tuple((i + 1) * layers // blocks - 1 for i in range(blocks))
    unknown = [i for i in blocks if not 0 <= i < layers]
    if unknown:
        raise ValueError(
            f'global_blocks {unknown} are not among the blocks 0 to {layers - 1}'
        )
    return tuple(blocks)
