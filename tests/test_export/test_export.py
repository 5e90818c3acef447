"""``python -m mmvitkd export --format ...``: what is written, and what is refused."""

import os
import shutil
import sys
from pathlib import Path

import onnxruntime
import pytest
import torch
from mmengine.config import Config
from PIL import Image
from safetensors import safe_open
from torch import nn

from mmvitkd.datasets import Digits
from mmvitkd.registry import MODELS
from tests.helpers import build, vit
from tests.test_export.students import SWIN, family, images, pooled, predicted, saved
from tests.test_tools.runs import config, message, run, weights


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """A distillation of an epoch, whose checkpoint has recorded its config."""
    folder = tmp_path_factory.mktemp('trained')
    cfg = config(folder, **{'train_cfg.max_epochs': 1})
    run('train', cfg, '--work-dir', folder / 'run', '--no-validate')
    return cfg, folder / 'run' / 'epoch_1.pth'


@pytest.fixture(scope='module')
def plain(tmp_path_factory):
    return saved(vit(), tmp_path_factory.mktemp('plain'))


def export(checkpoint, out, *args):
    run('export_student', checkpoint, out, *args)
    return out


def refused(checkpoint, out, *args):
    """Return the message; nothing may have been written."""
    before = sorted(os.listdir(out.parent))
    text = message('export_student', checkpoint, out, *args)
    assert sorted(os.listdir(out.parent)) == before
    assert '\n' not in text
    return text


def test_a_distillation_checkpoint_needs_no_config(trained, tmp_path, capsys):
    """It has recorded its own; the images are those of the test set."""
    cfg, checkpoint = trained
    out = export(checkpoint, tmp_path / 'new' / 's.onnx', '--format', 'onnx')
    said = capsys.readouterr().out
    assert "images of the config's test set, in batches of 1 and 7" in said
    assert f'{out} (sha256 ' in said
    session = onnxruntime.InferenceSession(out, providers=['CPUExecutionProvider'])
    told = session.get_modelmeta().custom_metadata_map
    assert told['classes'] == str(list('0123456789')).replace("'", '"')
    distiller = build(Config.fromfile(cfg).model)
    distiller.load_state_dict(weights(checkpoint))
    distiller.eval()
    grey = torch.from_numpy(Digits('test')[0]['img']).permute(2, 0, 1)
    rgb = nn.functional.interpolate(grey[None].float(), 32).to(torch.uint8)
    # the distiller's own data_preprocessor is not in config.model
    with torch.no_grad():
        wanted = distiller((rgb.float() - 78) / 96)
    (found,) = session.run(None, {'images': rgb.numpy()})
    torch.testing.assert_close(torch.from_numpy(found), wanted, rtol=1e-4, atol=1e-4)


def test_normalised_images_and_floats(plain, tmp_path):
    cfg, checkpoint = plain
    rgb = images(3, 32)
    wanted = predicted(cfg, checkpoint, rgb)
    mean, std = (
        torch.tensor(values).view(3, 1, 1)
        for values in ([120.0, 110.0, 100.0], [60.0, 55.0, 50.0])
    )
    for options, given in (
        (['--normalisation', 'outside'], (rgb - mean) / std),
        (['--input-type', 'float32'], rgb.float()),
    ):
        out = tmp_path / 's.pt2'
        kind = ['--format', 'torch-export', '--config', cfg, '--force']
        export(checkpoint, out, *kind, *options)
        found = torch.export.load(out).module()(given).softmax(1)
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-6)


def test_a_model_that_takes_bgr_gets_rgb_all_the_same(tmp_path):
    """Its pipeline loads BGR, and its preprocessor leaves that."""
    steps = [{'type': 'LoadImageFromFile'}, {'type': 'Resize', 'scale': 32}]
    dataset = {'type': 'ImageFolder', 'pipeline': [*steps, {'type': 'PackInputs'}]}
    loader = {'batch_size': 1, 'dataset': {**dataset, 'data_root': str(tmp_path)}}
    cfg, checkpoint = saved(vit(), tmp_path, test_dataloader=loader)
    changed = Config.fromfile(cfg)
    changed.model.data_preprocessor.to_rgb = False
    changed.dump(cfg)
    out = export(
        checkpoint, tmp_path / 's.pt2', '--format', 'torch-export', '--config', cfg
    )
    rgb = images(3, 32)
    found = torch.export.load(out).module()(rgb).softmax(1)
    wanted = predicted(cfg, checkpoint, rgb)  # which flips
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-6)


