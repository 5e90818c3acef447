from typing import Any


def drop_repeated(params: list[dict[str, Any]]) -> None:
    """Keep the first group of each parameter, which several modules may share."""
    seen = set()
    kept = []
    for group in params:
        (parameter,) = group['params']
        if id(parameter) not in seen:
            seen.add(id(parameter))
            kept.append(group)
    params[:] = kept
