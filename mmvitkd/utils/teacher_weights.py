"""What a teacher's weights must be, beside fitting its model."""

from torch import Tensor, nn

from .finite import nonfinite_weights

SHOWN = 3  # names in a message


def require(what: str, problems: list[str]) -> None:
    """Raise what was found.

    Raises:
        ValueError: If anything was; it begins with ``what``.
    """
    if problems:
        raise ValueError(f'{what}:\n' + '\n'.join(problems))


def find_wrong_numbers(model: nn.Module, weights: dict[str, Tensor]) -> list[str]:
    """Find weights that would load, but can't be what was trained.

    ``load_state_dict`` casts any type of numbers to the parameter's, silently.

    Returns:
        What is wrong, one line for every kind; empty if all is well.
    """
    state = model.state_dict()
    floating = {
        name: value
        for name, value in weights.items()
        if name in state and state[name].is_floating_point()
    }
    others = {n: v for n, v in floating.items() if not v.is_floating_point()}
    broken = nonfinite_weights(floating)
    problems = []
    if others:
        found = [f'{name} ({_dtype(value)})' for name, value in others.items()]
        problems.append(
            f'{len(others)} weights are of a type that is not floating-point, such as '
            f'those of a quantised model: {_shown(found)}. Give the checkpoint from '
            'before the quantisation'
        )
    if broken:
        problems.append(
            f'{len(broken)} weights hold NaN or infinite numbers: {_shown(broken)}. '
            'Its own training went wrong, or the file was damaged'
        )
    return problems


def find_constants(model: nn.Module) -> list[str]:
    """Find out whether a model's weights are the same number again and again.

    The head does not count, as one of zeros is what many begin with.

    Returns:
        What is wrong, one line; empty unless more than half of the numbers in its
        matrices and kernels are of tensors without any variation.
    """
    matrices = {
        name: weight
        for name, weight in model.named_parameters()
        if weight.ndim >= 2 and weight.numel() > 1 and not name.startswith('head.')
    }
    constant = [n for n, w in matrices.items() if bool((w == w.flatten()[0]).all())]
    total = sum(w.numel() for w in matrices.values())
    if 2 * sum(matrices[name].numel() for name in constant) <= total:
        return []
    values = {float(matrices[name].flatten()[0]) for name in constant}
    what = 'zero' if values == {0.0} else 'one number each'
    return [
        f'{len(constant)} of its {len(matrices)} weight matrices are all {what}: '
        f'{_shown(constant)}. Such a teacher has learnt nothing: was the file written '
        'before the training, or damaged?'
    ]


def _dtype(value: Tensor) -> str:
    return str(value.dtype).removeprefix('torch.')


def _shown(names: list[str]) -> str:
    more = f' and {len(names) - SHOWN} more' if len(names) > SHOWN else ''
    return ', '.join(names[:SHOWN]) + more
