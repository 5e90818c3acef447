"""The blocks of a student that are to be gated, and what they cost."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from mmvitkd.models.classifiers.module_hints import near_paths
from mmvitkd.utils.blocks import find_blocks
from mmvitkd.utils.costs import count_module_flops

from .block_gates import BlockGates


def find_gated(student: nn.Module, path: str) -> nn.ModuleList:
    """Look the list of blocks up.

    Raises:
        ValueError: If there is none at the path, or its backbone hands out more than
            the last block's output.
    """
    modules = dict(student.named_modules())
    blocks = modules.get(path)
    if not isinstance(blocks, nn.ModuleList) or len(blocks) < 2:
        named = {module: name for name, module in modules.items()}
        lists = {named[block].rpartition('.')[0] for block in find_blocks(student)}
        hint = sorted(lists) or near_paths(student, path)
        raise ValueError(
            f"blocks='{path}' is no ModuleList of several blocks; the student's blocks "
            f'are in {hint}'
        )
    holder: Any = modules[path.rpartition('.')[0]]
    last = len(blocks) - 1
    if list(getattr(holder, 'out_indices', [last])) != [last]:
        raise ValueError(
            f'out_indices={list(holder.out_indices)}: a student whose blocks are '
            f'skipped must hand out the last one alone, out_indices=[{last}]'
        )
    return blocks


def count_block_flops(
    student: nn.Module, path: str, image_size: tuple[int, int]
) -> list[int]:
    """Count multiply-adds, as ``count_flops`` does of the exported student.

    Returns:
        Those outside the blocks, then each block's.
    """
    counts = count_in_eval(student, image_size)
    number = len(student.get_submodule(path))  # type: ignore[arg-type]
    blocks = [counts[f'{path}.{i}'] for i in range(number)]
    return [counts[''] - sum(blocks), *blocks]


def count_in_eval(student: nn.Module, image_size: tuple[int, int]) -> dict[str, int]:
    """Count every module's multiply-adds, and leave the student in its mode."""
    training = student.training
    student.eval()
    counts = count_module_flops(student, image_size)
    student.train(training)
    return counts


def gated_image_size(model: Any) -> tuple[int, int]:
    """Return height and width of a distiller's images, or a plain classifier's.

    Raises:
        ValueError: If the model doesn't tell.
    """
    shape = getattr(model, 'image_shape', None)
    if shape is not None:
        return tuple(shape[1:])
    student = getattr(model, 'student', model)
    size = getattr(getattr(student, 'backbone', None), 'img_size', None)
    if size is None:
        raise ValueError(
            f'{type(student).__name__} does not tell the size of its images '
            '(backbone.img_size), so its multiply-adds are not known'
        )
    return (size, size) if isinstance(size, int) else tuple(size)


def gate(gates: BlockGates, number: int) -> Callable:
    """Return the forward hook that opens or closes one block."""

    def open_or_close(block: nn.Module, inputs: tuple[Any, ...], output: Any) -> Any:
        skipped = inputs[0]
        if not isinstance(output, Tensor) or output.shape != skipped.shape:
            raise ValueError(
                f'block {number}, {type(block).__name__}, does not yield one tensor of '
                "its input's shape, so it can't be skipped"
            )
        if not block.training:
            return output if gates.kept[number] else skipped
        skip, run = gates.values[number]
        return run * output + skip * skipped

    return open_or_close
