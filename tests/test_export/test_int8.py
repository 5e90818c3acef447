"""``export --format onnx --int8``: calibrated and tested on real images."""

import re

import onnx
import onnxruntime
import pytest
from mmengine.config import Config
from onnx import TensorProto

from mmvitkd.export import int8
from mmvitkd.export.export import export
from mmvitkd.registry import DATASETS
from mmvitkd.utils.errors import ConfigError
from tests.helpers import vit
from tests.test_export.students import saved
from tests.test_tools.runs import config, message, run


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """The config and the checkpoint of a run."""
    folder = tmp_path_factory.mktemp('trained')
    cfg = config(folder, **{'train_cfg.max_epochs': 4})
    run('train', cfg, '--work-dir', folder / 'run', '--no-validate')
    return cfg, folder / 'run' / 'epoch_4.pth'


def images(cfg, split):
    """A split's images ``(3, H, W)`` and labels, through the test pipeline."""
    whole = Config.fromfile(cfg)
    dataset = whole[f'{split}_dataloader'].dataset
    dataset.pipeline = whole.test_dataloader.dataset.pipeline
    for item in DATASETS.build(dataset):
        yield item['inputs'].numpy(), int(item['data_samples'].gt_label)


def accuracy(path, cfg):
    """Of a file on the test images, by a loop of its own."""
    session = onnxruntime.InferenceSession(path, providers=['CPUExecutionProvider'])
    right = []
    for image, label in images(cfg, 'test'):
        (logits,) = session.run(None, {'images': image[None]})
        right.append(logits.argmax() == label)
    return 100 * sum(right) / len(right)


def test_accuracy_before_and_after_is_told_and_is_that_of_the_files(trained, tmp_path):
    cfg, checkpoint = trained
    whole, _ = export(checkpoint, tmp_path / 'whole.onnx', 'onnx')
    small, lines = export(
        checkpoint, tmp_path / 'small.onnx', 'onnx', calibration_images=40
    )
    assert '40 images of the training set' in lines[-2]
    told = re.search(
        r'(\d+) images .* ([\d.]+) in float32, ([\d.]+) in INT8', lines[-1]
    )
    assert told[1] == '64'
    for value, path in zip(told.groups()[1:], (whole, small), strict=True):
        assert float(value) == pytest.approx(accuracy(path, cfg), abs=0.01)
    model = onnx.load(small)
    kinds = [one.data_type for one in model.graph.initializer if len(one.dims) > 1]
    assert kinds.count(TensorProto.UINT8) > len(kinds) / 2
    # a scale for each output channel
    scales = [
        i.dims[0] for i in model.graph.initializer if 'scale' in i.name and i.dims
    ]
    assert set(scales) - {1}
    props = {prop.key: prop.value for prop in model.metadata_props}
    assert props['calibration_images'] == '40'
    assert props['classes'] == str(list('0123456789')).replace("'", '"')


def test_weights_are_signed_where_a_runtime_wants_them_so(trained, tmp_path):
    out = tmp_path / 'signed.onnx'
    options = ['--format', 'onnx', '--int8', '--int8-weights', 'int8']
    run('export_student', trained[1], out, *options)
    kinds = {one.data_type for one in onnx.load(out).graph.initializer if one.dims}
    assert TensorProto.INT8 in kinds


def test_it_is_calibrated_by_the_training_set_alone(trained, tmp_path, monkeypatch):
    """Through the test pipeline: no augmentation moves a digit."""
    seen = []
    batches = int8._batches

    def watched(data, shape):
        for batch, labels in batches(data, shape):
            seen.append((data.dataset.split, batch))
            yield batch, labels

    monkeypatch.setattr(int8, '_batches', watched)
    cfg, checkpoint = trained
    export(checkpoint, tmp_path / 'small.onnx', 'onnx', calibration_images=8)
    assert [split for split, _ in seen][0] == 'train'
    assert {split for split, _ in seen[1:]} == {'test'}
    batch = seen[0][1]
    assert batch.shape == (8, 3, 32, 32)
    known = {image.tobytes() for image, _ in images(cfg, 'train')}
    assert all(image.tobytes() in known for image in batch)


def test_without_a_training_set_there_is_no_int8(tmp_path):
    cfg, checkpoint = saved(vit(), tmp_path)
    with pytest.raises(ConfigError, match='has no train_dataloader'):
        export(
            checkpoint,
            tmp_path / 's.onnx',
            'onnx',
            config=cfg,
            calibration_images=8,
        )
    assert not (tmp_path / 's.onnx').exists()


def test_calibration_images_of_other_classes_are_refused(trained, tmp_path):
    """A training set of which someone has renamed a class."""
    path, checkpoint = trained
    cfg = Config.fromfile(path)
    cfg.train_dataloader.dataset.metainfo = {'classes': list('abcdefghij')}
    cfg.dump(tmp_path / 'other.py')
    with pytest.raises(ConfigError, match='other classes than the test set'):
        export(
            checkpoint,
            tmp_path / 's.onnx',
            'onnx',
            config=tmp_path / 'other.py',
            calibration_images=8,
        )


@pytest.mark.parametrize(
    ('args', 'said'),
    [
        (['--format', 'timm', '--int8'], '--int8 is not for --format timm'),
        (['--format', 'onnx', '--calibration-images', '8'], 'is for --int8'),
        (
            ['--format', 'onnx', '--int8', '--normalisation', 'outside'],
            '--int8 takes RGB of uint8',
        ),
    ],
)
def test_options_that_do_not_fit(args, said, tmp_path, capsys):
    message('export_student', tmp_path / 'x.pth', tmp_path / 'out', *args)
    assert said in capsys.readouterr().err
