"""Fine-tune the digits' students for detection and segmentation, and compare them.

    python tools/downstream/draw_scenes.py data/digit-scenes
    python tools/downstream/compare.py

From random weights, from the student alone and from the student by ViTKD, with equal
budgets, once for every seed; the students are trained first. What is finished is not
run again, and what was killed goes on, so the same command is given until it is
through. The page, its table as CSV and its pictures go to --out.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

os.environ.setdefault('OMP_NUM_THREADS', '1')
sys.path.append(str(Path(__file__).resolve().parents[1]))  # for ablation_lib

import torch
from ablation_lib.runs import carry_out, failure, result
from ablation_lib.tables import Run
from scenes_lib import page
from scenes_lib.trainings import TASKS, FineTuning, plan, test, with_students

from mmvitkd.utils.run_lock import lock_dir


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        '--scenes',
        type=Path,
        default=Path('data/digit-scenes'),
        help="what draw_scenes.py drew. Default: '%(default)s'",
    )
    parser.add_argument(
        '--tasks',
        nargs='+',
        choices=list(TASKS),
        default=list(TASKS),
        help='Default: both',
    )
    parser.add_argument('--seeds', type=int, default=3, help='Default: 3')
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
    parser.add_argument(
        '--max-epochs',
        type=int,
        help='cut every training to so many epochs, to try the machinery',
    )
    parser.add_argument(
        '--report-only', action='store_true', help='write what is finished, run nothing'
    )
    parser.add_argument(
        '--work-dir',
        type=Path,
        default=Path('work_dirs/digit-scenes'),
        help="folder of the runs. Default: '%(default)s'",
    )
    parser.add_argument(
        '--out', type=Path, help="folder of the page. Default: the work dir's results"
    )
    args = parser.parse_args()
    check(args, parser)
    return args


def check(args: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """Refuse arguments that cannot work; fill in what depends on others."""
    for name in ('seeds', 'max_epochs', 'jobs'):
        value = getattr(args, name)
        if value is not None and value < 1:
            parser.error(f'--{name.replace("_", "-")} must be at least 1, got {value}')
    if not 0 <= args.gpus <= torch.cuda.device_count():
        parser.error(f'--gpus {args.gpus}, but there are {torch.cuda.device_count()}')
    if args.jobs is None:
        args.jobs = 1 if args.gpus else len(os.sched_getaffinity(0))
    if args.jobs > 1 and args.gpus:
        parser.error(f'--jobs {args.jobs}: only one at a time on GPUs')
    if not (args.scenes / 'scenes.json').is_file():
        parser.error(
            f"--scenes '{args.scenes}' holds no scenes: draw them with "
            f'python tools/downstream/draw_scenes.py {args.scenes}'
        )


def run_all(runs: list[Run], args: argparse.Namespace) -> None:
    """Carry the runs out and tell how it goes."""
    # every run's process inherits what is imported here
    import mmdet.apis
    import mmdet.evaluation  # noqa: F401
    import mmseg.apis
    import mmseg.evaluation  # noqa: F401

    done = sum(bool(result(run)) for run in runs)
    print(f'{len(runs)} runs, {done} of them done', flush=True)

    def report(run: Run, left: list[Run]) -> None:
        found = result(run)
        text = f'FAILED: {failure(run)}'
        if found:
            names = ('top1', *(m for task in TASKS.values() for m in task.metrics))
            text = ', '.join(f'{n} {found[n]:.1f}' for n in names if n in found)
        print(
            f'{run.setting.name}, seed {run.seed}: {text}  ({len(left)} left)',
            flush=True,
        )

    carry_out(runs, args.jobs, args.gpus, report, test)


def write(runs: list[FineTuning], out: Path, command: str) -> None:
    """Write the page, the CSV and the pictures."""
    from scenes_lib.pictures import draw

    folder = out / 'downstream'
    folder.mkdir(parents=True, exist_ok=True)
    lines = page.collect(runs)
    tasks = dict.fromkeys(run.task for run in runs)
    drawn = [t for t in tasks if draw(t, runs, folder / f'{t}.png')]
    page.write_csv(folder / 'downstream.csv', lines)
    file = out / 'downstream.md'
    file.write_text(page.page(runs, lines, drawn, command), encoding='utf-8')
    print(page.table(runs, lines))
    print(file)


def main() -> None:
    args = parse_args()
    if not args.gpus:
        os.environ['CUDA_VISIBLE_DEVICES'] = ''
    root = args.work_dir
    scenes = args.scenes.resolve()
    runs = plan(args.tasks, args.seeds, root, scenes, args.max_epochs)
    every = with_students(runs)
    tasks = '' if len(args.tasks) == len(TASKS) else f' --tasks {" ".join(args.tasks)}'
    command = f'python tools/downstream/compare.py --seeds {args.seeds}{tasks}'
    if args.max_epochs is not None:
        command += f' --max-epochs {args.max_epochs}'
    try:
        with lock_dir(root):
            if not args.report_only:
                run_all(every, args)
            write(runs, args.out or root / 'results', command)
    except ValueError as error:
        sys.exit(f'error: {error}')
    except KeyboardInterrupt:
        sys.exit('stopped: give the same command to go on')
    failed = [run for run in every if failure(run)]
    for run in failed:
        print(f'failed: {run.setting.name}, seed {run.seed}: {failure(run)}')
        print(f'  see {run.folder / "console.log"}')
    sys.exit(1 if failed else 0)


if __name__ == '__main__':
    main()
