"""A comparison of a few small trainings."""

from pathlib import Path

from tests.shrink import CONFIGS


def entry(name: str, config: str, **extra) -> dict:
    return {'name': name, 'config': str(CONFIGS / config), **extra}


KD = {
    'name': 'KD',
    'terms_of': str(CONFIGS / 'kd' / 'kd_deit-tiny_deit3-small_8xb128_in1k.py'),
    'weights': 'half each',
}


def write_methods(path: Path, methods: list[dict], options: dict | None = None) -> Path:
    """Write a comparison of the student alone, KD and other methods."""
    digits = CONFIGS / 'digits'
    teachers = {'ViT': 'digits_teacher.py', 'ResNet': 'digits_teacher-resnet.py'}
    for name in teachers.values():  # of the same names, trained less
        (path.parent / name).write_text(
            f'_base_ = {str(digits / name)!r}\n'
            'train_dataloader = dict(dataset=dict(num_labels=50))\n'
            'test_dataloader = dict(dataset=dict(indices=50))\n'
        )
    values = {
        'title': 'Two and more',
        'student': str(digits / 'digits_student.py'),
        'pair': str(digits / 'vitkd_digits.py'),
        'teachers': teachers,
        'options': options or {},
        'factors': [1 / 4, 4],
        'first_tuning_seed': 10,
        'alone': 'alone',
        'to_beat': 'KD',
        'timed_against': 'KD',
        'without_factor': 'It has none.',
        'methods': [entry('alone', 'digits/digits_student.py'), KD, *methods],
    }
    path.write_text('\n'.join(f'{key} = {value!r}' for key, value in values.items()))
    return path
