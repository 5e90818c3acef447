"""Configs of this package as the beginning of a user's own."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmengine.config import Config

from .config_names import all_files
from .config_variables import variables_of
from .errors import ConfigError
from .own_configs import PREFIX, own_configs
from .spelling import suggest

# what no run begins with: parts of configs, tables, methods, tries
OTHERS = {'_base_', 'ablations', 'claims', 'comparison', 'tuning'}
FIRST = 'own_data'


def templates() -> dict[str, Path]:
    """Return the configs by their names, those for own data first."""
    root = own_configs()
    found = [f for f in root.rglob('*.py') if not OTHERS & {*f.relative_to(root).parts}]
    found.sort(key=lambda file: (file.parent.name != FIRST, file))
    return {file.stem: file for file in found}


def describe_templates() -> Iterator[str]:
    """Yield a line for each template: its name, and what its file begins with."""
    for name, file in templates().items():
        first = file.read_text(encoding='utf-8').partition('\n')[0]
        yield f'{name}\n    {first.removeprefix("# ")}'


def write_config(template: str, file: str | Path) -> None:
    """Write a config that inherits from a template.

    Args:
        template: The template's name, with or without its folder.
        file: A ``.py`` file that does not exist.

    Raises:
        ConfigError: If there is no such template, or the file can't be written.
    """
    known = templates()
    name = template.removeprefix(PREFIX).rpartition('/')[2].removesuffix('.py')
    if name not in known:
        raise ConfigError(
            f"there is no template '{template}'{suggest(name, known)}; "
            'python -m mmvitkd new-config lists them'
        )
    file = Path(file)
    if file.suffix != '.py':
        raise ConfigError(f"'{file}': a config is a .py file, such as my_config.py")
    if not file.parent.is_dir():
        raise ConfigError(f"'{file}': there is no folder '{file.parent}'")
    try:
        with file.open('x', encoding='utf-8') as out:
            out.write(_text(known[name], file))
    except FileExistsError:
        raise ConfigError(f"'{file}' exists already: give another name") from None


def _text(template: Path, file: Path) -> str:
    base = f'{PREFIX}{template.relative_to(own_configs()).as_posix()}'
    lines = [f'# python -m mmvitkd train {file}', f'_base_ = {base!r}', '']
    own = _variables(template)
    if own:
        lines += ['# all settings of the base follow these lines']
        lines += [f'{name} = {value!r}' for name, value in own.items()]
    else:
        lines += ['# what differs from it, such as:']
        lines += ['# train_dataloader = dict(batch_size=64)']
    return '\n'.join([*lines, ''])


def _variables(template: Path) -> dict[str, Any]:
    """Return the variables of a template that are texts or numbers."""
    root = own_configs()
    own: set[str] = set()
    for file, names, _ in all_files(template):
        file = file.resolve()
        inside = file.is_relative_to(root)
        if inside and '_base_' not in file.relative_to(root).parts:
            own |= names.assigned
    cfg = Config.fromfile(template)
    own &= variables_of(template)
    plain = {n: v for n, v in cfg.items() if isinstance(v, str | int | float)}
    return {name: value for name, value in plain.items() if name in own}