def test_safetensors_hold_their_config(trained, tmp_path):
    _, checkpoint = trained
    out = export(checkpoint, tmp_path / 's.safetensors', '--format', 'safetensors')
    with safe_open(out, 'pt') as file:
        told = file.metadata()
        found = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    build(vit()).load_state_dict(found, strict=True)
    (tmp_path / 'again.py').write_text(told['config'])
    cfg = Config.fromfile(tmp_path / 'again.py')
    build(cfg.model).load_state_dict(found, strict=True)
    # and is itself a checkpoint to be exported
    again = tmp_path / 'again.safetensors'
    export(out, again, '--format', 'safetensors', '--config', tmp_path / 'again.py')
    with safe_open(again, 'pt') as file:
        assert all(torch.equal(file.get_tensor(key), found[key]) for key in found)


def test_images_of_a_folder_and_of_no_test_set(plain, tmp_path, capsys):
    cfg, checkpoint = plain
    kind = ['--format', 'safetensors', '--config', cfg]
    export(checkpoint, tmp_path / 'a.safetensors', *kind)
    said = capsys.readouterr().out
    assert 'on parts of two photographs, as the config has no test set' in said
    assert 'the names of the classes are not known' in said
    (tmp_path / 'images').mkdir()
    text = refused(checkpoint, tmp_path / 'b.safetensors', *kind, '--images', tmp_path)
    assert 'has no images' in text
    Image.new('RGB', (40, 50), 'red').save(tmp_path / 'images' / 'a.png')
    export(checkpoint, tmp_path / 'b.safetensors', *kind, '--images', tmp_path)
    assert (
        f"on images of '{tmp_path}', in batches of 1 and 7" in capsys.readouterr().out
    )


def test_dynamic_size_where_the_model_allows_it(tmp_path):
    cfg, checkpoint = saved(family('ResNet', tmp_path), tmp_path)
    kind = ['--format', 'onnx', '--config', cfg, '--dynamic-size']
    out = export(checkpoint, tmp_path / 's.onnx', *kind)
    session = onnxruntime.InferenceSession(out, providers=['CPUExecutionProvider'])
    assert session.get_inputs()[0].shape == ['batch', 3, 'height', 'width']
    rgb = images(2, 96)[..., :64]
    (found,) = session.run(None, {'images': rgb.numpy()})
    wanted = predicted(cfg, checkpoint, rgb)
    found = torch.from_numpy(found).softmax(1)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('name', ['ViT', 'distilled DeiT'])
def test_dynamic_size_of_a_vit_resizes_its_positions(name, tmp_path):
    """As MMPretrain does, to grids that are larger and smaller than its own."""
    cfg, checkpoint = saved(family(name, tmp_path), tmp_path)
    kind = ['--format', 'onnx', '--config', cfg, '--dynamic-size']
    out = export(checkpoint, tmp_path / 's.onnx', *kind)
    session = onnxruntime.InferenceSession(out, providers=['CPUExecutionProvider'])
    for height, width in ((32, 32), (48, 64), (24, 16)):  # none is what export compares
        rgb = images(2, 64)[..., :height, :width]
        (found,) = session.run(None, {'images': rgb.numpy()})
        wanted = predicted(cfg, checkpoint, rgb)
        found = torch.from_numpy(found).softmax(1)
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


def test_dynamic_size_of_a_model_of_one_size_is_refused(tmp_path):
    """timm's ViT, unless it is told otherwise."""
    cfg, checkpoint = saved(family('timm', tmp_path), tmp_path)
    kind = ['--format', 'torch-export', '--config', cfg, '--dynamic-size']
    text = refused(checkpoint, tmp_path / 's.pt2', *kind)
    assert '--dynamic-size: ' in text


def test_an_error_above_tolerance_is_not_written(plain, tmp_path):
    cfg, checkpoint = plain
    kind = ['--format', 'onnx', '--config', cfg, '--tolerance', '1e-12']
    text = refused(checkpoint, tmp_path / 's.onnx', *kind)
    assert text.startswith('error: compared with PyTorch on parts of two photographs')
    assert text.endswith('of the largest logit, above 1e-12: nothing was written')


@MODELS.register_module()
class SingularViT(MODELS.get('VisionTransformer')):
    """A backbone with an operation that ONNX has not."""

    def forward(self, x):
        values = torch.linalg.svdvals(x.flatten(2))  # (B, 3)
        return tuple(f + values.sum(1, keepdim=True) for f in super().forward(x))


