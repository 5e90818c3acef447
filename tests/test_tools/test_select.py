"""``python -m mmvitkd select`` over real digits, and training with what it selects."""

import csv
from argparse import Namespace

import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image

from mmvitkd.analysis.selection import (
    attention_probe,
    evenness,
    selection_score,
    uncertainty,
)
from mmvitkd.datasets.digits import load_scans
from mmvitkd.inspection.select import WildImages, find_images, open_model
from mmvitkd.models.classifiers.tap import Tap, record
from tests.helpers import NKD, build, vit
from tests.test_tools.runs import config, message, run

PROBES = {
    f'probe{i}': {
        'student': {'path': f'backbone.layers.{i}', 'tokens': 'all'},
        'teacher': {'path': f'backbone.layers.{i}', 'tokens': 'all'},
        'loss': {'type': 'ProbeLoss'},
    }
    for i in (0, 2)
}
NOISE = {
    **NKD,
    'loss': {'type': 'NoiseAdaptedCELoss', 'num_classes': 10, 'teacher_accuracy': 0.9},
}
KD = {**NKD, 'loss': {'type': 'KDLoss'}}
IMAGES, COUNT = 24, 8


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """A distillation without labels, and a folder of digits, one of them damaged."""
    folder = tmp_path_factory.mktemp('select')
    terms = {'_delete_': True, 'kd': KD, 'noise': NOISE, **PROBES}
    config(folder, 'run', **{'model.task_weight': 0, 'model.terms': terms})
    wild = folder / 'wild images'
    (wild / 'deep er').mkdir(parents=True)
    for i, scan in enumerate(load_scans()[0][:IMAGES]):
        place = wild / ('deep er' if i % 2 else '') / f'{i:02d}.png'
        Image.fromarray(np.stack([scan] * 3, -1)).save(place)
    (wild / 'damaged.png').write_bytes(b'no picture')
    (wild / 'notes.txt').write_text('none either')
    return folder


def select(folder, out='out', **options):
    given = {'--images': folder / 'wild images', '--count': COUNT, **options}
    words = [word for pair in given.items() for word in pair if word is not None]
    return 'select_data', folder / 'run.py', '--out', folder / out, *words


@pytest.fixture(scope='module')
def out(folder):
    run(*select(folder, **{'--batch-size': 7, '--layers': 1}))
    return folder / 'out'


@pytest.fixture(scope='module')
def rows(out):
    with (out / 'scores.csv').open() as stream:
        return list(csv.DictReader(stream))


def test_the_scores_are_those_of_the_teacher(folder, rows):
    """Recomputed by hand from what its modules yield of the pixels."""
    cfg = Config.fromfile(folder / 'run.py')
    model = build({**cfg.model, 'data_preprocessor': cfg.data_preprocessor})
    model.load_teachers()
    teacher = model.teachers['teacher'].model
    block = teacher.backbone.layers[1].attn
    assert len(rows) == IMAGES  # without the damaged one
    for row in rows[:3] + rows[-3:]:
        file = folder / 'wild images' / row['image']
        scan = Image.open(file).resize((32, 32), Image.Resampling.BILINEAR)
        pixels = torch.tensor(np.array(scan), dtype=torch.float32).permute(2, 0, 1)
        path = 'backbone.layers.1.attn.qkv'
        with torch.no_grad(), record(teacher, [Tap(path, 'all')]) as seen:
            logits = teacher((pixels[None] - 78) / 96)
        qkv = seen[Tap(path, 'all')].value
        even = evenness(attention_probe(qkv, block.num_heads, (4, 4)))
        score = selection_score(uncertainty(logits), [even])
        assert int(row['class']) == logits.argmax()
        found = [float(row[k]) for k in ('evenness in backbone.layers.1', 'score')]
        # another resizing rounds pixels otherwise
        assert found == pytest.approx([even.item(), score.item()], abs=0.02)


def test_the_smallest_scores_are_selected(out, rows):
    ranked = sorted(rows, key=lambda row: float(row['score']))
    names = [row['image'] for row in ranked[:COUNT]]
    assert (out / 'selected.txt').read_text().splitlines() == names
    assert {row['image'] for row in rows if row['selected'] == '1'} == set(names)
    assert any('/' in name for name in names)


def test_what_is_selected_trains(folder, out):
    """By CustomDataset, whose samples have no labels."""
    dataset = {
        '_delete_': True,
        'type': 'CustomDataset',
        'data_prefix': str(folder / 'wild images'),
        'ann_file': str(out / 'selected.txt'),
        'with_label': False,
        'pipeline': [
            {'type': 'LoadImageFromFile'},
            {'type': 'Resize', 'scale': 32},
            {'type': 'PackInputs'},
        ],
    }
    terms = {'_delete_': True, 'kd': KD, 'noise': NOISE, **PROBES}
    cfg = config(
        folder, 'train', **{
            'model.task_weight': 0, 'model.terms': terms,
            'train_dataloader.dataset': dataset, 'train_dataloader.batch_size': 4,
            'train_cfg.max_epochs': 1,
        },
    )  # fmt: skip
    run('train', cfg, '--work-dir', folder / 'work')
    weights = torch.load(folder / 'work' / 'epoch_1.pth', weights_only=False)
    assert weights['state_dict']['terms.noise.loss.transition'].any()


