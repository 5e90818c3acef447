"""``tools/analyse.py`` over digits and folders, and its models and images."""

import csv
import json
import shutil

import numpy as np
import pytest
import timm
import torch
from matplotlib import pyplot as plt
from PIL import Image as Picture
from transformers import ViTConfig, ViTForImageClassification

from mmvitkd.analysis import attention_maps, attention_rollout
from mmvitkd.datasets import FashionMNIST
from mmvitkd.datasets.digits import SPLITS, load_scans, split_order
from mmvitkd.inspection import images as image_lib
from mmvitkd.inspection.distance_figures import DistanceFigures
from mmvitkd.inspection.images import Image
from mmvitkd.inspection.models import Model, load
from mmvitkd.inspection.style import save, style
from tests.helpers import build, save_weights, vit
from tests.shrink import fashion_mnist_folder
from tests.test_tools.runs import PIPELINE, PLAIN, config, loader, message, run

MEAN, STD = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]
SWIN = {
    'type': 'ImageClassifier',
    'backbone': {
        'type': 'SwinTransformer',
        'arch': {'embed_dims': 12, 'depths': [2, 2], 'num_heads': [2, 4]},
        'img_size': 32,
        'patch_size': 4,
        'window_size': 4,
        'out_indices': (1,),
    },
    'neck': {'type': 'GlobalAveragePooling'},
    'head': {
        'type': 'LinearClsHead',
        'num_classes': 10,
        'in_channels': 24,
        'loss': {'type': 'CrossEntropyLoss'},
    },
}
MODELS = {'teacher': vit(24), 'student': vit(16), 'swin': SWIN}
MODELS['fine'] = vit(16, img_size=64)  # a grid of 8x8


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Configs and random weights of models, a distillation run, and images."""
    folder = tmp_path_factory.mktemp('analyse')
    preprocessor = {'mean': MEAN, 'std': STD, 'to_rgb': True}
    for name, model in MODELS.items():
        text = f'model = {model!r}\ndata_preprocessor = {preprocessor!r}\n'
        (folder / f'{name}.py').write_text(text)
        save_weights(model, folder / f'{name}.pth')
    config(folder, 'run', **PLAIN)
    weights = torch.load(folder / 'student.pth')['state_dict']
    weights = {f'student.{key}': value for key, value in weights.items()}
    torch.save({'state_dict': weights}, folder / 'run.pth')
    (folder / 'images' / 'inside').mkdir(parents=True)
    for i, size in enumerate([(60, 40), (64, 90), (32, 32), (50, 50), (33, 70)]):
        place = folder / 'images' / ('inside' if i % 2 else '') / f'{i}.png'
        noise = np.random.RandomState(i).randint(0, 256, (*size, 3), np.uint8)
        Picture.fromarray(noise).save(place)
    return folder


@pytest.fixture(scope='module')
def out(folder):
    """The teacher, the teacher again, and the student of the run, on ten digits."""
    models = (*spec(folder, 'teacher'), *spec(folder, 'same', 'teacher'))
    run(
        'analyse', *models, *spec(folder, 'distilled', 'run'),
        '--data', folder / 'run.py', '--count', 10, '--batch-size', 6,
        '--layers', 0, 2, '--overlays', 1, '--out', folder / 'out',
    )  # fmt: skip
    return folder / 'out'


def spec(folder, name, files=None):
    """Options that name a model of the fixture."""
    file = folder / (files or name)
    return '--model', name, file.with_suffix('.py'), file.with_suffix('.pth')


def rows(path):
    with path.open() as stream:
        return list(csv.DictReader(stream))


def noise(count=3, side=32):
    """Random images."""
    shape = (count, side, side, 3)
    pixels = np.random.RandomState(0).randint(0, 256, shape, np.uint8)
    return [Image(str(i), image) for i, image in enumerate(pixels)]


def normalised(images, mean=MEAN, std=STD):
    pixels = np.stack([image.pixels for image in images]).astype(np.float32)
    x = (pixels - np.float32(mean)) / np.float32(std)
    return torch.from_numpy(x).permute(0, 3, 1, 2)


def timm_vit(**changes):
    cfg = {'type': 'TimmClassifier', 'img_size': 32, 'depth': 2, **changes}
    return build({'model_name': 'vit_tiny_patch16_224', **cfg})


def test_everything_that_is_listed_is_there(out):
    analysis = json.loads((out / 'analysis.json').read_text())
    assert [m['name'] for m in analysis['models']] == ['teacher', 'same', 'distilled']
    assert [m['width'] for m in analysis['models']] == [24, 24, 16]
    predictions = rows(out / 'predictions.csv')
    right = sum(row['distilled'] == row['label'] for row in predictions)
    assert (len(predictions), analysis['models'][2]['top1']) == (10, 10 * right)
    sections = analysis['sections']
    parts = sections.values()
    files = [
        f[k] for p in parts for f in p['figures'] for k in ('svg', 'png') if k in f
    ]
    files += [table['csv'] for part in parts for table in part['tables']]
    there = {str(f.relative_to(out)) for f in out.rglob('*') if f.is_file()}
    assert there == {*files, 'analysis.json'}
    assert len(files) == len(set(files))
    assert [name for name in sections if sections[name]['notes']] == ['dynamics']


def test_a_model_is_as_near_as_can_be_to_itself(out):
    found = [row for row in rows(out / 'distance.csv') if row['model'] == 'same']
    assert len(found) == 9
    for row in found:
        if row['layer'] == row['teacher_layer']:
            assert float(row['cka']) == pytest.approx(1, abs=1e-5)
            for name in ('attention_kl', 'relation_angle', 'relation_difference'):
                assert float(row[name]) == pytest.approx(0, abs=1e-5)
        else:
            assert float(row['relation_angle']) > 1e-4


def test_means_are_over_all_images_whatever_the_batches(out, folder):
    model = load(str(folder / 'run.py'), str(folder / 'run.pth'))
    answer = model.capture(image_lib.load_data(folder / 'run.py', 10))
    expected = attention_maps(answer.layers[2].qkv, 2).mean((0, 1))
    file = rows(out / 'attention_maps' / 'distilled_layer02.csv')
    found = [[float(row[str(key)]) for key in range(17)] for row in file]
    assert torch.allclose(torch.tensor(found), expected, atol=1e-5)


def test_class_attention_of_single_images(out, folder):
    model = load(str(folder / 'teacher.py'), str(folder / 'teacher.pth'))
    image = image_lib.load_data(folder / 'run.py', 10)[0]
    layers = model.capture([image]).layers
    maps = [attention_maps(layer.qkv, 2) for layer in layers]
    file = rows(out / 'class_attention.csv')
    for what, expected in (
        ('0', maps[0].mean(1)[0, 0, 1:]),
        ('rollout', attention_rollout(maps)[0, 0, 1:]),
    ):
        found = [
            float(r['attention'])
            for r in file
            if r['model'] == 'teacher' and r['layer'] == what
        ]
        assert torch.allclose(torch.tensor(found), expected, atol=1e-5)
    assert {r['image'] for r in file} == {image.name}
    files = {file.name for file in (out / 'class_attention').iterdir()}
    assert files == {'00.svg', '00.png'}


@pytest.mark.parametrize(
    ('labels', 'count', 'chosen'),
    [
        ([0, 0, 0, 1, 1, 2], 3, [0, 3, 5]),
        ([0, 0, 0, 1, 1, 2], 4, [0, 1, 3, 5]),  # a second one of the first class
        ([0, 0, 1, 2, 3, 4], 3, [0, 3, 5]),  # from all over the classes
        ([0, 0, 0], 8, [0, 1, 2]),
        ([None] * 9, 3, [0, 4, 8]),
        ([0, 1], 0, []),
    ],
)
def test_images_shown_one_by_one_are_of_many_classes(labels, count, chosen):
    pixels = np.zeros((1, 1, 3), np.uint8)
    images = [Image(str(i), pixels, label) for i, label in enumerate(labels)]
    found = image_lib.choose_varied(images, count)
    assert [image.name for image in found] == [str(i) for i in chosen]


def test_figures_are_the_same_bytes_again(tmp_path):
    for name in ('one', 'other'):
        with style():
            figure, ax = plt.subplots()
            ax.imshow(np.eye(3))
            ax.plot([0, 1], label='line')
            ax.legend()
        save(figure, tmp_path / 'new' / name)
    for kind in ('svg', 'png'):
        one, other = ((tmp_path / 'new' / f'{n}.{kind}') for n in ('one', 'other'))
        assert one.read_bytes() == other.read_bytes()
    assert not plt.get_fignums()


def test_other_grids_depths_and_kinds_leave_what_can_be_compared(
    folder, tmp_path, capsys
):
    run(
        'analyse', *spec(folder, 'teacher'), *spec(folder, 'fine'),
        *spec(folder, 'swin'), '--images', folder / 'images', '--layers', 0,
        '--overlays', 0, '--batch-size', 4, '--out', tmp_path,
    )  # fmt: skip
    notes = capsys.readouterr().out
    assert "No attention maps of swin: the attention in 'backbone.stages.0" in notes
    assert 'Attention of swin and teacher not compared' in notes
    assert 'of fine and teacher not compared: their grids are 8x8 and 4x4' in notes
    assert 'patches and others, are 64+1 and 16+1' in notes
    found = rows(tmp_path / 'distance.csv')
    fine = [row for row in found if row['model'] == 'fine']
    assert {row['relation_angle'] for row in fine} == {'nan'}
    assert {row['attention_kl'] for row in fine} == {'nan'}
    assert all(-1 < float(row['cka']) < 1 for row in fine)
    # four blocks by three layers; the grid of the last two blocks is the teacher's
    swin = [row for row in found if row['model'] == 'swin']
    assert [r['relation_angle'] == 'nan' for r in swin] == [True] * 6 + [False] * 6


def test_one_model_alone_has_no_distance(folder, tmp_path):
    model = load(str(folder / 'teacher.py'), str(folder / 'teacher.pth'), name='t')
    section = DistanceFigures([model])
    section.update(noise(), [model.capture(noise())])
    written = section.write(tmp_path)
    assert written.notes == ['t alone: no distance to measure.']
    assert not list(tmp_path.iterdir())


def test_a_model_preprocesses_as_it_was_trained(folder):
    """RGB by its own mean and std, resized to its own size."""
    images = noise()
    model = load(str(folder / 'student.py'), str(folder / 'student.pth'))
    expected = model.classifier(normalised(images))
    assert torch.allclose(model.capture(images).logits, expected, atol=1e-5)
    fine = load(str(folder / 'fine.py'), str(folder / 'fine.pth'))
    larger = torch.nn.functional.interpolate(
        normalised(images), (64, 64), mode='bilinear', antialias=True
    )
    assert torch.allclose(
        fine.capture(images).logits, fine.classifier(larger), atol=1e-4
    )
    assert fine.capture(images).layers[0].tokens.hw == fine.grid == (8, 8)


def test_a_distillers_student_by_any_of_its_files(folder):
    images = noise()
    ours = load(str(folder / 'run.py'), str(folder / 'run.pth'))
    exported = load(str(folder / 'run.py'), str(folder / 'student.pth'))
    assert torch.equal(ours.capture(images).logits, exported.capture(images).logits)
    plain = load(str(folder / 'student.py'), str(folder / 'run.pth'))
    expected = load(str(folder / 'student.py'), str(folder / 'student.pth'))
    assert torch.equal(plain.capture(images).logits, expected.capture(images).logits)


def test_layers_are_the_blocks_outputs(folder):
    images = noise()
    model = load(str(folder / 'student.py'), str(folder / 'student.pth'))
    seen = []
    block = model.classifier.backbone.layers[1]
    with block.register_forward_hook(lambda *args: seen.append(args[-1])):
        layer = model.capture(images).layers[1]
    assert torch.equal(torch.cat([layer.extra, layer.tokens.value], 1), seen[0])
    assert layer.extra.shape == (3, 1, 16)
    assert model.blocks == [f'backbone.layers.{i}' for i in range(3)]


def test_timm_by_name_normalises_as_timm_does(tmp_path):
    """Its tiny ViT wants 0.5, where ImageNet's mean is elsewhere."""
    reference = timm.create_model('vit_tiny_patch16_224').eval()
    torch.nn.init.normal_(reference.head.weight)
    torch.save(reference.state_dict(), tmp_path / 'timm.pth')
    model = load('timm:vit_tiny_patch16_224', str(tmp_path / 'timm.pth'))
    images = noise(2, side=224)
    with torch.no_grad():
        expected = reference(normalised(images, [127.5] * 3, [127.5] * 3))
    assert torch.allclose(model.capture(images).logits, expected, atol=1e-4)
    assert (model.no_maps, model.grid, model.width) == (None, (14, 14), 192)


