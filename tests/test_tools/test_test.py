"""``tools/test.py``: of a distiller without its teacher, or of a plain classifier."""

import json
import pickle

import numpy as np
import pytest
import torch

from tests.test_tools.runs import PIPELINE, config, loader, message, run

EMA = {'custom_hooks': [{'type': 'EMAHook', 'momentum': 0.1}]}


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """A run with EMA that was validated on the test images, its teacher gone."""
    folder = tmp_path_factory.mktemp('trained')
    changes = {
        **EMA,
        'train_cfg.max_epochs': 1,
        'val_dataloader': loader('test', PIPELINE),
    }
    cfg = config(folder, **changes)
    runner = run('train', cfg, '--work-dir', folder / 'run')
    (folder / 'teacher.pth').unlink()
    top1 = runner.message_hub.get_scalar('val/accuracy/top1').current()
    return cfg, folder / 'run' / 'epoch_1.pth', top1


def scores(cfg, checkpoint, out, *args):
    """What ``tools/test.py`` predicts, as (N, K)."""
    run('test', cfg, checkpoint, '--work-dir', out.parent, '--out', out, *args)
    return torch.stack([p['pred_score'] for p in pickle.loads(out.read_bytes())])  # noqa: S301


def test_evaluates_as_in_training_without_the_teacher(trained, tmp_path):
    cfg, checkpoint, top1 = trained
    out = tmp_path / 'metrics.json'
    runner = run(
        'test', cfg, checkpoint, '--work-dir', tmp_path, '--out', out,
        '--out-item', 'metrics',
    )  # fmt: skip
    assert f'"accuracy/top1": {top1}' in out.read_text()
    assert not runner.model.teachers
    assert not runner.model.terms


def test_averaged_weights_are_those_that_are_tested(trained, tmp_path):
    """With the hook and without it, as MMEngine saves them."""
    cfg, checkpoint, _ = trained
    plain, raw = tmp_path / 'ema.pth', tmp_path / 'raw.pth'
    run('export_student', checkpoint, plain, '--ema', '--config', cfg)
    run('export_student', checkpoint, raw, '--raw')
    tested = scores(cfg, checkpoint, tmp_path / 'tested.pkl')
    ema = scores(plain.with_suffix('.py'), plain, tmp_path / 'ema.pkl')
    raw = scores(plain.with_suffix('.py'), raw, tmp_path / 'raw.pkl')
    assert torch.equal(tested, ema)
    assert not torch.allclose(tested, raw, atol=1e-4)


HOOKS = (
    {'monitor': {'interval': 20}},
    {'check': None, 'monitor': None},
    {'check': {'num_images': 16}, 'logger': {'interval': 5}, 'timer': None},
    {'own': None, 'checkpoint': {'interval': 2}},
)


@pytest.mark.parametrize('hooks', HOOKS)
@pytest.mark.parametrize('args', [[], ['--tta']])
def test_hooks_that_training_takes_are_taken(trained, tmp_path, hooks, args):
    """Without their types, or away: those of a distillation and MMEngine's own."""
    cfg = config(tmp_path, 'hooks', **EMA, default_hooks=hooks)
    runner = run('train', cfg, '--work-dir', tmp_path / 'run', '--no-validate')
    names = [hook.__class__.__name__ for hook in runner.hooks]
    assert ('DistillationMonitorHook' in names) == (
        hooks.get('monitor', {}) is not None
    )
    assert 'SafeCheckpointHook' in names
    tested = run('test', cfg, trained[1], '--work-dir', tmp_path, *args)
    names = [hook.__class__.__name__ for hook in tested.hooks]
    assert 'LoggerHook' in names
    assert 'DistillationCheckHook' not in names


def test_augmented_and_mixed_precision(trained, tmp_path):
    cfg, checkpoint, _ = trained
    plain = scores(cfg, checkpoint, tmp_path / 'plain.pkl')
    both = scores(cfg, checkpoint, tmp_path / 'tta.pkl', '--tta', '--amp')
    assert both.shape == plain.shape == (64, 10)
    assert both.dtype != torch.float32
    assert not torch.equal(plain, both.float())