def test_labels_and_the_answers_alone(folder, rows):
    """Without weight the probe is not computed; the labels are the teacher's."""
    options = {'--probe-weight': 0, '--with-label': None, '--count': IMAGES}
    run(*select(folder, 'alone', **options))
    said = {row['image']: row['class'] for row in rows}
    lines = (folder / 'alone' / 'selected.txt').read_text().splitlines()
    assert dict(line.rsplit(' ', 1) for line in lines) == said
    by_answer = sorted(rows, key=lambda row: float(row['uncertainty']))
    assert [line.rsplit(' ', 1)[0] for line in lines] == [r['image'] for r in by_answer]


def test_what_exists_is_not_overwritten(folder, out):
    before = (out / 'scores.csv').read_bytes()
    told = message(*select(folder))
    assert "selected.txt' exists already: give another --out" in told
    assert (out / 'scores.csv').read_bytes() == before


@pytest.mark.parametrize(
    ('options', 'said'),
    [
        ({'--images': 'nowhere'}, "--images: there is no folder 'nowhere'"),
        ({'--count': 26}, 'has 25 images: select fewer'),
        ({'--layers': 3}, 'has the layers 0 to 2, not [3]'),
        ({'--head': 2}, '--head 2: the teacher has the heads 0 to 1'),
        ({'--teacher': 'other'}, "--teacher other: choose one of ['teacher']"),
        ({'--device': 'toaster'}, '--device toaster'),
    ],
)
def test_mistakes_are_told(folder, options, said):
    assert said in message(*select(folder, 'none', **options))
    assert not (folder / 'none').exists()


@pytest.mark.parametrize(
    ('options', 'said'),
    [
        ({'--head': 'all'}, "--head: must be a number or 'mean', got 'all'"),
        ({'--count': 0}, '--count must be at least 1'),
        ({'--probe-weight': -1}, '--probe-weight must be at least 0'),
        ({'--probe-weight': 0, '--output-weight': 0}, 'can not both be 0'),
    ],
)
def test_values_that_make_no_sense(folder, capsys, options, said):
    assert message(*select(folder, 'none', **options)) == '2'
    assert said in capsys.readouterr().err


def test_images_in_memory_can_not_be_named(folder):
    command = select(folder, 'none')
    at = command.index('--images')
    told = message(*command[:at], *command[at + 2 :])
    assert 'are no files that an annotation file could name' in told
    assert 'Digits' in told


def test_the_images_of_a_configs_own_training_set(folder, out):
    """The same images, in whichever order they are listed."""
    own = {
        '_delete_': True,
        'type': 'CustomDataset',
        'data_prefix': str(folder / 'wild images'),
        'with_label': False,
        'pipeline': [],
    }
    changes = {'model.terms': {'kd': KD}, 'train_dataloader.dataset': own}
    config(folder, 'own', **changes)
    command = [*select(folder, 'own', **{'--layers': 1})]
    at = command.index('--images')
    command[1:2], command[at : at + 2] = [folder / 'own.py'], []
    run(*command)
    found = (folder / 'own' / 'selected.txt').read_text().splitlines()
    assert found == (out / 'selected.txt').read_text().splitlines()


@pytest.mark.parametrize('to_rgb', [False, True])
def test_colours_are_in_the_order_that_the_preprocessor_takes(folder, tmp_path, to_rgb):
    Image.new('RGB', (8, 8), 'red').save(tmp_path / 'red.png')
    cfg = Config.fromfile(folder / 'run.py')
    cfg.data_preprocessor.to_rgb = to_rgb  # whether it flips them
    pixels = WildImages(*find_images(cfg, str(tmp_path)))[0]['inputs']
    assert pixels[:, 0, 0].tolist() == ([0, 0, 255] if to_rgb else [255, 0, 0])


def test_a_name_that_is_no_line_is_refused(folder, tmp_path):
    Image.new('RGB', (8, 8)).save(tmp_path / 'two\nlines.png')
    cfg = Config.fromfile(folder / 'run.py')
    with pytest.raises(ValueError, match=r'two\\nlines.*rename it'):
        find_images(cfg, str(tmp_path))


def test_a_teacher_without_a_class_token_selects_by_its_answers():
    pooled = vit(24, with_cls_token=False, out_type='avg_featmap')
    teacher = build({'type': 'Teacher', 'cfg': pooled, 'checkpoint': 'none'})
    args = Namespace(probe_weight=0.05, layers=None, head=0)
    message = 'no class token.*--probe-weight 0 selects by its answers alone'
    with pytest.raises(ValueError, match=message):
        open_model(teacher, args)
    args.probe_weight = 0
    assert open_model(teacher, args).blocks == []


def test_attention_counts_at_a_third_and_two_thirds_of_the_depth():
    args = Namespace(probe_weight=0.05, layers=None, head=0)
    for depth, blocks in ((12, (3, 7)), (6, (1, 3)), (2, (0,))):
        cfg = vit(24, layers=depth)
        teacher = build({'type': 'Teacher', 'cfg': cfg, 'checkpoint': 'none'})
        names = [f'backbone.layers.{i}' for i in blocks]
        assert open_model(teacher, args).blocks == names


def test_a_config_without_a_teacher(folder, tmp_path):
    (tmp_path / 'student.py').write_text(
        f"_base_ = '{folder / 'run.py'}'\n"
        'model = dict(_delete_=True, **_base_.model.student)\n'
    )
    command = list(select(folder, 'none'))
    command[1] = tmp_path / 'student.py'
    assert 'distils nothing' in message(*command)