def test_huggingface_folder(tmp_path):
    """Its separate queries, keys and values make its own attention maps."""
    config = ViTConfig(
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=3,
        intermediate_size=32,
        image_size=32,
        patch_size=8,
        num_labels=10,
        attn_implementation='eager',
    )
    reference = ViTForImageClassification(config).eval()
    reference.save_pretrained(tmp_path)
    mean_and_std = {'image_mean': [0.4] * 3, 'image_std': [0.3] * 3}
    (tmp_path / 'preprocessor_config.json').write_text(json.dumps(mean_and_std))
    model = load(f'hf:{tmp_path}')
    images = noise()
    x = normalised(images, [0.4 * 255] * 3, [0.3 * 255] * 3)
    with torch.no_grad():
        expected = reference(x, output_attentions=True)
    answer = model.capture(images)
    assert torch.allclose(answer.logits, expected.logits, atol=1e-5)
    for layer, maps in zip(answer.layers, expected.attentions, strict=True):
        assert torch.allclose(attention_maps(layer.qkv, 3), maps, atol=1e-6)


@pytest.mark.parametrize(
    ('name', 'changes', 'extra'),
    [
        ('vit_tiny_patch16_224', {'qk_norm': True}, 1),
        ('deit3_small_patch16_224', {}, 1),
        ('deit_tiny_distilled_patch16_224', {}, 2),
        ('vit_small_patch14_reg4_dinov2', {'img_size': 28}, 5),
    ],
)
def test_timm_models_with_maps(name, changes, extra):
    model = Model(name, timm_vit(model_name=name, **changes))
    assert (model.no_maps, model.grid, model.extra_tokens) == (None, (2, 2), extra)
    answer = model.capture(noise())
    assert answer.layers[1].qkv.shape[:2] == (3, 4 + extra)


