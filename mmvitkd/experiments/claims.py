"""Papers' claims beside what was measured."""

from __future__ import annotations

import csv
import difflib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmvitkd.utils.config_file import open_named
from mmvitkd.utils.statistics import LEVEL, POWER, BySeed, Difference, compare_pairs

from .results import (
    difference_record,
    difference_text,
    markdown_table,
    number,
    p_text,
    write_page,
)

Table = dict[str, dict[int, float]]  # by row, the accuracies by seed
REQUIRED = ('claim', 'source', 'table', 'row', 'than')
SMALLEST = 0.5  # points that matter


@dataclass(frozen=True)
class Claim:
    """That one row of a table lies above another.

    Args:
        text: In words.
        source: The paper, and where in it.
        table: The stem of the table's CSV file.
        row: The row that is claimed to be above.
        than: The other.
        paper: By how many points, where the paper has a figure.
        note: What was tried where it is not seen. Defaults to ``''``.
    """

    text: str
    source: str
    table: str
    row: str
    than: str
    paper: float | None = None
    note: str = ''

    def verdict(self, difference: Difference | None, smallest: float) -> str:
        """Say whether the claim is seen.

        Args:
            difference: Of the two rows; None where they were not measured.
            smallest: The gain in points below which there is none, if the paper's is
                not smaller still.
        """
        if difference is None:
            return 'not measured'
        if difference.significant:
            return '**seen**' if difference.value > 0 else '**not seen**: the opposite'
        if self.paper is not None:
            smallest = min(smallest, self.paper)
        if difference.high is not None and difference.high < smallest:
            return f'**not seen**: less than {smallest:g}, if anything'
        return 'could not be told'


def write(file: Path, results: Path, page: Path) -> None:
    """Write a file's claims beside the results.

    Args:
        file: Of ``claims``, ``title``, ``facts`` (paragraphs), ``figures`` (stems of
            images among the results, with their captions), and ``smallest``, the points
            that matter.
        results: The folder of the tables.
        page: The Markdown file.

    Raises:
        ValueError: If a claim lacks a key, or names a row that its table has not, or no
            table is there.
    """
    cfg = open_named(file)
    claims = read(cfg.get('claims') or [], file)
    stems = dict.fromkeys(claim.table for claim in claims)
    tables = {
        stem: read_table(results / f'{stem}.csv')
        for stem in stems
        if (results / f'{stem}.csv').is_file()
    }
    if not tables:
        wanted = ', '.join(f'{stem}.csv' for stem in stems)
        raise ValueError(f'{results} has none of the tables of {file.name}: {wanted}')
    differences = compare(claims, tables)
    smallest = cfg.get('smallest', SMALLEST)
    columns = columns_of(claims, differences, smallest)
    seeds = {stem: len(_shared(table)) for stem, table in tables.items()}
    counts = ', '.join(f'{count} of {stem}' for stem, count in seeds.items())
    parts = [
        f'# {cfg.get("title", file.stem)}',
        *cfg.get('facts', []),
        *_figures(cfg.get('figures', {}), results, page),
        markdown_table(columns),
        _legend(smallest) + f' Seeds: {counts}.',
    ]
    records = [
        _record(claim, one, smallest)
        for claim, one in zip(claims, differences, strict=True)
    ]
    write_page(page, parts, records, columns)


def read(entries: Sequence[Mapping[str, Any]], file: Path) -> list[Claim]:
    """Read the claims of a file.

    Raises:
        ValueError: If there is none, or one lacks a key or has one that is not known.
    """
    if not entries:
        raise ValueError(f'{file} has no claims = [dict(claim=..., table=...), ...]')
    claims = []
    for i, entry in enumerate(entries):
        missing = [key for key in REQUIRED if key not in entry]
        unknown = [key for key in entry if key not in (*REQUIRED, 'paper', 'note')]
        if missing or unknown:
            wrong = f'lacks {missing}' if missing else f'has unknown keys {unknown}'
            raise ValueError(f'{file}, claims[{i}] {wrong}')
        claims.append(
            Claim(text=entry['claim'], **{k: entry[k] for k in entry if k != 'claim'})
        )
    return claims


