"""What every section of an analysis has in common.

A section is built from the models and the options, sees every batch once, and then
writes its figures and tables. ``sections.py`` lists them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

from matplotlib.figure import Figure

from mmvitkd.utils.tables import write_rows

from .images import Image
from .models import Captured
from .style import KINDS, save


class Section(Protocol):
    """One part of an analysis."""

    def update(self, images: list[Image], outputs: list[Captured]) -> None:
        """Take a batch, and what every model outputs to it, in their order."""

    def write(self, out: Path) -> Written:
        """Write the figures and tables into a folder, and return what was written."""


@dataclass
class Written:
    """What a section wrote, for ``analysis.json``; paths are relative to the folder.

    Args:
        title: Its heading.
        figures: ``{title, alt, svg, png}``.
        tables: ``{title, csv}``.
        numbers: What a reader or a program may want without the tables.
        notes: What could not be done, and why.
    """

    title: str
    figures: list[dict[str, str]] = field(default_factory=list)
    tables: list[dict[str, str]] = field(default_factory=list)
    numbers: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add_figure(
        self,
        figure: Figure,
        out: Path,
        name: str,
        title: str,
        alt: str,
    ) -> None:
        """Save a figure as ``out/name.svg`` and ``.png``, and list it."""
        save(figure, out / name)
        files = {kind: f'{name}.{kind}' for kind in KINDS}
        self.figures.append({'title': title, 'alt': alt, **files})

    def add_table(
        self,
        rows: Iterable[Sequence[Any]],
        header: Sequence[str],
        out: Path,
        name: str,
        title: str,
    ) -> None:
        """Write ``out/name.csv``, numbers to six digits, and list it."""
        file = out / f'{name}.csv'
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open('w', newline='', encoding='utf-8') as stream:
            cells = ([_short(value) for value in row] for row in rows)
            write_rows(stream, [header, *cells])
        self.tables.append({'title': title, 'csv': f'{name}.csv'})

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def _short(value: Any) -> Any:
    return f'{value:.6g}' if isinstance(value, float) else value
