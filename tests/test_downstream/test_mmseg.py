import math
import re
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmpretrain.models import VisionTransformer
from PIL import Image
from torch import nn

from mmvitkd.engine.hooks.check_seg_maps_hook import check_seg_maps
from mmvitkd.registry import DATASETS, MODELS
from mmvitkd.utils import load_checkpoint, weights_of
from mmvitkd.utils.export import export_student
from tests.test_downstream.ade import IMAGES, SIZE, ade, shrink
from tests.test_downstream.common import (
    is_distilled,
    load,
    names,
    refused,
    save_student,
    student_weights,
    train,
)

pytestmark = pytest.mark.onedl_only

EVERY = names('mmseg')
SMALL, BASE = (
    f'upernet_deit-{arch}_8xb2-160k_ade20k-512x512' for arch in ('small', 'base')
)
DISTILLED = 'upernet_deit-small-vitkd_8xb2-160k_ade20k-512x512'


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    return ade(tmp_path_factory.mktemp('ade') / 'ADEChallengeData2016')


def build_segmentor(model: Config) -> nn.Module:
    with DefaultScope.overwrite_default_scope('mmseg'):
        return MODELS.build(model)


def upstream(short: str) -> Config:
    """Read mmseg's own config."""
    import mmseg  # not on every stack

    folder = f'{mmseg.__path__[0]}/.mim/configs/vit'
    return Config.fromfile(
        f'{folder}/vit_deit-{short}_mln_upernet_8xb2-160k_ade20k-512x512.py'
    )


def build_dataset(cfg: Config) -> Any:
    with DefaultScope.overwrite_default_scope('mmseg'):
        return DATASETS.build(cfg)


@pytest.mark.parametrize('name', EVERY)
def test_trains_a_step_and_is_evaluated(name, tmp_path, data):
    """From the student's checkpoint to ADE20K's mIoU, by the real runner."""
    cfg = shrink(load(name), tmp_path, data)
    runner, before = train(cfg)

    student = student_weights(cfg, distilled=is_distilled(name))
    assert set(student) - set(before) == {'ln1.weight', 'ln1.bias'}
    assert set(before) <= set(student)
    for weight in set(before) - {'pos_embed'}:  # resized
        assert torch.equal(before[weight].cpu(), student[weight]), weight

    log = runner.message_hub.log_scalars
    losses = {key for key in log if 'loss' in key}
    assert losses == {'train/loss', 'train/decode.loss_ce', 'train/aux.loss_ce'}
    assert all(math.isfinite(log[key].current()) for key in losses)
    after = runner.model.backbone.state_dict()
    assert all(not torch.equal(after[n], before[n]) for n in after)
    assert 0 <= log['val/mIoU'].current() <= 100
    assert runner.iter == 2
    assert (tmp_path / 'work_dir' / 'iter_2.pth').is_file()


@pytest.mark.parametrize(('name', 'short'), [(SMALL, 's16'), (BASE, 'b16')])
def test_recipe_is_mmsegs(name, short):
    """All but the backbone, its norms' decay, and what our tools need."""
    ours, theirs = load(name).to_dict(), upstream(short).to_dict()
    del ours['auto_scale_lr']
    assert ours.pop('custom_hooks') == [{'type': 'mmvitkd.CheckSegMapsHook'}]
    keys = ours['optim_wrapper']['paramwise_cfg']['custom_keys']
    assert keys.pop('.ln1') == keys.pop('.ln2') == {'decay_mult': 0.0}
    backbones = [cfg['model'].pop('backbone') for cfg in (ours, theirs)]
    for key in ('out_indices', 'drop_path_rate'):
        assert backbones[0][key] == backbones[1][key]
    assert ours['model'].pop('pretrained') is None
    del theirs['model']['pretrained']
    assert ours == theirs
    assert ours['train_cfg']['max_iters'] == 160_000
    assert ours['data_preprocessor']['size'] == (512, 512)


