"""An MLP of every block of the student, summed, and a tap of several modules."""

import math

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from mmvitkd.models import LadderProjector
from mmvitkd.models.classifiers.tap import Tap
from mmvitkd.utils.checkpoint import load_checkpoint
from mmvitkd.utils.export import export_student
from tests.helpers import MIMIC, build, distiller, samples, vit
from tests.shrink import CONFIGS, shrink

BLOCKS = [f'backbone.layers.{i}' for i in range(3)]
LADDER = {
    'student': BLOCKS,
    'teacher': 'backbone.ln1',
    'neck': {'type': 'LadderProjector'},
    'loss': {'type': 'UNICLoss', 'momentum': 0.0},
}


def test_values_by_hand():
    """Two blocks of one and two channels, whose widths inside are 1 and 8."""
    neck = LadderProjector([1, 2], 1)
    narrow, wide = (mlp.layers for mlp in neck.mlps)
    assert narrow[0].weight.shape == (1, 1) and wide[0].weight.shape == (8, 2)
    with torch.no_grad():
        for layer, weight, bias in (
            (narrow[0], 2.0, 1.0), (narrow[2], 3.0, 0.5),
            (wide[0], 0.5, 0.0), (wide[2], 1.0, -1.0),
        ):  # fmt: skip
            layer.weight.fill_(weight)
            layer.bias.fill_(bias)

    def gelu(x: float) -> float:
        return x * (1 + math.erf(x / math.sqrt(2))) / 2

    x = torch.tensor([[[0.5, 1.0, -3.0], [-1.0, 2.0, 2.0]]])  # two tokens
    by_hand = [
        3 * gelu(2 * a + 1) + 0.5 + 8 * gelu(0.5 * (b + c)) - 1
        for a, b, c in x[0].tolist()
    ]
    assert neck(x, (1, 2)).flatten().tolist() == pytest.approx(by_hand)
    assert neck(x[:, 1]).tolist() == [pytest.approx(by_hand[1:])]  # one token


def test_widths_inside_are_the_released_ones_of_a_base():
    neck = LadderProjector([768] * 12, 768)
    assert [mlp.layers[0].out_features for mlp in neck.mlps] == [768] * 11 + [3072]
    inner = LadderProjector([4, 4], 3, expansion=2, last_expansion=3)
    assert [mlp.layers[0].out_features for mlp in inner.mlps] == [8, 12]
    neck.init_weights()
    assert not any(mlp.layers[2].bias.any() for mlp in neck.mlps)
    stds = [mlp.layers[2].weight.std().item() for mlp in neck.mlps]
    assert stds == pytest.approx([0.02] * 12, rel=0.2)


@pytest.mark.parametrize('tokens', ['patch', 'cls'])
def test_a_term_compares_the_sum_of_all_blocks(tmp_path, tokens):
    """Against the blocks' outputs, taken by hooks of the test's own."""
    sides = (
        {'path': path, 'tokens': tokens} for path in (LADDER['student'], 'backbone.ln1')
    )
    term = {**LADDER, **dict(zip(('student', 'teacher'), sides, strict=True))}
    student = vit(16, layers=3)
    model = build(distiller(tmp_path, student=student, terms={'ladder': term}))
    model.init_weights()
    neck, outputs, made = model.terms['ladder'].neck, [], []
    for block in model.student.backbone.layers:
        block.register_forward_hook(lambda _, __, out: outputs.append(out))
    neck.register_forward_hook(lambda _, __, out: made.append(out))
    loss = model.loss(torch.randn(4, 3, 32, 32), samples([0, 1, 2, 3]))['loss_ladder']
    own = [out[:, 0] if tokens == 'cls' else out[:, 1:] for out in outputs]
    assert len(own) == 3
    by_hand = sum(mlp(out) for mlp, out in zip(neck.mlps, own, strict=True))
    torch.testing.assert_close(made[0], by_hand)

    outputs.clear()
    loss.backward()
    for mlp in neck.mlps:
        assert all(p.grad.any() for p in mlp.parameters())
    for block in model.student.backbone.layers:
        assert block.attn.qkv.weight.grad.any()
    # of the last block, nothing behind it
    assert model.student.backbone.ln1.weight.grad is None


