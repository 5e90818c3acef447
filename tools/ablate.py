"""Run a table of the paper, or an ablation plan, and write it with its noise.

    python tools/ablate.py table5 --dry-run
    python tools/ablate.py table5 --seeds 3
    python tools/ablate.py all --dataset in1k --gpus 8

What is finished is not run again, and what was killed goes on, so the same command
is given until it is through. Tables share their baselines, teachers and equal rows.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import signal
import statistics
import sys
from contextlib import nullcontext
from functools import lru_cache
from pathlib import Path
from time import perf_counter

os.environ.setdefault('OMP_NUM_THREADS', '1')
# asking for GPUs must not start CUDA, which would not survive a fork
os.environ.setdefault('PYTORCH_NVML_BASED_CUDA_CHECK', '1')

import torch
from ablation_lib.plot import draw
from ablation_lib.results import (
    Line,
    lines,
    made_by,
    markdown,
    timed_reference,
    write_csv,
)
from ablation_lib.runs import (
    carry_out,
    failure,
    result,
    state,
    step_times,
)
from ablation_lib.tables import (
    DATASETS,
    Cell,
    Protocol,
    Run,
    Setting,
    Table,
    find,
    kind_of_term,
    read,
)
from mmengine.registry import DefaultScope

from mmvitkd.registry import DATASETS as REGISTRY
from mmvitkd.registry import SCOPE
from mmvitkd.utils.run_lock import lock_dir

ROUNDS = 5  # steps that an estimate is made from
TIMED_ROUNDS = 60  # steps that a table of times is made from


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_what_to_run(parser)
    add_how_to_run(parser)
    args = parser.parse_args()
    if args.seeds < 1:
        parser.error(f'--seeds must be at least 1, got {args.seeds}')
    args.baseline_seeds = args.baseline_seeds or args.seeds
    if args.baseline_seeds < args.seeds:
        parser.error(f'--baseline-seeds {args.baseline_seeds} is below --seeds')
    check_devices(parser, args)
    return args


def add_what_to_run(parser: argparse.ArgumentParser) -> None:
    """Add what decides which runs there are."""
    parser.add_argument(
        'table',
        nargs='+',
        help="of configs/ablations, e.g. 'table5' or 'table5_layers'; 'all' of them; "
        'or a file of your own',
    )
    parser.add_argument(
        '--dataset',
        default='digits',
        help=f'{", ".join(DATASETS)}, or a file of your own like those in '
        "configs/ablations/_base_. Default: '%(default)s'",
    )
    parser.add_argument('--seeds', type=int, default=3, help='Default: 3')
    parser.add_argument(
        '--baseline-seeds',
        type=int,
        help='of the students alone, with which all others are compared. Default: as '
        '--seeds',
    )


def add_devices(parser: argparse.ArgumentParser) -> None:
    """Add what runs are done by."""
    parser.add_argument(
        '--gpus',
        type=int,
        default=torch.cuda.device_count(),
        help='for each run; 0 for the CPU. Default: all there are',
    )
    parser.add_argument(
        '--jobs',
        type=int,
        help='runs at a time. Default: one on GPUs, else one for every core',
    )


def check_devices(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Refuse devices that are not there, and fill in how many runs at a time."""
    if not 0 <= args.gpus <= torch.cuda.device_count():
        parser.error(f'--gpus {args.gpus}, but there are {torch.cuda.device_count()}')
    if args.jobs is None:
        args.jobs = 1 if args.gpus else len(os.sched_getaffinity(0))
    if args.jobs < 1 or (args.jobs > 1 and args.gpus):
        parser.error(f'--jobs {args.jobs}: at least 1, and no more on GPUs')


def add_how_to_run(parser: argparse.ArgumentParser) -> None:
    """Add by what, whether and where they are done."""
    add_devices(parser)
    parser.add_argument(
        '--dry-run', action='store_true', help='say what would run, and how long'
    )
    parser.add_argument(
        '--report-only',
        action='store_true',
        help='write what is finished, run nothing; also beside a call that runs',
    )
    parser.add_argument(
        '--work-dir',
        default='work_dirs/ablations',
        help="folder of the runs, one in it for each data set. Default: '%(default)s'",
    )
    parser.add_argument(
        '--out', help="folder of the tables and plots. Default: the work dir's results"
    )


def plan(tables: list[Table], args: argparse.Namespace, root: Path) -> list[Run]:
    """List every run once: seed by seed, each after the teacher that it needs."""
    runs = []
    for seed in range(args.seeds):
        for table in tables:
            for setting in table.settings:
                run = Run(setting, seed, root)
                runs += [*run.teachers.values(), run]
    alone = [cell.baseline for table in tables for cell in table.cells if cell.baseline]
    for seed in range(args.seeds, args.baseline_seeds):
        runs += [Run(setting, seed, root) for setting in alone]
    return list(dict.fromkeys(runs))


