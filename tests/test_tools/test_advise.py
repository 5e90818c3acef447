import re
import shutil
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from tests.helpers import save_weights, vit
from tests.shrink import CONFIGS, image_folder
from tests.test_tools.runs import message, run

STUDENT = CONFIGS / 'digits' / 'digits_student.py'
TEACHER = CONFIGS / 'digits' / 'digits_teacher.py'


@pytest.fixture(scope='module')
def weights(tmp_path_factory) -> dict[Path, Path]:
    folder = tmp_path_factory.mktemp('weights')
    return {
        cfg: save_weights(Config.fromfile(cfg).model, folder / f'{cfg.stem}.pth')
        for cfg in (STUDENT, TEACHER)
    }


def arguments(weights: dict, out: Path, teacher: Path = TEACHER) -> list:
    return [
        *(teacher, STUDENT, '--data', STUDENT, '--out', out),
        *('--teacher-checkpoint', weights[teacher]),
        *('--student-checkpoint', weights[STUDENT]),
    ]


def changed(folder: Path, name: str, **model: object) -> tuple[Path, Path]:
    """Write a config of digits with another model, and random weights of it."""
    path = folder / f'{name}.py'
    model = {**vit(32), **model, '_delete_': True}
    path.write_text(f'_base_ = {str(STUDENT)!r}\nmodel = {model!r}\n')
    return path, save_weights(Config.fromfile(path).model, folder / f'{name}.pth')


def rows(page: Path) -> list[dict[str, str]]:
    """Read the table of a page."""
    lines = [x for x in page.read_text().splitlines() if x.startswith('|')]
    head, _, *body = [[c.strip() for c in x.strip('|').split('|')] for x in lines]
    return [dict(zip(head, line, strict=True)) for line in body]


