"""The configs whose students are detectors, segmentors and pose estimators.

Each is shrunk and trains for a step or two, by the real runner, on real images.
"""

import copy
import math
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from mmengine.config import Config, ConfigDict
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmengine.structures import PixelData

from mmvitkd.registry import MODELS
from mmvitkd.utils.config_file import find_config
from tests.shrink import CONFIGS
from tests.test_downstream import ade, coco, coco_keypoints
from tests.test_downstream.dense import save_teacher

pytestmark = [pytest.mark.onedl_only, pytest.mark.slow]

FOLDERS = ('detection', 'segmentation', 'pose')
EVERY = {
    path.stem: path
    for folder in FOLDERS
    for path in sorted((CONFIGS / folder).glob('*.py'))
}
PLAIN_POSE = 'td-hm_vitpose-deit-small_8xb64-210e_coco-256x192'
STUDENT, TEACHER = 8, 16  # widths of a CNN's first stage


def shrink_resnet(model: ConfigDict, width: int) -> None:
    """Let a ResNet have 18 layers and a few channels, from random weights."""
    model.pop('pretrained', None)
    model.backbone.init_cfg = None
    model.backbone.update(depth=18, base_channels=width)
    if model.backbone.type == 'ResNeXt':
        model.backbone.update(type='ResNet')
        for key in ('groups', 'base_width'):
            model.backbone.pop(key)
    if model.backbone.type.endswith('V1c'):
        model.backbone.stem_channels = width


def shrink_retinanet(model: ConfigDict, width: int) -> None:
    shrink_resnet(model, width)
    channels = [width * 2**i for i in range(4)]
    model.test_cfg.score_thr = 0.0  # so fresh, it is sure of nothing
    model.neck.update(in_channels=channels, out_channels=16)
    model.bbox_head.update(in_channels=16, feat_channels=16, stacked_convs=1)


def shrink_rtmdet(model: ConfigDict, width: int) -> None:
    """Its widths follow a factor; a student's is half of its teacher's."""
    factor = width / 128
    model.backbone.update(deepen_factor=0.167, widen_factor=factor, init_cfg=None)
    channels = [int(c * factor) for c in (256, 512, 1024)]
    out = channels[0]
    model.neck.update(in_channels=channels, out_channels=out, num_csp_blocks=1)
    model.bbox_head.update(in_channels=out, feat_channels=out)
    model.bbox_head.exp_on_reg = True  # so fresh, boxes may have negative sides
    model.test_cfg.score_thr = 0.0


def shrink_pspnet(model: ConfigDict, width: int) -> None:
    shrink_resnet(model, width)
    model.decode_head.update(in_channels=8 * width, channels=16)
    model.auxiliary_head.update(in_channels=4 * width, channels=16)


def shrink_deeplab(model: ConfigDict, width: int) -> None:
    if model.backbone.type == 'MobileNetV2':
        model.pop('pretrained', None)
        model.backbone.widen_factor = 0.25  # to 8 channels at least
        channels, low, inner = 80, 8, 24
    else:
        shrink_resnet(model, width)
        channels, low, inner = 8 * width, width, 4 * width
    model.decode_head.update(
        in_channels=channels, channels=16, c1_in_channels=low, c1_channels=4
    )
    model.auxiliary_head.update(in_channels=inner, channels=16)


def shrink_mask_rcnn(model: ConfigDict, _: int) -> None:
    """Its backbone keeps its twelve layers, which the terms name."""
    coco.shrink_model(model)
    model.backbone.arch['num_layers'] = 12
    model.backbone.init_cfg = None


def shrink_upernet(model: ConfigDict, _: int) -> None:
    ade.shrink_model(model)
    model.backbone.init_cfg = None


def shrink_vitpose(model: ConfigDict, _: int) -> None:
    coco_keypoints.shrink_model(model)
    model.backbone.init_cfg = None


SHRINK: dict[str, Callable[[ConfigDict, int], None]] = {
    'retinanet': shrink_retinanet,
    'rtmdet': shrink_rtmdet,
    'vitdet': shrink_mask_rcnn,
    'pspnet': shrink_pspnet,
    'deeplabv3plus': shrink_deeplab,
    'upernet': shrink_upernet,
    'vitpose': shrink_vitpose,
}


def shrunk(name: str, folder: Path) -> Config:
    """Return a config of small models, with random weights for the teacher."""
    cfg = Config.fromfile(EVERY[name])
    kind = next(key for key in SHRINK if f'_{key}' in name)
    teacher = cfg.model.teacher
    read = find_config if '::' in teacher.cfg else Config.fromfile
    whole = read(teacher.cfg)
    large = whole.model
    if 'data_preprocessor' in whole:
        large.setdefault('data_preprocessor', whole.data_preprocessor)
    SHRINK[kind](large, TEACHER)
    file = save_teacher(copy.deepcopy(large), cfg.default_scope, folder / 't.pth')
    cfg.model.teacher = {'cfg': large.to_dict(), 'checkpoint': file}
    SHRINK[kind](cfg.model.student, STUDENT)
    cfg.pop('visualizer').pop('name', None)
    cfg.work_dir = str(folder / 'work_dir')
    cfg.experiment_name = uuid.uuid4().hex
    cfg.default_hooks.logger.interval = 1
    return cfg


