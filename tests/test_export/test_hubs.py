"""Students as folders of timm and Hugging Face, against what MMPretrain predicts."""

import json

import pytest
import timm
import torch
import transformers
from mmcv.transforms import Compose
from mmengine.config import Config
from mmengine.registry import DefaultScope
from PIL import Image
from sklearn.datasets import load_sample_image

from mmvitkd.export.export import export
from mmvitkd.utils.errors import ConfigError
from tests.helpers import build, save_weights, vit
from tests.test_export.students import (
    PREPROCESSOR,
    SWIN,
    family,
    images,
    pooled,
    predicted,
    saved,
)
from tests.test_tools.runs import config, message, run

MEAN, STD = (torch.tensor(v).view(3, 1, 1) for v in ([120.0, 110, 100], [60.0, 55, 50]))
# three merges of patches, and widths that differ from stage to stage
DEEP_SWIN = {
    **SWIN,
    'arch': {'embed_dims': 8, 'depths': [2, 1, 1], 'num_heads': [1, 2, 4]},
    'out_indices': (2,),
}


def student(name, folder):
    """Config of a tiny student."""
    if name == 'layer scale':
        cfg = vit()
        cfg['backbone']['layer_scale_init_value'] = 0.5
        return cfg
    if name == 'DeiT3':
        return vit(type='DeiT3')
    if name == 'deep Swin':
        return pooled(DEEP_SWIN, 32)
    return family(name, folder)


def written(name, kind, folder, **changes):
    """Export a student, none of whose norms are ones and whose biases are zeros."""
    cfg, checkpoint = saved(student(name, folder), folder, **changes)
    state = torch.load(checkpoint)
    generator = torch.Generator().manual_seed(0)
    for key, value in state['state_dict'].items():
        if value.is_floating_point() and not key.startswith('data_'):
            value += 0.1 * torch.randn(value.shape, generator=generator)
    torch.save(state, checkpoint)
    out, lines = export(checkpoint, folder / 'out', kind, config=cfg)
    assert 'in batches of 1 and 7' in lines[0]
    return cfg, checkpoint, out


@pytest.mark.parametrize(
    'name',
    ['ViT', 'layer scale', 'DeiT3', 'distilled DeiT', 'Swin', 'deep Swin', 'timm'],
)
def test_timm_creates_a_model_that_predicts_the_same(name, tmp_path):
    cfg, checkpoint, out = written(name, 'timm', tmp_path)
    model = timm.create_model(f'local-dir:{out}', pretrained=True).eval()
    rgb = images(5, 32)
    with torch.no_grad():
        found = model((rgb - MEAN) / STD).softmax(1)
    wanted = predicted(cfg, checkpoint, rgb)
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6)
    told = timm.data.resolve_model_data_config(model)
    assert told['mean'] == pytest.approx((MEAN.flatten() / 255).tolist())
    assert told['input_size'] == (3, 32, 32)


@pytest.mark.parametrize(
    'name',
    [
        'ViT',
        'layer scale',
        'DeiT3',
        'distilled DeiT',
        'Swin',
        'deep Swin',
        'Hugging Face',
        'DINOv2',
    ],
)
def test_hugging_face_loads_a_model_that_predicts_the_same(name, tmp_path):
    cfg, checkpoint, out = written(name, 'huggingface', tmp_path)
    auto = transformers.AutoModelForImageClassification
    model = auto.from_pretrained(out).eval()
    rgb = images(5, 32)
    with torch.no_grad():
        found = model(pixel_values=(rgb - MEAN) / STD).logits.softmax(1)
    wanted = predicted(cfg, checkpoint, rgb)
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6)


PIPELINE = [
    {'type': 'LoadImageFromFile'},
    {
        'type': 'ResizeEdge',
        'scale': 40,
        'edge': 'short',
        'backend': 'pillow',
        'interpolation': 'bicubic',
    },
    {'type': 'CenterCrop', 'crop_size': 32},
    {'type': 'PackInputs'},
]


@pytest.fixture(scope='module')
def photo(tmp_path_factory):
    folder = tmp_path_factory.mktemp('photos')
    pixels = load_sample_image('china.jpg')[:300, :400]
    Image.fromarray(pixels).save(folder / 'photo.png')
    return folder / 'photo.png'


def prepared(cfg, photo):
    """What MMPretrain's pipeline and data_preprocessor make of an image."""
    whole = Config.fromfile(cfg)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        packed = Compose(whole.test_dataloader.dataset.pipeline)({'img_path': photo})
    model = build(whole.model)
    return model.data_preprocessor({'inputs': packed['inputs'][None]})['inputs']


def tested_on(photo):
    """A test set of one photograph."""
    dataset = {
        'type': 'CustomDataset',
        'data_root': str(photo.parent),
        'with_label': False,
        'pipeline': PIPELINE,
    }
    return {'test_dataloader': {'dataset': dataset}}


def test_images_are_prepared_as_mmpretrain_prepares_them(tmp_path, photo):
    cfg, _, out = written('ViT', 'huggingface', tmp_path, **tested_on(photo))
    processor = transformers.AutoImageProcessor.from_pretrained(out)
    found = processor(images=Image.open(photo), return_tensors='pt')['pixel_values']
    wanted = prepared(cfg, str(photo))
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-4)