@pytest.fixture(scope='module')
def advised(weights, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp('advised') / 'out'
    run('advise', *arguments(weights, out))
    return out


def test_the_advised_config_trains(advised, tmp_path):
    """Through the real tool and runner, on digits."""
    options = (
        'train_cfg.max_epochs=1',
        'default_hooks.logger.interval=1',
        'default_hooks.check.allow_chance=True',  # random weights
    )
    args = '--work-dir', tmp_path, '--no-validate', '--cfg-options', *options
    runner = run('train', advised / 'advised.py', *args)
    terms = Config.fromfile(advised / 'advised.py').model.terms
    used = [row['teacher'] for row in rows(advised / 'advice.md') if row['use']]
    assert used == [t.teacher for name, t in terms.items() if name != 'nkd']
    assert 'nkd' in terms
    for name in terms:
        values = runner.message_hub.get_scalar(f'train/loss_{name}').data[0]
        assert len(values) == 4  # 200 labels in batches of 50
        assert (values > 0).all()
    assert (tmp_path / 'epoch_1.pth').is_file()


def test_the_table_follows_the_rules(advised):
    table = rows(advised / 'advice.md')
    paths = [*(f'backbone.layers.{i}' for i in range(6)), 'backbone.ln1']
    assert [row['teacher'] for row in table] == paths
    fits = [
        float(row['CKA']) >= 0.85 and float(row['held'].rstrip('%')) >= 90
        for row in table
    ]
    first = fits[:2] if fits[0] else [False, False]
    assert [row['use'] == 'mimic' for row in table[:6]] == [*first, *[False] * 4]
    assert [row['use'] for row in table[2:6]] == [''] * 4
    holds = float(table[6]['held'].rstrip('%')) >= 90
    assert table[6]['use'] == ('generate' if holds else '')


def test_a_model_that_teaches_itself(weights, tmp_path):
    """CKA 1, everything held; and, on labelled images, nothing to teach."""
    run('advise', *arguments(weights, tmp_path, teacher=STUDENT))
    table = rows(tmp_path / 'advice.md')
    assert {row['CKA'] for row in table} == {'1.00'}
    assert {row['held'] for row in table} == {'100.0%'}
    uses = ['mimic', 'mimic', '', '', '', '', 'generate']
    assert [row['use'] for row in table] == uses
    assert 'it has little to teach' in (tmp_path / 'advice.md').read_text()
    # 16 tokens of 32 channels, where the paper's weights are of 196 of 384
    terms = Config.fromfile(tmp_path / 'advised.py').model.terms
    scale = 196 * 384 / (16 * 32)
    assert terms.mimic0.loss.loss_weight == pytest.approx(3e-5 * scale, rel=0.02)
    assert terms.gen.loss.loss_weight == pytest.approx(3e-6 * scale, rel=0.02)


def test_a_folder_of_images_without_labels(weights, tmp_path):
    folder = image_folder(tmp_path / 'images', each=4)
    args = arguments(weights, tmp_path / 'out', teacher=STUDENT)
    args[args.index('--data') : args.index('--out')] = ['--images', folder]
    run('advise', *args)
    page = (tmp_path / 'out' / 'advice.md').read_text()
    assert f'On 64 images of `{folder}`' in page
    assert 'little to teach' not in page


def test_a_teacher_whose_layers_do_not_fit_the_width(weights, tmp_path):
    """Every layer yields the position of the token, of 16 that are orthogonal: equal
    variance in 15 dimensions, of which a width of 8 holds 8."""
    state = torch.load(weights[TEACHER])
    for key, value in state['state_dict'].items():
        if re.search(r'attn\.proj|ffn\.layers\.1|patch_embed', key):
            value.zero_()  # the blocks hand on what they get
    places = torch.linalg.qr(torch.randn(128, 17))[0].T
    state['state_dict']['backbone.pos_embed'].copy_(places)
    torch.save(state, tmp_path / 'wide.pth')
    thin, checkpoint = changed(tmp_path, 'thin', **vit(8, layers=6))
    args = arguments({TEACHER: tmp_path / 'wide.pth', STUDENT: checkpoint}, tmp_path)
    args[1] = thin
    run('advise', *args)
    table = rows(tmp_path / 'advice.md')
    held = [float(row['held'].rstrip('%')) for row in table]
    assert held[:6] == pytest.approx([100 * 8 / 15] * 6, abs=0.1)
    assert {row['use'] for row in table} == {''}
    page = (tmp_path / 'advice.md').read_text()
    # 16 tokens, orthogonal in every image and the same in all
    assert 'Encoding mismatch' not in page
    assert re.search(r'in 1[56] of 128 dimensions for one image', page)
    rms = [float(row['RMS']) for row in table[:6]]
    assert rms == pytest.approx([128**-0.5] * 6, rel=0.01)  # of vectors of length 1
    assert 'A width of 8 can not hold 90% of the variance of backbone.layers.0' in page
    assert list(Config.fromfile(tmp_path / 'advised.py').model.terms) == ['nkd']


def test_a_student_that_does_not_look_is_not_told_to_mimic(weights, tmp_path):
    """Its layers are the same for every image, so there is no CKA."""
    state = torch.load(weights[STUDENT])
    state['state_dict']['backbone.patch_embed.projection.weight'].zero_()
    torch.save(state, tmp_path / 'blind.pth')
    weights = {TEACHER: weights[TEACHER], STUDENT: tmp_path / 'blind.pth'}
    run('advise', *arguments(weights, tmp_path))
    table = rows(tmp_path / 'advice.md')
    assert {row['CKA'] for row in table} == {'nan'}
    assert 'mimic' not in {row['use'] for row in table}


def test_nothing_is_overwritten(weights, tmp_path):
    (tmp_path / 'advice.md').write_text('mine')
    said = message('advise', *arguments(weights, tmp_path))
    assert 'advice.md exist' in said
    assert (tmp_path / 'advice.md').read_text() == 'mine'
    assert not (tmp_path / 'advised.py').exists()


def test_too_few_images_to_judge_the_rank(weights, tmp_path):
    """16 tokens each; four times 128 channels take 32 images."""
    said = message('advise', *arguments(weights, tmp_path), '--count', 16)
    assert '256 tokens are too few' in said
    assert '--count 32' in said
    assert not (tmp_path / 'advised.py').exists()


def test_a_narrower_teacher_of_other_classes(weights, tmp_path):
    """Is warned of, and its logits are left alone."""
    teacher, checkpoint = changed(tmp_path, 'narrow', **vit(16, classes=7))
    args = arguments({**weights, teacher: checkpoint}, tmp_path, teacher)
    run('advise', *args)
    page = (tmp_path / 'advice.md').read_text()
    assert '(16 channels) is narrower' in page
    assert 'no logits are distilled' in page
    assert 'little to teach' not in page  # its classes are others
    assert 'nkd' not in Config.fromfile(tmp_path / 'advised.py').model.terms


def test_pairs_that_can_not_be_judged(weights, tmp_path):
    stages = {
        'backbone': {
            'type': 'SwinTransformer',
            'arch': {'embed_dims': 8, 'depths': [2, 2], 'num_heads': [1, 1]},
            'img_size': 32,
            'patch_size': 2,
            'window_size': 2,
            'out_indices': (1,),
        },
        'neck': {'type': 'GlobalAveragePooling'},
        'head': {'type': 'LinearClsHead', 'num_classes': 10, 'in_channels': 16},
    }
    for name, model, text in (
        ('shallow', vit(32, layers=2), 'has 2 blocks'),
        ('swin', stages, 'can not judge stages'),
    ):
        teacher, checkpoint = changed(tmp_path, name, **model)
        args = arguments({**weights, teacher: checkpoint}, tmp_path / 'out', teacher)
        assert text in message('advise', *args)
    assert not (tmp_path / 'out').exists()


def test_students_without_data_or_schedule(weights, tmp_path):
    args = arguments(weights, tmp_path)
    args[1] = 'timm:deit_tiny_patch16_224'
    assert 'neither data nor schedule' in message('advise', *args)
    for place in (0, 1):
        args = arguments(weights, tmp_path)
        args[place] = CONFIGS / 'digits' / 'vitkd_digits.py'
        assert "is a distiller's config" in message('advise', *args)
    args[1] = shutil.copy(CONFIGS / '_base_/models/vit-w32_digits.py', tmp_path)
    assert 'no train_dataloader' in message('advise', *args)


def test_a_config_that_would_not_train_is_taken_away(weights, tmp_path):
    """A distillation run's checkpoint under the plain config of its student: the tool
    reads it, a teacher does not."""
    state = torch.load(weights[TEACHER])['state_dict']
    state = {f'student.{key}': value for key, value in state.items()}
    torch.save({'state_dict': state}, tmp_path / 'distilled.pth')
    weights = {**weights, TEACHER: tmp_path / 'distilled.pth'}
    said = message('advise', *arguments(weights, tmp_path))
    assert 'does not fit' in said
    assert not (tmp_path / 'advised.py').exists()
    assert not (tmp_path / 'advice.md').exists()
