"""Terms compare tokens place by place, so a tap's order must be its grid's."""

import pytest
import torch

from mmvitkd.models.classifiers.tap import Tap, record
from mmvitkd.models.classifiers.token_order import check_order, dotted_images
from tests.helpers import MIMIC, build, distiller, save_weights, vit
from tests.test_models.test_classifiers.test_tap import SWIN

HIERA = {
    'type': 'TimmClassifier',
    'model_name': 'hiera_tiny_224',
    'img_size': 224,
    'embed_dim': 16,
    'num_heads': 1,
    'num_classes': 10,
}


def features_of(cfg: dict, path: str, size: tuple[int, int], seed: int = 0):
    torch.manual_seed(seed)
    model = build(cfg).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    with torch.no_grad(), record(model, [Tap(path)]) as seen:
        model(dotted_images(3, size))
    return seen[Tap(path)]


@pytest.mark.parametrize('seed', range(3))
@pytest.mark.parametrize(
    'cfg, path, size',
    [
        (vit(), 'backbone.layers.0', (32, 32)),
        (vit(), 'backbone.ln1', (32, 32)),
        (vit(), 'backbone.layers.1.attn', (32, 32)),
        (vit(patch_size=2), 'backbone.layers.2.ffn', (32, 32)),
        (vit(img_size=(64, 32)), 'backbone.layers.2', (64, 32)),
        (SWIN, 'backbone.stages.0', (64, 64)),
        (SWIN, 'backbone.stages.1', (64, 64)),
        ({'type': 'ImageClassifier', 'backbone': {'type': 'ResNet', 'depth': 18}},
         'backbone.layer4.1', (96, 160)),
    ],
)  # fmt: skip
def test_the_order_of_the_grid_passes(cfg, path, size, seed):
    check_order(Tap(path), features_of(cfg, path, size, seed))


def rows_of(order: str, hw: tuple[int, int]) -> torch.Tensor:
    """Which token of the grid stands at which place."""
    height, width = hw
    grid = torch.arange(height * width).view(hw)
    orders = {
        'column by column': lambda: grid.T,
        'bottom first': lambda: grid.flip(0),
        'right first': lambda: grid.flip(1),
        'window by window': lambda: (
            grid.unflatten(1, (-1, 4)).unflatten(0, (-1, 4)).transpose(1, 2)
        ),
        'shuffled': lambda: grid.flatten()[torch.randperm(height * width)],
    }
    return orders[order]().flatten()


@pytest.mark.parametrize('path', ['backbone.patch_embed', 'backbone.layers.2'])
@pytest.mark.parametrize('size', [(128, 128), (128, 64)])
@pytest.mark.parametrize(
    'order',
    ['column by column', 'bottom first', 'right first', 'window by window', 'shuffled'],
)
def test_another_order_is_refused(order, size, path):
    cfg = vit(img_size=size)
    feature = features_of(cfg, path, size)
    check_order(Tap(path), feature)
    value = feature.value[:, rows_of(order, feature.hw)]
    with pytest.raises(ValueError, match=rf"tap '{path}'.*not in the order of their"):
        check_order(Tap(path), feature._replace(value=value))


@pytest.mark.parametrize('path', ['backbone.patch_embed', 'backbone.layers.2'])
def test_extra_tokens_at_the_end_are_noticed(path):
    """Those that lead are left out, so that all the others stand one place too far."""
    feature = features_of(vit(img_size=128), path, (128, 128))
    with pytest.raises(ValueError, match='not in the order'):
        check_order(Tap(path), feature._replace(value=feature.value.roll(-1, 1)))


def test_strides_may_show_a_dot_one_row_and_one_column_on():
    """As a ResNet-101 does on 14x14, whose strides put an odd pixel into the next."""
    feature = features_of(vit(img_size=128), 'backbone.patch_embed', (128, 128))
    grid = feature.value.unflatten(1, feature.hw).roll((1, 1), (1, 2))
    check_order(Tap('x'), feature._replace(value=grid.flatten(1, 2)))


@pytest.mark.parametrize('size', [(130, 150), (143, 129)])
def test_patches_that_do_not_fill_the_image_pass(size):
    cfg = vit(img_size=size)
    for path in ('backbone.patch_embed', 'backbone.layers.2'):
        check_order(Tap(path), features_of(cfg, path, size))


def test_the_message_tells_the_place():
    feature = features_of(vit(img_size=128), 'backbone.patch_embed', (128, 128))
    value = feature.value[:, rows_of('column by column', feature.hw)]
    with pytest.raises(ValueError, match='row 4, column 13 .* row 13, column 4,'):
        check_order(Tap('x'), feature._replace(value=value))


def test_a_hiera_teacher_is_refused_at_construction(tmp_path):
    """timm's unrolls its tokens, mask unit by mask unit, before its first block."""
    weights = str(save_weights(HIERA, tmp_path / 'h.pth'))
    teacher = {'cfg': HIERA, 'checkpoint': weights, 'input_size': 224}
    mimic = {**MIMIC, 'teacher': 'model.blocks.0'}
    with pytest.raises(ValueError, match="term 'm': tap 'model.blocks.0': its tokens"):
        build(distiller(tmp_path, teacher=teacher, terms={'m': mimic}))
    mimic['teacher'] = 'model.patch_embed'  # before they are unrolled
    build(distiller(tmp_path, teacher=teacher, terms={'m': mimic}))
