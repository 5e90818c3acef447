import pytest
import torch

from mmvitkd.models import MaskedTeacher, Teacher
from mmvitkd.models.classifiers.masked_teacher import class_attention
from mmvitkd.models.classifiers.tap import Tap, record
from tests.helpers import build, distiller, samples, save_weights, vit

HEAD = Tap('head')
PATCHES = 16  # of 32 pixels
KD = {'kd': {'student': 'head', 'teacher': 'head', 'loss': {'type': 'KDLoss'}}}


def ask(made, student, images, tap=HEAD):
    taps = made.required_student_taps(student)
    with torch.no_grad(), record(student, taps) as seen:
        student(images)
    return made(images, student.data_preprocessor, [tap], student_features=seen)[
        tap
    ].value


def masked(tmp_path, cfg=None, kind=MaskedTeacher, **kwargs):
    torch.manual_seed(1)
    cfg = cfg or vit()
    made = kind(cfg, checkpoint=save_weights(cfg, tmp_path / 't.pth'), **kwargs)
    made.load()
    return made


def student_of(**kwargs):
    torch.manual_seed(0)
    return build(vit(**kwargs)).eval()


def test_all_patches_are_a_teachers_own_answer(tmp_path):
    images = torch.randn(3, 3, 32, 32)
    student = student_of()
    whole = masked(tmp_path, kind=Teacher)
    answer = whole(images, student.data_preprocessor, [HEAD])[HEAD].value
    some = masked(tmp_path, keep_ratio=1.0)
    torch.testing.assert_close(ask(some, student, images), answer)


def test_the_class_tokens_attention_is_the_students_own():
    """The mean over heads of the softmax among patches, from the module's own q, k."""
    student = student_of()
    attention = student.backbone.layers[-1].attn
    x = torch.randn(2, 1 + PATCHES, attention.embed_dims)
    q, k, _ = attention.qkv(x).chunk(3, -1)
    heads = attention.num_heads
    expected = torch.zeros(2, PATCHES)
    for b in range(2):
        for one, other in zip(
            q[b].chunk(heads, -1), k[b].chunk(heads, -1), strict=True
        ):
            scores = one[0] @ other[1:].T / one.shape[-1] ** 0.5
            expected[b] += scores.softmax(-1) / heads
    found = class_attention(attention.qkv(x), PATCHES, heads)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(found.sum(1), torch.ones(2))


def test_the_released_softmax_is_that_of_the_students_attention():
    """Over all tokens, of which the patches' columns are taken."""
    student = student_of(layers=2)
    attention = student.backbone.layers[-1].attn
    x = torch.randn(2, 1 + PATCHES, attention.embed_dims)
    q, k, _ = attention.qkv(x).unflatten(-1, (3, attention.num_heads, -1)).unbind(2)
    q, k = q.transpose(1, 2), k.transpose(1, 2)  # (B, h, L, d)
    whole = (q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5).softmax(-1)
    found = class_attention(attention.qkv(x), PATCHES, attention.num_heads, 'tokens')
    torch.testing.assert_close(found, whole[:, :, 0, 1:].mean(1))


def test_the_two_softmaxes_rank_otherwise_where_a_head_looks_at_the_class_token():
    """Two heads of width 1, two patches. The first head looks at the class token alone,
    the second at the second patch a little more than at the first."""
    q = torch.tensor([10.0, 1.0])
    k = torch.tensor([[10.0, -9.0], [1.0, 0.0], [0.0, 0.5]])
    qkv = torch.cat([q.expand(3, 2), k, k], dim=1)[None]
    over = {kind: class_attention(qkv, 2, 2, kind)[0] for kind in ('patches', 'tokens')}
    assert over['patches'].argmax() == 0
    assert over['tokens'].argmax() == 1


def test_the_softmax_is_chosen_by_name(tmp_path):
    images, student = torch.randn(16, 3, 32, 32), student_of()
    with torch.no_grad():  # so that some heads look at the class token
        student.backbone.layers[-1].attn.qkv.weight.mul_(50)
    answers = [
        ask(masked(tmp_path, softmax_over=kind), student, images)
        for kind in ('patches', 'tokens')
    ]
    assert not torch.allclose(*answers)
    with pytest.raises(ValueError, match="softmax_over must be one of .* got 'all'"):
        MaskedTeacher(vit(), checkpoint='x', softmax_over='all')


