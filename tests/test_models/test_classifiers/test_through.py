"""Terms that go through a part of the teacher, and those that query another."""

import pytest
import torch

from mmvitkd.models import TeacherProtocol
from mmvitkd.models.classifiers.dry_run import find_part
from mmvitkd.models.classifiers.term import parse_term
from tests.helpers import MIMIC, build, distiller, samples, save_weights, vit
from tests.test_models.test_classifiers.teachers import teacher as live

LOSS = {'type': 'DualViewLoss', 'loss_weight': 1.0}
CAP = {'type': 'CrossAttentionProjector', 'grid': (4, 4)}
INNER = {
    'student': 'backbone.layers.1',
    'teacher': 'backbone.ln1',
    'neck': {**CAP, 'queries': (4, 4)},
    'through': ['backbone.layers.2', 'backbone.ln1'],
    'loss': LOSS,
}
LAST = {
    'student': 'backbone.ln1',
    'teacher': 'backbone.ln1',
    'neck': CAP,
    'query': 'inner',
    'loss': LOSS,
}
SWIN = {
    'type': 'ImageClassifier',
    'backbone': {
        'type': 'SwinTransformer',
        'arch': {'embed_dims': 8, 'depths': [1, 1, 1, 2], 'num_heads': [1, 1, 2, 2]},
        'img_size': 64,
        'window_size': 2,
        'drop_path_rate': 0.5,
    },
    'neck': {'type': 'GlobalAveragePooling'},
    'head': {'type': 'LinearClsHead', 'num_classes': 10, 'in_channels': 64},
}


def images() -> torch.Tensor:
    return torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def scalekd(folder, **changes):
    return build(distiller(folder, terms={'inner': INNER, 'last': LAST, **changes}))


def losses(model) -> dict:
    return model.loss(images(), samples([0, 1, 2, 3]))


def test_gradients_reach_both_necks_and_never_the_teacher(tmp_path):
    model = scalekd(tmp_path)
    own = model.teachers['teacher'].model
    model.train()
    losses(model)['loss_inner'].backward()
    inner, last = (model.terms[name].neck for name in ('inner', 'last'))
    assert inner.queries.grad.any()
    assert inner.stem[0].weight.grad.any()
    assert model.student.backbone.layers[1].attn.qkv.weight.grad.any()
    assert last.q.weight.grad is None
    model.zero_grad()
    losses(model)['loss_last'].backward()
    assert last.q.weight.grad.any()
    assert inner.queries.grad.any()  # by way of the query
    assert all(p.grad is None for p in own.parameters())
    assert not any('neck' in name for name in model.student.state_dict())


def test_what_goes_through_is_what_the_teachers_modules_make_of_it(tmp_path):
    model = scalekd(tmp_path)
    made = {}
    model.load_teachers()
    term = model.terms['inner']
    _, student, theirs = model.probe_features['inner']
    x = torch.randn(2, *student.value.shape[1:])
    t = torch.randn(2, *theirs.value.shape[1:])
    sides = (side._replace(value=v) for side, v in ((student, x), (theirs, t)))
    term(*sides, None, made)
    backbone = model.teachers['teacher'].model.backbone
    by_hand = backbone.ln1(backbone.layers[2](term.neck(x, (4, 4), t, (4, 4))[0]))
    torch.testing.assert_close(made['inner'], by_hand)


def test_a_path_without_weight_still_makes_the_query(tmp_path):
    model = scalekd(tmp_path)
    before = losses(model)['loss_last']
    model.terms['inner'].loss.loss_weight = 0.0
    out = losses(model)
    assert out['loss_inner'] == 0
    assert out['loss_last'] == before
    model.terms['last'].loss.loss_weight = 0.0  # nobody needs it now
    assert not [v for name, v in losses(model).items() if name != 'loss' and v != 0]


def test_swins_stage_gets_its_grid_and_has_no_chance_in_it(tmp_path):
    """Its blocks drop paths in training, which a teacher never is in."""
    weights = save_weights(SWIN, tmp_path / 'swin.pth')
    student = vit(16)
    student['backbone']['img_size'] = 64
    paths = ['stages.2.downsample', 'stages.3', 'norm3']
    inner = {
        **INNER,
        'teacher': 'backbone.norm3',
        'neck': {**CAP, 'out_channels': 32, 'queries': (4, 4)},
        'through': [f'backbone.{path}' for path in paths],
    }
    cfg = distiller(
        tmp_path, student=student, terms={'inner': inner},
        teacher={'cfg': SWIN, 'checkpoint': str(weights)},
    )  # fmt: skip
    model = build(cfg)
    x = torch.randn(2, 16, 32, requires_grad=True)
    model.train()
    first, second = (model.terms['inner'].part(x, (4, 4)) for _ in range(2))
    assert torch.equal(first[0], second[0])
    assert first[0].shape == (2, 4, 64)
    assert first[1] == (2, 2)
    first[0].sum().backward()
    assert x.grad.any()


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (
            {'query': 'later'},
            r"query='later' must name a term before it, of \['inner'\]",
        ),
        (
            {'neck': {'type': 'LinearProjector'}},
            "query='inner' needs a neck that takes",
        ),
        ({'query': None}, "term 'last': a CrossAttentionProjector needs queries"),
        ({'through': 'backbone.layer.2'}, "'backbone.layer.2'.*did you mean"),
        ({'through': 'head.layers.head', 'neck': {**CAP, 'queries': (4, 4)}}, None),
        (
            {'through': 'backbone.patch_embed.projection'},
            r'the Conv2d does not take tokens \(2, 16, 24\)',
        ),
    ],
)
def test_mistakes_are_named(change, message, tmp_path):
    last = {**LAST, **change}
    if message is None:  # any module of the teacher may come last, but widths must fit
        message = "student's tokens are .2, 16, 10. and the teacher's .2, 16, 24"
    with pytest.raises(ValueError, match=message):
        scalekd(tmp_path, last=last)


def test_through_needs_a_two_sided_neck(tmp_path):
    term = {**MIMIC, 'through': 'backbone.layers.2'}
    with pytest.raises(ValueError, match='needs a two-sided neck.*LinearProjector'):
        build(distiller(tmp_path, terms={'mimic': term}))


def test_a_teacher_without_modules_is_refused(tmp_path):
    class Stored(TeacherProtocol):
        """Outputs from a file, as a CachedTeacher's."""

    spec = parse_term('inner', INNER, ('teacher',))
    with pytest.raises(ValueError, match='a Stored has no modules to run tokens'):
        find_part(spec, Stored())
    assert find_part(spec, live(tmp_path)) is not None