def test_norms_and_positions_do_not_decay(tmp_path, data):
    """Those of the backbone; all else does, as mmseg has it."""
    cfg = shrink(load(SMALL), tmp_path, data)
    runner = Runner.from_cfg(cfg)
    optimizer = runner.build_optim_wrapper(runner.optim_wrapper).optimizer
    decays = {
        id(parameter): group['weight_decay']
        for group in optimizer.param_groups
        for parameter in group['params']
    }
    spared = {
        f'{name}.{kind}'
        for name, module in runner.model.backbone.named_modules()
        if isinstance(module, nn.LayerNorm)
        for kind in ('weight', 'bias')
    }
    assert len(spared) == 12 * 2 * 2
    spared = {f'backbone.{name}' for name in spared | {'pos_embed', 'cls_token'}}
    named = dict(runner.model.named_parameters())
    assert len(decays) == len(named)
    for name, parameter in named.items():
        assert decays[id(parameter)] == (0 if name in spared else 0.01), name


def mmseg_names(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Name MMPretrain's weights as mmseg's ViT does."""
    renamed = {}
    for name, weight in weights.items():
        for ours, theirs in (
            (r'attn\.qkv\.', 'attn.attn.in_proj_'),
            (r'attn\.proj\.', 'attn.attn.out_proj.'),
        ):
            name = re.sub(ours, theirs, name)
        renamed[name] = weight
    return renamed


def test_mmpretrains_vit_is_mmsegs_with_the_bias(tmp_path):
    """The same checkpoint gives the same maps, at any size of image."""
    from mmseg.models import VisionTransformer as MmsegViT

    width, backbone = 16, load(SMALL).model.backbone
    backbone.arch = {
        'embed_dims': width,
        'num_layers': 12,
        'num_heads': 2,
        'feedforward_channels': 4 * width,
    }
    path = save_student(backbone, tmp_path / 'student.pth', distilled=False)
    backbone.init_cfg.checkpoint = str(path)
    ours = MODELS.build(backbone)
    ours.init_weights()
    weights = weights_of(load_checkpoint(path), 'backbone.')
    assert weights['pos_embed'].shape == (1, 14 * 14 + 1, width)
    assert ours.pos_embed.shape == (1, 32 * 32 + 1, width)

    torch.save(mmseg_names(weights), tmp_path / 'theirs.pth')
    plain = upstream('s16').model.backbone
    del plain['type']
    plain.update(embed_dims=width, num_heads=2)
    assert not plain.get('patch_bias', False)
    theirs = MmsegViT(
        **plain,
        patch_bias=True,
        init_cfg={'type': 'Pretrained', 'checkpoint': str(tmp_path / 'theirs.pth')},
    )
    theirs.init_weights()
    torch.testing.assert_close(ours.pos_embed, theirs.pos_embed)
    ours.eval()
    theirs.eval()
    for height, width in ((512, 512), (512, 683), (100, 164)):
        images = torch.randn(1, 3, height, width)
        with torch.no_grad():
            maps = zip(ours(images), theirs(images), strict=True)
        for one, other in maps:
            assert one.shape[2:] == (-(-height // 16), -(-width // 16))
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_full_size_segmentor_builds():
    """Its backbone has the parameters of MMPretrain's classifier but the last norm."""
    model = build_segmentor(load(SMALL).model)
    ours = {n: p.shape for n, p in model.backbone.named_parameters()}
    plain = VisionTransformer('deit-small', 512)
    theirs = {n: p.shape for n, p in plain.named_parameters()}
    del theirs['ln1.weight'], theirs['ln1.bias']
    assert ours == theirs
    model.eval()
    with torch.no_grad():
        maps = model.extract_feat(torch.zeros(1, 3, 64, 64))
    assert [tuple(m.shape) for m in maps] == [
        (1, 384, side, side) for side in (16, 8, 4, 2)
    ]


def test_whole_and_slide_inference_agree_on_one_window(tmp_path, data):
    cfg = shrink(load(SMALL), tmp_path, data)
    model = build_segmentor(cfg.model)
    model.init_weights()
    model.eval()
    slide = Config({'mode': 'slide', 'crop_size': (SIZE, SIZE), 'stride': (42, 42)})
    image = torch.randn(1, 3, SIZE, 2 * SIZE)
    answers = {}
    for width in (SIZE, 2 * SIZE):
        for test_cfg in (cfg.model.test_cfg, slide):
            model.test_cfg = test_cfg
            with torch.no_grad():
                logits = model.predict(image[..., :width])[0].seg_logits.data
            assert logits.shape == (150, SIZE, width)
            answers[test_cfg.mode, width] = logits
    torch.testing.assert_close(answers['whole', SIZE], answers['slide', SIZE])
    # two windows, each of which sees less than the image
    difference = answers['whole', 2 * SIZE] - answers['slide', 2 * SIZE]
    assert difference.abs().max() > 1e-3


def test_label_0_is_ignored(tmp_path, data):
    """The archive's 0 is no class; its 1 is our 0."""
    cfg = shrink(load(SMALL), tmp_path, data)
    dataset = build_dataset(cfg.val_dataloader.dataset)
    assert len(dataset) == IMAGES
    assert dataset.metainfo['classes'][2] == 'sky'
    label = dataset[0]['data_samples'].gt_sem_seg.data.numpy()[0]
    assert sorted(np.unique(label)) == [1, 2, 255]
    file = data / 'annotations' / 'validation' / 'ADE_val_00000001.png'
    assert np.array_equal(label == 2, np.array(Image.open(file)) == 3)


def test_distillation_and_exported_checkpoints_load_alike(tmp_path, data):
    cfg = shrink(load(DISTILLED), tmp_path, data)
    init = cfg.model.backbone.init_cfg
    distilled = init.checkpoint
    exported = str(export_student(distilled, tmp_path / 'exported.pth'))
    weights = []
    for file, prefix in ((distilled, 'student.backbone.'), (exported, 'backbone.')):
        for given in (None, prefix):
            init.update(checkpoint=file, prefix=given)
            model = build_segmentor(cfg.model)
            model.init_weights()
            weights.append(model.backbone.state_dict())
    for name, weight in weights[0].items():
        assert all(torch.equal(weight, other[name]) for other in weights[1:]), name


@pytest.mark.parametrize('split', ['training', 'validation'])
@pytest.mark.parametrize(
    ('kind', 'message'),
    [
        ('images', r'1 segmentation maps have no image \(.*{}\.png\)'),
        ('annotations', r'1 segmentation maps are missing \(.*{}\.png\)'),
    ],
)
def test_missing_files_are_refused_before_training(tmp_path, split, kind, message):
    data = ade(tmp_path / 'ade')
    path = sorted((data / kind / split).iterdir())[-1]
    path.unlink()
    cfg = shrink(load(SMALL), tmp_path, data)
    message = message.format(path.stem)
    refused(cfg, message, FileNotFoundError)
    if split == 'validation':
        with pytest.raises(FileNotFoundError, match=message):
            Runner.from_cfg(cfg).test()


def test_images_of_a_list_must_exist(tmp_path):
    """The folders may hold more than the list."""
    data = ade(tmp_path / 'ade')
    cfg = shrink(load(SMALL), tmp_path, data).train_dataloader.dataset
    cfg.ann_file = str(data / 'train.txt')
    names = [f'ADE_train_0000000{i}' for i in (1, 2)]
    (data / 'train.txt').write_text('\n'.join(names))
    dataset = build_dataset(cfg)
    assert len(dataset) == 2
    check_seg_maps(dataset)
    (data / 'train.txt').write_text('\n'.join([*names, 'gone']))
    with pytest.raises(
        FileNotFoundError, match=r'1 images.*gone\.jpg.*1 seg.*gone\.png'
    ):
        check_seg_maps(build_dataset(cfg))
