"""Advise which layers of a teacher to distil into a student, and write a config.

    python -m mmvitkd advise configs/digits/digits_teacher.py \\
        configs/digits/digits_student.py --data configs/digits/digits_student.py \\
        --teacher-checkpoint TEACHER.pth --student-checkpoint STUDENT.pth --out OUT

It measures both on images, CKA between their layers and the rank of the teacher's, and
applies rules with numbers, which it prints: a heuristic.
"""

import argparse

from .options import add_device, add_images


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    spec = "a config, an 'mmpretrain::' name"
    parser.add_argument('teacher', help=f"{spec}, 'timm:NAME' or 'hf:NAME'")
    parser.add_argument(
        'student', help=f'{spec}; its data and schedule go into the config'
    )
    parser.add_argument(
        '--teacher-checkpoint', help='file or URL; timm and HuggingFace have their own'
    )
    parser.add_argument(
        '--student-checkpoint',
        required=True,
        help='file or URL, of the student trained alone',
    )
    add_images(parser)
    parser.add_argument('--batch-size', type=int, default=32, help='Default: 32')
    add_device(parser)


def run(args: argparse.Namespace) -> None:
    """Measure, advise, and write the config."""
    from mmvitkd.utils.libraries import optional_libraries

    with optional_libraries():
        from mmvitkd.inspection.advise import advise

        advise(
            args.teacher,
            args.student,
            args.out,
            teacher_checkpoint=args.teacher_checkpoint,
            student_checkpoint=args.student_checkpoint,
            images=args.images,
            data=args.data,
            count=args.count,
            batch_size=args.batch_size,
            device=args.device,
        )
