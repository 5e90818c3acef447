import pytest
import timm
import torch
from torch import nn

from mmvitkd.models import ViTDet
from mmvitkd.models.classifiers.tap import Tap, record
from tests.helpers import build, vit

SWIN = {
    'type': 'ImageClassifier',
    'backbone': {
        'type': 'SwinTransformer',
        'arch': {'embed_dims': 8, 'depths': [2, 1, 1, 1], 'num_heads': [2, 2, 2, 2]},
        'img_size': 64,
        'window_size': 2,
    },
    'neck': {'type': 'GlobalAveragePooling'},
    'head': {'type': 'LinearClsHead', 'num_classes': 10, 'in_channels': 64},
}


def tapped(model: nn.Module, size: tuple[int, int], *taps: Tap) -> list:
    """What the taps yield on two random images."""
    with record(model, taps) as seen:
        model.eval()(torch.randn(2, 3, *size))
    return [seen[tap] for tap in taps]


def test_vit_tokens_and_logits():
    patch, cls, every, logits = tapped(
        build(vit(16)),
        (32, 32),
        Tap('backbone.layers.0'),
        Tap('backbone.layers.0', 'cls'),
        Tap('backbone.layers.0', 'all'),
        Tap('head'),
    )
    assert patch.value.shape == (2, 16, 16)
    assert patch.hw == (4, 4)
    assert torch.equal(torch.cat((cls.value[:, None], patch.value), 1), every.value)
    assert logits.value.shape == (2, 10)
    assert logits.hw is None


def test_mean_of_the_patch_tokens_of_a_vit_and_of_a_map():
    taps = [Tap('backbone.layers.0', t) for t in ('patch', 'mean')]
    tokens, mean = tapped(build(vit(16)), (32, 32), *taps)
    assert torch.equal(mean.value, tokens.value.mean(1))
    assert mean.hw is None
    conv = nn.Sequential(nn.Conv2d(3, 4, 8, 8))
    tokens, mean = tapped(conv, (32, 32), Tap('0'), Tap('0', 'mean'))
    assert torch.equal(mean.value, tokens.value.mean(1))
    assert mean.value.shape == (2, 4)


def test_tap_sees_what_the_module_returns():
    model = build(vit(16)).eval()
    images = torch.randn(2, 3, 32, 32)
    with record(model, [Tap('backbone.layers.1')]) as seen:
        model(images)
    tokens = model.backbone.patch_embed(images)[0]
    tokens = torch.cat((model.backbone.cls_token.expand(2, -1, -1), tokens), 1)
    tokens = tokens + model.backbone.pos_embed
    for layer in model.backbone.layers[:2]:
        tokens = layer(tokens)
    assert torch.allclose(
        seen[Tap('backbone.layers.1')].value, tokens[:, 1:], atol=1e-6
    )


def test_grid_need_not_be_square():
    (patch,) = tapped(build(vit(16)), (24, 48), Tap('backbone.ln1'))
    assert patch.hw == (3, 6)
    assert patch.value.shape == (2, 18, 16)


def test_two_extra_tokens_are_seen():
    """The distilled DeiT has a class and a distillation token."""
    model = vit(16)
    model['backbone']['type'] = 'DistilledVisionTransformer'
    model['head'] = {'type': 'DeiTClsHead', 'num_classes': 10, 'in_channels': 16}
    every, patch = tapped(
        build(model), (32, 32), Tap('backbone.ln1', 'all'), Tap('backbone.ln1')
    )
    assert every.value.shape[1] == 18
    assert torch.equal(patch.value, every.value[:, 2:])


def model_of_two_tokens():
    """A distilled DeiT whose class token is all ones, its distillation token twos."""
    model = vit(16)
    model['backbone']['type'] = 'DistilledVisionTransformer'
    model['head'] = {'type': 'DeiTClsHead', 'num_classes': 10, 'in_channels': 16}
    made = build(model)
    torch.nn.init.ones_(made.backbone.cls_token)
    torch.nn.init.constant_(made.backbone.dist_token, 2.0)
    torch.nn.init.zeros_(made.backbone.pos_embed)
    return made


def test_the_class_token_is_not_the_distillation_token():
    """Seen where nothing has mixed them yet."""
    model = model_of_two_tokens()
    (cls,) = tapped(model, (32, 32), Tap('backbone.drop_after_pos', 'cls'))
    assert torch.equal(cls.value, torch.ones(2, 16))


