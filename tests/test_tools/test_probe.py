"""``python -m mmvitkd probe`` over real digits, and its hook in training."""

import json
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from mmvitkd.inspection import probe as probing
from mmvitkd.inspection.models import load_classifier
from mmvitkd.models.classifiers.pooled import pooled_features
from tests.helpers import distiller, save_weights
from tests.test_models.test_classifiers.test_grids import TINY
from tests.test_tools.runs import config, message, run, run_together, weights

K = {'--k': '3 9'}


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """A distillation's config, and weights of its student."""
    folder = tmp_path_factory.mktemp('probe')
    config(folder, 'run')
    save_weights(distiller(folder), folder / 'run.pth')
    return folder


def probe(folder, out='out', **options):
    given = {'--batch-size': 7, '--k': '3', '--strength': '0.01', **options}
    words = [word for pair in given.items() for word in pair if word is not None]
    words = [part for word in words for part in str(word).split()]
    run('probe', folder / 'run.py', folder / 'run.pth', '--out', folder / out, *words)
    return json.loads((folder / out / 'probe.json').read_text())


@pytest.fixture(scope='module')
def out(folder):
    probe(folder)
    return folder / 'out'


def features(out: Path, split: str) -> tuple[torch.Tensor, torch.Tensor]:
    held = torch.load(out / f'features_{split}.pt', weights_only=True)
    return held['values'], held['labels']


def test_the_features_are_what_the_head_takes(folder, out):
    """By hand, from the pixels of the config's own test images."""
    cfg = Config.fromfile(folder / 'run.py')
    student = load_classifier(str(folder / 'run.py'), str(folder / 'run.pth')).eval()
    _, images = probing.open_sets(cfg, 'test', None).values()
    values, labels = features(out, 'test')
    assert len(values) == len(images) == 64
    for i in (0, 63):
        pixels = torch.from_numpy(images[i].pixels).permute(2, 0, 1)[None].float()
        with torch.no_grad():
            token = student.backbone((pixels - 78) / 96)[-1]
        torch.testing.assert_close(values[i], token[0], rtol=1e-4, atol=1e-4)
        assert labels[i] == images[i].label


def test_the_neighbours_are_training_images_without_augmentation(folder, out):
    """The nearest ones of the training set's own images are these."""
    values, labels = features(out, 'train')
    assert values.shape == (64, 16) and (labels >= 0).all()
    again = probe(folder, 'again', **{'--k': '1'})
    assert torch.equal(features(folder / 'again', 'train')[0], values)
    assert again['train_images'] == again['test_images'] == 64
    assert 0 <= again['results']['knn1/top1'] <= 100
    assert again['results']['linear/C'] == 0.01


def test_features_are_found_again(folder, out, capsys):
    before = (out / 'features_train.pt').stat().st_mtime_ns
    found = probe(folder, **{'--k': '1 5'})['results']
    assert {'knn1/top1', 'knn5/top1', 'linear/top1'} <= set(found)
    assert (out / 'features_train.pt').stat().st_mtime_ns == before
    assert capsys.readouterr().out.count('as they are') == 2


def test_other_weights_images_or_taps_are_other_features(folder, capsys):
    probe(folder, 'many')
    save_weights(distiller(folder), folder / 'run.pth', seed=2)
    probe(folder, 'many')
    tap = {'--tap': 'backbone.layers.0', '--tokens': 'patch'}
    probe(folder, 'many', **tap)
    assert 'as they are' not in capsys.readouterr().out
    probe(folder, 'many', **tap, **{'--max-images': 40})
    assert capsys.readouterr().out.count('as they are') == 1  # the test images'
    assert len(features(folder / 'many', 'train')[0]) == 40
    (folder / 'many' / 'features_test.pt').write_bytes(b'damaged')
    probe(folder, 'many', **tap)
    save_weights(distiller(folder), folder / 'run.pth')


@pytest.mark.slow
def test_two_processes(folder, out):
    words = ['--k', 3, '--strength', 0.01, '--batch-size', 7]
    files = folder / 'run.py', folder / 'run.pth'
    run_together(2, 'probe', *files, '--out', folder / 'two', *words)
    for split in ('train', 'test'):
        one, two = (features(folder / name, split) for name in ('out', 'two'))
        torch.testing.assert_close(one[0], two[0], rtol=1e-4, atol=1e-4)
        assert torch.equal(one[1], two[1])
    assert not (folder / 'two' / 'features_test.pt.part').exists()


