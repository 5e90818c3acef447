import pytest
import torch
from mmengine.config import Config

from mmvitkd.models import Teacher
from mmvitkd.models.classifiers.tap import Tap
from tests.helpers import build, distiller, samples, save_weights, vit
from tests.test_models.test_classifiers.teachers import HEAD, preprocessor, teacher
from tests.test_tools.runs import in_processes

IMAGENET = {'mean': [123.675, 116.28, 103.53], 'std': [58.395, 57.12, 57.375]}


def test_answers_are_the_models_own_and_eval(tmp_path):
    """DropPath and Dropout would change them in train mode."""
    cfg = vit(drop_rate=0.5, drop_path_rate=0.5)
    made = teacher(tmp_path, cfg)
    images = torch.randn(2, 3, 32, 32)
    answer = made(images, preprocessor(), [HEAD])[HEAD].value
    plain = build(cfg).eval()
    plain.load_state_dict(torch.load(tmp_path / 't.pth')['state_dict'])
    assert torch.equal(answer, plain(images))
    assert not answer.requires_grad
    assert not any(p.requires_grad for p in made.model.parameters())


@pytest.mark.parametrize('kind', ['path', 'whole', 'model'])
def test_config_as_path_or_dict(tmp_path, kind):
    whole = {'model': vit(), 'data_preprocessor': IMAGENET}
    Config(whole).dump(tmp_path / 'c.py')
    cfg = {'path': str(tmp_path / 'c.py'), 'whole': whole, 'model': vit()}[kind]
    made = Teacher(cfg, checkpoint=save_weights(vit(), tmp_path / 't.pth'))
    made.load()
    assert (made.preprocessor is None) == (kind == 'model')


def test_config_by_mmpretrain_name(tmp_path):
    made = Teacher('mmpretrain::deit3/deit3-small-p16_64xb64_in1k.py', checkpoint='x')
    assert type(made.model.backbone).__module__.startswith('mmvitkd')
    assert made.preprocessor.to_rgb


def test_own_normalisation_is_honoured(tmp_path):
    """Raw images through the teacher's own preprocessing are the reference."""
    own = {**IMAGENET, 'to_rgb': True}
    made = teacher(tmp_path, {**vit(), 'data_preprocessor': own})
    raw = torch.randint(256, (2, 3, 32, 32)).float()
    students = preprocessor(mean=[127.5] * 3, std=[50.0, 60.0, 70.0])
    data = {'inputs': raw, 'data_samples': samples([0, 1])}
    seen_by_student = students(dict(data))['inputs']
    expected = preprocessor(**own)(dict(data))['inputs']
    assert torch.allclose(made.prepare(seen_by_student, students), expected, atol=1e-4)


def test_another_order_of_the_channels_is_honoured_at_equal_values(tmp_path):
    gray = {'mean': [127.5] * 3, 'std': [127.5] * 3}
    made = teacher(tmp_path, {**vit(), 'data_preprocessor': {**gray, 'to_rgb': False}})
    images = torch.randn(2, 3, 32, 32)
    rgb = made.prepare(images, preprocessor(**gray, to_rgb=True))
    assert torch.allclose(rgb, images.flip(1), atol=1e-5)
    bgr = made.prepare(images, preprocessor(**gray, to_rgb=False))
    assert torch.equal(bgr, images)


def test_images_are_made_smaller_without_aliasing(tmp_path):
    """Stripes of one pixel are gray from afar, not stripes of another width."""
    stripes = torch.ones(1, 3, 64, 64)
    stripes[..., ::2] = -1
    small = teacher(tmp_path).prepare(stripes, preprocessor())
    assert small[..., 2:-2].abs().max() < 0.01
    thirds = torch.ones(1, 3, 96, 96)
    thirds[..., ::3] = -2  # of mean 0
    small = teacher(tmp_path).prepare(thirds, preprocessor())
    assert small[..., 2:-2].abs().max() < 0.2