@pytest.mark.parametrize(('ratio', 'kept'), [(0.5, 8), (0.25, 4), (0.01, 1)])
def test_it_sees_the_patches_that_the_student_attends_to(tmp_path, ratio, kept):
    images = torch.randn(2, 3, 32, 32)
    student, made = student_of(), masked(tmp_path, keep_ratio=ratio)
    inputs, outputs = [], []
    layers = made.model.backbone.layers
    layers[0].register_forward_hook(lambda _, args, __: inputs.append(args[0]))
    plain = masked(tmp_path, kind=Teacher)
    plain.model.backbone.layers[0].register_forward_pre_hook(
        lambda _, args: outputs.append(args[0])
    )
    ask(made, student, images)
    plain(images, student.data_preprocessor, [HEAD])
    qkv = Tap('backbone.layers.2.attn.qkv', 'all')
    with torch.no_grad(), record(student, [qkv]) as seen:
        student(images)
    heads = student.backbone.layers[2].attn.num_heads
    ranks = class_attention(seen[qkv].value, PATCHES, heads)
    for image in range(2):
        best = ranks[image].argsort(descending=True)[:kept].sort().values
        expected = outputs[0][image][torch.cat([torch.tensor([0]), best + 1])]
        assert torch.equal(inputs[0][image], expected)


def test_a_teacher_of_timm(tmp_path):
    cfg = {
        'type': 'TimmClassifier', 'model_name': 'deit_tiny_patch16_224',
        'num_classes': 10, 'img_size': 32, 'patch_size': 8, 'depth': 2,
    }  # fmt: skip
    images = torch.randn(2, 3, 32, 32)
    whole, some = (masked(tmp_path, cfg, keep_ratio=ratio) for ratio in (1, 0.5))
    answers = [
        ask(made, student_of(), images, Tap('model.head')) for made in (whole, some)
    ]
    images = whole.prepare(images, student_of().data_preprocessor)
    expected = whole.model.eval()(images)
    torch.testing.assert_close(answers[0], expected)
    assert not torch.allclose(answers[1], expected, atol=1e-3)


def test_it_trains_in_the_distiller_and_leaves_no_hook(tmp_path):
    cfg = distiller(tmp_path, terms=KD)
    cfg['teacher']['type'] = 'MaskedTeacher'
    model = build(cfg)
    losses = model.loss(torch.randn(4, 3, 32, 32), samples([1, 2, 3, 4]))
    losses['loss_kd'].backward()
    grad = model.student.backbone.patch_embed.projection.weight.grad
    assert grad is not None
    assert grad.any()
    made = model.teachers['teacher']
    assert not made.model.backbone.layers[0]._forward_pre_hooks
    assert not any(p.requires_grad for p in made.model.parameters())


@pytest.mark.parametrize('tokens', ['patch', 'cls', 'all'])
def test_features_are_refused(tmp_path, tokens):
    made = masked(tmp_path)
    with pytest.raises(ValueError, match='tap its head, or take a Teacher'):
        tap = Tap('backbone.layers.1', tokens)
        ask(made, student_of(), torch.randn(2, 3, 32, 32), tap)


def test_other_grids_are_refused(tmp_path):
    made = masked(tmp_path, vit(img_size=64), input_size=64)
    with pytest.raises(ValueError, match='both need the same grid'):
        ask(made, student_of(), torch.randn(2, 3, 32, 32))


@pytest.mark.parametrize('ratio', [0, -0.5, 1.1])
def test_ratio_out_of_range(ratio):
    with pytest.raises(ValueError, match=f'at most 1, got {ratio}'):
        MaskedTeacher(vit(), checkpoint='x', keep_ratio=ratio)


def test_a_swin_is_refused():
    swin = {
        'type': 'ImageClassifier',
        'backbone': {'type': 'SwinTransformer', 'arch': 'tiny', 'img_size': 32},
        'head': {'type': 'LinearClsHead', 'num_classes': 10, 'in_channels': 768},
    }
    with pytest.raises(ValueError, match='must be a plain ViT'):
        MaskedTeacher(swin, checkpoint='x')


def test_a_student_without_attention_there(tmp_path):
    made = masked(tmp_path, saliency='backbone.layers.0.ffn')
    with pytest.raises(ValueError, match='without qkv and num_heads'):
        made.required_student_taps(student_of())