@pytest.mark.parametrize(
    ('name', 'changes'),
    [
        ('vit_small_patch16_rope_224', {}),  # rotary positions
        ('vit_relpos_small_patch16_224', {}),  # relative positions
        ('beit_base_patch16_224', {'depth': 1}),  # linear layers that are not called
        ('xcit_nano_12_p16_224', {}),  # between channels
    ],
)
def test_other_kinds_of_attention_have_no_maps(name, changes):
    model = Model(name, timm_vit(model_name=name, **changes))
    assert 'is not the plain softmax' in model.no_maps
    assert model.capture(noise()).layers[0].qkv is None


def test_swins_blocks_yield_tokens_on_their_own_grids(folder):
    model = load(str(folder / 'swin.py'), str(folder / 'swin.pth'))
    shapes = [
        (layer.tokens.hw, tuple(layer.tokens.value.shape), layer.qkv)
        for layer in model.capture(noise()).layers
    ]
    large, small = ((8, 8), (3, 64, 12), None), ((4, 4), (3, 16, 24), None)
    assert shapes == [large, large, small, small]
    assert 'WindowMSA' in model.no_maps


def test_attention_in_windows_alone_has_no_maps():
    """Without positions and shifts, it is plain within each window."""
    arch = {'embed_dims': 12, 'depths': [1, 1], 'num_heads': [2, 4]}
    swin = build({**SWIN, 'backbone': {**SWIN['backbone'], 'arch': arch}})
    for name, parameter in swin.named_parameters():
        if 'relative_position' in name:
            torch.nn.init.zeros_(parameter)
    assert "'backbone.stages.0.blocks.0' (WindowMSA)" in Model('swin', swin).no_maps


