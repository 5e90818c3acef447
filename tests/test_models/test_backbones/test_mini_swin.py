import copy
import re

import pytest
import torch
import torch.nn.functional as F

from mmvitkd.models.classifiers.tap import Tap, record
from tests.helpers import build

SHARED = ('attn.w_msa.qkv.', 'attn.w_msa.proj.', 'attn.w_msa.relative', 'ffn.')
ARCH = {'embed_dims': 8, 'depths': [2, 4], 'num_heads': [2, 2]}


def made(kind: str = 'MiniSwin', **changes):
    """Of 64x64 images in windows of 4x4, on grids of 16x16 and 8x8."""
    torch.manual_seed(0)
    cfg = {
        'type': kind,
        'arch': ARCH,
        'img_size': 64,
        'window_size': 4,
        'out_indices': (0, 1),
    }
    if kind == 'MiniSwin':
        cfg.update(share_num=(2, 4), identity_init=True)
    model = build({**cfg, **changes})
    model.init_weights()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if 'norm' in name or 'bias_table' in name:
                parameter.add_(torch.randn_like(parameter), alpha=0.3)
    model.eval()  # returns None
    return model


def untied(model, share_num=(2, 4)):
    """MMPretrain's Swin of the same weights, each of them where it is used."""
    plain = made('SwinTransformer')
    weights = model.state_dict()
    for name in plain.state_dict():
        inside = re.fullmatch(r'stages\.(\d+)\.blocks\.(\d+)\.(.*)', name)
        if inside and inside[3].startswith(SHARED):
            shared = share_num[int(inside[1])]
            owner = int(inside[2]) // shared * shared
            weights[name] = weights[f'stages.{inside[1]}.blocks.{owner}.{inside[3]}']
    kept = {k: v for k, v in weights.items() if not ('.proj_' in k or '.local.' in k)}
    plain.load_state_dict(kept, strict=True)
    return plain


def images() -> torch.Tensor:
    return torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize('share_num', [(2, 4), (2, 2), (1, 1)])
def test_identity_transforms_leave_a_swin_with_tied_weights(share_num):
    """Shifted windows and their masks are upstream's."""
    ours = made(share_num=share_num, mlp_transform=False)
    plain = untied(ours, share_num)
    torch.testing.assert_close(ours(images()), plain(images()))


def test_gradient_of_a_shared_weight_is_the_sum_over_its_uses():
    ours = made(mlp_transform=False)
    plain = untied(ours)
    for model in (ours, plain):
        sum(out.square().sum() for out in model(images())).backward()
    theirs = dict(plain.named_parameters())
    names = [name for name, _ in ours.named_parameters() if 'stages.1.blocks.0' in name]
    shared = [name for name in names if any(part in name for part in SHARED)]
    assert len(shared) == 9  # four linear layers with biases, one table
    for name in shared:
        uses = [theirs[name.replace('blocks.0', f'blocks.{i}')].grad for i in range(4)]
        found = ours.get_parameter(name).grad
        torch.testing.assert_close(found, sum(uses), rtol=1e-3, atol=1e-4)


def test_every_weight_stands_once_in_checkpoints():
    state = made().state_dict()
    places = [value.data_ptr() for value in state.values()]
    assert len(places) == len(set(places))
    for part in (
        'attn.w_msa.qkv.weight',
        'attn.w_msa.proj.weight',
        'attn.w_msa.relative_position_bias_table',
        'ffn.layers.1.weight',
    ):
        keys = [key for key in state if key.endswith(part)]
        assert keys == [f'stages.{i}.blocks.0.{part}' for i in (0, 1)]
    for own in ('norm1', 'norm2', 'local.norm', 'local.conv', 'attn.w_msa.proj_l'):
        assert sum(f'.{own}.weight' in key for key in state) == 6


def test_block_by_hand():
    """The residual stream is normed and convolved before the MLP."""
    ours = made()
    block = ours.stages[0].blocks[1]
    x = torch.randn(2, 256, 8)
    between = x + block.attn(block.norm1(x), (16, 16))
    between = block.local.norm(between)
    maps = between.transpose(1, 2).reshape(2, 8, 16, 16)
    conv = block.local.conv
    assert conv.weight.shape == (8, 1, 7, 7)
    maps = maps + F.conv2d(maps, conv.weight, conv.bias, padding=3, groups=8)
    between = maps.flatten(2).transpose(1, 2)
    hidden = ours.stages[0].blocks[0].ffn.layers(block.norm2(between))
    torch.testing.assert_close(block(x, (16, 16)), between + hidden)


