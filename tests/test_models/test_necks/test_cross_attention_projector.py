import pytest
import torch

from mmvitkd.models import CrossAttentionProjector

HW = (2, 3)


def tokens(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


def made(**kwargs) -> CrossAttentionProjector:
    torch.manual_seed(0)
    return CrossAttentionProjector(4, 8, **{'grid': HW, 'num_heads': 2, **kwargs})


def test_by_its_equation():
    neck = made(queries=(1, 2), scale=3.0)
    x, t = tokens(2, 6, 4), tokens(2, 9, 8)
    out, same = neck(x, HW, t, (3, 3))
    assert same is t
    maps = neck.stem(x.transpose(1, 2).unflatten(2, HW))
    x = maps.flatten(2).transpose(1, 2) + neck.positions
    q = neck.q(neck.query_stem(neck.queries))[0]  # (2, 8)
    k, v = neck.kv(x).split(8, -1)
    for b in range(2):
        heads = []
        for h in (slice(0, 4), slice(4, 8)):
            weights = (3 * q[:, h] @ k[b, :, h].T / 4**0.5).softmax(-1)
            heads.append(weights @ v[b, :, h])
        a = neck.norm(neck.proj(torch.cat(heads, -1)))
        torch.testing.assert_close(out[b], a + neck.ffn(a))


def test_queries_of_another_term_take_the_place_of_learned_ones():
    neck = made()
    query = tokens(2, 5, 8).requires_grad_()
    out, _ = neck(tokens(2, 6, 4), HW, tokens(2, 9, 8), (3, 3), query=query)
    assert out.shape == (2, 5, 8)
    out.square().sum().backward()
    assert query.grad.any()
    with pytest.raises(ValueError, match=r'needs queries=\(rows, columns\), or query='):
        neck(tokens(2, 6, 4), HW, tokens(2, 9, 8), (3, 3))


def test_positions_fit_another_grid():
    neck = made(queries=(1, 1))
    out, _ = neck(tokens(2, 20, 4), (4, 5), tokens(2, 9, 8), (3, 3))
    assert out.shape == (2, 1, 8)


def test_heads_that_do_not_divide_the_width():
    with pytest.raises(ValueError, match="num_heads must divide the teacher's width 8"):
        made(num_heads=3)
