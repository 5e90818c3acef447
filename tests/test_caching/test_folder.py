"""What lies beside the shards."""

import json
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config

from mmvitkd.caching.cache import write_cache
from mmvitkd.caching.folder import prepare_folder, require_own, training_config
from mmvitkd.caching.outputs import replayed_pixels
from mmvitkd.caching.plan import read_source
from mmvitkd.utils.teacher_cache import TeacherCache
from tests.test_caching.small import CPU, settings


def test_config_that_trains_from_it(tmp_path, manifest):
    source, written = read_source(settings(tmp_path), None, CPU), tmp_path / 'a' / 'b'
    write_cache(source, manifest, written)
    cfg = Config.fromfile(written / 'small_cached.py')
    path = str(written.resolve())
    assert cfg.model.teacher == {'type': 'mmvitkd.CachedTeacher', 'path': path}
    dataset = cfg.train_dataloader.dataset
    assert (dataset.type, dataset.path) == ('mmvitkd.CachedDataset', path)
    assert dataset.dataset == source.dataset_cfg['dataset']
    assert (dataset.seed, dataset.num_classes) == (0, 10)
    assert cfg.train_dataloader.sampler.type == 'mmvitkd.ReplaySampler'
    assert cfg.train_dataloader.sampler.shuffle is True
    assert {'work_dir', 'launcher'} & set(cfg) == set()
    assert {'work_dir', 'launcher'} <= set(source.cfg)
    assert 'cfg' in source.cfg.model.teacher


def files(out: Path) -> dict[str, bytes]:
    return {
        str(f.relative_to(out)): f.read_bytes() for f in out.rglob('*') if f.is_file()
    }


def test_epochs_of_a_folder_only_grow(source, manifest, out):
    pixels, cfg = replayed_pixels(source), training_config(source, out)
    before = files(out)
    for epochs, kept in ((1, 2), (3, 3), (2, 3)):
        prepare_folder(out, {**manifest, 'epochs': epochs}, pixels, cfg)
        assert TeacherCache(out).epochs == kept
    changed = {name for name, content in files(out).items() if before[name] != content}
    assert changed == {'manifest.json'}


def test_a_config_that_the_user_has_changed_is_kept(source, manifest, out, capsys):
    file = out / 'small_cached.py'
    file.write_text('mine = 1')
    write_cache(source, manifest, out)
    assert file.read_text() == 'mine = 1'
    said = capsys.readouterr().out
    assert '0 shards written' in said
    assert 'small_cached.py was there before and is kept' in said
    file.unlink()
    write_cache(source, manifest, out)
    assert "type='mmvitkd.CachedDataset'" in file.read_text()
    said = capsys.readouterr().out
    assert 'was there before' not in said
    assert f'complete; train with: python -m mmvitkd train {file}' in said


def test_what_an_interrupted_start_left_is_no_one_elses(source, manifest, tmp_path):
    pixels, cfg = replayed_pixels(source), training_config(source, tmp_path)
    for name in ('.lock', 'probe.npz.part', 'small_cached.py', 'manifest.json.part'):
        (tmp_path / name).touch()
    (tmp_path / 'manifest.json.part').unlink()
    prepare_folder(tmp_path, manifest, pixels, cfg)
    assert json.loads((tmp_path / 'manifest.json').read_text()) == manifest
    with np.load(tmp_path / 'probe.npz') as probe:
        assert sorted(probe) == list('0123')
        for i, image in enumerate(pixels):
            np.testing.assert_array_equal(probe[str(i)], image)


def test_other_libraries_may_read_it_but_no_other_settings(source, manifest, out):
    pixels = replayed_pixels(source)
    own = {**manifest, 'epochs': 9, 'versions': {'python': '2'}}
    assert require_own(out, own, pixels) == manifest
    with pytest.raises(
        ValueError, match='belongs to another run; what differs:\nbatch'
    ):
        require_own(out, {**manifest, 'batch_size': 3}, pixels)
    with pytest.raises(ValueError, match='image 3 does not come out of the transforms'):
        require_own(out, manifest, [*pixels[:3], pixels[3] + 9])
