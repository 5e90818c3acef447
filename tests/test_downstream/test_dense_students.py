"""Detectors and segmentors distilled themselves, by real runners on digit scenes."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config, ConfigDict
from mmengine.dataset import pseudo_collate
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmengine.structures import PixelData

from mmvitkd.models import NKDLoss
from mmvitkd.registry import DATASETS
from mmvitkd.utils import load_checkpoint
from tests.test_downstream.dense import (
    FPN,
    PROJECTOR,
    SEGMENTOR,
    build,
    command,
    distilled,
    draw,
    load,
    mask_rcnn,
    narrow,
    retinanet,
    save_teacher,
    segmentor,
    tap,
    term,
)

pytestmark = pytest.mark.onedl_only

CONV = 'decode_head.conv_seg'


@pytest.fixture(scope='module')
def scenes(tmp_path_factory):
    return draw(tmp_path_factory)


MODELS_OF = {'mask-rcnn': mask_rcnn, 'retinanet': retinanet, 'segmentor': segmentor}
LIGHT = ('retinanet', 'segmentor')
SCORES = {
    'mask-rcnn': 'coco/segm_mAP',
    'retinanet': 'coco/bbox_mAP',
    'segmentor': 'mIoU',
}


def dump(cfg: Config, folder: Path) -> Path:
    path = folder / 'run.py'
    cfg.dump(path)
    return path


@pytest.mark.parametrize(
    'kind',
    [pytest.param('retinanet', marks=pytest.mark.slow), 'mask-rcnn', 'segmentor'],
)
def test_commands_train_test_and_export(kind, scenes, tmp_path, capsys):
    """As those of classifiers; upstream's model loads what is exported."""
    cfg = MODELS_OF[kind](scenes, tmp_path)
    run, work_dir = dump(cfg, tmp_path), tmp_path / 'work_dir'
    command('train', run)
    told = capsys.readouterr().out
    assert 'What is distilled:' in told
    assert 'G multiply-adds' in told
    lines = [
        json.loads(line)
        for file in work_dir.glob('*/vis_data/scalars.json')
        for line in file.read_text().splitlines()
    ]
    logged = {key: value for line in lines for key, value in line.items()}
    for name in cfg.model.terms:
        assert logged[f'distill/loss/{name}'] > 0
        assert logged[f'distill/grad_norm/{name}'] > 0
    assert logged['distill/grad_norm'] > 0
    assert ('distill/accuracy/student' in logged) == (kind == 'segmentor')
    assert 0 <= logged[SCORES[kind]] <= 100
    checkpoint = work_dir / 'epoch_1.pth'
    kept = load_checkpoint(checkpoint)['state_dict']
    assert {name.split('.')[0] for name in kept} <= {'student', 'terms'}

    command('test', run, checkpoint, '--metrics', tmp_path / 'distilled.json')
    out = tmp_path / 'plain.pth'
    command('export', checkpoint, out, '--config', run)
    plain = Config.fromfile(out.with_suffix('.py'))
    assert plain.default_scope == cfg.default_scope
    assert plain.model.type == cfg.model.student['type']
    assert plain.model.train_cfg == cfg.model.student['train_cfg']
    plain.work_dir = str(tmp_path / 'upstream')
    plain.load_from = str(out)
    plain.experiment_name = f'{cfg.experiment_name}-plain'
    scores = Runner.from_cfg(plain).test()
    told = json.loads((tmp_path / 'distilled.json').read_text())
    assert scores[SCORES[kind]] == pytest.approx(told[SCORES[kind]])


def weights_after(cfg: Config) -> dict[str, torch.Tensor]:
    runner = Runner.from_cfg(cfg)
    runner.train()
    return runner.model.state_dict()


@pytest.mark.slow
@pytest.mark.parametrize('kind', ['mask-rcnn', 'segmentor'])
def test_without_terms_it_is_the_students_own_training(kind, scenes, tmp_path):
    """Bit by bit, from the same random weights; its train_cfg is its own."""
    cfg = MODELS_OF[kind](scenes, tmp_path, terms=None)
    alone = copy.deepcopy(cfg)
    alone.model = cfg.model.student
    alone.experiment_name = f'{cfg.experiment_name}-alone'
    ours, theirs = weights_after(cfg), weights_after(alone)
    assert {name.removeprefix('student.') for name in ours} == set(theirs)
    for name, weight in theirs.items():
        assert torch.equal(ours[f'student.{name}'], weight), name