def test_every_block_gets_a_gradient_of_its_own(tmp_path):
    """Also the first one when all MLPs but its own yield nothing."""
    model = build(distiller(tmp_path, student=vit(16), terms={'ladder': LADDER}))
    for at, block in enumerate(model.student.backbone.layers):
        model.zero_grad()
        for other, mlp in enumerate(model.terms['ladder'].neck.mlps):
            torch.nn.init.constant_(mlp.layers[2].weight, float(other == at))
        images = torch.randn(2, 3, 32, 32)
        model.loss(images, samples([0, 1]))['loss_ladder'].backward()
        assert block.attn.qkv.weight.grad.any()
        later = model.student.backbone.layers[at + 1 :]
        assert not any(
            p.grad is not None and p.grad.any() for x in later for p in x.parameters()
        )


def test_without_widths_a_neck_takes_the_blocks_side_by_side(tmp_path):
    term = {**MIMIC, 'student': BLOCKS}
    model = build(distiller(tmp_path, terms={'mimic': term}))
    assert model.terms['mimic'].neck.fc.weight.shape == (24, 48)


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'student': []}, r"term 'ladder': a tap of several modules names.*got \[\]"),
        ({'student': [BLOCKS[0]] * 2}, 'names each once, got'),
        ({'student': [*BLOCKS, 'backbone.layers.3']}, "'backbone.layers.3'.*no such"),
        (
            {
                'student': [
                    'backbone.layers.0',
                    'backbone.patch_embed.projection',
                    'head',
                ]
            },
            r"yield the same tokens, but 'backbone.layers.0' yields .4, 16, 16. on "
            r"a 4x4 grid, .*'head' yields .4, 10.: tap modules of one stage",
        ),
        ({'teacher': BLOCKS}, r"a teacher's tap names one module, got \['backbone"),
        (
            {'neck': {'type': 'LadderProjector', 'in_channels': [16, 16]}},
            r"in_channels=\[16, 16\] but the models' width is \[16, 16, 16\]",
        ),
        (
            {'neck': {'type': 'LadderProjector', 'last_expansion': 0.5}},
            'last_expansion must be a whole number, got 0.5',
        ),
    ],
)
def test_mistakes_are_named(changes, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        build(distiller(tmp_path, terms={'ladder': {**LADDER, **changes}}))


def test_as_many_blocks_as_it_was_built_for():
    with pytest.raises(
        ValueError, match=r'of 3 blocks takes their 48 channels.*got 32'
    ):
        LadderProjector([16] * 3, 8)(torch.zeros(1, 4, 32))
    with pytest.raises(ValueError, match='must list the width of each block, got none'):
        LadderProjector([], 8)


def test_a_tap_of_several_modules_is_one_of_each():
    tap = Tap.parse({'path': ['a', 'b.c'], 'tokens': 'cls'})
    assert tap.parts == (Tap('a', 'cls'), Tap('b.c', 'cls'))
    assert tap.name == 'a and 1 more'
    assert Tap.parse(['a', 'b']) == Tap.parse({'path': ('a', 'b')})
    assert Tap.parse(['a']) == Tap('a')


@pytest.mark.slow
def test_it_is_in_the_checkpoint_and_not_in_the_export(tmp_path):
    """The config on digits, by the real runner."""
    cfg = Config.fromfile(CONFIGS / 'unic' / 'unic-ladder_digits.py')
    runner = Runner.from_cfg(shrink(cfg, tmp_path))
    runner.train()
    for term in runner.model.terms.values():
        assert len(term.neck.mlps) == 6
    file = tmp_path / 'work_dir' / 'epoch_1.pth'
    saved = load_checkpoint(file)['state_dict']
    widths = {k: len(v) for k, v in saved.items() if k.endswith('layers.0.bias')}
    assert len(widths) == 4 * 6
    assert widths['terms.one_patch.neck.mlps.5.layers.0.bias'] == 4 * 8
    assert widths['terms.one_patch.neck.mlps.4.layers.0.bias'] == 8
    exported = load_checkpoint(export_student(file, tmp_path / 'student.pth'))
    assert exported['state_dict']
    assert all(name.startswith('backbone.') for name in exported['state_dict'])