def test_without_own_normalisation_it_sees_the_students(tmp_path):
    images = torch.randn(2, 3, 32, 32)
    made = teacher(tmp_path)
    assert made.prepare(images, preprocessor(**IMAGENET)) is images


def test_input_size(tmp_path):
    images = torch.randn(2, 3, 64, 64)
    assert teacher(tmp_path).prepare(images, preprocessor()).shape[-2:] == (32, 32)
    same = teacher(tmp_path, input_size='same')
    assert same.prepare(images, preprocessor()) is images
    given = teacher(tmp_path, input_size=(48, 40))
    assert given.prepare(images, preprocessor()).shape[-2:] == (48, 40)
    with pytest.raises(ValueError, match="'same' or None, got 'big'"):
        teacher(tmp_path, input_size='big')


def test_weights_of_a_distilled_student(tmp_path):
    weights = build(vit()).state_dict()
    torch.save(
        {'state_dict': {f'student.{k}': v for k, v in weights.items()}},
        tmp_path / 'd.pth',
    )
    made = Teacher(vit(), checkpoint=tmp_path / 'd.pth', prefix='student.')
    made.load()
    assert torch.equal(
        made.model.state_dict()['head.layers.head.weight'],
        weights['head.layers.head.weight'],
    )


def test_timm_teacher_loads_timms_file(tmp_path):
    import timm

    reference = timm.create_model('vit_tiny_patch16_224', img_size=32, depth=2).eval()
    torch.save(reference.state_dict(), tmp_path / 'timm.pth')
    made = Teacher(
        {
            'type': 'TimmClassifier',
            'model_name': 'vit_tiny_patch16_224',
            'img_size': 32,
            'depth': 2,
        },
        checkpoint=tmp_path / 'timm.pth',
    )
    made.load()
    images = torch.randn(2, 3, 32, 32)
    tap = Tap('model.head')
    assert torch.equal(
        made(images, made.preprocessor, [tap])[tap].value, reference(images)
    )


def test_huggingface_teacher_fetches_its_own_weights(tmp_path):
    """And files of them fit too."""
    from safetensors.torch import save_file
    from transformers import ViTConfig, ViTForImageClassification

    config = ViTConfig(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        image_size=32,
        patch_size=8,
        num_labels=10,
    )
    reference = ViTForImageClassification(config).eval()
    reference.save_pretrained(tmp_path)
    cfg = {'type': 'HuggingFaceClassifier', 'model_name': str(tmp_path)}
    own = Teacher({**cfg, 'pretrained': True})
    save_file(reference.state_dict(), tmp_path / 'weights.safetensors')
    file = Teacher(cfg, checkpoint=tmp_path / 'weights.safetensors')
    file.load()
    images = torch.randn(2, 3, 32, 32)
    tap = Tap('model.classifier')
    for made in (own, file):
        answer = made(images, preprocessor(), [tap])[tap].value
        assert torch.allclose(answer, reference(images).logits, atol=1e-6)


HALF = {'mean': [127.5] * 3, 'std': [127.5] * 3, 'to_rgb': True}


@pytest.mark.parametrize(
    'name, own',
    [
        ('vit_small_patch16_224', HALF),
        ('vit_base_patch16_siglip_224', HALF),
        ('deit_tiny_patch16_224', {**IMAGENET, 'to_rgb': True}),
    ],
)
def test_a_timm_teacher_gets_the_pixels_that_timm_gives_it(name, own):
    """Held against timm's own transform of an image, under a student of ImageNet's."""
    import numpy as np
    import timm
    from PIL import Image

    made = Teacher(
        {'type': 'TimmClassifier', 'model_name': name, 'img_size': 32, 'depth': 1},
        checkpoint='x',
    )
    cfg = timm.data.resolve_data_config(model=made.model.model)
    assert cfg['mean'] == tuple(v / 255 for v in own['mean'])
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    transform = timm.data.create_transform(**{**cfg, 'input_size': 32, 'crop_pct': 1.0})
    expected = transform(Image.fromarray(pixels))[None]
    students = preprocessor(**IMAGENET, to_rgb=True)
    bgr = torch.from_numpy(pixels[..., ::-1].copy()).permute(2, 0, 1)
    seen = students({'inputs': bgr[None], 'data_samples': samples([0])})['inputs']
    assert torch.allclose(made.prepare(seen, students), expected, atol=1e-5)