def test_timm_is_told_how_images_are_prepared(tmp_path, photo):
    cfg, _, out = written('ViT', 'timm', tmp_path, **tested_on(photo))
    model = timm.create_model(f'local-dir:{out}')
    told = timm.data.resolve_model_data_config(model)
    transform = timm.data.create_transform(**told)
    found = transform(Image.open(photo))[None]
    torch.testing.assert_close(found, prepared(cfg, str(photo)), rtol=0, atol=1e-4)


@pytest.mark.parametrize('kind', ['timm', 'huggingface'])
def test_a_student_of_blue_green_and_red(kind, tmp_path):
    """The libraries read RGB: the first layer's channels are turned round."""
    model = {**vit(), 'data_preprocessor': {**PREPROCESSOR, 'to_rgb': False}}
    cfg = Config({'default_scope': 'mmvitkd', 'model': model})
    cfg.dump(tmp_path / 'student.py')
    checkpoint = save_weights(model, tmp_path / 'student.pth')
    loads = [{'type': 'LoadImageFromFile'}, {'type': 'PackInputs'}]
    cfg.test_dataloader = {'dataset': {'type': 'CustomDataset', 'pipeline': loads}}
    _, lines = export(
        checkpoint, tmp_path / 'out', kind, config=tmp_path / 'student.py'
    )
    assert 'the largest error' in lines[0]


def test_the_card_says_what_is_known(tmp_path):
    """Of a distillation with its validation, from what its run has left."""
    cfg = config(tmp_path, **{'train_cfg.max_epochs': 2, 'train_cfg.val_interval': 1})
    run('train', cfg, '--work-dir', tmp_path / 'run')
    checkpoint = tmp_path / 'run' / 'epoch_2.pth'
    out = tmp_path / 'student'
    run(
        'export_student', checkpoint, out, '--format', 'timm', '--license', 'apache-2.0'
    )
    card = (out / 'README.md').read_text()
    (log,) = (tmp_path / 'run').glob('*/vis_data/scalars.json')
    last = json.loads(log.read_text().splitlines()[-1])
    assert f'accuracy/top1 {last["accuracy/top1"]:.2f} on the validation set' in card
    assert 'license: "apache-2.0"' in card
    assert '- Teacher: VisionTransformer' in card
    assert '- Trained on: Digits' in card
    assert '- Epochs: 2' in card
    assert str(tmp_path) not in card
    labels = json.loads((out / 'config.json').read_text())['label_names']
    assert labels == list('0123456789')
    # a second time: refused, then file by file, and others stay
    (out / 'mine.txt').write_text('kept')
    assert '--force' in message('export_student', checkpoint, out, '--format', 'timm')
    run('export_student', checkpoint, out, '--format', 'timm', '--force')
    assert (out / 'mine.txt').read_text() == 'kept'
    assert 'license' not in (out / 'README.md').read_text()
    assert sorted(p.name for p in tmp_path.iterdir() if 'part' in p.name) == []


@pytest.mark.parametrize('kind', ['timm', 'huggingface'])
@pytest.mark.parametrize('name', ['ours', 'ResNet'])
def test_what_the_libraries_lack_is_refused(name, kind, tmp_path):
    cfg, checkpoint = saved(family(name, tmp_path), tmp_path)
    with pytest.raises(ConfigError, match='ViT, DeiT, DeiT III and Swin'):
        export(checkpoint, tmp_path / 'out', kind, config=cfg)
    assert not (tmp_path / 'out').exists()


def test_a_student_of_another_activation_is_not_written(tmp_path):
    """Its weights fit, and its predictions would be others."""
    path, checkpoint = saved(vit(layer_cfgs={'act_cfg': {'type': 'ReLU'}}), tmp_path)
    with pytest.raises(ConfigError, match=r'above 0\.0001: nothing was written'):
        export(checkpoint, tmp_path / 'out', 'timm', config=path)
    assert not (tmp_path / 'out').exists()


def test_publishing_takes_a_token_and_a_name(tmp_path, monkeypatch):
    cfg, checkpoint = saved(vit(), tmp_path)
    args = (checkpoint, tmp_path / 'out', '--config', cfg, '--format', 'timm')
    for name in ('HF_TOKEN', 'HUGGING_FACE_HUB_TOKEN'):
        monkeypatch.delenv(name, raising=False)
    gone = str(tmp_path / 'token')
    monkeypatch.setattr('huggingface_hub.constants.HF_TOKEN_PATH', gone)
    assert 'HF_TOKEN' in message('export_student', *args, '--push-to-hub', 'me/student')
    assert '--push-to-hub' in message('export_student', *args, '--push-to-hub', 'a/b/c')
    assert not (tmp_path / 'out').exists()


def test_what_was_exported_is_what_the_hub_gets(tmp_path, hub, capsys):
    cfg, checkpoint = saved(vit(), tmp_path)
    out = tmp_path / 'out'
    args = (checkpoint, out, '--config', cfg, '--format', 'timm')
    run('export_student', *args, '--push-to-hub', 'me/student')
    assert capsys.readouterr().out.endswith(f'{hub.url}/me/student/tree/main/\n')
    wanted = {file.name: file.read_bytes() for file in out.iterdir()}
    assert 'model.safetensors' in wanted
    assert hub.repos == {'me/student': wanted}
