"""Tables as CSV that spreadsheets open without running anything."""

import csv
import re
from collections.abc import Iterable, Sequence
from typing import IO, Any

# what a spreadsheet takes for the beginning of a formula
FORMULA = re.compile(r'[=+\-@\t\n＝＋－＠]')
NUMBER = re.compile(r'[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?|[+-]?(inf|nan)')


def write_rows(file: IO[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write rows of cells, the header first.

    A text that a spreadsheet would run as a formula, such as a folder's name that
    begins with ``=``, gets an apostrophe before it. Numbers stay as they are.
    """
    out = csv.writer(file, lineterminator='\n')
    out.writerows([_harmless(cell) for cell in row] for row in rows)


def _harmless(cell: Any) -> Any:
    if isinstance(cell, (int, float, type(None))):
        return cell
    # the writer quotes \n, but leaves \r, which begins a row as well
    text = re.sub('\r\n?', '\n', str(cell))
    is_formula = FORMULA.match(text.lstrip(' ')) and not NUMBER.fullmatch(text)
    return f"'{text}" if is_formula else text
