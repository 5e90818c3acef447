"""What users give dense students by mistake, or by what their data are like."""

import copy
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.config import Config, ConfigDict
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from PIL import Image

from mmvitkd.registry import MODELS
from tests.test_downstream.dense import (
    DETECTOR,
    PROJECTOR,
    build,
    command,
    distilled,
    draw,
    load,
    mask_rcnn,
    narrow,
    retina,
    retinanet,
    segmentor,
    tap,
    term,
)
from tests.test_downstream.test_dense_students import dump, losses_of

pytestmark = pytest.mark.onedl_only

CONV = 'decode_head.conv_seg'
HEAD = 'bbox_head.retina_cls'
SIGMOID = {'type': 'KDLoss', 'activation': 'sigmoid'}
MGD = {'type': 'MGDProjector', 'masked': 'places', 'mask_ratio': 0.65}
LEVELS = {
    'pkd': term('ProjectorLoss', tap('neck', index=0)),
    'cwd': term('CWDLoss', tap('neck', index=1)),
    'mgd': {**term('ViTKDMimicLoss', tap('neck', index=3)), 'neck': MGD},
}


@pytest.fixture(scope='module')
def scenes(tmp_path_factory):
    return draw(tmp_path_factory)


def step(model: Any, data: dict) -> dict[str, torch.Tensor]:
    """Run one step to the end; all of it is finite."""
    model.zero_grad()
    found = model.loss(**data)
    losses = {
        name: sum(value) if isinstance(value, list) else value
        for name, value in found.items()
        if 'loss' in name
    }
    sum(losses.values()).backward()
    for name, loss in losses.items():
        assert loss.isfinite(), name
    for name, weight in model.named_parameters():
        assert weight.grad is None or weight.grad.isfinite().all(), name
    return {name: loss.detach() for name, loss in losses.items()}


@pytest.mark.parametrize(
    'kind', [retinanet, pytest.param(mask_rcnn, marks=pytest.mark.slow)]
)
def test_images_without_objects_are_distilled_like_others(kind, scenes, tmp_path):
    """One of two, then both: the terms look at no box, and are what they were."""
    terms = copy.deepcopy(LEVELS)
    if kind is retinanet:
        terms['kd'] = {**term('', tap(HEAD, call=1)), 'loss': SIGMOID}
    model, data, _ = losses_of(kind(scenes, tmp_path, terms=terms))
    losses = []
    for images in (0, 1, 2):
        for sample in data['data_samples'][:images]:
            sample.gt_instances = sample.gt_instances[:0]
        torch.manual_seed(0)
        losses.append(step(model, data))
    drawn = {'mgd'}  # as regions are
    for name in terms if kind is retinanet else set(terms) - drawn:
        for found in losses[1:]:
            assert torch.equal(found[f'loss_{name}'], losses[0][f'loss_{name}']), name
    boxes = [found['loss_bbox'] for found in losses]
    assert boxes[0] > 0
    assert boxes[2] == 0


def pyramid(model: ConfigDict, width: int, levels: int = 5, start: int = 0) -> None:
    """Give a RetinaNet a ResNet and an FPN, from stride 4 on or a coarser one."""
    model.backbone = {
        'type': 'mmdet.ResNet',
        'depth': 18,
        'base_channels': width,
        'norm_eval': True,
    }
    model.neck = {
        'type': 'mmdet.FPN',
        'in_channels': [width * 2**i for i in range(4)],
        'out_channels': 32,
        'num_outs': levels,
        'start_level': start,
        'add_extra_convs': 'on_output',
    }
    strides = [2 ** (2 + start + i) for i in range(levels)]
    model.bbox_head.anchor_generator.strides = strides