def read_table(path: Path) -> Table:
    """Read a table that ``ablate`` or ``compare`` has written.

    Returns:
        By row, the accuracies by seed, those without a failure. A row of a table with
        columns is called ``'row, column'``.

    Raises:
        ValueError: If it is no such table.
    """
    with path.open(newline='', encoding='utf-8') as file:
        lines = list(csv.DictReader(file))
    if not lines or 'values' not in lines[0]:
        raise ValueError(f"{path} has no column 'values': ablate and compare write one")
    table = {}
    for line in lines:
        name = line.get('method') or line['row']
        if line.get('column'):
            name += f', {line["column"]}'
        # which seeds are there is known only where none has failed
        values = [] if line.get('failures') else line['values'].split()
        table[name] = dict(enumerate(map(float, values)))
    return table


def compare(
    claims: Sequence[Claim], tables: Mapping[str, Table]
) -> list[Difference | None]:
    """Compare every claim's two rows, as one family of tests.

    Returns:
        One a claim; None where its table, or two seeds of its rows, are not there.

    Raises:
        ValueError: If a table has no row of the name.
    """
    measured = {}
    for stem, table in tables.items():
        filled = {name: values for name, values in table.items() if len(values) > 1}
        measured[stem] = filled
    tested = []
    for i, claim in enumerate(claims):
        if claim.table not in tables:
            continue
        for name in (claim.row, claim.than):
            _require_row(name, claim.table, tables[claim.table])
        if {claim.row, claim.than} <= measured[claim.table].keys():
            tested.append(i)
    pairs = [(claims[i].table, claims[i].row, claims[i].than) for i in tested]
    found = dict(zip(tested, compare_pairs(measured, pairs), strict=True))
    return [found.get(i) for i in range(len(claims))]


def _require_row(name: str, stem: str, table: Table) -> None:
    if name not in table:
        near = difflib.get_close_matches(name, table, n=3, cutoff=0.3)
        raise ValueError(
            f"table '{stem}' has no row '{name}'; it has {near or [*table]}"
        )


def _shared(table: Mapping[str, BySeed]) -> set[int]:
    filled = [set(values) for values in table.values() if len(values) > 1]
    return set.intersection(*filled) if filled else set()


def columns_of(
    claims: Sequence[Claim], differences: Sequence[Difference | None], smallest: float
) -> dict[str, list[str]]:
    """Lay claims out: heading to one text a row."""
    both = list(zip(claims, differences, strict=True))
    return {
        'claim': [claim.text for claim in claims],
        'source': [claim.source for claim in claims],
        'in the paper': [number(claim.paper, '+.2f', '') for claim in claims],
        'here': [difference_text(one) for one in differences],
        '95 % CI': [
            f'{one.low:+.1f} to {one.high:+.1f}' if one else '' for one in differences
        ],
        'p': [
            p_text(one.p) if one and one.p is not None else '' for one in differences
        ],
        'verdict': [
            claim.verdict(one, smallest) + (f'. {claim.note}' if claim.note else '')
            for claim, one in both
        ],
    }


def _record(
    claim: Claim, difference: Difference | None, smallest: float
) -> dict[str, Any]:
    return {
        **vars(claim),
        **difference_record(difference, 'other'),
        'verdict': claim.verdict(difference, smallest).replace('*', ''),
    }


def _figures(figures: Mapping[str, str], results: Path, page: Path) -> list[str]:
    """Show the images that are there, with their captions."""
    return [
        f'![{caption}]({os.path.relpath(image, page.parent)})\n\n{caption}'
        for stem, caption in figures.items()
        if (image := results / f'{stem}.svg').is_file()
    ]


def _legend(smallest: float) -> str:
    return (
        'Differences are in points of top-1. Seen: above 0, significant at the '
        f'{LEVEL:.0%} level by t-tests that are paired by seed, with the residual '
        "variance of the table and Holm's correction for all claims. Not seen: the "
        "95 % confidence interval, Bonferroni's for all claims, excludes "
        f"{smallest:g} points, or the paper's figure if that is smaller. Detectable: "
        'the difference that so many seeds show as significant with a probability of '
        f'{POWER:.0%}.'
    )
