"""Lay the results of training runs out as one HTML file that needs no network.

    python -m mmvitkd report work_dirs/vitkd_digits work_dirs/digits_student
    python -m mmvitkd report work_dirs/quickstart --out my_report.html

A work dir is what the command train wrote, or a folder of such: of quickstart, of
ablate. Runs that differ by their seeds alone are put together. The models are
looked into with the images of the runs' own test split, or of --data.
"""

import argparse
from pathlib import Path

from mmvitkd.inspection.sections import FEWEST


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument('work_dirs', nargs='+', type=Path, metavar='WORK_DIR')
    parser.add_argument(
        '--out',
        type=Path,
        default=Path('report.html'),
        metavar='FILE',
        help="Default: '%(default)s'",
    )
    parser.add_argument(
        '--data',
        type=Path,
        metavar='CONFIG',
        help='config whose test images the models are asked about. Default: that of '
        'the run',
    )
    parser.add_argument(
        '--no-analysis',
        action='store_true',
        help='only what the runs wrote down; no model is run',
    )
    parser.add_argument(
        '--count',
        type=int,
        default=1000,
        metavar='N',
        help='how many images at most. Default: %(default)s',
    )
    parser.add_argument(
        '--latency',
        type=Path,
        nargs='+',
        default=[],
        metavar='FILE',
        help='latency.csv of the command latency: accuracy is drawn against it. One '
        'that lies in a work dir, or in a folder latency there, is found by itself',
    )
    parser.add_argument(
        '--csv', type=Path, metavar='DIR', help='write the numbers there too, as CSV'
    )
    parser.add_argument(
        '--figures',
        type=Path,
        metavar='DIR',
        help='write the figures there too, as SVG and PNG',
    )


def check_arguments(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Refuse what contradicts itself, and too few images."""
    if args.data is not None and args.no_analysis:
        parser.error('--data is for the analysis, which --no-analysis leaves out')
    for name in ('csv', 'figures'):
        folder = getattr(args, name)
        if folder is not None and folder.is_file():
            parser.error(f'--{name} {folder} is a file: give a folder')
    if args.count < FEWEST:
        parser.error(f'--count {args.count}: give {FEWEST} or more')


def run(args: argparse.Namespace) -> None:
    """Write the page, and tell where."""
    from mmvitkd.utils.libraries import optional_libraries

    with optional_libraries():
        from mmvitkd.reporting.write import write

        page = write(
            args.work_dirs,
            args.out,
            data=args.data,
            count=0 if args.no_analysis else args.count,
            csvs=args.csv,
            figures=args.figures,
            latencies=args.latency,
        )
    print(page)