def test_images_of_a_config_are_its_test_images(folder):
    scans, labels = load_scans()
    first = split_order(labels)[SPLITS['test'][0]]
    images = image_lib.load_data(folder / 'run.py', 1000)
    assert len(images) == 64
    assert images[0].label == labels[first]
    small = np.array(Picture.fromarray(scans[first]).resize((32, 32), Picture.BILINEAR))
    assert np.abs(images[0].pixels[..., 0].astype(int) - small).mean() < 4


def test_images_of_a_folder_are_centres_in_rgb(tmp_path):
    wide = np.zeros((64, 128, 3), np.uint8)
    wide[:, 32:96] = (250, 120, 10)
    Picture.fromarray(wide).save(tmp_path / 'wide.png')
    (image,) = image_lib.load(tmp_path, 9, size=28)
    assert (image.name, image.label) == ('wide.png', None)
    assert image.pixels.shape == (28, 28, 3)
    assert (image.pixels == (250, 120, 10)).all()


def test_images_are_spread_over_a_folder(tmp_path):
    for i in range(9):
        Picture.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / f'{i}.png')
    found = [image.name for image in image_lib.load(tmp_path, 3, size=8)]
    assert found == ['0.png', '4.png', '8.png']


def test_mistakes_are_one_line(folder, tmp_path):
    some = ['--images', folder / 'images', '--out', tmp_path]
    teacher = spec(folder, 'teacher')

    def says(*args):
        found = message('analyse', *args)
        assert found.startswith('error: ')
        assert '\n' not in found
        return found

    no = tmp_path / 'no'
    assert "config 'no.py' does not exist" in says('--model', 'a', 'no.py', 'x', *some)
    assert 'has no weights' in says(*teacher[:3], *some)
    assert 'does not exist' in says(*teacher[:3], no, *some)
    assert 'NAME CFG [CHECKPOINT], got a' in says('--model', 'a', *some)
    wrong = says(*teacher[:3], folder / 'student.pth', *some)
    assert 'does not fit' in wrong
    assert 'two models are named teacher' in says(*teacher, *teacher, *some)
    assert 'layers 0 to 2, but not 3' in says(*teacher, *some, '--layers', 0, 3)
    few = tmp_path / 'few'
    few.mkdir()
    shutil.copy(folder / 'images' / '0.png', few)
    assert '1 images are too few: take 4' in says(*teacher, '--images', few, *some[2:])
    shutil.rmtree(few)
    assert 'does not exist' in says(*teacher, '--images', no, *some[2:])
    assert 'has no images' in says(*teacher, '--images', tmp_path, *some[2:])
    assert 'no test_dataloader' in says(*teacher, '--data', teacher[2], *some[2:])
    nearest = says('--model', 'a', 'timm:vit_tiny_patch16', *some)
    assert 'vit_tiny_patch16_224' in nearest
    assert 'preprocessor_config.json' in says('--model', 'a', f'hf:{no}', *some)
    assert not list(tmp_path.iterdir())