@pytest.mark.parametrize(
    ('words', 'said'),
    [
        (['timm:resnet18'], "has no images of its own: give --data CONFIG"),
        (['CONFIG', '--k', '65'], '--k 65: there are 64 labelled training images'),
        (['CONFIG', '--k', '0'], '--k must be above 0'),
        (['CONFIG', '--k', '--strength'], 'there is nothing to do'),
        (['CONFIG', '--split', 'val', '--cfg-options', 'val_dataloader=None'],
         'has no val_dataloader'),
        (['CONFIG', '--tap', 'backbone.layer'], "no such module; did you mean"),
    ],
)  # fmt: skip
def test_what_is_refused(folder, words, said, capsys):
    files = [str(folder / 'run.py'), str(folder / 'run.pth')]
    given = [file for word in words for file in (files if word == 'CONFIG' else [word])]
    text = message('probe', *given, '--out', folder / 'refused')
    assert said in text + capsys.readouterr().err
    assert not (folder / 'refused' / 'probe.json').exists()


@pytest.mark.slow
def test_a_model_of_timm_on_the_digits(folder, tmp_path):
    """Of other sizes and normalisation, headless, without a config of its own."""
    import timm

    name = 'vit_tiny_patch16_224'
    torch.save(timm.create_model(name).state_dict(), tmp_path / 'timm.pth')
    words = [
        '--k',
        3,
        '--strength',
        '--cfg-options',
        'test_dataloader.dataset.indices=4',
    ]
    run(
        'probe', f'timm:{name}', tmp_path / 'timm.pth', '--data', folder / 'run.py',
        '--out', tmp_path, *words,
    )  # fmt: skip
    assert features(tmp_path, 'test')[0].shape == (4, 192)


@pytest.mark.parametrize(
    ('name', 'kind', 'width'),
    [
        ('DINOv3ViTModel', 'DINOv3ViTModel', 16),
        ('ViTMAEForPreTraining', 'ViTModel', 16),
        ('ViTForImageClassification', 'ViTForImageClassification', 16),
        ('SiglipModel', 'SiglipVisionModel', 16),
    ],
)
def test_models_of_hugging_face_without_classes_stay_so(tmp_path, name, kind, width):
    import transformers

    made = getattr(transformers, name)
    cfg = {'vision_config': TINY} if name == 'SiglipModel' else TINY
    made(made.config_class(**cfg)).save_pretrained(tmp_path)
    values = {'image_mean': [0.5] * 3, 'image_std': [0.5] * 3}
    (tmp_path / 'preprocessor_config.json').write_text(json.dumps(values))
    model = load_classifier(f'hf:{tmp_path}', headless=True).eval()
    assert type(model.model).__name__ == kind
    with torch.no_grad():
        found = pooled_features(model, torch.randn(2, 3, 32, 32))
    assert found.shape == (2, width)


HOOK = {'type': 'FeatureProbeHook', 'k': 3, 'linear': True, 'max_images': 50}


def test_the_hook_judges_at_every_validation_and_changes_nothing(tmp_path):
    """Its figures are those of the command on the checkpoint of that epoch."""
    best = {'interval': 1, 'save_best': 'knn3/top1'}
    hooked = config(
        tmp_path, 'run', custom_hooks=[HOOK], **{'default_hooks.checkpoint': best}
    )
    plain = config(tmp_path, 'plain', custom_hooks=[])
    for name, file in (('hooked', hooked), ('plain', plain)):
        runner = run('train', file, '--work-dir', tmp_path / name)
        if name == 'hooked':
            shown = runner.message_hub.get_scalar('val/knn3/top1')
            linear = runner.message_hub.get_scalar('val/linear/top1')
    one, two = (weights(tmp_path / n / 'epoch_2.pth') for n in ('hooked', 'plain'))
    assert all(torch.equal(one[key], two[key]) for key in two)
    assert list((tmp_path / 'hooked').glob('best_knn3_top1_epoch_*.pth'))
    last = tmp_path / 'hooked' / 'epoch_2.pth'
    run(
        'probe', hooked, last, '--out', tmp_path / 'out', '--split', 'val',
        '--k', 3, '--max-images', 50,
    )  # fmt: skip
    found = json.loads((tmp_path / 'out' / 'probe.json').read_text())['results']
    assert found['knn3/top1'] == pytest.approx(shown.current(), abs=1.6)  # rounding
    assert found['linear/top1'] == pytest.approx(linear.current(), abs=3.2)


@pytest.mark.parametrize(
    ('changes', 'said'),
    [
        ({'k': 51}, 'there are 50 labelled images, so give fewer'),
        ({'k': 0}, 'k must be above 0, got 0'),
        ({'k': [], 'linear': False}, 'it does nothing'),
        ({'tap': 'backbone.layerz'}, 'no such module'),
    ],
)
def test_a_hook_that_can_not_be_right(tmp_path, changes, said):
    file = config(tmp_path, 'run', custom_hooks=[{**HOOK, **changes}])
    assert said in message('train', file, '--work-dir', tmp_path / 'work')


def test_a_hook_without_validation(tmp_path):
    file = config(tmp_path, 'run', custom_hooks=[HOOK])
    text = message('train', file, '--work-dir', tmp_path / 'work', '--no-validate')
    assert 'which this run has not' in text
