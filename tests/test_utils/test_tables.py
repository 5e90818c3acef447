import csv
import io
from importlib import import_module
from pathlib import Path

import pytest

from mmvitkd.utils.tables import write_rows

ROOT = Path(__file__).parents[2]


def written(*cells):
    file = io.StringIO(newline='')
    write_rows(file, [cells])
    (row,) = csv.reader(io.StringIO(file.getvalue(), newline=''))
    return row


@pytest.mark.parametrize(
    'text',
    [
        '=1+1',
        '+1+1',
        '-1+1',
        '@SUM(A1)',
        '\t=1',
        '\r=1',
        '\n=1',
        ' =1',
        '=cmd|" /C calc"!A0',
        '-',
        '+1.3 (noise)',
        '＝1',
    ],
)
def test_texts_are_no_formulas(text):
    (cell,) = written(text)
    assert cell == "'" + text.replace('\r', '\n')


@pytest.mark.parametrize('text', ['', 'a=1', 'mimic + nkd', "'x", 'a-b', '1 - 2'])
def test_other_texts_stay(text):
    assert written(text, 0) == [text, '0']


def test_a_text_begins_no_row():
    assert written('a\r=1', 'b\n=1') == ['a\n=1', 'b\n=1']


def test_numbers_stay_numbers():
    cells = (-1, -0.5, 1e-30, True, None, '-1.5', '+3', '-1e-05', '-inf', '.5', '5.')
    assert written(*cells) == ['' if cell is None else str(cell) for cell in cells]


def test_no_other_writer_is_used():
    """A formula needs one forgotten writer only."""
    files = [*ROOT.glob('tools/**/*.py'), *ROOT.glob('mmvitkd/**/*.py')]
    own = Path(import_module(write_rows.__module__).__file__)
    users = [
        f
        for f in files
        if 'csv.writer' in f.read_text() or 'DictWriter' in f.read_text()
    ]
    assert [f.resolve() for f in users] == [own.resolve()]
