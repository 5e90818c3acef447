"""Time what models cost to run, side by side: student, teacher, exported files.

    python -m mmvitkd latency work_dirs/student/epoch_100.pth student.onnx
    python -m mmvitkd latency teacher.py student.py --batch-size 1 16 --threads 1 2
    python -m mmvitkd latency s.pth --runtime eager compiled --dtype float32 bfloat16

A model is a checkpoint, a config (whose weights are then random) or a file that
`export` has written, .onnx or .pt2. Every round runs one batch of each variant, so that
what else the machine does falls on all alike; ratios are taken within a round.
"""

import argparse

from .experiment_options import experiment_process

RUNTIMES = ('eager', 'compiled', 'onnxruntime', 'openvino')
DTYPES = ('float32', 'float16', 'bfloat16')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument('models', nargs='+', metavar='MODEL')
    parser.add_argument(
        '--runtime',
        nargs='+',
        choices=RUNTIMES,
        help='PyTorch eager or by torch.compile, ONNX Runtime, OpenVINO. Default: '
        'those that are installed, but for torch.compile',
    )
    parser.add_argument(
        '--dtype',
        nargs='+',
        choices=DTYPES,
        default=['float32'],
        help="PyTorch's; others than float32 by autocast. Default: float32",
    )
    parser.add_argument(
        '--batch-size', type=int, nargs='+', default=[1], help='Default: 1'
    )
    parser.add_argument(
        '--threads', type=int, nargs='+', default=[1], help='on a CPU. Default: 1'
    )
    parser.add_argument('--rounds', type=int, default=50, help='Default: 50')
    parser.add_argument(
        '--warm-up', type=int, default=5, help='rounds that do not count. Default: 5'
    )
    parser.add_argument(
        '--device', choices=['cpu', 'cuda'], default='cpu', help='Default: cpu'
    )
    parser.add_argument(
        '--accuracy',
        type=float,
        nargs='+',
        metavar='PERCENT',
        help='of each model, for the figure. Default: the top-1 accuracy that the log '
        'beside a checkpoint has of its epoch',
    )
    parser.add_argument(
        '--out',
        default='work_dirs/latency',
        help="folder of latency.md, .csv, .svg and .png. Default: '%(default)s'",
    )


def check_arguments(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Refuse numbers that can't be."""
    if min(args.rounds - 1, *args.batch_size, *args.threads) < 1 or args.warm_up < 0:
        parser.error('--batch-size, --threads: at least 1; --rounds: at least 2')


def run(args: argparse.Namespace) -> None:
    """Measure, and write the page."""
    with experiment_process():
        from mmvitkd.experiments.latency.latency import latency

        latency(args)
