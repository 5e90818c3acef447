"""Write the student of a distillation checkpoint as an ordinary MMPretrain one.

    python -m mmvitkd export epoch_200.pth student.pth --config CONFIG
    python -m mmvitkd export epoch_200.pth student.onnx --format onnx
    python -m mmvitkd export epoch_200.pth my_student --format timm

With another --format it is for other programs: ONNX, a program of torch.export,
weights as safetensors, or a folder that timm or Hugging Face loads. What it predicts is
compared with PyTorch, in batches of sizes that were not traced, before anything is
written.
"""

import argparse
import hashlib
from pathlib import Path

from mmvitkd.export import FOLDERS, SUFFIXES

MMPRETRAIN = 'mmpretrain'
# options of all formats but MMPretrain's, and of those that are graphs
OF_FILES = ('images', 'tolerance')
OF_GRAPHS = ('normalisation', 'input_type', 'dynamic_size')
OF_INT8 = ('int8', 'calibration_images', 'int8_weights')
OF_FOLDERS = ('license', 'push_to_hub')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument('checkpoint', help='checkpoint of a distillation run')
    parser.add_argument(
        'out', help='file to write, e.g. student.pth, or folder: timm, huggingface'
    )
    parser.add_argument(
        '--format',
        choices=[MMPRETRAIN, *SUFFIXES, *FOLDERS],
        default=MMPRETRAIN,
        help='what to write. Default: %(default)s',
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        '--ema',
        action='store_true',
        default=None,
        help='the averaged weights. Default: those that the run validated with, the '
        'averaged ones if it had any',
    )
    which.add_argument(
        '--raw', action='store_false', dest='ema', default=None, help='the raw weights'
    )
    parser.add_argument(
        '--config',
        help="the run's config: writes the student's plain config beside OUT, as .py. "
        'The other formats write none; they take this one, or else the one that the '
        'checkpoint has recorded',
    )
    parser.add_argument(
        '--force', action='store_true', help='write over existing files'
    )
    parser.add_argument(
        '--drop-dist-token',
        action='store_true',
        help="leave DeiT's distillation token out, with its position and its head: a "
        'plain ViT, whose predictions are others',
    )
    graph = parser.add_argument_group('of the other formats')
    graph.add_argument(
        '--images',
        metavar='DIR',
        help="images to compare predictions on. Default: the config's test set",
    )
    graph.add_argument(
        '--tolerance',
        type=float,
        help='the largest error that is written, as a part of the largest logit. '
        'Default: 1e-4, or 0.05 in INT8 by the ranges of a training',
    )
    graph.add_argument(
        '--normalisation',
        choices=['inside', 'outside'],
        help='onnx, torch-export: whether the graph takes RGB from 0 to 255 and '
        'normalises it, or takes normalised images. Default: inside',
    )
    graph.add_argument(
        '--input-type',
        choices=['uint8', 'float32'],
        help='onnx, torch-export: the type of such RGB. Default: uint8',
    )
    graph.add_argument(
        '--dynamic-size',
        action='store_true',
        default=None,
        help='onnx, torch-export: take images of any size, where the model does',
    )
    graph.add_argument(
        '--int8',
        action='store_true',
        default=None,
        help='onnx: quantise convolutions and linear layers, calibrated by images of '
        "the run's training set, or by what a training with model.quantisation has "
        'learnt, and test both on its test set',
    )
    graph.add_argument(
        '--calibration-images',
        type=int,
        metavar='N',
        help='with --int8. Default: 256',
    )
    graph.add_argument(
        '--int8-weights',
        choices=['uint8', 'int8'],
        help='with --int8: int8 for runtimes that want it, and processors with VNNI, '
        'where it may be faster; without VNNI its products overflow. Default: uint8',
    )
    graph.add_argument(
        '--license',
        metavar='NAME',
        help='timm, huggingface: of the student, for its model card, e.g. apache-2.0. '
        'docs/licences.md tells what teachers leave to you',
    )
    graph.add_argument(
        '--push-to-hub',
        metavar='REPO',
        help='timm, huggingface: publish the folder as OWNER/NAME on the Hugging Face '
        'hub, by the token of HF_TOKEN or `hf auth login`',
    )


def check_arguments(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Refuse options of other formats, and what can't be."""
    given = {
        name
        for name in (*OF_FILES, *OF_GRAPHS, *OF_INT8, *OF_FOLDERS)
        if getattr(args, name) is not None
    }
    fits: set[str] = set()
    if args.format != MMPRETRAIN:
        fits |= {*OF_FILES}
    if args.format in FOLDERS:
        fits |= {*OF_FOLDERS}
    elif args.format not in (MMPRETRAIN, 'safetensors'):
        fits |= {*OF_GRAPHS}
    if args.format == 'onnx':
        fits |= {*OF_INT8}
    for name in sorted(given - fits):
        option = name.replace('_', '-')
        parser.error(f'--{option} is not for --format {args.format}')
    if args.normalisation == 'outside' and args.input_type is not None:
        parser.error('--input-type is of RGB; normalised images are float32')
    for name in OF_INT8[1:]:
        if getattr(args, name) is not None and not args.int8:
            parser.error(f'--{name.replace("_", "-")} is for --int8')
    if args.int8 and (args.normalisation == 'outside' or args.input_type == 'float32'):
        parser.error('--int8 takes RGB of uint8, which the graph normalises')
    if args.calibration_images is not None and args.calibration_images < 1:
        parser.error(f'--calibration-images {args.calibration_images}: at least 1')
    if args.tolerance is not None and not 0 < args.tolerance < 1:
        parser.error(f'--tolerance {args.tolerance:g}: give more than 0, less than 1')
    for name, suffix in SUFFIXES.items():
        if args.format == MMPRETRAIN and args.out.endswith(suffix):
            parser.error(
                f"'{args.out}' has the ending of --format {name}, and --format "
                f'{MMPRETRAIN} is the default: give one of them, or end it by .pth'
            )


def run(args: argparse.Namespace) -> None:
    """Write the student, and tell its digest."""
    if args.format != MMPRETRAIN:
        _run_checked(args)
        return
    from mmvitkd.utils.export import export_student

    out = export_student(
        args.checkpoint,
        args.out,
        args.ema,
        args.config,
        args.force,
        args.drop_dist_token,
    )
    _tell(out)
    if args.config is not None:
        print(out.with_suffix('.py'))


def _run_checked(args: argparse.Namespace) -> None:
    from mmvitkd.export.export import FLOAT32, UINT8, export

    if args.push_to_hub is not None:
        from mmvitkd.export.publish import require_token

        require_token(args.push_to_hub)
    normalises = args.normalisation != 'outside'
    out, lines = export(
        args.checkpoint,
        args.out,
        args.format,
        config=args.config,
        ema=args.ema,
        drop_dist_token=args.drop_dist_token,
        force=args.force,
        images=args.images,
        normalises=normalises,
        input_type=(args.input_type or UINT8) if normalises else FLOAT32,
        dynamic_size=bool(args.dynamic_size),
        tolerance=args.tolerance,
        licence=args.license,
        calibration_images=(args.calibration_images or 256) if args.int8 else 0,
        signed_weights=args.int8_weights == 'int8',
    )
    for line in lines:
        print(line)
    if args.format in FOLDERS:
        print(out)
    else:
        _tell(out)
    if args.push_to_hub is not None:
        from mmvitkd.export.publish import push

        print(push(out, args.push_to_hub))


def _tell(out: Path) -> None:
    print(f'{out} (sha256 {hashlib.sha256(out.read_bytes()).hexdigest()})')