def test_images_that_are_none(folder, tmp_path):
    (tmp_path / 'broken.png').write_bytes(b'no picture')
    with pytest.raises(ValueError, match=r"broken\.png' can't be read"):
        image_lib.load(tmp_path, 1)
    images = [*noise(1, side=32), *noise(1, side=16)]
    model = load(str(folder / 'student.py'), str(folder / 'student.pth'))
    with pytest.raises(ValueError, match=r'\(16, 16\) and \(32, 32\)'):
        model.capture(images)


def test_a_config_of_data_alone_and_one_of_no_plain_images(tmp_path):
    file = tmp_path / 'data.py'
    scope = "default_scope = 'mmvitkd'\n"
    file.write_text(f'{scope}test_dataloader = {loader("test", [PIPELINE[1]])}\n')
    assert image_lib.load_data(file, 1)[0].pixels.shape == (8, 8, 3)
    floats = [{'type': 'Normalize', 'mean': [0.0] * 3, 'std': [1.0] * 3}, PIPELINE[1]]
    file.write_text(f'{scope}test_dataloader = {loader("test", floats)}\n')
    with pytest.raises(ValueError, match=r'\(3, 8, 8\) of torch.float32, but images'):
        image_lib.load_data(file, 1)


def test_models_of_one_channel_are_asked_about_grey_images(tmp_path):
    data = {
        'type': 'FashionMNIST',
        'data_root': str(fashion_mnist_folder(tmp_path)),
        'split': 'test',
        'verify': False,
        'pipeline': [PIPELINE[1]],
    }
    file = tmp_path / 'data.py'
    file.write_text(
        f"default_scope = 'mmvitkd'\ntest_dataloader = dict(dataset={data})\n"
    )
    images = image_lib.load_data(file, 3)
    scans = FashionMNIST(tmp_path, 'test', verify=False)
    pixels = torch.from_numpy(np.stack([scans[i]['img'] for i in (0, 4, 7)]))[:, None]
    found = torch.from_numpy(np.stack([image.pixels for image in images]))
    assert torch.equal(found, pixels.permute(0, 2, 3, 1).expand(-1, -1, -1, 3))

    preprocessor = {'mean': [78.0], 'std': [96.0]}
    cfg = vit(16, in_channels=1, img_size=28, patch_size=7)
    model = Model('grey', build({**cfg, 'data_preprocessor': preprocessor}))
    expected = model.classifier((pixels - 78.0) / 96.0)
    assert torch.allclose(model.capture(images).logits, expected, atol=1e-5)


def test_convolutional_networks_are_refused():
    with pytest.raises(ValueError, match='no blocks with attention'):
        Model('cnn', build({'type': 'TimmClassifier', 'model_name': 'resnet18'}))
