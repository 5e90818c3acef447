"""What is read of a config, and what a cache is to hold."""

import json
import platform
from copy import deepcopy
from importlib.metadata import version
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from mmvitkd.caching import plan
from mmvitkd.caching.folder import training_config
from mmvitkd.caching.plan import (
    epochs_of,
    feature_specs,
    make_manifest,
    read_source,
    versions,
)
from mmvitkd.models.classifiers.tap import Tap
from mmvitkd.utils.teacher_cache import digest_weights
from tests.helpers import NKD
from tests.test_caching.small import CPU, IMAGES, MIXUP, settings


def test_manifest_says_what_they_are_of(tmp_path):
    source = read_source(settings(tmp_path), None, CPU)
    manifest = make_manifest(source, 2, None, batch_size=2, shard_size=5)
    assert {key: manifest[key] for key in ('format', 'epochs', 'batch_size')} == {
        'format': 1, 'epochs': 2, 'batch_size': 2,
    }  # fmt: skip
    assert manifest['shard_size'] == 4  # whole batches, at most five images
    assert manifest['record_bytes'] == 4 + 2 * 16 * 24 + 2 * 10
    assert manifest['normalisation'] == [[78.0] * 3, [96.0] * 3, False]
    assert manifest['data']['images'] == IMAGES
    assert manifest['data']['seed'] == 0
    assert manifest['data']['num_classes'] == 10
    assert manifest['data']['mixing'] == {'augments': {'type': 'Mixup', 'alpha': 0.8}}
    assert [(tap['path'], tap['shape'], tap['hw']) for tap in manifest['taps']] == [
        ('backbone.layers.0', [16, 24], [4, 4]),
        ('head', [10], None),
    ]
    assert [tap['top_k'] for tap in manifest['taps']] == [None, 10]
    assert manifest['teacher']['cfg']['backbone']['arch']['embed_dims'] == 24
    assert manifest['teacher']['options'] == {}
    assert json.loads(json.dumps(manifest)) == manifest


def test_manifest_tells_all_that_changes_a_teachers_outputs(tmp_path):
    """Of a student that another distillation has trained, with pixels of its own."""
    cfg = settings(tmp_path)
    teacher = cfg.model.teacher
    trained = torch.load(teacher.checkpoint)['state_dict']
    saved = {f'student.{name}': weight for name, weight in trained.items()}
    # what only a trusted file may hold
    torch.save({'state_dict': saved, 'meta': Path('x')}, tmp_path / 'trained.pth')
    own = {'mean': [0.0] * 3, 'std': [255.0] * 3}
    teacher.cfg.data_preprocessor = own
    teacher.update(
        checkpoint=str(tmp_path / 'trained.pth'),
        prefix='student.',
        input_size=[32, 40],
        dtype='bfloat16',
        stop_early=False,
        weights_only=False,
    )
    manifest = make_manifest(read_source(cfg, None, CPU), 1, None, 2, None)
    assert manifest['normalisation'] is None  # the student's does not matter
    described = manifest['teacher']
    assert described['cfg']['data_preprocessor'] == own
    assert described['input_size'] == [32, 40]
    assert described['options'] == {'dtype': 'bfloat16'}
    assert described['weights'] == digest_weights(trained)


def test_workers_are_the_loaders(source):
    for loader, workers in (({}, 0), ({'num_workers': 3}, 3)):
        cfg = Config({'train_dataloader': loader})
        assert source._replace(cfg=cfg).workers == workers


def test_shards_are_whole_batches_of_about_64_mib(source):
    def size(batch: int, given: int | None = None) -> int:
        return make_manifest(source, 1, None, batch, given)['shard_size']

    most = 64 * 2**20 // (4 + 2 * 16 * 24 + 2 * 10)  # more than 2**15
    assert most > 2**15
    assert size(1) == size(2) == 2**15
    assert size(1000) == 32000
    assert size(2, 1) == 2
    assert size(2, 7) == 6


def test_large_records_make_small_shards(source, monkeypatch):
    monkeypatch.setattr(plan, 'SHARD_BYTES', 10 * 792 + 400)
    size = make_manifest(source, 1, None, 3, None)['shard_size']
    assert (size, type(size)) == (9, int)
    monkeypatch.setattr(plan, 'SHARD_BYTES', 1)
    assert make_manifest(source, 1, None, 1, None)['shard_size'] == 1


def test_top_k_is_of_the_logits_alone(source):
    def kept(k: int | None) -> list[int | None]:
        return [spec.top_k for spec in feature_specs(source, k)]

    assert kept(None) == [None, 10]
    assert kept(1) == [None, 1]
    assert kept(10) == [None, 10]
    for k in (0, 11):
        with pytest.raises(ValueError, match=f'--top-k {k}: there are 10 classes'):
            kept(k)
    one = source.teachers[None]._replace(taps=[Tap('backbone.layers.0')])
    features = source._replace(teachers={None: one})
    assert [spec.top_k for spec in feature_specs(features, None)] == [None]
    with pytest.raises(ValueError, match='no term taps logits of the 10 classes'):
        feature_specs(features, 3)


def test_versions_are_the_installed_ones(monkeypatch):
    monkeypatch.setattr(plan, 'LIBRARIES', ('numpy', 'no-such-library', 'torch'))
    assert versions() == {
        'python': platform.python_version(),
        'numpy': version('numpy'),
        'torch': version('torch'),
    }