def estimate(runs: list[Run]) -> dict[str, float | str]:
    """Time the first steps of a run of every kind; seconds, or why there are none."""
    seconds: dict[str, float | str] = {}
    for setting in dict.fromkeys(run.setting for run in runs):
        kind = kind_of(setting)
        if kind in seconds:
            continue
        try:
            times = step_times({'run': Run(setting, 0, Path()).config()}, ROUNDS)
            seconds[kind] = statistics.median(times['run'])
        except ValueError as error:
            seconds[kind] = str(error).splitlines()[0][:200]
    return seconds


def kind_of(setting: Setting) -> str:
    """Name what the time of a step mostly depends on: student and teacher."""
    student, _, rest = setting.name.partition(': ')
    teacher = rest.rpartition(', ')[2] if setting.cfg.model.get('teacher') else ''
    return f'{student}, {teacher}' if teacher else student


def steps_of(setting: Setting, gpus: int) -> int | None:
    """Count the training steps; None if the data set can't be counted."""
    loop = setting.cfg.train_cfg
    if 'max_iters' in loop:
        return loop.max_iters
    per_epoch = epoch_steps(setting, gpus)
    return per_epoch and loop.max_epochs * per_epoch


def epoch_steps(setting: Setting, gpus: int = 1) -> int | None:
    """Count the steps of an epoch."""
    loader = setting.cfg.train_dataloader
    images = count_images(json.dumps(loader.dataset, sort_keys=True))
    return images and -(-images // (loader.batch_size * max(gpus, 1)))


@lru_cache
def count_images(dataset: str) -> int | None:
    """Count the images of a data set, its config given as JSON."""
    try:
        with DefaultScope.overwrite_default_scope(SCOPE):
            return len(REGISTRY.build({**json.loads(dataset), 'pipeline': []}))
    except Exception:  # whatever a missing data set raises
        return None


def show_plan(runs: list[Run], jobs: int, gpus: int) -> dict[Run, float]:
    """Print every run with its state, and about how long the rest takes.

    Returns:
        About how many seconds each of the runs to do takes, if that is known.
    """
    left = [run for run in runs if not result(run)]
    kinds = estimate(left)
    times = {}
    for run in runs:
        note = state(run)
        if note != 'done':
            step, steps = kinds[kind_of(run.setting)], steps_of(run.setting, gpus)
            if isinstance(step, float) and steps is not None:
                times[run] = step * steps
                note += f', about {duration(times[run])}'
        print(f'{note:28} seed {run.seed}  {run.setting.name}')
    for kind, problem in kinds.items():
        if isinstance(problem, str):
            print(f'no estimate for {kind}: {problem}')
    whole = duration(sum(times.values()) / jobs)
    unknown = len(left) - len(times)
    print(
        f'{len(left)} of {len(runs)} runs to do'
        + (f'; training takes about {whole}, {jobs} at a time' if times else '')
        + (f'; {unknown} could not be estimated' if unknown else ''),
        flush=True,
    )
    return times


def duration(seconds: float) -> str:
    """Write a duration in the unit that suits it."""
    for unit, size in (('days', 86400), ('hours', 3600), ('minutes', 60)):
        if seconds >= 2 * size:
            return f'{seconds / size:.1f} {unit}'
    return f'{seconds:.0f} s'


def time_epochs(table: Table) -> dict[str, list[float]]:
    """Time all rows of a table side by side, a step of each in turn.

    Returns:
        By row and column: seconds an epoch takes one process, and the ratio of a
        step to that of the first row that the paper timed, its median and quartiles.
    """
    cells = {place(cell): cell for cell in table.cells if cell.setting}
    times = step_times(
        {name: Run(cell.setting, 0, Path()).config() for name, cell in cells.items()},
        TIMED_ROUNDS,
    )
    reference = times[place(timed_reference(list(cells.values())))]
    found = {}
    for name, mine in times.items():
        steps = epoch_steps(cells[name].setting)
        epoch = statistics.median(mine) * steps
        ratios = [a / b for a, b in zip(mine, reference, strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4)
        found[name] = [epoch, middle, low, high]
    return found


def place(cell: Cell) -> str:
    """Name a cell within its table."""
    return f'{cell.row}, {cell.column}'


def add_times(table: Table, table_lines: list[Line], root: Path, measure: bool) -> None:
    """Fill the times in: measured now, or when they last were."""
    keys = sorted(setting.key for setting in table.settings)
    digest = hashlib.sha256(json.dumps(keys).encode()).hexdigest()[:8]
    file = root / f'{table.name}-{digest}-times.json'
    if measure:
        try:
            file.write_text(json.dumps(time_epochs(table)))
        except ValueError as error:
            print(f'{table.name}: the epochs could not be timed: {error}')
    times = json.loads(file.read_text()) if file.is_file() else {}
    for line in table_lines:
        if place(line.cell) in times:
            line.seconds, *ratio = times[place(line.cell)]
            line.ratio = tuple(ratio)


def write(
    table: Table, protocol: Protocol, args: argparse.Namespace, root: Path, out: Path
) -> None:
    """Write a table as Markdown, CSV and plot."""
    table_lines = lines(table, args.seeds, args.baseline_seeds, root)
    if table.time_an_epoch:
        add_times(table, table_lines, root, not args.report_only)
    out.mkdir(parents=True, exist_ok=True)
    stem = out / table.name
    runs = [run for run in plan([table], args, root) if result(run)]
    facts = [
        provenance(table, runs, args),
        *teacher_facts(table_lines, root),
        *weight_facts(table, protocol),
    ]
    stem.with_suffix('.md').write_text(markdown(table, table_lines, facts))
    write_csv(stem.with_suffix('.csv'), table_lines)
    draw(table, table_lines, root.name, stem)
    print(f'{stem}.md')


def provenance(table: Table, runs: list[Run], args: argparse.Namespace) -> str:
    """Tell what made a table: the command, and when and by what its runs were done."""
    command = f'python tools/ablate.py {table.argument} --dataset {args.dataset}'
    command += f' --seeds {args.seeds}'
    if args.baseline_seeds != args.seeds:
        command += f' --baseline-seeds {args.baseline_seeds}'
    return f'`{command}`; {made_by(runs)}.'


def teacher_facts(table_lines: list[Line], root: Path) -> list[str]:
    """Tell the accuracy of the teachers that were trained here and are shared."""
    shared = {
        line.cell.setting.teacher
        for line in table_lines
        if line.cell.setting
        and line.cell.setting.teacher
        and not line.cell.setting.own_teachers
    }
    found = {t.name.removeprefix('teacher '): result(Run(t, 0, root)) for t in shared}
    known = [f'{n} {r["top1"]:.1f}' for n, r in sorted(found.items()) if r]
    return ['', 'Top-1 of the teachers: ' + ', '.join(known) + '.'] if known else []


def weight_facts(table: Table, protocol: Protocol) -> list[str]:
    """Tell by what the data set multiplies the weights that rows and terms name."""
    names = {
        name
        for cell in table.cells
        if cell.setting
        for name in cell.setting.cfg.model.get('terms', {})
    }
    factors = {kind_of_term(name): protocol.factor(name) for name in sorted(names)}
    told = [f'{kind} {factor:g}' for kind, factor in factors.items() if factor != 1]
    if not told:
        return []
    text = 'Weights on features are given as on ImageNet, and multiplied here: '
    return ['', text + ', '.join(told) + '.']


def main() -> None:
    signal.signal(signal.SIGTERM, stop)
    args = parse_args()
    if not args.gpus:
        os.environ['CUDA_VISIBLE_DEVICES'] = ''
    try:
        failed = ablate(args)
    except ValueError as error:
        sys.exit(f'error: {error}')
    except KeyboardInterrupt:  # also by SIGTERM, see stop
        sys.exit('stopped: give the same command to go on')
    for run in failed:
        print(f'failed: {run.setting.name}, seed {run.seed}: {failure(run)}')
        print(f'  see {run.folder / "console.log"}')
    sys.exit(1 if failed else 0)


def stop(*_: object) -> None:
    """End as by Ctrl-C, which ends the runs in hand first."""
    raise KeyboardInterrupt


def ablate(args: argparse.Namespace) -> list[Run]:
    """Do what the command line says; return the runs that failed.

    Raises:
        ValueError: If a table or a data set can't be read, or another call works in
            the folder.
    """
    protocol = Protocol(args.dataset)
    paths = [path for name in args.table for path in find(name, protocol.name)]
    tables = [read(path, protocol) for path in dict.fromkeys(paths)]
    names = [table.name for table in tables]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(
            f'two tables are named {twice}, and their results are files of that name: '
            'rename one, or start them one after the other with another --out'
        )
    root = Path(args.work_dir) / protocol.name
    runs = plan(tables, args, root)
    if args.dry_run:
        show_plan(runs, args.jobs, args.gpus)
        return []
    with nullcontext() if args.report_only else lock_dir(root):
        if not args.report_only:
            run_all(runs, show_plan(runs, args.jobs, args.gpus), args)
        for table in tables:
            write(table, protocol, args, root, Path(args.out or root / 'results'))
    return [run for run in runs if failure(run)]


def run_all(runs: list[Run], times: dict[Run, float], args: argparse.Namespace) -> None:
    """Carry the runs out and tell how it goes, and from what each takes, how long."""
    start = perf_counter()
    trained = 0.0

    def report(run: Run, left: list[Run]) -> None:
        nonlocal trained
        line = result(run)
        text = f'{line["top1"]:.1f}' if line else f'FAILED: {failure(run)}'
        trained += times.get(run, 0.0) if line else 0.0
        rest = ''
        if trained and all(one in times for one in left):
            work = sum(times[one] for one in left)
            rest = f', about {duration((perf_counter() - start) / trained * work)}'
        print(
            f'{text:>5}  seed {run.seed}  {run.setting.name}  ({len(left)} left{rest})',
            flush=True,
        )

    carry_out(runs, args.jobs, args.gpus, report)


if __name__ == '__main__':
    main()
