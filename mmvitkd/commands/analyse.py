"""See what models do with images: attention, and how far layers are from a teacher's.

    python -m mmvitkd analyse --data configs/digits/digits_student.py --out OUT \\
        --model teacher configs/digits/digits_teacher.py TEACHER.pth \\
        --model student configs/digits/digits_student.py STUDENT.pth

The first model is the teacher that the others are compared with.
"""

import argparse

from mmvitkd.inspection.sections import FEWEST, SECTIONS

from .options import add_device, add_images


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        '--model',
        dest='models',
        action='append',
        nargs='+',
        required=True,
        metavar=('NAME CFG', 'CHECKPOINT'),
        help="what to call it; a config, an 'mmpretrain::' name, 'timm:NAME' or "
        "'hf:NAME'; its weights, which timm and HuggingFace fetch if left out. Of a "
        'distillation run, the student is taken. Once for every model',
    )
    add_images(parser)
    parser.add_argument(
        '--layers',
        type=int,
        nargs='+',
        help='whose attention to show. Default: the first two, the middle and the last '
        'two',
    )
    parser.add_argument(
        '--overlays',
        type=int,
        default=8,
        help='how many images to show one by one. Default: %(default)s',
    )
    parser.add_argument(
        '--sections',
        nargs='+',
        choices=SECTIONS,
        default=list(SECTIONS),
        help='what to do. Default: all of them',
    )
    parser.add_argument('--batch-size', type=int, default=32, help='Default: 32')
    add_device(parser)


def check_arguments(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Refuse numbers that are too small."""
    for name, least in (('count', FEWEST), ('overlays', 0), ('batch_size', 1)):
        if getattr(args, name) < least:
            parser.error(f'--{name.replace("_", "-")} must be at least {least}')


def run(args: argparse.Namespace) -> None:
    """Write the sections and ``analysis.json``."""
    from mmvitkd.utils.libraries import optional_libraries

    with optional_libraries():
        from mmvitkd.inspection.analyse import analyse

        analyse(
            args.models,
            args.out,
            images=args.images,
            data=args.data,
            count=args.count,
            layers=args.layers,
            overlays=args.overlays,
            sections=args.sections,
            batch_size=args.batch_size,
            device=args.device,
        )
