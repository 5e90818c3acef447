"""Variables of a config: one place, which all that uses them follows.

MMEngine's configs copy a variable's value where their files use it. A new one, in a
file that inherits from them or on the command line, would come too late: the files are
read again, with the new value in the place of the old one.
"""

import ast
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mmengine.config.config
from mmengine.config import Config

from .config_names import SETTINGS, all_files, is_upstream
from .errors import ConfigError
from .own_configs import own_configs

Values = dict[str, Any]


def variables_of(path: str | Path) -> set[str]:
    """List the variables that a config's files use themselves, beside the settings."""
    found: set[str] = set()
    for _, names, heirs in all_files(Path(path)):
        found |= names.assigned & names.loaded.union(*heirs)
    return found - SETTINGS


def changed_variables(path: str | Path) -> set[str]:
    """List the variables of a base that a file changes.

    Of OpenMMLab's own files only those that the changing file does not use itself:
    there it is usual to take a name again, for something else.
    """
    chain = list(all_files(Path(path)))
    found: set[str] = set()
    for number, (_, names, heirs) in enumerate(chain):
        changed = names.assigned - SETTINGS
        unused = changed - names.loaded.union(*heirs)
        for file, below, above in chain[number + 1 :]:
            if len(above) > len(heirs):
                theirs = is_upstream(file) and not file.is_relative_to(own_configs())
                followed = unused if theirs else changed
                found |= followed & below.assigned & below.loaded
    return found


def read_with(path: str | Path, values: Values) -> Config:
    """Read a config with other values of some variables."""
    if not values:
        return Config.fromfile(path)
    new = {name: ast.parse(repr(value), mode='eval') for name, value in values.items()}
    with _assigning({name: tree.body for name, tree in new.items()}):
        return Config.fromfile(path)


def literals(cfg: Config, names: set[str]) -> Values:
    """Return the values that some variables have.

    Raises:
        ConfigError: If one is no plain data.
    """
    values = Config({name: cfg[name] for name in names}).to_dict()
    for name, value in values.items():
        try:
            ast.literal_eval(repr(value))
        except (SyntaxError, ValueError) as error:
            raise ConfigError(
                f"the settings that use '{name}' can't follow its change to {value!r}, "
                'which is no number, text, list or dict: change them themselves'
            ) from error
    return values


@contextmanager
def _assigning(values: dict[str, ast.expr]) -> Iterator[None]:
    """Have the config files that MMEngine reads meanwhile begin with other values."""

    def parse(*args: Any, **kwargs: Any) -> ast.Module:
        tree = ast.parse(*args, **kwargs)
        return ast.fix_missing_locations(_Assign(values).visit(tree))

    reader = mmengine.config.config
    reader.ast = SimpleNamespace(**{**vars(ast), 'parse': parse})
    try:
        yield
    finally:
        reader.ast = ast


class _Assign(ast.NodeTransformer):
    """Assigns another value wherever a file assigns one to a variable of it."""

    def __init__(self, values: dict[str, ast.expr]) -> None:
        self.values = values

    def generic_visit(self, node: ast.AST) -> Any:
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.expr):
            return node  # names of their own
        if not isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
            return super().generic_visit(node)
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        held = [n for target in targets for n in ast.walk(target)]
        stored = [n.id for n in held if isinstance(n, ast.Name)]
        return [
            node,
            *(
                ast.copy_location(
                    ast.Assign([ast.Name(name, ast.Store())], self.values[name]), node
                )
                for name in stored
                if name in self.values
            ),
        ]
