import math

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope
from mmpretrain.models import VisionTransformer

from mmvitkd.registry import MODELS
from tests.test_downstream.coco import IMAGES, coco, shrink
from tests.test_downstream.common import (
    is_distilled,
    load,
    names,
    refused,
    student_weights,
    train,
)

pytestmark = pytest.mark.onedl_only

EVERY = names('mmdet')
LARGE = 'mask-rcnn_vitdet-deit-small_16xb4-lsj-100e_coco'
LIGHT = 'mask-rcnn_vitdet-deit-small_1xb4-ms-1x_coco'
SCORES = [f'coco/{kind}_mAP' for kind in ('bbox', 'segm')]


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    return coco(tmp_path_factory.mktemp('coco') / 'coco')


@pytest.mark.parametrize(
    'name',
    [pytest.param(n, marks=pytest.mark.slow if is_distilled(n) else ()) for n in EVERY],
)
def test_trains_a_step_and_is_evaluated(name, tmp_path, data):
    """From the student's checkpoint to COCO's mAP, by the real runner."""
    cfg = shrink(load(name), tmp_path, data)
    runner, before = train(cfg)

    student = student_weights(cfg, distilled=is_distilled(name))
    loaded = [n for n in student if n in before and n != 'pos_embed']
    assert len(loaded) >= len(student) - 4  # pos_embed, cls_token, ln1
    for weight in loaded:
        assert torch.equal(before[weight].cpu(), student[weight]), weight

    log = runner.message_hub.log_scalars
    losses = [key for key in log if key.startswith('train/loss')]
    assert {'train/loss', 'train/loss_mask', 'train/loss_rpn_cls'} <= set(losses)
    assert runner.iter == 1
    assert all(math.isfinite(log[key].current()) for key in losses)
    after = runner.model.backbone.state_dict()
    assert not torch.equal(after[loaded[0]], before[loaded[0]])
    for score in SCORES:
        assert 0 <= log[f'val/{score}'].current() <= 1
    assert (tmp_path / 'work_dir' / 'epoch_1.pth').is_file()


def test_large_recipe_is_vitdets():
    """100 epochs, 64 images a step, large-scale jitter at 1024, layer decay."""
    cfg = load(LARGE)
    dataset = cfg.train_dataloader.dataset
    assert dataset.times * cfg.train_cfg.max_epochs == 100
    assert 16 * cfg.train_dataloader.batch_size == cfg.auto_scale_lr.base_batch_size
    assert cfg.auto_scale_lr.base_batch_size == 64
    jitter = {t.type: t for t in dataset.dataset.pipeline}['RandomResize']
    assert (jitter.scale, jitter.ratio_range) == ((1024, 1024), (0.1, 2.0))
    assert cfg.test_dataloader.dataset.pipeline[1].scale == (1024, 1024)
    steps = cfg.param_scheduler[1].milestones
    assert [s / 25 for s in steps] == pytest.approx(
        [163889 / 184375, 177546 / 184375], abs=0.01
    )
    assert cfg.optim_wrapper.optimizer == {
        'type': 'AdamW', 'lr': 1e-4, 'betas': (0.9, 0.999), 'weight_decay': 0.1,
    }  # fmt: skip
    assert cfg.optim_wrapper.paramwise_cfg.layer_decay_rate == 0.7


def test_weight_decay_is_detectron2s(tmp_path, data):
    """Spared are PyTorch's LayerNorms, and parameters named pos_embed; LN2d is not one.

    detectron2's norms over channels are no LayerNorm of PyTorch's either.
    """
    cfg = shrink(load(LARGE), tmp_path, data)
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = MODELS.build(cfg.model)
        wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    groups = wrapper.optimizer.param_groups
    decays = {group['param_name']: group['weight_decay'] for group in groups}
    expected = {}
    for prefix, module in model.named_modules():
        for name, _ in module.named_parameters(recurse=False):
            spared = type(module) is torch.nn.LayerNorm or name == 'pos_embed'
            expected[f'{prefix}.{name}'] = 0.0 if spared else 0.1
    assert decays == expected
    by_kind = {
        'backbone.pos_embed': 0.0,
        'backbone.layers.0.ln1.weight': 0.0,
        'backbone.layers.5.ln2.bias': 0.0,
        'backbone.patch_embed.projection.bias': 0.1,
        'backbone.layers.0.attn.qkv.bias': 0.1,
        'backbone.layers.0.attn.qkv.weight': 0.1,
        'backbone.layers.0.attn.rel_pos_h': 0.1,
        'neck.levels.0.0.bias': 0.1,
        'neck.levels.0.1.weight': 0.1,  # its norm
        'neck.levels.0.1.bias': 0.1,
        'rpn_head.rpn_cls.bias': 0.1,
        'roi_head.bbox_head.shared_convs.0.ln.weight': 0.1,
        'roi_head.mask_head.convs.0.ln.bias': 0.1,
    }
    assert {name: decays[name] for name in by_kind} == by_kind