def test_epochs_are_the_given_or_the_configs(tmp_path):
    cfg = settings(tmp_path)
    assert (epochs_of(cfg, None), epochs_of(cfg, 7)) == (2, 7)
    del cfg.train_cfg['max_epochs']
    assert epochs_of(cfg, 7) == 7
    for key in (None, 'train_cfg'):
        cfg.pop(key, None)
        with pytest.raises(ValueError, match='give --epochs'):
            epochs_of(cfg, None)


def test_the_config_given_stays_as_it_is(tmp_path):
    cfg = settings(tmp_path)
    before = deepcopy(cfg.to_dict())
    source = read_source(cfg, 5, CPU)
    assert cfg.to_dict() == before
    assert source.dataset.seed == 5
    assert (source.workers, source.device) == (0, CPU)
    teacher, _, taps = source.teachers[None]
    assert taps == [Tap('backbone.layers.0'), Tap('head')]
    assert not teacher.model.training


@pytest.mark.parametrize('place', ['model', 'student', 'of both', 'root'])
def test_mixing_is_found_wherever_mmpretrain_has_it(tmp_path, place):
    cfg = settings(tmp_path)
    student = cfg.model.student
    del student['train_cfg']
    own = {'type': 'ClsDataPreprocessor', **cfg.data_preprocessor}
    if place == 'model':
        cfg.model.train_cfg = MIXUP
    elif place == 'student':
        cfg.pop('data_preprocessor')
        student.data_preprocessor = {**own, 'batch_augments': MIXUP}
    elif place == 'of both':
        student.train_cfg = cfg.model.train_cfg = MIXUP
    else:
        cfg.data_preprocessor.batch_augments = MIXUP
    source = read_source(cfg, None, CPU)
    assert source.dataset.mixing == MIXUP
    assert source.dataset.num_classes == 10
    assert source.model.data_preprocessor.batch_augments is None
    assert 'train_cfg' not in source.cfg.model.student


def test_mixing_in_two_ways_is_refused(tmp_path):
    cfg = settings(tmp_path)
    cfg.model.train_cfg = MIXUP
    with pytest.raises(ValueError, match='mixes images in several ways'):
        read_source(cfg, None, CPU)


def test_seed_is_the_given_or_the_configs(tmp_path):
    cfg = settings(tmp_path)
    cfg.randomness.seed = 4
    assert read_source(cfg, None, CPU).dataset.seed == 4
    assert read_source(cfg, 0, CPU).dataset.seed == 0
    del cfg.randomness['seed']
    assert read_source(cfg, None, CPU).dataset.seed == 0
    cfg.pop('randomness')
    assert read_source(cfg, None, CPU).dataset.seed == 0


def test_number_of_classes_is_the_preprocessors_or_the_heads(tmp_path):
    cfg = settings(tmp_path)
    cfg.data_preprocessor.num_classes = 12
    assert read_source(cfg, None, CPU).dataset.num_classes == 12
    del cfg.data_preprocessor['num_classes']
    cfg.train_dataloader.dataset.metainfo = {'classes': ()}
    assert read_source(cfg, None, CPU).dataset.num_classes == 10


def test_number_of_classes_is_the_data_sets_where_the_config_says_none(tmp_path):
    """timm's classifiers have no head of MMPretrain's."""
    cfg = settings(tmp_path)
    del cfg.data_preprocessor['num_classes']
    cfg.model.student = {
        'type': 'TimmClassifier',
        'model_name': 'vit_tiny_patch16_224',
        'img_size': 32,
        'depth': 1,
        'num_classes': 10,
        'train_cfg': MIXUP,
    }
    cfg.model.terms = {'nkd': {**NKD, 'student': 'model.head'}}
    source = read_source(cfg, None, CPU)
    assert source.dataset.num_classes == 10
    assert source.dataset.mixing == MIXUP


@pytest.mark.parametrize(
    ('changes', 'told'),
    [
        ({'model': {'_delete_': True, 'type': 'X'}}, 'but its model is a X without'),
        ({'model.terms': None}, 'no term taps a teacher, so'),
        ({'train_dataloader.sampler.type': 'Own'}, 'a Own deals images out'),
    ],
    ids=['no distiller', 'no term', 'sampler'],
)
def test_what_cannot_be_stored(tmp_path, changes, told):
    with pytest.raises(ValueError, match=told):
        read_source(settings(tmp_path, **changes), None, CPU)


def test_a_loader_without_a_sampler(tmp_path):
    cfg = settings(tmp_path)
    del cfg.train_dataloader['sampler']
    with pytest.raises(ValueError, match='a None deals images out'):
        read_source(cfg, None, CPU)


def test_the_only_teacher_that_is_tapped_needs_no_name(tmp_path):
    cfg = settings(tmp_path)
    teacher = cfg.model.pop('teacher')
    cfg.model.teachers = {'a': teacher, 'b': deepcopy(teacher)}
    cfg.model.terms.mimic0.teacher = f'a:{cfg.model.terms.mimic0.teacher}'
    cfg.model.terms.nkd = None
    source = read_source(cfg, None, CPU)
    assert source.teachers[None].cfg == teacher
    assert source.teachers[None].taps == [Tap('backbone.layers.0')]
    trained = training_config(source, tmp_path / 'out').model
    assert {t.type for t in trained.teachers.values()} == {'mmvitkd.CachedTeacher'}
    assert 'teacher' not in trained


def test_outputs_that_are_stored_already_are_not_stored_again(source, written):
    cfg = Config.fromfile(written / 'small_cached.py')
    with pytest.raises(ValueError, match='a CachedTeacher, has no model that could'):
        read_source(cfg, None, CPU)
