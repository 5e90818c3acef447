"""Attention maps are those of the modules, and what is made of them is theirs."""

import math

import pytest
import timm
import torch
import torch.nn.functional as F
from mmpretrain.models.utils import MultiheadAttention
from transformers import ViTConfig
from transformers.models.vit.modeling_vit import ViTAttention

from mmvitkd.analysis import (
    attend,
    attention_maps,
    attention_rollout,
    class_attention,
    diagonal_ratio,
    effective_keys,
    mean_attention,
)
from mmvitkd.models import DeiT3


def random_maps(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0)).softmax(-1)


def qkv_of(tokens=17, width=24):
    return torch.randn(2, tokens, 3 * width, generator=torch.Generator().manual_seed(1))


def test_maps_equal_those_of_torch():
    """Attention over the identity as values is the map itself."""
    qkv, heads = qkv_of(), 3
    q, k, _ = qkv.unflatten(-1, (3, heads, 8)).permute(2, 0, 3, 1, 4)
    eye = torch.eye(17).expand(2, heads, 17, 17)
    expected = F.scaled_dot_product_attention(q, k, eye)
    maps = attention_maps(qkv, heads)
    assert torch.allclose(maps, expected, atol=1e-6, rtol=0)
    assert torch.allclose(maps.sum(-1), torch.ones(2, heads, 17), atol=1e-6)


def test_map_by_hand():
    """Queries 0 and log 3, keys 0 and 1, of one channel."""
    qkv = torch.tensor([[[0.0, 0.0, 7.0], [math.log(3), 1.0, 7.0]]])
    expected = torch.tensor([[0.5, 0.5], [0.25, 0.75]])
    assert torch.allclose(attention_maps(qkv, 1)[0, 0], expected, atol=1e-6)


@pytest.mark.parametrize('tokens', [5, 17])
def test_mmpretrain_modules_yield_the_same(tokens):
    x = torch.randn(2, tokens, 24)
    module = MultiheadAttention(24, 3).eval()
    ours = module.proj(attend(module.qkv(x), 3))
    assert torch.allclose(ours, module(x), atol=1e-6, rtol=0)


def test_deit3_modules_yield_the_same():
    """Behind LayerScale."""
    arch = {
        'embed_dims': 24, 'num_layers': 1, 'num_heads': 3, 'feedforward_channels': 24,
    }  # fmt: skip
    module = DeiT3(arch, img_size=32, patch_size=8).layers[0].attn.eval()
    x = torch.randn(2, 17, 24)
    torch.nn.init.normal_(module.gamma1.weight)
    ours = module.gamma1(module.proj(attend(module.qkv(x), 3)))
    assert torch.allclose(ours, module(x), atol=1e-6, rtol=0)


def test_timm_modules_yield_the_same():
    """With normalised queries and keys."""
    module = timm.layers.Attention(24, 3, qk_norm=True, norm_layer=torch.nn.LayerNorm)
    x = torch.randn(2, 17, 24)
    q, k, v = module.qkv(x).unflatten(-1, (3, 3, 8)).unbind(2)
    qkv = torch.stack([module.q_norm(q), module.k_norm(k), v], 2).flatten(2)
    assert torch.allclose(module.proj(attend(qkv, 3)), module(x), atol=1e-6, rtol=0)


def test_huggingface_modules_yield_the_same():
    config = ViTConfig(hidden_size=24, num_attention_heads=3)
    config._attn_implementation = 'sdpa'
    module = ViTAttention(config).eval()
    x, own = torch.randn(2, 17, 24), module.attention
    qkv = torch.cat([own.query(x), own.key(x), own.value(x)], -1)
    ours = module.output.dense(attend(qkv, 3))
    assert torch.allclose(ours, module(x), atol=1e-6, rtol=0)


def test_channels_that_no_heads_share():
    with pytest.raises(ValueError, match=r'num_heads=5, got \(2, 17, 72\)'):
        attention_maps(qkv_of(), 5)


def test_mean_is_over_images_and_heads():
    maps = random_maps(3, 2, 5, 5)
    expected = sum(maps[b, h] for b in range(3) for h in range(2)) / 6
    assert torch.allclose(mean_attention(maps), expected)


def test_rollout_by_hand():
    """A layer that looks at the other token, then one that looks at the first."""
    swap = torch.tensor([[0.0, 1.0], [1.0, 0.0]]).view(1, 1, 2, 2)
    first = torch.tensor([[1.0, 0.0], [1.0, 0.0]]).view(1, 1, 2, 2)
    expected = torch.tensor([[0.5, 0.5], [0.5, 0.5]])
    assert torch.equal(attention_rollout([swap])[0], expected)
    # (first + 1) / 2 = [[1, 0], [.5, .5]], and the rows of the layer before are equal
    assert torch.equal(attention_rollout([swap, first])[0], expected)
    # the order matters: ((swap + 1) / 2) ((first + 1) / 2)
    expected = torch.tensor([[0.75, 0.25], [0.75, 0.25]])
    assert torch.equal(attention_rollout([first, swap])[0], expected)


def test_rollout_keeps_the_rows_sums_and_is_still_where_tokens_see_themselves():
    maps = [random_maps(2, 3, 5, 5) for _ in range(4)]
    assert torch.allclose(attention_rollout(maps).sum(-1), torch.ones(2, 5))
    eye = torch.eye(5).expand(2, 3, 5, 5)
    assert torch.equal(attention_rollout([eye, eye]), torch.eye(5).expand(2, 5, 5))
    with pytest.raises(ValueError, match='at least one layer'):
        attention_rollout([])


def test_class_attention_is_the_first_row_over_the_patches():
    """Two extra tokens, of which the first looks."""
    maps = torch.zeros(1, 2, 8, 8)
    maps[:, :, 0] = torch.tensor([0.1, 0.2, 0.3, 0.0, 0.1, 0.0, 0.2, 0.1])
    maps[:, 1, 0, 2] = 0.1
    expected = torch.tensor([[0.2, 0.0, 0.1], [0.0, 0.2, 0.1]])
    assert torch.allclose(class_attention(maps, (2, 3))[0], expected)
    assert torch.allclose(class_attention(maps.mean(1), (2, 3))[0], expected)


def test_no_class_token_no_class_attention():
    with pytest.raises(ValueError, match='8 tokens on a 2x4 grid'):
        class_attention(random_maps(1, 2, 8, 8), (2, 4))


def test_diagonal_and_shared_keys_of_the_extremes():
    even = torch.full((2, 3, 5, 5), 0.2)
    assert diagonal_ratio(even).item() == pytest.approx(1)
    assert effective_keys(even).item() == pytest.approx(5)
    own = torch.eye(5).expand(2, 3, 5, 5)
    assert diagonal_ratio(own).item() == 5
    assert effective_keys(own).item() == pytest.approx(5)
    one = torch.eye(5)[0].expand(2, 3, 5, 5)  # all look at the first
    assert diagonal_ratio(one).item() == 1
    assert effective_keys(one).item() == 1