def test_corrupted_images_are_tested_as_a_pipeline_corrupts_them(trained, tmp_path):
    """On all or some of them, with the averaged weights, beside the clean ones."""
    cfg, checkpoint, top1 = trained
    names = ('brightness', 'gaussian_noise')
    asked = [f'default_hooks.spoilt.corruptions={",".join(names)}']
    asked += ['default_hooks.spoilt.type=mmvitkd.CorruptionHook']
    where = ['--work-dir', tmp_path]

    def tested(config, *args):
        out = tmp_path / 'metrics.json'
        run('test', config, checkpoint, *where, '--metrics', out, *args)
        return json.loads(out.read_text())

    found = tested(cfg, '--cfg-options', *asked, 'default_hooks.spoilt.severity=5')
    assert found.pop('accuracy/top1') == pytest.approx(top1)
    mean = found.pop('corrupted/top1')
    assert mean == pytest.approx(sum(found.values()) / 2)
    expected = {}
    for name in names:
        corrupt = {'type': 'mmvitkd.Corrupt', 'corruption': name, 'severity': 5}
        pipeline = [PIPELINE[0], corrupt, PIPELINE[1]]
        spoilt = config(tmp_path, name, **EMA, test_dataloader=loader('test', pipeline))
        expected[f'corrupted/{name}'] = tested(spoilt)['accuracy/top1']
    assert found == pytest.approx(expected)
    few = tested(cfg, '--cfg-options', *asked, 'default_hooks.spoilt.images=5')
    assert (few['corrupted/brightness'] / 20) % 1 == pytest.approx(0)


def test_labels_alone_are_written(trained, tmp_path):
    cfg, checkpoint, top1 = trained
    out = tmp_path / 'labels.npy'
    runner = run('test', cfg, checkpoint, '--work-dir', tmp_path, '--out', out)
    predicted, labels = np.load(out)
    dataset = runner.test_dataloader.dataset
    assert labels.tolist() == [dataset.get_cat_ids(i)[0] for i in range(64)]
    assert 100 * (predicted == labels).mean() == pytest.approx(top1)
    text = message('test', cfg, checkpoint, '--out', tmp_path / 'labels.txt')
    assert 'to a .pkl file, or their labels alone to a .npy file' in text


def test_training_config_in_the_work_dir_stays(trained):
    cfg, checkpoint, _ = trained
    before = (checkpoint.parent / cfg.name).read_text()
    run('test', cfg, checkpoint, '--work-dir', checkpoint.parent)
    assert (checkpoint.parent / cfg.name).read_text() == before
    assert 'teacher=' in before


def test_weights_that_do_not_fit_are_an_error(trained, tmp_path):
    cfg, checkpoint, _ = trained
    exported = tmp_path / 'student.pth'
    run('export_student', checkpoint, exported, '--config', cfg)
    where = ['--work-dir', tmp_path]
    text = message('test', exported.with_suffix('.py'), checkpoint, *where)
    assert 'It is a distillation checkpoint' in text
    assert 'missing in the file: backbone.cls_token' in text
    text = message('test', cfg, exported, *where)
    assert 'It is no distillation checkpoint' in text
    options = ['--cfg-options', 'model.student.backbone.arch.num_layers=2']
    text = message('test', cfg, checkpoint, *where, *options)
    assert 'unknown to the model: student.backbone.layers.2.' in text


def test_options_that_contradict_are_refused(trained, tmp_path, capsys):
    cfg, checkpoint, _ = trained
    for options in (['--out-item', 'pred'], ['--out', 'predictions.json']):
        assert message('test', cfg, checkpoint, *options) == '2'
        assert '--out=FILE' in capsys.readouterr().err


def test_untrusted_checkpoint_is_not_read(trained, tmp_path):
    cfg, _, _ = trained
    evil = tmp_path / 'evil.pth'
    torch.save({'state_dict': {}, 'hook': print}, evil)
    text = message('test', cfg, evil, '--work-dir', tmp_path)
    assert 'would run code' in text