def test_light_recipe_is_1x():
    cfg = load(LIGHT)
    assert cfg.train_cfg.max_epochs == 12
    scales = {t.type: t for t in cfg.train_dataloader.dataset.pipeline}
    shorts = [min(scale) for scale in scales['RandomChoiceResize'].scales]
    assert (min(shorts), max(shorts)) == (512, 800)
    batch = cfg.train_dataloader.batch_size * cfg.optim_wrapper.accumulative_counts
    assert batch == 16


def test_swins_recipe_is_mmdets():
    """All but the backbone."""
    ours = load('mask-rcnn_swin-tiny_8xb2-1x_coco').to_dict()
    text = "_base_ = 'mmdet::swin/mask-rcnn_swin-t-p4-w7_fpn_1x_coco.py'"
    upstream = Config.fromstring(text, '.py').to_dict()
    del ours['model']['backbone'], upstream['model']['backbone']
    assert ours == upstream


def test_mmpretrains_swin_is_mmdets():
    """The same weights give the same maps, on sizes that windows do not divide."""
    from mmdet.models import SwinTransformer

    arch = {'embed_dims': 16, 'depths': [2, 2, 2, 2], 'num_heads': [1, 1, 2, 2]}
    cfg = load('mask-rcnn_swin-tiny_8xb2-1x_coco').model.backbone
    cfg.update(arch=arch, init_cfg=None)
    ours = MODELS.build(cfg)
    theirs = SwinTransformer(**arch, window_size=7, drop_path_rate=0.2)
    torch.manual_seed(0)
    for parameter in ours.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    theirs.load_state_dict(ours.state_dict())
    ours.eval()
    theirs.eval()
    images = torch.randn(1, 3, 100, 164)
    with torch.no_grad():
        for one, other in zip(ours(images), theirs(images), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('name', [LARGE, LIGHT])
def test_full_size_detector_builds(name):
    """Its backbone has the parameters of MMPretrain's, and relative positions."""
    cfg = load(name)
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = MODELS.build(cfg.model)
    assert model.backbone.global_blocks == (2, 5, 8, 11)
    plain = VisionTransformer(
        'deit-small', 224, out_type='featmap', with_cls_token=False, final_norm=False,
    )  # fmt: skip
    ours = {n: p.shape for n, p in model.backbone.named_parameters()}
    positions = {n: ours.pop(n) for n in list(ours) if 'rel_pos' in n}
    assert ours == {n: p.shape for n, p in plain.named_parameters()}
    if name == LARGE:
        # of 64 wide heads: windows of 14, and 1024 / 16 = 64 tokens over the map
        blocks = range(12)
        assert [positions[f'layers.{i}.attn.rel_pos_w'][0] for i in blocks] == [
            127 if i in (2, 5, 8, 11) else 27 for i in blocks
        ]
    assert bool(positions) == (name == LARGE)


def test_image_smaller_than_a_window_is_refused(tmp_path, data):
    """Only where padding does not make it larger, as it does in our configs."""
    cfg = shrink(load(LIGHT), tmp_path, data)
    cfg.model.data_preprocessor.pad_size_divisor = 16
    resize = {t.type: t for t in cfg.train_dataloader.dataset.pipeline}
    resize['RandomChoiceResize'].scales = [(60, 40)]
    refused(cfg, r'images of 48x64 give a map of 3x4 .*pad_size_divisor=64')


def test_annotations_of_a_missing_image_are_refused(tmp_path):
    data = coco(tmp_path / 'coco')
    (data / 'train2017' / f'{IMAGES - 1:012d}.jpg').unlink()
    refused(shrink(load(LIGHT), tmp_path, data), '000000000003.jpg', FileNotFoundError)
