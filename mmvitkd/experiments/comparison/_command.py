"""Compare the methods of configs/comparison on digits, tuned with equal tries.

    python tools/compare_methods.py --dry-run
    python tools/compare_methods.py --seeds 3 --out results
    python tools/compare_methods.py --only DIST --max-epochs 1 --work-dir try

The weights of every method are multiplied by the same few factors and tried on the
validation split; the best one is trained by other seeds and tested. What is finished is
not run again, and what was killed goes on, so the same command is given until it is
through. See configs/comparison/README.md.
"""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import sys
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import NamedTuple

os.environ.setdefault('OMP_NUM_THREADS', '1')
# asking for GPUs must not start CUDA, which would not survive a fork
os.environ.setdefault('PYTORCH_NVML_BASED_CUDA_CHECK', '1')

from ablate import (
    add_devices,
    check_devices,
    duration,
    run_all,
    steps_of,
    stop,
)
from ablation_lib.results import made_by
from ablation_lib.runs import failure, result, step_times
from ablation_lib.tables import Run, Setting
from comparison_lib.costs import Costs, measure_costs, stored_costs
from comparison_lib.methods import read
from comparison_lib.page import Line, page, write_csv
from comparison_lib.plan import Plan
from comparison_lib.plot import draw

from mmvitkd.utils.run_lock import lock_dir

DEFAULT = Path(__file__).resolve().parents[1] / 'configs' / 'comparison' / 'methods.py'
ROUNDS = 5  # steps that an estimate is made from


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_what_to_run(parser)
    add_how_to_run(parser)
    args = parser.parse_args()
    for name in ('seeds', 'tuning_seeds', 'max_epochs'):
        value = getattr(args, name)
        if value is not None and value < 1:
            parser.error(f'--{name.replace("_", "-")} must be at least 1, got {value}')
    if args.rounds < 2:
        parser.error(f'--rounds must be at least 2, got {args.rounds}')
    check_devices(parser, args)
    return args


def add_what_to_run(parser: argparse.ArgumentParser) -> None:
    """Add what decides which runs there are."""
    parser.add_argument(
        '--methods',
        type=Path,
        default=DEFAULT,
        metavar='FILE',
        help='like the default, configs/comparison/methods.py',
    )
    parser.add_argument(
        '--only',
        nargs='+',
        metavar='METHOD',
        help='these methods, by their names in the file, and the two that all are '
        'compared with. Default: all',
    )
    parser.add_argument('--seeds', type=int, default=3, help='of the test. Default: 3')
    parser.add_argument(
        '--tuning-seeds', type=int, default=2, help='of every try. Default: 2'
    )
    parser.add_argument(
        '--max-epochs',
        type=int,
        help='cut every training to so many epochs, to try the machinery',
    )


def add_how_to_run(parser: argparse.ArgumentParser) -> None:
    """Add by what, whether and where they are done."""
    add_devices(parser)
    parser.add_argument(
        '--rounds',
        type=int,
        default=20,
        help='steps of every method that its time is measured by. Default: 20',
    )
    parser.add_argument(
        '--dry-run', action='store_true', help='say what would run, and how long'
    )
    parser.add_argument(
        '--report-only',
        action='store_true',
        help='write what is finished, run and measure nothing',
    )
    parser.add_argument(
        '--work-dir',
        type=Path,
        default=Path('work_dirs/comparison'),
        help="folder of the runs. Default: '%(default)s'",
    )
    parser.add_argument(
        '--out',
        type=Path,
        help='folder of the page, by the name of --methods: .md, .csv, .svg and .png. '
        "Default: the work dir's results",
    )


class Estimate(NamedTuple):
    """About how many seconds a training takes: its start, a step, the whole run."""

    start: float
    step: float
    run: float


def estimate(setting: Setting, gpus: int) -> Estimate | str:
    """Time the start and the first steps of a training, or say why that fails."""
    config = Run(setting, 0, Path()).config()
    # of CPUs, so that other work on the machine does not count
    clock = perf_counter if gpus else process_time
    try:
        # the first step also builds models and data
        start, _, *steps = step_times({'': config}, ROUNDS + 1, 0, clock)['']
    except ValueError as error:
        return str(error).splitlines()[0][:200]
    step = median(steps)
    # the test starts once more
    return Estimate(start, step, 2 * start + step * (steps_of(setting, gpus) or 0))