def train(cfg: Config) -> dict:
    """Train; return what was logged, losses of the terms among it."""
    runner = Runner.from_cfg(cfg)
    runner.train()
    log = runner.message_hub.log_scalars
    for term in cfg.model.terms:
        assert 0 < log[f'train/loss_{term}'].current() < math.inf, term
    own = [key for key in log if key.startswith('train/') and 'loss' in key]
    assert len(own) > len(cfg.model.terms) + 1  # the sum, and the student's own
    return log


def names(folder: str) -> list[str]:
    return [name for name, path in EVERY.items() if path.parent.name == folder]


@pytest.mark.parametrize('name', names('detection'))
def test_a_detector_trains_on_coco(name, tmp_path):
    """To COCO's mAP."""
    data = coco.coco(tmp_path / 'coco')
    cfg = shrunk(name, tmp_path)
    for split in ('train', 'val', 'test'):
        coco.shrink_loader(cfg[f'{split}_dataloader'], data)
    coco.one_epoch(cfg, data / 'annotations' / 'instances_val2017.json')
    log = train(cfg)
    if name.startswith('pkd'):
        for term in cfg.model.terms:
            assert log[f'train/loss_{term}'].current() <= 4 * 3
    assert -1 <= log['val/coco/bbox_mAP'].current() <= 1


@pytest.mark.parametrize('name', names('pose'))
def test_a_pose_estimator_trains_on_coco(name, tmp_path):
    """To COCO's AP of keypoints."""
    data = coco_keypoints.coco_keypoints(tmp_path / 'coco')
    cfg = shrunk(name, tmp_path)
    for split in ('train', 'val', 'test'):
        coco_keypoints.shrink_loader(cfg[f'{split}_dataloader'], data)
    coco.one_epoch(cfg, data / coco_keypoints.FILES['val2017'])
    assert 0 <= train(cfg)['val/coco/AP'].current() <= 1


def rates(cfg: Config, prefix: str = '') -> dict[str, tuple[float, float]]:
    """Learning rate and weight decay of the student's parameters."""
    with DefaultScope.overwrite_default_scope('mmpose'):
        model = MODELS.build(cfg.model)
        wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    found = {
        id(parameter): (group['lr'], group['weight_decay'])
        for group in wrapper.optimizer.param_groups
        for parameter in group['params']
    }
    return {
        name.removeprefix(prefix): found[id(parameter)]
        for name, parameter in model.named_parameters()
        if name.startswith(prefix)
    }


def test_a_pose_estimator_learns_at_the_rates_that_mmpose_has(tmp_path):
    """Whose own constructor knows a backbone by the beginning of its name."""
    cfg = shrunk(names('pose')[0], tmp_path)
    alone = Config.fromfile(CONFIGS / 'downstream' / 'mmpose' / f'{PLAIN_POSE}.py')
    alone.model = copy.deepcopy(cfg.model.student)
    theirs = rates(alone)
    assert len({rate for rate, _ in theirs.values()}) == 14
    ours = rates(cfg, 'student.')
    assert ours.keys() == theirs.keys()
    for name, pair in theirs.items():
        assert ours[name] == pytest.approx(pair), name


@pytest.mark.parametrize('name', [n for n in names('segmentation') if 'upernet' in n])
def test_a_upernet_trains_on_ade20k(name, tmp_path):
    data = ade.ade(tmp_path / 'ade')
    cfg = shrunk(name, tmp_path)
    for split in ('train', 'val', 'test'):
        ade.shrink_loader(cfg[f'{split}_dataloader'], data)
    ade.two_steps(cfg)
    # mmseg's configs say it twice
    cfg.data_preprocessor = copy.deepcopy(cfg.model.student.data_preprocessor)
    assert 0 <= train(cfg)['val/mIoU'].current() <= 100


@pytest.mark.parametrize(
    'name', [n for n in names('segmentation') if 'upernet' not in n]
)
def test_a_segmentor_of_other_data_takes_a_step(name, tmp_path):
    from mmseg.structures import SegDataSample

    cfg = shrunk(name, tmp_path)
    side = 128
    if 'tat' in name:  # at stride 8 a map of 16x16
        cfg.model.terms.patch.neck.update(cells=(4, 4), groups=4)
        cfg.model.terms.anchor.neck.anchors = (8, 8)
        cfg.model.input_size = (side, side)
    cfg.model.student.data_preprocessor.size = (side, side)
    with DefaultScope.overwrite_default_scope('mmseg'):
        model = MODELS.build(cfg.model)
    model.init_weights()
    model.train()
    labels = torch.randint(19, (2, 1, side, side))
    samples = [SegDataSample(gt_sem_seg=PixelData(data=one)) for one in labels]
    images = [torch.randint(256, (3, side, side), dtype=torch.uint8) for _ in samples]
    data = model.data_preprocessor({'inputs': images, 'data_samples': samples}, True)
    losses = model.loss(**data)
    for term in cfg.model.terms:
        assert losses[f'loss_{term}'] > 0
    assert losses['decode.loss_ce'] > 0
    model.parse_losses(losses)[0].backward()
    first = next(model.student.backbone.parameters())
    assert first.grad.abs().max() > 0
