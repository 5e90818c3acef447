import copy
import math
import re

import pytest
import torch
import torch.distributed
from torch.nn.parallel import DistributedDataParallel

from mmvitkd.inspection.models import Model
from mmvitkd.models.backbones.image_rpe import ImageRPE
from mmvitkd.models.classifiers.tap import Tap, record
from tests.helpers import build, vit

SHARED = ('attn.qkv.', 'attn.proj.', 'ffn.')


def made(layers: int = 4, **backbone):
    """Of 32x32 images, on 4x4 patches, with norms and positions that differ."""
    torch.manual_seed(0)
    ours = {'type': 'MiniDeiT', 'identity_init': True}
    cfg = vit(layers=layers, **(backbone if 'type' in backbone else ours | backbone))
    model = build(cfg['backbone'])
    model.init_weights()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if '.ln' in name:
                parameter.add_(torch.randn_like(parameter), alpha=0.3)
    model.eval()  # returns None
    return model


def untied(model, share_num: int = 2):
    """MMPretrain's ViT of the same weights, each of them where it is used."""
    plain = made(
        len(model.layers),
        type='VisionTransformer',
        with_cls_token=False,
        out_type='featmap',
    )
    weights = model.state_dict()
    for name in plain.state_dict():
        inside = re.fullmatch(r'layers\.(\d+)\.(.*)', name)
        if inside and inside[2].startswith(SHARED):
            owner = int(inside[1]) // share_num * share_num
            weights[name] = weights[f'layers.{owner}.{inside[2]}']
    extra = ('.rpe.', '.proj_l.', '.proj_w.')
    kept = {k: v for k, v in weights.items() if not any(e in k for e in extra)}
    plain.load_state_dict(kept, strict=True)
    return plain


def images(*size: int) -> torch.Tensor:
    return torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize('share_num', [1, 2, 4])
@pytest.mark.parametrize('size', [(32, 32), (24, 40)])
def test_identity_transforms_leave_a_vit_with_tied_weights(share_num, size):
    ours = made(share_num=share_num)
    plain = untied(ours, share_num)
    torch.testing.assert_close(ours(images(*size)), plain(images(*size)))


def test_gradient_of_a_shared_weight_is_the_sum_over_its_uses():
    ours = made()
    plain = untied(ours)
    for model in (ours, plain):
        model(images(32, 32))[-1].square().sum().backward()
    theirs = dict(plain.named_parameters())
    shared = [name for name in dict(ours.named_parameters()) if 'layers.2.' in name]
    shared = [name for name in shared if any(part in name for part in SHARED)]
    assert len(shared) == 8  # four linear layers with biases
    for name in shared:
        uses = theirs[name].grad, theirs[name.replace('layers.2', 'layers.3')].grad
        assert all(use.any() for use in uses)
        found = ours.get_parameter(name).grad
        torch.testing.assert_close(found, sum(uses), rtol=1e-4, atol=1e-5)


def test_every_weight_stands_once_in_checkpoints():
    ours = made()
    places = [value.data_ptr() for value in ours.state_dict().values()]
    assert len(places) == len(set(places))
    for part in ('attn.qkv', 'attn.proj', 'ffn.layers.0.0', 'ffn.layers.1'):
        keys = [k for k in ours.state_dict() if k.endswith(f'{part}.weight')]
        assert keys == [f'layers.{i}.{part}.weight' for i in (0, 2)]
    for own in ('ln1', 'ln2', 'attn.proj_l', 'attn.proj_w'):
        keys = [k for k in ours.state_dict() if k.endswith(f'.{own}.weight')]
        assert keys == [f'layers.{i}.{own}.weight' for i in range(4)]
    assert sum('rpe.table' in key for key in ours.state_dict()) == 4


def test_a_copy_shares_its_own_weights():
    """As averages of weights are: no use is left with the original's."""
    ours = made()
    copied = copy.deepcopy(ours)
    before = ours(images(32, 32))[-1]
    torch.testing.assert_close(copied(images(32, 32))[-1], before)
    with torch.no_grad():
        copied.layers[2].attn.qkv.weight.mul_(2)
    torch.testing.assert_close(ours(images(32, 32))[-1], before)
    assert copied.layers[3].attn.qkv.owner is copied.layers[2].attn.qkv
    with record(
        copied, taps := [Tap('layers.3.attn.qkv'), Tap('layers.3.ln1')]
    ) as seen:
        copied(images(32, 32))
    qkv, x = (seen[tap].value for tap in taps)
    torch.testing.assert_close(qkv, copied.layers[2].attn.qkv(x))


def test_every_layer_is_tapped_once():
    """Those with the weights of another, and that other one, inside them, too."""
    ours = made()
    parts = ('', '.attn', '.attn.qkv', '.ffn.layers.0.0', '.ffn')
    taps = [Tap(f'layers.{i}{part}') for i in range(4) for part in parts]
    with record(ours, taps) as seen:
        ours(images(24, 40))
    assert all(seen[tap].hw == (3, 5) for tap in taps)
    queries = [seen[Tap(f'layers.{i}.attn.qkv')].value for i in range(4)]
    assert all(q.shape == (2, 15, 48) for q in queries)
    assert not torch.allclose(queries[0], queries[1])


