"""The blocks of a student whose widths are to be pruned, and what the parts cost."""

from collections.abc import Callable
from typing import Any

from mmcv.cnn.bricks.transformer import FFN
from mmpretrain.models import T2T_ViT, VisionTransformer
from mmpretrain.models.utils import MultiheadAttention
from torch import Tensor, nn

from .block_widths import BlockWidths
from .gated_blocks import count_in_eval


def require_prunable(student: nn.Module, path: str, attention: bool) -> None:
    """Check that blocks can be pruned, and the student of them be exported.

    Args:
        student: With its list of blocks at the path.
        path: See there.
        attention: Whether heads or their dimensions are pruned, beside units.

    Raises:
        ValueError: If they can't.
    """
    holder = student.get_submodule(path.rpartition('.')[0])
    name = type(holder).__name__
    if not isinstance(holder, VisionTransformer | T2T_ViT):
        raise ValueError(
            f'widths: a {name} has no place for blocks of several widths, as '
            "MMPretrain's VisionTransformer and T2T_ViT have"
        )
    if attention and type(holder) is not VisionTransformer:
        raise ValueError(
            "widths: heads and dimensions are pruned in MMPretrain's VisionTransformer "
            f'alone, not in a {name}: set heads=False and dims=False'
        )
    shapes = set()
    for number, block in enumerate(_blocks(student, path)):
        layers = type(block.attn), type(block.ffn)
        if layers != (MultiheadAttention, FFN) or block.ffn.num_fcs != 2:
            raise ValueError(
                f'widths: block {number} has {layers[0].__name__} and '
                f'{layers[1].__name__}, not a plain MultiheadAttention and an FFN of '
                'two layers'
            )
        shapes.add((block.attn.num_heads, block.ffn.feedforward_channels))
    if len(shapes) > 1:
        raise ValueError(
            'widths: all blocks must have as many heads and hidden units, got '
            f'{sorted(shapes)}'
        )


def prune(
    student: nn.Module, path: str, shares: Tensor, **settings: Any
) -> BlockWidths:
    """Let blocks do without what is pruned by then, in evaluation.

    Args:
        student, path: As for :func:`require_prunable`.
        shares, **settings: As for ``BlockWidths``.
    """
    blocks = _blocks(student, path)
    projections = [block.attn.proj for block in blocks]
    outputs = [block.ffn.layers[1] for block in blocks]
    widths = BlockWidths(
        [layer.weight for layer in projections],
        [layer.weight for layer in outputs],
        blocks[0].attn.num_heads,
        shares,
        **settings,
    )
    for name, layers in (('kept_dims', projections), ('kept_units', outputs)):
        for number, layer in enumerate(layers):
            layer.register_forward_pre_hook(_mask(widths, name, number))
    return widths


def count_width_flops(
    student: nn.Module, path: str, image_size: tuple[int, int]
) -> list[list[int]]:
    """Count the multiply-adds of every block's parts.

    Returns:
        For each block: those that no width changes, those of queries and keys, those of
        values and the projection that reads them, those of the MLP.
    """
    counts = count_in_eval(student, image_size)
    parts = []
    for number in range(len(_blocks(student, path))):
        block = f'{path}.{number}'
        qkv, proj = counts[f'{block}.attn.qkv'], counts[f'{block}.attn.proj']
        product = (counts[f'{block}.attn'] - qkv - proj) // 2  # with keys, with values
        mlp = counts[f'{block}.ffn.layers.0.0'] + counts[f'{block}.ffn.layers.1']
        widths = [2 * qkv // 3 + product, qkv // 3 + product + proj, mlp]
        parts.append([counts[block] - sum(widths), *widths])
    return parts


def _blocks(student: nn.Module, path: str) -> Any:
    return student.get_submodule(path)


def _mask(widths: BlockWidths, name: str, number: int) -> Callable:
    """Return the forward hook that hides pruned columns from a layer."""

    def hide(layer: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor] | None:
        if layer.training:
            return None
        return (inputs[0] * getattr(widths, name)[number].flatten(),)

    return hide
