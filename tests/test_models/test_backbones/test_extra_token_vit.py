import pytest
import torch

from mmvitkd.models import ExtraTokenViT
from tests.helpers import build, vit


def made(**backbone):
    """The backbone of a small classifier, on 4x4 patches."""
    torch.manual_seed(0)
    cfg = vit(layers=2, **{'type': 'ExtraTokenViT', **backbone})
    model = build(cfg['backbone'])
    model.init_weights()
    model.eval()  # returns None
    return model


def images(*size: int) -> torch.Tensor:
    return torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(1))


def test_one_extra_token_is_mmpretrains_distilled_vit():
    ours = made(extra_tokens=1)
    upstream = made(type='DistilledVisionTransformer')
    weights = ours.state_dict()
    tokens = weights.pop('cls_token')
    weights['cls_token'], weights['dist_token'] = tokens[:, :1], tokens[:, 1:]
    upstream.load_state_dict(weights, strict=True)
    for size in ((32, 32), (24, 40)):
        for one, other in zip(
            ours(images(*size))[-1], upstream(images(*size))[-1], strict=True
        ):
            torch.testing.assert_close(one, other)


@pytest.mark.parametrize('extra', [1, 3])
def test_every_token_has_a_position_and_comes_out(extra):
    model = made(extra_tokens=extra)
    assert model.pos_embed.shape == (1, 1 + extra + 16, 16)
    tokens = model(images(32, 32))[-1]
    assert [tuple(token.shape) for token in tokens] == [(2, 16)] * (1 + extra)
    assert made(extra_tokens=extra, out_type='raw')(images(32, 32))[-1].shape == (
        2,
        1 + extra + 16,
        16,
    )
    assert made(extra_tokens=extra, out_type='featmap')(images(16, 32))[-1].shape == (
        2,
        16,
        2,
        4,
    )


def test_extra_tokens_begin_at_random_as_deits_does():
    tokens = made(extra_tokens=2).cls_token[0]
    assert not tokens[0].any()
    assert all(0 < token.std() < 0.06 for token in tokens[1:])
    assert not torch.equal(tokens[1], tokens[2])


def test_there_is_one_at_least():
    with pytest.raises(ValueError, match='extra_tokens must be at least 1, got 0'):
        ExtraTokenViT('deit-tiny', extra_tokens=0)