def test_every_layer_is_analysed():
    """With the reason why there are no maps of attention."""
    cfg = vit(layers=4, type='MiniDeiT')
    cfg['neck'] = {'type': 'GlobalAveragePooling'}
    cfg['head']['type'] = 'LinearClsHead'
    model = Model('mini', build(cfg))
    assert model.blocks == [f'backbone.layers.{i}' for i in range(4)]
    assert 'MiniAttention) is not the plain softmax' in model.no_maps


def test_transforms_begin_as_released_or_as_the_identity():
    """By a normal distribution of deviation 0.02, or exactly."""
    heads = {'embed_dims': 64, 'num_heads': 32}
    arch = {**heads, 'num_layers': 2, 'feedforward_channels': 8}
    for identity in (False, True):
        model = build({'type': 'MiniDeiT', 'arch': arch, 'identity_init': identity})
        model.init_weights()
        for layer in model.layers:
            for transform in (layer.attn.proj_l, layer.attn.proj_w):
                assert transform.bias is None
                weight = transform.weight[:, :, 0, 0]
                if identity:
                    assert torch.equal(weight, torch.eye(32))
                else:
                    assert weight.std().item() == pytest.approx(0.02, rel=0.1)
            assert not layer.attn.rpe.table.any()


def test_transforms_mix_heads_before_and_after_the_softmax():
    """By hand, from queries, keys and values of one layer."""
    torch.manual_seed(0)
    attn = made(1, share_num=1).layers[0].attn
    with torch.no_grad():
        for parameter in (attn.proj_l.weight, attn.proj_w.weight, attn.rpe.table):
            parameter.normal_()
    x = torch.randn(2, 6, 16)
    q, k, v = attn.qkv(x).view(2, 6, 3, 2, 8).unbind(2)  # (B, N, heads, 8) each
    q = q / math.sqrt(8)
    logits = torch.einsum('bihd,bjhd->bhij', q, k)
    place = [divmod(i, 3) for i in range(6)]  # on 2x3
    for i, (y, z) in enumerate(place):
        for j, (y_key, z_key) in enumerate(place):
            column = (y - y_key + 3) * 7 + z - z_key + 3
            logits[:, :, i, j] += q[:, i] @ attn.rpe.table[:, column]
    before, after = (t.weight[:, :, 0, 0] for t in (attn.proj_l, attn.proj_w))
    weights = torch.einsum('gh,bhij->bgij', before, logits).softmax(-1)
    weights = torch.einsum('gh,bhij->bgij', after, weights)
    mixed = torch.einsum('bhij,bjhd->bihd', weights, v).flatten(2)
    torch.testing.assert_close(attn(x, (2, 3)), attn.proj(mixed))


def test_far_positions_share_a_place():
    """Of ratio 1.9: two and three are one, as are all from four on."""
    rpe = ImageRPE(4, 1.9)
    assert rpe.table.shape == (4, 49)
    buckets = rpe.buckets((1, 14), torch.device('cpu')) - 3 * 7
    assert buckets[0].tolist() == [3, 2, 1, 1, *[0] * 10]
    assert buckets[-1].tolist() == [*[6] * 10, 5, 5, 4, 3]
    # rows come first
    assert rpe.buckets((2, 1), torch.device('cpu'))[1, 0] == 4 * 7 + 3


def test_every_parameter_learns_under_ddp():
    """With no search for unused ones; a second step would tell them."""
    store = torch.distributed.HashStore()
    torch.distributed.init_process_group('gloo', store=store, rank=0, world_size=1)
    try:
        model = made(drop_path_rate=0.0)
        model.train()
        wrapped = DistributedDataParallel(model)
        for _ in range(2):
            wrapped(images(32, 32))[-1].square().sum().backward()
    finally:
        torch.distributed.destroy_process_group()
    for name, parameter in model.named_parameters():
        assert parameter.grad.any(), name


def test_frozen_layers_are_frozen_as_a_whole():
    """Layers 2 and 3 have weights of their own, and learn."""
    layers = made(frozen_stages=2).layers
    learns = [{p.requires_grad for p in layer.parameters()} for layer in layers]
    assert learns == [{False}, {False}, {True}, {True}]


def test_layer_decay_of_shared_weights_is_their_first_layers():
    ours = made()
    assert ours.get_layer_depth('layers.2.attn.qkv.weight') == (3, 6)
    assert ours.get_layer_depth('layers.3.attn.proj_l.weight') == (4, 6)


@pytest.mark.parametrize(
    ('wrong', 'message'),
    [
        ({'share_num': 3}, 'divide the 4 layers, got 3'),
        ({'share_num': 0}, 'divide the 4 layers, got 0'),
        ({'rpe_ratio': 0.2}, 'at least 0.5, got 0.2'),
        ({'out_type': 'cls_token'}, 'with_cls_token must be True'),
    ],
)
def test_values_out_of_range(wrong, message):
    with pytest.raises(ValueError, match=message):
        made(**wrong)
