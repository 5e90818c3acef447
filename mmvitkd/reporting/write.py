"""From work dirs to the page."""

from __future__ import annotations

import os
import shlex
import sys
import tempfile
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from mmvitkd import __version__
from mmvitkd.inspection.style import KINDS, saved_as
from mmvitkd.utils.config_file import open_named
from mmvitkd.utils.safe_loading import weights_only_loads

from .analysis import analysis
from .curves import curves
from .groups import Group, group_runs, main_metric
from .latency import Timed, find, latency, read
from .page import Section, render, require_ours, save_csvs, save_figures
from .runs import find_runs
from .settings import environment, settings
from .summary import summary


def write(
    work_dirs: list[Path],
    out: Path,
    data: Path | None = None,
    count: int = 1000,
    csvs: Path | None = None,
    figures: Path | None = None,
    title: str | None = None,
    latencies: Sequence[Path] = (),
) -> Path:
    """Write the report of the runs in ``work_dirs``.

    Args:
        work_dirs: Of runs, or folders of such.
        out: The HTML file.
        data: Config of the images that models are run on. Defaults to None: each
            run's own.
        count: How many images they are run on at most; 0 runs no model.
            Defaults to 1000.
        csvs: Folder for all numbers. Defaults to None, which writes none.
        figures: Folder for all figures. Defaults to None, which writes none.
        title: Of the page. Defaults to None: the work dirs' names.
        latencies: Files ``latency.csv``, beside those that the work dirs hold.

    Returns:
        ``out``.

    Raises:
        ValueError: If there is no run, ``data`` does not exist, ``out`` is no
            report, or one of ``latencies`` is none.
    """
    require_ours(out)
    if data is not None:
        open_named(data)  # its mistakes are the user's, others' are noted in the page
    runs = find_runs(work_dirs)
    groups = group_runs(runs)
    metric = main_metric(runs)
    timed: dict[Path, list[Timed] | str] = {}
    for file in find(work_dirs):
        try:
            timed[file.resolve()] = read(file, groups, metric)
        except ValueError as error:  # what lies in a work dir is not the user's mistake
            timed[file.resolve()] = str(error)
    for file in latencies:
        timed[file.resolve()] = read(file, groups, metric)
    kinds = ('svg',) if figures is None else KINDS  # what the page holds, or all
    with (
        tempfile.TemporaryDirectory() as scratch,
        weights_only_loads(always=True),
        saved_as(*kinds),
    ):
        folder = Path(scratch)
        sections = lay_out(groups, metric, data, count, folder)
        sections[2:2] = latency(timed, metric, folder)  # after the curves
        page = render(title or _title(work_dirs), _subtitle(len(runs)), sections)
        if figures is not None:
            save_figures(folder, figures)
    if csvs is not None:
        save_csvs(sections, csvs)
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_name(f'{out.name}.part')
    part.write_text(page, encoding='utf-8')
    os.replace(part, out)
    return out


def lay_out(
    groups: list[Group], metric: str, data: Path | None, count: int, folder: Path
) -> list[Section]:
    """Make the sections, in the order of the tabs."""
    script, *options = sys.argv
    started = ['-m', 'mmvitkd'] if Path(script).name == '__main__.py' else [script]
    command = shlex.join(['python', *started, *options])
    return [
        summary(groups, metric),
        curves(groups, metric, folder),
        *(analysis(groups, metric, data, count, folder) if count else []),
        settings(groups),
        environment(groups, command),
    ]


def _title(work_dirs: list[Path]) -> str:
    more = f' and {len(work_dirs) - 1} more' if len(work_dirs) > 1 else ''
    return f'Distillation report: {work_dirs[0].resolve().name}{more}'


def _subtitle(runs: int) -> str:
    count = f'{runs} run{"" if runs == 1 else "s"}'
    return f'{count}, {datetime.now():%Y-%m-%d %H:%M}, mmvitkd {__version__}'