def test_a_config_comes_before_the_library_and_the_log_tells(log):
    cfg = {'type': 'TimmClassifier', 'model_name': 'vit_small_patch16_224', 'depth': 1}
    made = Teacher({**cfg, 'data_preprocessor': IMAGENET}, checkpoint='x')
    assert made.preprocessor.mean.flatten().tolist() == pytest.approx(IMAGENET['mean'])
    assert "timm's pretrained_cfg of vit_small_patch16_224" in log.text
    assert 'mean [127.5, 127.5, 127.5]' in log.text
    assert 'The config is followed' in log.text


@pytest.mark.parametrize('normalised', [True, False])
def test_huggingface_pixels_are_those_of_its_image_processor(tmp_path, normalised):
    import numpy as np
    from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor

    config = ViTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=32, image_size=32, patch_size=8, num_labels=10,
    )  # fmt: skip
    ViTForImageClassification(config).save_pretrained(tmp_path)
    processor = ViTImageProcessor(
        size={'height': 32, 'width': 32},
        image_mean=[0.5, 0.4, 0.3],
        image_std=[0.2, 0.3, 0.4],
        do_normalize=normalised,
    )
    processor.save_pretrained(tmp_path)
    made = Teacher(
        {'type': 'HuggingFaceClassifier', 'model_name': str(tmp_path),
         'pretrained': True}
    )  # fmt: skip
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    expected = processor(pixels, return_tensors='pt')['pixel_values']
    students = preprocessor(**IMAGENET, to_rgb=True)
    bgr = torch.from_numpy(pixels[..., ::-1].copy()).permute(2, 0, 1)
    seen = students({'inputs': bgr[None], 'data_samples': samples([0])})['inputs']
    assert torch.allclose(made.prepare(seen, students), expected, atol=1e-5)


@pytest.mark.parametrize('pretrained', [True, False])
def test_the_log_tells_whose_weights_and_pixels(tmp_path, log, pretrained):
    from transformers import ViTConfig, ViTForImageClassification

    config = ViTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=32, image_size=32, patch_size=8, num_labels=10,
    )  # fmt: skip
    ViTForImageClassification(config).save_pretrained(tmp_path)
    cfg = {'type': 'HuggingFaceClassifier', 'model_name': str(tmp_path)}
    file = None if pretrained else tmp_path / 'model.safetensors'
    Teacher({**cfg, 'pretrained': pretrained}, checkpoint=file).load()
    assert ('pretrained=True' if pretrained else str(file)) in log.text
    assert 'its pixels are as the student normalises them' in log.text


@pytest.mark.parametrize('named', ['by scope', 'by class', 'by path', 'nested scope'])
def test_mmpretrains_deit3_is_corrected_however_it_is_named(named, log):
    from mmpretrain.models.backbones import deit3 as upstream

    cfg = vit()
    kinds = {
        'by scope': 'mmpretrain.DeiT3',
        'by class': upstream.DeiT3,
        'by path': 'mmpretrain.models.backbones.deit3.DeiT3',
        'nested scope': 'DeiT3',
    }
    cfg['backbone'] = {**cfg['backbone'], 'type': kinds[named]}
    if named == 'nested scope':
        cfg['backbone']['_scope_'] = 'mmpretrain'
    made = Teacher(cfg, checkpoint='x')
    assert type(made.model.backbone).__module__ == 'mmvitkd.models.backbones.deit3'
    if named != 'nested scope':
        assert "mmpretrain's DeiT3 is replaced" in log.text


def ran(made, name='head'):
    """Count how often a module of the teacher runs."""
    calls = []
    made.model.get_submodule(name).register_forward_hook(lambda *_: calls.append(name))
    return calls