@pytest.mark.slow
@pytest.mark.parametrize('kind', ['retinanet', 'segmentor'])
def test_resumed_it_ends_as_uninterrupted(kind, scenes, tmp_path):
    ends = []
    for name in ('whole', 'parts'):
        folder = tmp_path / name
        folder.mkdir()
        cfg = MODELS_OF[kind](scenes, folder)
        cfg.train_cfg.update(max_epochs=2, val_interval=2)
        cfg.default_hooks.checkpoint = {'interval': 1}
        command('train', dump(cfg, folder))
        if name == 'parts':
            (folder / 'work_dir' / 'epoch_2.pth').unlink()
            (folder / 'work_dir' / 'last_checkpoint').write_text(
                str(folder / 'work_dir' / 'epoch_1.pth')
            )
            command('train', folder / 'run.py', '--resume')
        ends.append(load_checkpoint(folder / 'work_dir' / 'epoch_2.pth')['state_dict'])
    for name, weight in ends[0].items():
        assert torch.equal(weight, ends[1][name]), name


def batch_of(cfg: Config, count: int = 2) -> dict:
    """Preprocess real scenes as the run would."""
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        dataset = DATASETS.build(cfg.train_dataloader.dataset)
    return pseudo_collate([dataset[i] for i in range(count)])


def losses_of(cfg: Config) -> tuple[Any, dict, dict]:
    """Build a distiller and run one step; return it, its batch and its losses."""
    torch.manual_seed(0)
    model = build(cfg)
    model.init_weights()
    model.train()
    data = model.data_preprocessor(batch_of(cfg), True)
    return model, data, model.loss(**data)


@pytest.mark.parametrize(
    'kind', ['mask-rcnn', *(pytest.param(k, marks=pytest.mark.slow) for k in LIGHT)]
)
def test_at_weight_0_no_label_is_read(kind, scenes, tmp_path):
    """Two stages run without proposals then."""
    cfg = MODELS_OF[kind](scenes, tmp_path, task_weight=0)
    model, data, losses = losses_of(cfg)
    assert set(losses) == {f'loss_{name}' for name in cfg.model.terms}
    again = model.loss(data['inputs'], None)
    for name, loss in losses.items():
        assert torch.equal(loss, again[name])
    sum(losses.values()).backward()
    conv = model.student.backbone.patch_embed.projection.weight
    assert conv.grad.abs().max() > 0


def test_losses_of_all_levels_are_weighed_and_checked(scenes, tmp_path):
    one = losses_of(retinanet(scenes, tmp_path))[2]
    model, data, half = losses_of(retinanet(scenes, tmp_path, task_weight=0.5))
    assert len(half['loss_cls']) == 5
    for name in ('loss_cls', 'loss_bbox'):
        for whole, part in zip(one[name], half[name], strict=True):
            assert part == 0.5 * whole
    assert half['loss_fpn0'] == one['loss_fpn0']
    with torch.no_grad():
        model.student.bbox_head.retina_cls.bias.fill_(torch.nan)
    with pytest.raises(FloatingPointError, match='loss_cls'):
        model.loss(**data)


def test_kd_of_pixels_is_that_of_so_many_images(scenes, tmp_path):
    """By hand: the mean over all pixels of the batch."""
    model, data, losses = losses_of(segmentor(scenes, tmp_path))
    with torch.no_grad():
        sides = [
            one(data['inputs'])
            for one in (model.student, model.teachers['teacher'].model)
        ]
    student, teacher = ((side / 4).log_softmax(1) for side in sides)
    divergence = (teacher.exp() * (teacher - student)).sum(1).mean()
    torch.testing.assert_close(losses['loss_kd'], 16 * divergence)


def without_rims(data: dict) -> None:
    """Leave out a half of one scene's labels, as the rims of digits are anyway."""
    data['data_samples'][0].gt_sem_seg.data[:, :48] = 255


def test_nkd_of_pixels_is_that_of_so_many_labelled_images(scenes, tmp_path):
    """By hand: each place of the map has the label of its middle, or none."""
    terms = {'nkd': term('NKDLoss', CONV)}
    model, data, _ = losses_of(segmentor(scenes, tmp_path, terms=terms))
    without_rims(data)
    loss = model.loss(**data)['loss_nkd']
    with torch.no_grad():
        sides = [
            one(data['inputs']).movedim(1, -1)  # (B, 12, 12, K)
            for one in (model.student, model.teachers['teacher'].model)
        ]
    labels = torch.cat([s.gt_sem_seg.data for s in data['data_samples']])
    places = labels[:, ::8, ::8]  # the nearest of 8x8 pixels, as torch has it
    seen = places != 255
    assert 0 < seen.sum() < seen.numel() - 72
    rows = [side[seen] for side in sides]
    torch.testing.assert_close(loss, NKDLoss()(*rows, places[seen].long()))
    for sample in data['data_samples']:
        sample.gt_sem_seg.data[:] = 255
    model.zero_grad()
    nothing = model.loss(**data)['loss_nkd']
    nothing.backward()
    assert nothing == 0
    assert model.student.decode_head.conv_seg.weight.grad.abs().max() == 0