def test_no_extra_token():
    model = vit(16, with_cls_token=False, out_type='avg_featmap')
    model['head'] = {'type': 'LinearClsHead', 'num_classes': 10, 'in_channels': 16}
    (patch,) = tapped(build(model), (32, 32), Tap('backbone.layers.2'))
    assert patch.value.shape == (2, 16, 16)
    with pytest.raises(ValueError, match="has no class token .* use tokens='patch'"):
        tapped(build(model), (32, 32), Tap('backbone.layers.2', 'cls'))


def test_swin_hands_its_grid_on():
    block, stage, last = tapped(
        build(SWIN),
        (64, 96),
        Tap('backbone.stages.1.blocks.0'),
        Tap('backbone.stages.1'),
        Tap('backbone'),
    )
    assert block.hw == stage.hw == (8, 12)
    assert block.value.shape == (2, 96, 16)
    assert torch.equal(block.value, stage.value)
    assert last.hw == (2, 3)
    assert last.value.shape == (2, 6, 64)


def test_swin_norm_has_the_proportions_of_the_image():
    (norm,) = tapped(build(SWIN), (64, 96), Tap('backbone.norm3'))
    assert norm.hw == (2, 3)


def test_swin_windows_and_their_shift():
    """Two images of 16 or 4 windows; on the 2x2 grid there is one, which is never
    shifted."""
    stages = ('0.blocks.0', '0.blocks.1', '1.blocks.0', '3.blocks.0')
    paths = [f'backbone.stages.{stage}.attn.w_msa.qkv' for stage in stages]
    first, second, next_, last = tapped(
        build(SWIN), (64, 64), *(Tap(path, 'all') for path in paths)
    )
    assert first.value.shape == second.value.shape == (2 * 64, 4, 3 * 8)
    assert (first.shift, second.shift) == ((0, 0), (1, 1))
    assert next_.value.shape == (2 * 16, 4, 3 * 16)
    assert last.value.shape == (2, 4, 3 * 64)
    assert last.shift is None


def test_what_is_no_window_has_no_shift():
    block, attention = tapped(
        build(SWIN),
        (64, 64),
        Tap('backbone.stages.0.blocks.1'),
        Tap('backbone.stages.0.blocks.1.attn.drop', 'all'),
    )
    assert block.shift is attention.shift is None


def test_cnn_map_round_trip():
    model = build(
        {
            'type': 'ImageClassifier',
            'backbone': {'type': 'ResNet', 'depth': 18, 'out_indices': (3,)},
            'neck': {'type': 'GlobalAveragePooling'},
            'head': {'type': 'LinearClsHead', 'num_classes': 10, 'in_channels': 512},
        }
    ).eval()
    images = torch.randn(2, 3, 64, 96)
    with record(model, [Tap('backbone.layer2')]) as seen:
        model(images)
        maps = model.backbone.layer2.forward
    value, hw, *_ = seen[Tap('backbone.layer2')]
    assert hw == (8, 12)
    x = model.backbone.maxpool(
        model.backbone.relu(model.backbone.norm1(model.backbone.conv1(images)))
    )
    expected = maps(model.backbone.layer1(x))  # (B, C, H, W)
    assert torch.equal(value.transpose(1, 2).unflatten(2, hw), expected)


def test_timm_models():
    """CaiT's blocks have no class token and its norm has one; timm's Swin is NHWC."""
    cait = {'type': 'TimmClassifier', 'model_name': 'cait_xxs24_224', 'img_size': 32}
    cait |= {'depth': 2, 'patch_size': 8, 'pretrained': False}
    blocks, norm = tapped(
        build(cait), (32, 32), Tap('model.blocks.1'), Tap('model.norm', 'all')
    )
    assert blocks.value.shape[1] == 16
    assert norm.value.shape[1] == 17
    swin = timm.create_model('swin_tiny_patch4_window7_224', img_size=56)
    stage, window, patches = tapped(
        swin,
        (56, 56),
        Tap('layers.0'),
        Tap('layers.0.blocks.1.attn.qkv', 'all'),
        Tap('patch_embed.proj'),  # a convolution keeps its channels first
    )
    assert stage.hw == patches.hw == (14, 14)
    assert stage.value.shape == patches.value.shape == (2, 196, 96)
    assert window.value.shape == (2 * 4, 49, 3 * 96)
    assert window.shift == (3, 3)


def test_extra_tokens_are_counted_by_the_tap():
    """CaiT-S24, as deep as it is: 196 patches of a block, and one more of the norm."""
    cait = {'type': 'TimmClassifier', 'model_name': 'cait_s24_224'}
    cait |= {'embed_dim': 16, 'num_heads': 2}
    paths = ('model.blocks.23', 'model.norm')
    taps = [Tap(path, tokens) for path in paths for tokens in ('patch', 'all')]
    taps.append(Tap('model.norm', 'cls'))
    block, every, norm, joined, cls = tapped(build(cait), (224, 224), *taps)
    assert block.value.shape == every.value.shape == norm.value.shape == (2, 196, 16)
    assert block.hw == norm.hw == (14, 14)
    assert joined.value.shape == (2, 197, 16)
    assert torch.equal(joined.value, torch.cat((cls.value[:, None], norm.value), 1))