def pyramids(
    scenes: Path,
    folder: Path,
    terms: dict,
    change: Callable[[ConfigDict, ConfigDict], Any] = lambda student, teacher: None,
) -> Config:
    """A student of five levels from stride 4 on, a teacher of four from stride 8 on."""
    cfg = load(DETECTOR, scenes, folder)
    for transform in cfg.train_dataloader.dataset.pipeline:
        if transform.type == 'LoadAnnotations':
            transform.with_mask = False
    teacher = retina(cfg.model)
    student = copy.deepcopy(teacher)
    pyramid(student, 8)
    pyramid(teacher, 16, levels=4, start=1)
    change(student, teacher)
    return distilled(cfg, student, teacher, folder, terms=terms)


def level(student: int, teacher: int) -> dict:
    return term('ProjectorLoss', tap('neck', index=student), tap('neck', index=teacher))


def test_levels_of_pyramids_are_paired_by_stride(scenes, tmp_path):
    """Those of equal strides as they are, others are resampled."""
    terms = {'same': level(1, 0), 'other': level(0, 0), 'last': level(4, 3)}
    model, data, losses = losses_of(pyramids(scenes, tmp_path, terms))
    grids = {
        name: (ours.hw[0], theirs.hw[0])
        for name, (_, ours, theirs) in model.probe_features.items()
    }
    assert grids == {'same': (32, 32), 'other': (64, 32), 'last': (4, 4)}
    assert len(losses['loss_cls']) == 5
    step(model, data)


@pytest.mark.parametrize(
    ('taps', 'side', 'shown'),
    [((4, 4), 'teacher', 4), ((5, 3), 'student', 5), ((-1, 0), 'student', -1)],
)
def test_a_level_that_is_not_there_is_told_by_term_and_side(
    taps, side, shown, scenes, tmp_path
):
    """Of several terms at the same neck."""
    terms = {'first': level(0, 0), 'wrong': level(*taps)}
    message = (
        rf"term 'wrong', {side}: tap 'neck' has no output {shown}: it yields "
        r'\(4, 32, .*numbered from 0 on|'
        rf"term 'wrong': tap 'neck': output must be .* from 0 on, got {shown}"
    )
    with pytest.raises(ValueError, match=message):
        build(pyramids(scenes, tmp_path, terms))


HEADS = {
    'of other classes': (
        lambda student, teacher: teacher.bbox_head.update(num_classes=20),
        'the student has 10 classes and the teacher 20: a loss on logits needs',
    ),
    'of as many logits, but other classes': (
        lambda student, teacher: (
            teacher.bbox_head.update(num_classes=5),
            teacher.bbox_head.anchor_generator.update(ratios=[1.0, 2.0]),
        ),
        'the student has 10 classes and the teacher 5: a loss on logits needs',
    ),
    'of other anchors': (
        lambda student, teacher: teacher.bbox_head.anchor_generator.update(
            ratios=[0.5, 1.0, 2.0]
        ),
        "the student's head has 1 anchors at every place and the teacher's 3",
    ),
}


@pytest.mark.parametrize(
    'heads',
    [
        pytest.param(name, marks=() if 'but' in name else pytest.mark.slow)
        for name in HEADS
    ],
)
def test_logits_of_heads_that_mean_other_things_are_refused(heads, scenes, tmp_path):
    change, message = HEADS[heads]
    terms = {'kd': {**term('', tap(HEAD, call=2), tap(HEAD, call=1)), 'loss': SIGMOID}}
    with pytest.raises(ValueError, match=f"term 'kd': {message}"):
        build(pyramids(scenes, tmp_path, terms, change))


def test_boxes_are_compared_whatever_the_classes(scenes, tmp_path):
    """Since those of RetinaNet are of any class."""
    path = 'bbox_head.retina_reg'
    terms = {'boxes': term('LogitMSELoss', tap(path, call=2), tap(path, call=1))}
    build(pyramids(scenes, tmp_path, terms, HEADS['of other classes'][0]))


