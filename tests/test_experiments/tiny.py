"""A data set's file for ablations, and tables, that take seconds to run."""

from pathlib import Path

from tests.shrink import CONFIGS

TERMS = CONFIGS / 'ablations' / '_base_' / 'terms.py'


def write_table(path: Path, rows: list[dict], student: str, **extra) -> Path:
    lines = [f'_base_ = {str(TERMS)!r}', 'title = "mine"', f'student = {student!r}']
    lines += [f'{key} = {value!r}' for key, value in {**extra, 'rows': rows}.items()]
    path.write_text('\n'.join(lines))
    return path


def write_dataset(path: Path) -> Path:
    """Models of three layers and a few images; two epochs for a student."""
    vit = {
        'model.backbone.arch': {
            'embed_dims': 16,
            'num_layers': 3,
            'num_heads': 2,
            'feedforward_channels': 32,
        },
        'model.head.in_channels': 16,
    }
    options = {
        'train_dataloader.dataset.num_labels': 50,
        'train_dataloader.batch_size': 10,
        'train_cfg.max_epochs': 2,
        'train_cfg.val_interval': 2,
        'default_hooks.checkpoint.interval': 1,
        'test_dataloader.dataset.indices': 200,
        'test_evaluator': [
            {'type': 'Accuracy', 'topk': (1, 5)},
            {'type': 'mmvitkd.NegativeLogLikelihood'},
            {'type': 'mmvitkd.ExpectedCalibrationError'},
        ],
        'default_hooks.corruptions': {'type': 'mmvitkd.CorruptionHook', 'images': 20},
        'custom_imports': {'imports': ['tests.test_tools.kill_hook']},
        'custom_hooks': [{'type': 'KillHook'}],
    }
    digits = CONFIGS / 'digits'
    teacher = {'train': str(digits / 'digits_teacher.py'), 'options': vit}
    broken = {**vit, 'model.backbone.patch_size': 'eight'}
    student = {'config': str(digits / 'digits_student.py'), 'options': vit}
    path.write_text(
        f'options = {options!r}\n'
        f'students = dict(S={student!r})\n'
        f'teachers = dict(T={teacher!r}, Broken={ {**teacher, "options": broken}!r})\n'
        'weight_factors = dict(mimic=100, gen=100)\n'
    )
    return path