def test_first_transform_lies_between_positions_and_mask():
    """By hand, in four windows, of which two are masked."""
    attn = made().stages[1].blocks[1].attn.w_msa
    owner = attn.owner
    with torch.no_grad():
        for parameter in (*attn.proj_l.parameters(), *attn.proj_w.parameters()):
            parameter.normal_()
    x = torch.randn(2 * 4, 16, 16)  # two images
    mask = torch.zeros(4, 16, 16)
    mask[1:3, :, 5:] = -100.0
    q, k, v = owner.qkv(x).view(8, 16, 3, 2, 8).unbind(2)
    logits = torch.einsum('bihd,bjhd->bhij', q, k) / 8**0.5
    table = owner.relative_position_bias_table
    for i in range(16):
        for j in range(16):
            rows, columns = i // 4 - j // 4 + 3, i % 4 - j % 4 + 3
            logits[:, :, i, j] += table[rows * 7 + columns]
    logits = torch.einsum('gh,bhij->bgij', attn.proj_l.weight, logits)
    logits += attn.proj_l.bias[:, None, None] + mask.repeat(2, 1, 1)[:, None]
    weights = torch.einsum('gh,bhij->bgij', attn.proj_w.weight, logits.softmax(-1))
    weights += attn.proj_w.bias[:, None, None]
    mixed = torch.einsum('bhij,bjhd->bihd', weights, v).flatten(2)
    torch.testing.assert_close(attn(x, mask), owner.proj(mixed), rtol=1e-4, atol=1e-4)


def test_quirk_changes_the_layers_that_are_not_shifted():
    """Given the same input; shifted ones are as they are, as is a single window."""
    ours, quirk = made(), made(mask_unshifted=True)
    quirk.load_state_dict(ours.state_dict(), strict=True)
    torch.manual_seed(0)
    for stage in (0, 1):
        hw = (16 >> stage,) * 2
        x = torch.randn(2, hw[0] * hw[1], 8 << stage)
        for i, block in enumerate(ours.stages[stage].blocks):
            one, other = block(x, hw), quirk.stages[stage].blocks[i](x, hw)
            assert torch.allclose(one, other) == bool(i % 2), (stage, i)
            assert block.attn.shift_size == (2 if i % 2 else 0)
    x = torch.randn(2, 16, 16)  # one window
    one, other = (m.stages[1].blocks[0](x, (4, 4)) for m in (ours, quirk))
    torch.testing.assert_close(one, other)


def test_every_block_is_tapped_once():
    ours = made()
    paths = [
        f'stages.{s}.blocks.{i}' for s, depth in ((0, 2), (1, 4)) for i in range(depth)
    ]
    inside = [Tap(f'{path}.attn.w_msa.qkv', 'all') for path in paths]
    taps = [Tap(path) for path in paths]
    with record(ours, [*taps, *inside]) as seen:
        ours(images())
    assert [seen[tap].hw for tap in taps] == [(16, 16)] * 2 + [(8, 8)] * 4
    assert [seen[tap].shift for tap in inside] == [(0, 0), (2, 2)] * 3


def test_transforms_begin_as_released_or_as_the_identity():
    arch = {'embed_dims': 32, 'depths': [2], 'num_heads': [32]}
    for identity in (False, True):
        changes = {'arch': arch, 'share_num': 2, 'out_indices': (0,)}
        model = made(**changes, identity_init=identity)
        for block in model.stages[0].blocks:
            for transform in (block.attn.w_msa.proj_l, block.attn.w_msa.proj_w):
                assert not transform.bias.any()
                if identity:
                    assert torch.equal(transform.weight, torch.eye(32))
                else:
                    assert transform.weight.std().item() == pytest.approx(0.02, rel=0.1)


def test_a_copy_shares_its_own_weights():
    ours = made()
    copied = copy.deepcopy(ours)
    before = ours(images())[-1]
    torch.testing.assert_close(copied(images())[-1], before)
    blocks = copied.stages[1].blocks
    assert blocks[3].attn.w_msa.qkv.owner is blocks[0].attn.w_msa.qkv
    assert blocks[3].attn.w_msa.owner is blocks[0].attn.w_msa


def test_checkpointed_blocks_have_the_same_gradients():
    gradients = []
    for with_cp in (False, True):
        model = made(with_cp=with_cp)
        model(images())[-1].square().sum().backward()
        gradients.append([parameter.grad for parameter in model.stages.parameters()])
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize('wrong', [3, (2, 3), (2,), (0, 4)])
def test_values_out_of_range(wrong):
    with pytest.raises(ValueError, match=r'stage, which has \(2, 4\), got'):
        made(share_num=wrong)