def test_huggingface_model(tmp_path):
    from transformers import ViTConfig

    config = ViTConfig(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        image_size=32,
        patch_size=8,
        num_labels=10,
    )
    config.save_pretrained(tmp_path)
    model = build({'type': 'HuggingFaceClassifier', 'model_name': str(tmp_path)})
    layers = [
        name
        for name, module in model.named_modules()
        if type(module).__name__ == 'ViTLayer'
    ]
    patch, logits = tapped(model, (32, 32), Tap(layers[0]), Tap('model.classifier'))
    assert patch.value.shape == (2, 16, 16)
    assert patch.hw == (4, 4)
    assert logits.value.shape == (2, 10)


def test_unknown_path_offers_the_nearest():
    with pytest.raises(
        ValueError, match=r"'backbone\.layer\.0'.*'backbone\.layers\.0'"
    ):
        tapped(build(vit()), (32, 32), Tap('backbone.layer.0'))


def test_a_tap_that_fires_twice():
    shared = nn.Linear(4, 4)
    model = nn.Sequential(
        nn.Flatten(), nn.Linear(3 * 4, 4), shared, nn.Sequential(shared)
    )
    with pytest.raises(ValueError, match="'2' fired twice"):
        tapped(model, (2, 2), Tap('2'))


def test_a_tap_that_never_fires():
    model = build(vit())
    model.backbone.never = nn.Identity()
    with pytest.raises(ValueError, match=r"did not fire .*'backbone\.never'"):
        tapped(model, (32, 32), Tap('backbone.never'))


def test_hooks_are_gone_after_the_forward():
    model = build(vit())
    tapped(model, (32, 32), Tap('backbone.layers.0'))
    with pytest.raises(RuntimeError), record(model, [Tap('head')]):
        model(torch.randn(2, 5, 32, 32))
    assert not any(module._forward_hooks for module in model.modules())


@pytest.mark.parametrize(
    ('spec', 'message'),
    [
        ({'path': 'head', 'tokens': 'class'}, "must be one of .* got 'class'"),
        ({'module': 'head'}, 'a tap is a module path'),
        (3, 'a tap is a module path'),
    ],
)
def test_bad_tap(spec, message):
    with pytest.raises(ValueError, match=message):
        Tap.parse(spec)


def test_choosing_tokens_of_logits():
    with pytest.raises(ValueError, match="no tokens to choose 'cls' from"):
        tapped(build(vit()), (32, 32), Tap('head', 'cls'))


class ChannelsLast(nn.Module):
    """As timm's: what it says of its maps is not true of its convolution."""

    output_fmt = 'NHWC'

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 8, 8)
        self.norm = nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(self.conv(x).permute(0, 2, 3, 1))


def test_a_map_of_as_many_channels_as_rows_is_what_its_module_says():
    """Where no proportion tells: 4 channels on a 4x4 grid."""
    conv, norm = tapped(ChannelsLast(), (32, 32), Tap('conv'), Tap('norm'))
    assert torch.equal(conv.value, norm.value)
    assert conv.value.shape == (2, 16, 4)
    plain = ChannelsLast()
    plain.output_fmt = 'NCHW'
    conv, norm = tapped(plain, (32, 32), Tap('conv'), Tap('norm'))
    last = norm.value.unflatten(1, (4, 4)).permute(0, 3, 1, 2)  # (B, H, W, C)
    assert torch.equal(conv.value, last.flatten(1, 2))


def test_a_vitdet_with_as_many_channels_as_rows_keeps_them_last():
    """Also inside a detector, whose other maps have channels first."""
    arch = {'embed_dims': 8, 'num_layers': 2, 'num_heads': 2}
    arch['feedforward_channels'] = 8
    vit = ViTDet(arch, img_size=32, patch_size=4, window_size=4, global_blocks=1)
    taps = Tap('0.layers.1'), Tap('0', output=0)
    block, final = tapped(nn.Sequential(vit), (32, 32), *taps)
    assert block.hw == final.hw == (8, 8)
    assert torch.equal(block.value, final.value)


def test_tokens_without_an_image_have_no_known_grid():
    model = nn.Sequential(nn.Linear(5, 4))
    with (
        pytest.raises(ValueError, match="tap '0' yields 7 tokens, of no known grid"),
        record(model, [Tap('0')]),
    ):
        model(torch.zeros(2, 7, 5))