OTHERS = {
    'a tap under two names': (
        retinanet,
        {'terms': {'a': term('ProjectorLoss', tap('neck', index=0, output=1))}},
        r"an output or, by its other name, an index, .*'output': 1.*: give one of them",
    ),
    'a head that is not called': (
        segmentor,
        {'terms': {'a': term('KDLoss', 'decode_head')}},
        r"did not fire in the forward: \['decode_head'\].*inside, .*'conv_seg'",
    ),
    'a size in words': (
        segmentor,
        {'input_size': 'big'},
        r"input_size must be \(height, width\) in pixels, or one side, got 'big'",
    ),
    'a size of nothing': (
        segmentor,
        {'input_size': (0, 64)},
        r'input_size must be \(height, width\) in pixels, .*got \(0, 64\)',
    ),
}


@pytest.mark.parametrize('mistake', OTHERS)
def test_other_mistakes_are_told(mistake, scenes, tmp_path):
    kind, changes, message = OTHERS[mistake]
    with pytest.raises(ValueError, match=message):
        build(kind(scenes, tmp_path, **changes))


@pytest.mark.parametrize('side', ['the student', 'a teacher'])
def test_a_pyramid_of_fewer_inputs_is_told_in_words(side, scenes, tmp_path):
    """FPN's own assertion says nothing."""

    def change(student: ConfigDict, teacher: ConfigDict) -> None:
        model = teacher if 'teacher' in side else student
        model.neck.in_channels = model.neck.in_channels[:3]

    message = rf'{side} does not run on .*does not hold: len\(inputs\) == len\(self'
    with pytest.raises(ValueError, match=message):
        build(pyramids(scenes, tmp_path, {'a': level(0, 0)}, change))


LOGITS = {
    kind: term(kind, CONV)
    for kind in ('KDLoss', 'NKDLoss', 'DKDLoss', 'CWDLoss', 'DISTLoss', 'LogitMSELoss')
}


def test_maps_without_a_labelled_pixel_leave_all_finite(scenes, tmp_path):
    """One labelled pixel is enough, unless the grid of the logits passes over it."""
    terms = copy.deepcopy(LOGITS)
    model, data, _ = losses_of(segmentor(scenes, tmp_path, terms=terms))
    for labelled in ((), [0, 0], [1, 1]):
        for sample in data['data_samples']:
            sample.gt_sem_seg.data[:] = 255
            if labelled:
                sample.gt_sem_seg.data[0, labelled[0], labelled[1]] = 3
        losses = step(model, data)
        assert losses['loss_KDLoss'] > 0
        seen = labelled == [0, 0]
        assert (losses['loss_NKDLoss'] > 0) == (losses['loss_DKDLoss'] > 0) == seen


@pytest.mark.slow
def test_pixels_of_other_classes_are_told_before_training(scenes, tmp_path):
    """A class more than the head has; with one less, training goes on."""
    terms = {'a': term('ViTKDMimicLoss', 'backbone.layers.0', **PROJECTOR)}
    cfg = segmentor(scenes, tmp_path, terms=terms)
    cfg.model.student.decode_head.num_classes = 10
    cfg.default_hooks.labels = {'type': 'mmvitkd.LabelCheckHook'}
    message = r"has 11 classes \('background', '0', '1', \.\.\.\), and the decode_head "
    with pytest.raises(
        ValueError, match=f'{message}tells 10 apart: set num_classes=11'
    ):
        Runner.from_cfg(cfg).train()
    model = build(cfg)
    model.student.decode_head.num_classes = 12
    names = {'classes': tuple(map(str, range(11)))}
    warning = model.task.check_data(model.student, names)
    assert 'tells 12 apart: the last 1 will not be learnt' in warning
    model.student.decode_head.num_classes = 11
    assert model.task.check_data(model.student, names) is None


