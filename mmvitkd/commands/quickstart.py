"""Distil a vision transformer on real images, from nothing to a table and a report.

A teacher learns scikit-learn's digits. Then, from equal starts and with equal
budgets, the same student learns without distillation (the baseline), with ViTKD, and
with ViTKD + NKD, once for every seed. All are tested on held-out images; the student
that validated best is exported as a plain MMPretrain checkpoint, loaded back by
MMPretrain's own inferencer and asked about an image file. A report, one HTML file,
shows what the models learned.

What a run leaves in the work dir is used again by the next call, as long as its
config, seed, versions and the code of mmvitkd are the same.
"""

import argparse
import os
import sys
from pathlib import Path

from .experiment_options import sigterm_interrupts


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument('--seeds', type=int, default=3, help='how many (default: 3)')
    parser.add_argument('--device', choices=['auto', 'cpu', 'cuda'], default='auto')
    parser.add_argument(
        '--work-dir', type=Path, default=Path('work_dirs/quickstart'), metavar='DIR'
    )
    parser.add_argument(
        '--max-epochs',
        type=int,
        metavar='N',
        help='cut every training to N epochs, to try the machinery, not the method',
    )
    parser.add_argument(
        '--jobs',
        type=int,
        metavar='N',
        help='trainings at a time (default: one to a GPU, or to a core, but 4 at most)',
    )


def run(args: argparse.Namespace) -> None:
    """Run the quickstart; what the user can mend ends with code 1, Ctrl-C with 130."""
    # asking for GPUs must not start CUDA, which the runs' forks could not use then
    os.environ.setdefault('PYTORCH_NVML_BASED_CUDA_CHECK', '1')
    try:
        for name in ('seeds', 'max_epochs', 'jobs'):
            value = getattr(args, name)
            if value is not None and value < 1:
                option = name.replace('_', '-')
                raise ValueError(f'--{option} {value}: give 1 or more')
        from mmvitkd.experiments.quickstart.quickstart import quickstart

        with sigterm_interrupts():
            quickstart(args)
    except ValueError as error:
        print(f'quickstart: {error}', file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print('\nquickstart: stopped; the same command goes on', file=sys.stderr)
        sys.exit(130)