def test_labels_of_places_are_read_also_where_the_student_reads_none(scenes, tmp_path):
    terms = {'dkd': term('DKDLoss', CONV)}
    cfg = segmentor(scenes, tmp_path, terms=terms, task_weight=0)
    model, data, losses = losses_of(cfg)
    assert losses['loss_dkd'] > 0
    with pytest.raises(ValueError, match='DKDLoss needs labels'):
        model.loss(data['inputs'], None)


@pytest.mark.parametrize('weight', [0, 1])
def test_an_auxiliary_head_can_be_tapped(weight, scenes, tmp_path):
    """Which runs in the student's own losses alone."""
    cfg = load(SEGMENTOR, scenes, tmp_path)
    cfg.model.auxiliary_head = copy.deepcopy(cfg.model.decode_head)
    teacher, student = cfg.model, narrow(copy.deepcopy(cfg.model))
    student.auxiliary_head.in_channels = 16
    terms = {
        'kd': term('KDLoss', 'auxiliary_head.conv_seg'),
        'cwd': term('CWDLoss', CONV),
    }
    cfg = distilled(cfg, student, teacher, tmp_path, terms=terms, task_weight=weight)
    model, _, losses = losses_of(cfg)
    assert losses['loss_kd'] > 0
    assert ('aux.loss_ce' in losses) == bool(weight)
    losses['loss_kd'].backward()
    assert model.student.auxiliary_head.conv_seg.weight.grad.abs().max() > 0
    assert model.student.decode_head.conv_seg.weight.grad is None


def test_two_classes_in_one_logit_are_told(scenes, tmp_path):
    cfg = segmentor(scenes, tmp_path, terms={'a': term('KDLoss', CONV)})
    for model in (cfg.model.student, cfg.model.teacher.cfg):
        model.decode_head.update(num_classes=2, out_channels=1, threshold=0.5)
        model.decode_head.loss_decode.use_sigmoid = True
    with pytest.raises(ValueError, match=r'one logit a pixel .* tells no two'):
        build(cfg)


def test_a_shared_head_is_tapped_by_the_number_of_its_call(scenes, tmp_path):
    """Of a pyramid, level by level."""
    terms = {
        f'kd{call}': term('KDLoss', tap('bbox_head.retina_cls', call=call))
        for call in (1, 5)
    }
    for one in terms.values():
        one['loss']['activation'] = 'sigmoid'
    model, _, losses = losses_of(retinanet(scenes, tmp_path, terms=terms))
    grids = [model.probe_features[name][1].hw for name in terms]
    assert grids == [(128, 128), (8, 8)]
    assert losses['loss_kd1'] != losses['loss_kd5']


@pytest.mark.parametrize('kind', ['retinanet', 'segmentor'])
def test_padding_stays_blank_under_another_normalisation(kind, scenes, tmp_path):
    cfg = MODELS_OF[kind](scenes, tmp_path)
    cfg.model.teacher.cfg.data_preprocessor.update(mean=[0.0] * 3, std=[255.0] * 3)
    if kind == 'segmentor':
        cfg.model.student.data_preprocessor.size = (96, 96)
    model = build(cfg)
    seen = []
    backbone = model.teachers['teacher'].model.backbone
    backbone.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    model.init_weights()
    batch = batch_of(cfg)
    raw = batch['inputs'][0] = batch['inputs'][0][:, :64, :80].contiguous()
    batch['data_samples'][0].set_metainfo({'img_shape': (64, 80)})
    if kind == 'segmentor':
        labels = batch['data_samples'][0].gt_sem_seg.data
        batch['data_samples'][0].gt_sem_seg = PixelData(data=labels[:, :64, :80])
    data = model.data_preprocessor(batch, True)
    model.loss(**data)
    image = seen[-1][0]
    raw = raw.flip(0) if kind == 'retinanet' else raw  # RGB there
    torch.testing.assert_close(image[:, :64, :80], raw / 255)
    assert image[:, 64:].count_nonzero() == image[:, :, 80:].count_nonzero() == 0