@pytest.mark.slow
def test_boxes_of_other_classes_are_told(scenes, tmp_path):
    """Of heads in one stage or two; other heads are passed over."""
    cfg = load(DETECTOR, scenes, tmp_path)
    models = [narrow(copy.deepcopy(cfg.model))]
    models.append(retina(models[0]))
    with DefaultScope.overwrite_default_scope('mmdet'):
        built = [MODELS.build(model) for model in models]
    student = build(retinanet(scenes, tmp_path))
    for model in built:
        assert student.task.check_data(model, {'classes': 'abcdefghij'}) is None
        with pytest.raises(ValueError, match=r'11 classes .*bbox_head tells 10 apart'):
            student.task.check_data(model, {'classes': 'abcdefghijk'})
    assert student.task.check_data(built[0].rpn_head, {'classes': 'abc'}) is None


def relabelled(
    cfg: Config, scenes: Path, folder: Path, change: Callable[[Path], None]
) -> Config:
    """Let a run train on a copy of the scenes with other annotations."""
    name = 'coco' if cfg.default_scope == 'mmdet' else 'ade'
    shutil.copytree(scenes / name, folder / name)
    change(folder / name / 'annotations')
    cfg.train_dataloader.dataset.data_root = f'{folder / name}/'
    return cfg


def ignore_all(annotations: Path) -> None:
    for file in annotations.rglob('*.png'):
        pixels = np.asarray(Image.open(file))
        Image.fromarray(np.full_like(pixels, 255)).save(file)


def take_boxes_away(annotations: Path) -> None:
    for file in annotations.glob('*train*.json'):
        file.write_text(json.dumps({**json.loads(file.read_text()), 'annotations': []}))


@pytest.mark.slow
def test_the_monitor_bears_a_batch_without_labels(scenes, tmp_path):
    """Of which no share of right pixels can be told."""
    terms = {'nkd': term('NKDLoss', CONV), 'kd': term('KDLoss', CONV)}
    cfg = segmentor(scenes, tmp_path, terms=terms)
    cfg = relabelled(cfg, scenes, tmp_path, ignore_all)
    cfg.train_cfg.val_interval = 2
    cfg.default_hooks.monitor = {'interval': 1}
    command('train', dump(cfg, tmp_path))
    logged = [
        json.loads(line)
        for file in (tmp_path / 'work_dir').glob('*/vis_data/scalars.json')
        for line in file.read_text().splitlines()
    ]
    looks = [line for line in logged if 'distill/loss/kd' in line]
    assert len(looks) == 2
    assert not any('distill/accuracy/student' in line for line in looks)
    assert (tmp_path / 'work_dir' / 'epoch_1.pth').is_file()


@pytest.mark.slow
@pytest.mark.parametrize('filtered', [False, True])
def test_a_data_set_without_boxes(filtered, scenes, tmp_path, capsys):
    """Is trained on, unless its filter leaves out all images."""
    cfg = retinanet(scenes, tmp_path, terms=copy.deepcopy(LEVELS))
    cfg = relabelled(cfg, scenes, tmp_path, take_boxes_away)
    cfg.train_dataloader.dataset.filter_cfg = {'filter_empty_gt': filtered}
    cfg.train_cfg.val_interval = 2
    if not filtered:
        command('train', dump(cfg, tmp_path))
        return
    with pytest.raises(SystemExit):
        command('train', dump(cfg, tmp_path))
    message = 'error: train_dataloader.dataset (CocoDataset): it has no images, or its '
    assert f'{message}filter_cfg leaves out all' in capsys.readouterr().err


@pytest.mark.slow
def test_other_strides_than_the_pyramids_are_told_by_their_place(
    scenes, tmp_path, capsys
):
    """Of the student's head, though the teacher's is more like it."""

    def change(student: ConfigDict, teacher: ConfigDict) -> None:
        student.bbox_head.anchor_generator.strides = [4, 8, 16, 32]
        pyramid(teacher, 16)

    cfg = pyramids(scenes, tmp_path, {'a': level(0, 0)}, change)
    with pytest.raises(SystemExit):
        command('train', dump(cfg, tmp_path))
    assert 'error: model.student.bbox_head (RetinaHead)' in capsys.readouterr().err
