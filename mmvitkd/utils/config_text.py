"""Configs as text, read as data: nothing in them is run."""

import ast
import math
import operator
from collections.abc import Callable
from typing import Any

LARGEST = 2_000_000  # characters; MMEngine's dumps have some ten thousand
CONSTANTS = {'inf': math.inf, 'nan': math.nan}
# without powers, by which a few characters take all memory
ARITHMETIC: dict[type, Callable] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}


def parse_config(text: str) -> dict[str, Any]:
    """Read a config that is a list of settings, as MMEngine dumps it.

    Args:
        text: Lines such as ``model = dict(type='X', depth=12)``: literals, lists,
            tuples, dicts and arithmetic.

    Raises:
        ValueError: If it has anything else, which would have to be run.
    """
    if len(text) > LARGEST:
        raise ValueError(f'it has {len(text):,} characters, which no config has')
    try:
        statements = ast.parse(text).body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = getattr(error, 'lineno', None)
        where = f'line {line}: ' if line else ''
        raise ValueError(f'{where}{getattr(error, "msg", error)}') from error
    settings = {}
    for statement in statements:
        if isinstance(statement, ast.Expr) and isinstance(
            statement.value, ast.Constant
        ):
            continue  # a text at the top
        if not isinstance(statement, ast.Assign) or not all(
            isinstance(target, ast.Name) for target in statement.targets
        ):
            raise ValueError(_not_data(statement))
        try:
            value = literal(statement.value)
        except RecursionError as error:
            raise ValueError(f'line {statement.lineno} is nested too deep') from error
        settings.update({ast.unparse(target): value for target in statement.targets})
    return settings


def literal(node: ast.expr) -> Any:
    """Return what an expression says, if that is data.

    Raises:
        ValueError: If it is more.
    """
    match node:
        case ast.Constant():
            return node.value
        case ast.Name(id=name) if name in CONSTANTS:
            return CONSTANTS[name]
        case ast.List():
            return [literal(item) for item in node.elts]
        case ast.Tuple():
            return tuple(literal(item) for item in node.elts)
        case ast.Set():
            return {_key(item) for item in node.elts}
        case ast.Dict():
            return _dict(node)
        case ast.Call(func=ast.Name(id='dict')):
            return _dict_call(node)
        case ast.UnaryOp(op=ast.USub() | ast.UAdd()) | ast.BinOp():
            return _number(node)
    raise ValueError(_not_data(node))


def _key(node: ast.expr) -> Any:
    value = literal(node)
    if isinstance(value, (list, dict, set)):
        raise ValueError(_not_data(node))
    return value


def _dict(node: ast.Dict) -> dict:
    found: dict = {}
    for key, value in zip(node.keys, node.values, strict=True):
        if key is None:  # **other
            raise ValueError(_not_data(node))
        found[_key(key)] = literal(value)
    return found


def _dict_call(node: ast.Call) -> dict:
    """Read ``dict(a=1)``, and ``dict({...})``, by which MMEngine writes other keys."""
    found: dict = {}
    for argument in node.args:
        value = literal(argument)
        if not isinstance(value, dict):
            raise ValueError(_not_data(node))
        found.update(value)
    for keyword in node.keywords:
        value = literal(keyword.value)
        if keyword.arg is None:
            raise ValueError(_not_data(node))
        found[keyword.arg] = value
    return found


def _number(node: ast.UnaryOp | ast.BinOp) -> int | float:
    function: Callable | None
    if isinstance(node, ast.UnaryOp):
        parts = [literal(node.operand)]
        function = operator.neg if isinstance(node.op, ast.USub) else operator.pos
    else:
        parts = [literal(node.left), literal(node.right)]
        function = ARITHMETIC.get(type(node.op))
    if function is None or not all(isinstance(part, (int, float)) for part in parts):
        raise ValueError(_not_data(node))
    try:
        return function(*parts)
    except ArithmeticError as error:
        raise ValueError(f'line {node.lineno}: {error}') from error


def _not_data(node: ast.stmt | ast.expr) -> str:
    text = ' '.join(ast.unparse(node).split())
    short = text if len(text) <= 60 else f'{text[:57]}...'
    return f'line {node.lineno} is no setting but code: {short}'


def flatten(settings: dict[str, Any], prefix: str = '') -> dict[str, Any]:
    """Lay nested dicts, and lists of dicts such as schedulers, out by dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, list) and any(isinstance(one, dict) for one in value):
            value = {str(i): one for i, one in enumerate(value)}
        if isinstance(value, dict) and value:
            flat |= flatten(value, f'{prefix}{key}.')
        else:
            flat[f'{prefix}{key}'] = value
    return flat