@pytest.mark.parametrize('stop_early', [True, False])
def test_it_stops_after_its_last_tap_once_checked(tmp_path, stop_early):
    """The answers are the same; what comes behind does not run."""
    made = teacher(tmp_path, stop_early=stop_early)
    calls, images = ran(made), torch.randn(2, 3, 32, 32)
    taps = [Tap('backbone.layers.1'), Tap('backbone.layers.0')]
    first, second = (made(images, preprocessor(), taps) for _ in range(2))
    assert len(calls) == (1 if stop_early else 2)
    for tap in taps:
        assert torch.equal(first[tap].value, second[tap].value)
        assert first[tap].hw == second[tap].hw == (4, 4)
    assert HEAD in made(images, preprocessor(), [HEAD])  # others are checked anew
    assert len(calls) == (2 if stop_early else 3)


def test_the_grid_is_known_also_when_the_patch_embedding_itself_is_tapped(tmp_path):
    made, tap = teacher(tmp_path), Tap('backbone.patch_embed')
    images = torch.randn(2, 3, 32, 32)
    for _ in range(2):
        assert made(images, preprocessor(), [tap])[tap].hw == (4, 4)


def test_a_tap_that_fires_twice_is_found_before_it_stops_early(tmp_path):
    made, tap = teacher(tmp_path), Tap('backbone.layers.0')
    made.model.backbone.layers[1] = made.model.backbone.layers[0]
    with pytest.raises(ValueError, match='fired twice'):
        made(torch.randn(2, 3, 32, 32), preprocessor(), [tap])


def test_in_bfloat16_it_answers_nearly_the_same(tmp_path):
    """Half of the memory; the normalisation stays exact; autocast changes nothing."""
    images = torch.randn(2, 3, 32, 32)
    cfg = {**vit(), 'data_preprocessor': IMAGENET}
    plain, half = (teacher(tmp_path, cfg, dtype=d) for d in (None, 'bfloat16'))
    dtypes = {p.dtype for p in half.model.parameters()}
    assert dtypes == {torch.bfloat16}
    assert torch.equal(half.preprocessor.mean, plain.preprocessor.mean)
    answers = [
        made(images, preprocessor(**IMAGENET), [HEAD])[HEAD].value
        for made in (plain, half)
    ]
    assert answers[1].dtype == torch.bfloat16
    torch.testing.assert_close(answers[1].float(), answers[0], rtol=0.1, atol=0.1)
    with torch.autocast('cpu', torch.float16):
        again = half(images, preprocessor(**IMAGENET), [HEAD])[HEAD].value
    assert torch.equal(again, answers[1])


def test_a_precision_that_does_not_exist():
    for dtype in ('half precision', 'int8'):
        with pytest.raises(ValueError, match=f"'bfloat16', .* got '{dtype}'"):
            Teacher(vit(), checkpoint='x', dtype=dtype)


def test_a_bfloat16_teacher_trains_a_student(tmp_path):
    cfg = distiller(tmp_path)
    cfg['teacher']['dtype'] = 'bfloat16'
    model = build(cfg)
    losses = model.loss(torch.randn(4, 3, 32, 32), samples([0, 1, 2, 3]))
    sum(losses.values()).backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())
    assert all(p.dtype == torch.float32 for p in model.parameters())


def answer_compiled(folder):
    plain, fast = (teacher(folder, vit(layers=3), compile=c) for c in (False, True))
    taps = [Tap('backbone.layers.0'), Tap('backbone.layers.1.attn'), HEAD]
    images = torch.randn(2, 3, 32, 32)
    expected = plain(images, preprocessor(), taps)
    for _ in range(2):
        found = fast(images, preprocessor(), taps)
        for tap in taps:
            torch.testing.assert_close(found[tap].value, expected[tap].value)
    is_own = ['forward' in vars(block) for block in fast.model.backbone.layers]
    assert is_own == [True, False, True]


@pytest.mark.slow
def test_compiled_it_answers_the_same(tmp_path):
    """But for rounding; a block with a tap inside runs as it is."""
    # a process that has compiled can't be forked, as other tests do with this one
    in_processes(1, answer_compiled, tmp_path)