def test_an_operation_that_onnx_has_not_is_named(tmp_path):
    cfg, checkpoint = saved(vit(type='SingularViT'), tmp_path)
    kind = ['--format', 'onnx', '--config', cfg]
    text = refused(checkpoint, tmp_path / 's.onnx', *kind)
    assert text == (
        "error: the student can't be ONNX: it has no operation for aten._linalg_svd"
    )


def test_nothing_is_written_over(plain, tmp_path):
    cfg, checkpoint = plain
    out = tmp_path / 's.safetensors'
    out.write_text('mine')
    kind = ['--format', 'safetensors', '--config', cfg]
    assert f"'{out}' exists" in refused(checkpoint, out, *kind)
    assert out.read_text() == 'mine'
    export(checkpoint, out, *kind, '--force')
    assert out.read_bytes() != b'mine'
    assert 'is the checkpoint itself' in refused(out, out, *kind, '--force')
    text = refused(checkpoint, tmp_path / 's.bin', *kind)
    assert 'writes a .safetensors file' in text


def test_checkpoints_that_can_not_be_exported(plain, trained, tmp_path):
    cfg, checkpoint = plain
    kind = ['--format', 'safetensors']
    out = tmp_path / 's.safetensors'
    text = refused(checkpoint, out, *kind)
    assert text == (
        f"error: checkpoint '{checkpoint}' has no record of its config: give it by "
        '--config'
    )
    loaded = torch.load(checkpoint)
    loaded['state_dict']['backbone.pos_embed'][:] = float('nan')
    torch.save(loaded, tmp_path / 'nan.pth')
    text = refused(tmp_path / 'nan.pth', out, *kind, '--config', cfg)
    assert 'NaN or infinite, 1 of ' in text
    assert text.endswith('Take an earlier one')
    headless = {key: vit()[key] for key in ('type', 'backbone')}
    none = saved(headless, Path(shutil.copytree(cfg.parent, tmp_path / 'none')))
    text = refused(none[1], out, *kind, '--config', none[0])
    assert 'yields no logits of (images, classes)' in text
    other = saved(pooled(SWIN, 16), Path(shutil.copytree(cfg.parent, tmp_path / 'o')))
    text = refused(checkpoint, out, *kind, '--config', other[0])
    assert 'have different students' in text


def test_a_recorded_config_is_not_run(trained, tmp_path):
    _, checkpoint = trained
    loaded = torch.load(checkpoint, weights_only=False)
    for before, after, why in (
        ("type='ImageClassifier'", "type='os.system'", 'registered'),
        ('model = ', f'open({str(tmp_path / "ran")!r}, "w")\nmodel = ', 'but code'),
    ):
        meta = {**loaded['meta'], 'cfg': loaded['meta']['cfg'].replace(before, after)}
        torch.save({**loaded, 'meta': meta}, tmp_path / 'strange.pth')
        out = tmp_path / 's.safetensors'
        text = refused(tmp_path / 'strange.pth', out, '--format', 'safetensors')
        assert why in text
        assert text.endswith('Or name its config: --config FILE')


def test_a_missing_library_is_named_with_the_extra(plain, tmp_path, monkeypatch):
    cfg, checkpoint = plain
    monkeypatch.setitem(sys.modules, 'onnxruntime', None)
    kind = ['--format', 'onnx', '--config', cfg]
    assert refused(checkpoint, tmp_path / 's.onnx', *kind) == (
        "error: the library 'onnxruntime' is missing: python -m pip install "
        "'mmvitkd[export]'"
    )


@pytest.mark.parametrize(
    ('out', 'options', 'why'),
    [
        ('s.onnx', [], 'has the ending of --format onnx'),
        ('s.pth', ['--images', 'x'], '--images is not for --format mmpretrain'),
        (
            's.onnx',
            ['--format', 'onnx', '--license', 'mit'],
            '--license is not for --format onnx',
        ),
        (
            's',
            ['--format', 'timm', '--dynamic-size'],
            '--dynamic-size is not for --format timm',
        ),
        (
            's.safetensors',
            ['--format', 'safetensors', '--dynamic-size'],
            '--dynamic-size is not for --format safetensors',
        ),
        ('s.onnx', ['--format', 'onnx', '--tolerance', '2'], '--tolerance 2: give'),
        (
            's.onnx',
            ['--format=onnx', '--normalisation=outside', '--input-type=uint8'],
            '--input-type is of RGB',
        ),
    ],
)
def test_options_that_do_not_fit(out, options, why, plain, tmp_path, capsys):
    with pytest.raises(SystemExit) as end:
        run('export_student', plain[1], tmp_path / out, *options)
    assert end.value.code == 2
    assert why in capsys.readouterr().err
    assert os.listdir(tmp_path) == []
