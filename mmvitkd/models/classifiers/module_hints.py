"""Paths of a model that a user may have meant, who knows another library's."""

import difflib

from torch import nn

from mmvitkd.utils.blocks import find_blocks

HEADS = ('head', 'classifier', 'fc')
SHOWN = 3


def near_paths(model: nn.Module, path: str) -> list[str]:
    """Return paths of a model that may be meant by one that it has not.

    A block is offered for a block, the last norm for a norm, the head for a head,
    whatever they are called; else what is spelt alike.
    """
    paths = {module: name for name, module in model.named_modules() if name}
    blocks = [paths[block] for block in find_blocks(model)]
    parts = path.split('.')
    known = set(paths.values())
    # how much of the path is right
    right = next(i for i in range(len(parts), -1, -1)
                 if not i or '.'.join(parts[:i]) in known)  # fmt: skip
    rest = parts[right:]
    numbers = [i for i, part in enumerate(rest) if part.isdigit()]
    if numbers == [0] or (numbers and not blocks):  # a list is shorter
        above = '.'.join(parts[:right])
        below = [name for name in known if name.rpartition('.')[0] == above]
        return [_last(below)] if below else [above]
    if numbers:
        block = blocks[min(int(rest[numbers[0]]), len(blocks) - 1)]
        return [_inside(block, '.'.join(rest[numbers[0] + 1 :]), known)]
    outside = [
        (name, module)
        for module, name in paths.items()
        if not any(name.startswith(f'{block}.') for block in blocks)
    ]
    last = parts[-1]
    found: list[str] = []
    if last.startswith('ln') or 'norm' in last:
        found = [n for n, m in outside if 'Norm' in type(m).__name__][-1:]
    elif last in HEADS:
        found = [n for n, _ in outside if n.rpartition('.')[2] in HEADS][:1]
    return (
        found
        or difflib.get_close_matches(path, sorted(known), n=SHOWN, cutoff=0.4)
        or blocks[:1]
        or [next(iter(paths.values()), '')]
    )


def _last(names: list[str]) -> str:
    """Return the one with the highest number."""
    return max(names, key=lambda name: (len(name), name))


def _inside(block: str, rest: str, known: set[str]) -> str:
    """Return the path of a part of a block, or of the whole."""
    if not rest or f'{block}.{rest}' in known:
        return f'{block}.{rest}'.rstrip('.')
    below = [name[len(block) + 1 :] for name in known if name.startswith(f'{block}.')]
    near = difflib.get_close_matches(rest, sorted(below), n=1, cutoff=0.5)
    return f'{block}.{near[0]}' if near else block