def show_plan(plan: Plan, args: argparse.Namespace) -> dict[Run, float]:
    """Print what is to do of every method, and about how long it takes.

    Returns:
        About how many seconds a run takes, where that is known.
    """
    times: dict[Run, float] = {}
    training = measuring = 0.0
    for group in plan.groups():
        left = [run for run in group.runs if not result(run)]
        note = f'{len(left):3} of {len(group.runs)} runs to do'
        found = estimate(left[0].setting, args.gpus) if left else None
        if isinstance(found, Estimate):
            note += f', about {duration(found.run)} each'
            times.update(dict.fromkeys(group.possible, found.run))
            training += found.run * len(left)
            # with warm-up, parts and memory
            measuring += 2 * found.start + found.step * (args.rounds + 10)
        elif found:
            note += f'; no estimate: {found}'
        print(f'{note:42}  {group.name}', flush=True)
    print(
        f'training takes about {duration(training / args.jobs)}, {args.jobs} at a time '
        'on a machine that does nothing else, beside validation; then measuring what a '
        f'step costs takes about {duration(measuring)}',
        flush=True,
    )
    return times


def with_costs(lines: list[Line], plan: Plan, args: argparse.Namespace) -> list[Line]:
    """Add what was measured of the methods that have run, or measure it now."""
    methods = [line.method for line in lines if line.test.top1]
    reference = plan.comparison.methods[plan.comparison.timed_against]

    def measuring() -> Costs:
        print('measuring what a step costs', flush=True)
        return measure_costs(methods, reference, args.rounds, not args.gpus)

    try:
        costs = stored_costs(
            plan.root / f'costs_{args.methods.stem}.json',
            methods,
            None if args.report_only else measuring,
        )
    except ValueError as error:
        print(f'the costs could not be measured: {error}')
        costs = {}
    return [replace(line, costs=costs.get(line.name, {})) for line in lines]


def write(plan: Plan, lines: list[Line], args: argparse.Namespace) -> None:
    """Write the page, its table as CSV, and the figure."""
    out = args.out or plan.root / 'results'
    out.mkdir(parents=True, exist_ok=True)
    runs = [*plan.tuning(), *plan.test()]
    facts = [f'`{command(args)}`; {made_by(runs)}.', *teacher_facts(runs)]
    stem = out / args.methods.stem
    text = page(plan.comparison, lines, facts, stem.name)
    stem.with_suffix('.md').write_text(text, encoding='utf-8')
    write_csv(stem.with_suffix('.csv'), plan.comparison, lines)
    by_name = {line.name: line for line in lines}
    others = [by_name[n] for n in (plan.comparison.alone, plan.comparison.to_beat)]
    draw(lines, *others, plan.comparison.timed_against, stem)
    print(stem.with_suffix('.md'))


def command(args: argparse.Namespace) -> str:
    """Write the command that makes the same page."""
    parts = ['python', 'tools/compare_methods.py']
    if args.methods.resolve() != DEFAULT:
        parts += ['--methods', os.path.relpath(args.methods)]
    parts += ['--only', *args.only] if args.only else []
    parts += ['--seeds', str(args.seeds), '--tuning-seeds', str(args.tuning_seeds)]
    parts += ['--max-epochs', str(args.max_epochs)] if args.max_epochs else []
    return shlex.join(parts)


def teacher_facts(runs: list[Run]) -> list[str]:
    """Tell the accuracy of the teachers."""
    found = {
        teacher.setting.name.removeprefix('teacher '): result(teacher)
        for run in runs
        for teacher in run.teachers.values()
    }
    known = [
        f'{name} {line["top1"]:.1f}' for name, line in sorted(found.items()) if line
    ]
    return [f'Top-1 of the teachers: {", ".join(known)}.'] if known else []


def compare(args: argparse.Namespace) -> list[Run]:
    """Do what the command line says; return the runs that failed.

    Raises:
        ValueError: If the methods' file can't be read, or another call works in the
            folder.
    """
    comparison = read(args.methods, args.max_epochs)
    plan = Plan(comparison, args.only, args.seeds, args.tuning_seeds, args.work_dir)
    if args.dry_run:
        show_plan(plan, args)
        return []
    with nullcontext() if args.report_only else lock_dir(plan.root):
        if not args.report_only:
            times = show_plan(plan, args)
            run_all(plan.tuning(), times, args)
            run_all(plan.test(), times, args)  # by the factors that are chosen now
        write(plan, with_costs(plan.lines(), plan, args), args)
    return [run for run in (*plan.tuning(), *plan.test()) if failure(run)]


def main() -> None:
    signal.signal(signal.SIGTERM, stop)
    args = parse_args()
    if not args.gpus:
        os.environ['CUDA_VISIBLE_DEVICES'] = ''
    try:
        failed = dict.fromkeys(compare(args))
    except ValueError as error:
        sys.exit(f'error: {error}')
    except KeyboardInterrupt:  # also by SIGTERM, see stop
        sys.exit('stopped: give the same command to go on')
    for run in failed:
        print(f'failed: {run.setting.name}, seed {run.seed}: {failure(run)}')
        print(f'  see {run.folder / "console.log"}')
    sys.exit(1 if failed else 0)


if __name__ == '__main__':
    main()