def test_a_classifier_and_a_detector_learn_from_each_other(scenes, tmp_path):
    """Each is built in the scope of its own framework."""
    cfg = retinanet(scenes, tmp_path)
    vit = {'type': 'VisionTransformer', 'arch': cfg.model.teacher.cfg.backbone.arch}
    classifier = {
        'type': 'ImageClassifier',
        'backbone': {**vit, 'img_size': 96, 'patch_size': 8},
        'head': {
            'type': 'VisionTransformerClsHead',
            'num_classes': 3,
            'in_channels': 32,
        },
        'data_preprocessor': {'mean': [0.0] * 3, 'std': [255.0] * 3},
    }
    file = save_teacher(ConfigDict(classifier), 'mmpretrain', tmp_path / 'c.pth')
    block = term('ViTKDMimicLoss', 'backbone.layers.0', **PROJECTOR)
    detector = copy.deepcopy(cfg)
    teacher = {'cfg': classifier, 'checkpoint': file, 'input_size': 'same'}
    detector.model.teacher, detector.model.terms = teacher, {'block': block}
    losses = losses_of(detector)[2]
    assert losses['loss_block'] > 0
    cfg.model.student, cfg.model.terms = classifier, {'block': block}
    cfg.default_scope = 'mmpretrain'
    model = build(cfg)
    assert type(model.teachers['teacher'].model).__name__ == 'RetinaNet'


MISTAKES = {
    'an index out of range': (
        {'terms': {'a': term('ViTKDMimicLoss', tap('neck', index=7))}},
        r"tap 'neck' has no output 7: it yields .*numbered from 0 on",
    ),
    'several maps': (
        {'terms': {'a': term('ViTKDMimicLoss', 'neck')}},
        r"choose one by its number, dict\(path='neck', output=0\)",
    ),
    'a shared head': (
        {'terms': {'a': term('KDLoss', 'bbox_head.retina_cls')}},
        r"'bbox_head.retina_cls' fired twice .*dict\(.*call=1\)",
    ),
    'a call out of range': (
        {'terms': {'a': term('KDLoss', tap('bbox_head.retina_cls', call=6))}},
        'has no call 6: it ran 5 times',
    ),
    'no such call': (
        {'terms': {'a': term('KDLoss', tap('bbox_head.retina_cls', call=0))}},
        'call must be the number of a run, from 1 on, got 0',
    ),
    'a softmax over anchors': (
        {'terms': {'a': term('KDLoss', tap('bbox_head.retina_cls', call=1))}},
        r"KDLoss takes classes that exclude .*KDLoss\(activation='sigmoid'\)",
    ),
    'labels of images': (
        {'terms': {'a': term('NKDLoss', tap('bbox_head.retina_cls', call=1))}},
        'NKDLoss needs one class an image, which the images of a RetinaNet have not',
    ),
    'Mixup': (
        {'train_cfg': {'augments': {'type': 'Mixup', 'alpha': 0.8}}},
        'batch augments .* a detector takes none',
    ),
    'its own loss': (
        {'terms': {'cls': FPN['fpn0']}},
        r"the terms \['cls'\] have the names of the student's own losses",
    ),
}


@pytest.mark.parametrize('mistake', MISTAKES)
def test_what_a_detector_can_not_learn_is_told(mistake, scenes, tmp_path):
    changes, message = MISTAKES[mistake]
    with pytest.raises(ValueError, match=message):
        losses_of(retinanet(scenes, tmp_path, **changes))


def test_masked_teachers_and_regions_are_refused(scenes, tmp_path):
    cfg = mask_rcnn(scenes, tmp_path)
    cfg.model.terms = {'a': term('ViTKDMimicLoss', 'roi_head.bbox_head.fc_cls')}
    with pytest.raises(ValueError, match='regions that its own detector has proposed'):
        build(cfg)
    cfg = mask_rcnn(scenes, tmp_path)
    vit = {'type': 'VisionTransformer', 'arch': 'deit-t', 'img_size': 96}
    cfg.model.teacher = {
        'type': 'MaskedTeacher',
        'cfg': {'type': 'ImageClassifier', 'backbone': vit},
        'checkpoint': 'unread.pth',
    }
    with pytest.raises(ValueError, match='a MaskRCNN has none that labels teach'):
        build(cfg)


def test_widths_of_pyramids_may_differ_with_a_neck(scenes, tmp_path):
    cfg = retinanet(scenes, tmp_path)
    student = cfg.model.student
    student.neck.out_channels = student.bbox_head.in_channels = 24
    with pytest.raises(ValueError, match='give the term a neck'):
        build(cfg)
    for one in cfg.model.terms.values():
        one.update(PROJECTOR)
    assert losses_of(cfg)[2]['loss_fpn0'] > 0
