"""The page: sections of tables, figures, pictures and text, in one file."""

from __future__ import annotations

import base64
import io
import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup, escape

from mmvitkd.utils.tables import write_rows

from .inline import inline

MARK = '<meta name="generator" content="mmvitkd report">'
HERE = Path(__file__).parent
LARGE = 300_000  # of a CSV, in characters; larger ones stay out of the page


@dataclass(frozen=True)
class Csv:
    """Numbers behind a table or a figure.

    Args:
        name: Of the file, without suffix; may have folders.
        text: The file.
    """

    name: str
    text: str

    @classmethod
    def of(cls, name: str, rows: Iterable[Sequence[Any]]) -> Csv:
        """Write rows, the header first."""
        out = io.StringIO()
        write_rows(out, rows)
        return cls(name, out.getvalue())

    @property
    def file(self) -> str:
        """What it is called when it is saved."""
        return f'{slug(self.name)}.csv'

    @property
    def link(self) -> str:
        """The file as an address that needs no network."""
        return _data('text/csv;charset=utf-8', self.text.encode())


@dataclass(frozen=True)
class Cell:
    """A cell of a table.

    Args:
        text: What is read.
        value: What it is sorted by, and what the CSV holds. Defaults to None: the
            text, or for an empty one nothing.
    """

    text: str
    value: float | str | None = None

    @property
    def key(self) -> float | str:
        return self.text if self.value is None else self.value


@dataclass(frozen=True)
class Table:
    """A table that can be sorted.

    Args:
        name: Of its CSV, without suffix.
        caption: What it shows.
        columns: Their headings.
        rows: As many cells each; the first is the row's heading.
        numeric: The headings of columns of numbers.
    """

    name: str
    caption: str
    columns: list[str]
    rows: list[list[Cell]]
    numeric: frozenset[str] = frozenset()
    kind: str = 'table'

    @property
    def csv(self) -> Csv:
        rows = [[cell.key for cell in row] for row in self.rows]
        return Csv.of(self.name, [self.columns, *rows])


@dataclass(frozen=True)
class Figure:
    """A figure that is drawn already.

    Args:
        caption: What it shows.
        alt: For those who can't see it: what is to be seen in it.
        file: An SVG.
        csv: Its numbers. Defaults to None.
        wide: Takes the page's whole width. Defaults to False.
    """

    caption: str
    alt: str
    file: Path
    csv: Csv | None = None
    wide: bool = False
    kind: str = 'figure'

    def drawn(self, prefix: str) -> tuple[Markup, int]:
        """Return it as an element, and its width in CSS pixels."""
        return inline(self.file, self.alt, prefix)


@dataclass(frozen=True)
class Picture:
    """One image of a gallery.

    Args:
        content: The file's bytes.
        type: Their type, such as ``'image/png'``.
        alt: What it is.
        lines: Below it, and whether each says something wrong.
    """

    content: bytes
    type: str
    alt: str
    lines: list[tuple[str, bool]]

    @property
    def source(self) -> str:
        return _data(self.type, self.content)


@dataclass(frozen=True)
class Gallery:
    """Images side by side."""

    caption: str
    pictures: list[Picture]
    kind: str = 'gallery'


@dataclass(frozen=True)
class Text:
    """A paragraph; a warning stands out."""

    text: str
    warning: bool = False
    kind: str = 'text'


@dataclass(frozen=True)
class Listing:
    """Text as it is, behind its title."""

    title: str
    text: str
    kind: str = 'listing'


@dataclass(frozen=True)
class Folded:
    """A table behind its title."""

    title: str
    table: Table
    kind: str = 'folded'


@dataclass(frozen=True)
class Downloads:
    """Numbers of a whole section."""

    csvs: list[Csv]
    kind: str = 'downloads'

    @property
    def large(self) -> list[Csv]:
        """Those that would make the page slow."""
        return [one for one in self.csvs if len(one.text) > LARGE]

    @property
    def small(self) -> list[Csv]:
        return [one for one in self.csvs if len(one.text) <= LARGE]


@dataclass(frozen=True)
class Notes:
    """Remarks on a section."""

    lines: list[str]
    kind: str = 'notes'


Block = Table | Figure | Gallery | Text | Listing | Folded | Downloads | Notes


@dataclass
class Section:
    """One tab of the page.

    Args:
        title: Of the tab.
        blocks: From top to bottom.
        heading: Of the section. Defaults to None: the title.
    """

    title: str
    blocks: list[Block] = field(default_factory=list)
    heading: str | None = None

    @property
    def key(self) -> str:
        return slug(self.title)

    @property
    def csvs(self) -> Iterator[Csv]:
        """All numbers that it holds."""
        for block in self.blocks:
            if isinstance(block, Downloads):
                yield from block.csvs
            elif isinstance(block, Folded):
                yield block.table.csv
            elif isinstance(block, (Table, Figure)) and block.csv is not None:
                yield block.csv


def slug(text: str) -> str:
    """Make a name of a file or an anchor."""
    return re.sub(r'[^a-z0-9]+', '-', text.lower()).strip('-')


def _data(kind: str, content: bytes) -> str:
    return f'data:{kind};base64,{base64.b64encode(content).decode()}'


def breakable(text: str) -> Markup:
    """Let a long name break after its dots and underscores."""
    return Markup(re.sub(r'([._/+-])', r'\1<wbr>', str(escape(text))))


def render(title: str, subtitle: str, sections: list[Section]) -> str:
    """Lay the sections out as one HTML file that needs no other."""
    loader = jinja2.FileSystemLoader(HERE)
    environment = jinja2.Environment(
        loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters['breakable'] = breakable
    template = environment.get_template('report.html.j2')
    return template.render(mark=MARK, title=title, subtitle=subtitle, sections=sections)


def require_ours(path: Path) -> None:
    """Refuse to write over a file that is no report.

    Raises:
        ValueError: If so, or if it can't be a file.
    """
    if path.is_dir():
        raise ValueError(
            f"--out '{path}' is a folder: name a file, '{path}/report.html'"
        )
    if path.is_file() and MARK not in path.read_text(errors='replace')[:2000]:
        raise ValueError(
            f"--out '{path}' exists and is no report: give another name, or remove it"
        )


def save_csvs(sections: list[Section], folder: Path) -> None:
    """Write every table's and every figure's numbers."""
    for section in sections:
        for numbers in section.csvs:
            file = folder / f'{numbers.name}.csv'
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(numbers.text, encoding='utf-8')


def save_figures(drawn: Path, folder: Path) -> None:
    """Copy every figure that was drawn, SVG and PNG."""
    for file in drawn.rglob('*'):
        if file.suffix in ('.svg', '.png'):
            target = folder / file.relative_to(drawn)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, target)
