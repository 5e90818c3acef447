"""Two teachers in one cache: each in its own record's part, with its own identity."""

import json
import shutil
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope

from mmvitkd.caching.cache import verify_cache, write_cache
from mmvitkd.caching.folder import require_own
from mmvitkd.caching.outputs import replayed_pixels
from mmvitkd.caching.plan import Source, make_manifest, read_source
from mmvitkd.models import CachedTeacher
from mmvitkd.models.classifiers.tap import Tap
from mmvitkd.registry import DATASETS
from mmvitkd.utils.teacher_cache import TeacherCache
from tests.helpers import NKD, build, save_weights, vit
from tests.test_caching.by_hand import MANIFEST
from tests.test_caching.small import CPU, IMAGES, rewrite, settings, stored

OWN_PIXELS = {'mean': [0.0] * 3, 'std': [255.0] * 3}


def two(folder: Path, name: str = 'two') -> Config:
    """One teacher as ever, and a wider one with pixels and an image size of its own."""
    cfg = settings(folder, name)
    wide = {**vit(32, img_size=40), 'data_preprocessor': OWN_PIXELS}
    checkpoint = str(save_weights(vit(32, img_size=40), folder / 'wide.pth', seed=3))
    cfg.model.teachers = {
        'small': cfg.model.pop('teacher'),
        'wide': {'cfg': wide, 'checkpoint': checkpoint, 'input_size': 40},
    }
    cfg.model.terms.mimic0.teacher = 'small:backbone.layers.0'
    cfg.model.terms.nkd.teacher = 'wide:head'
    cfg.model.terms.nkd_small = {**NKD, 'teacher': 'small:head'}
    return cfg


@pytest.fixture(scope='module')
def source(tmp_path_factory) -> Source:
    return read_source(two(tmp_path_factory.mktemp('two')), None, CPU)


@pytest.fixture(scope='module')
def manifest(source) -> dict[str, Any]:
    return make_manifest(source, 2, None, batch_size=2, shard_size=4)


@pytest.fixture(scope='module')
def written(source, manifest, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp('written') / 'cache'
    write_cache(source, manifest, out)
    return out


def test_each_teacher_is_known_by_itself(manifest):
    assert manifest['format'] == 2
    assert list(manifest['teachers']) == ['small', 'wide']
    small, wide = manifest['teachers'].values()
    assert small['weights'] != wide['weights']
    assert (small['input_size'], wide['input_size']) == ([32, 32], [40, 40])
    assert small['normalisation'] == [[78.0] * 3, [96.0] * 3, False]
    assert wide['normalisation'] is None
    assert [(t['teacher'], t['path'], t['shape']) for t in manifest['taps']] == [
        ('small', 'backbone.layers.0', [16, 24]),
        ('small', 'head', [10]),
        ('wide', 'head', [10]),
    ]
    assert manifest['record_bytes'] == 4 + 2 * 16 * 24 + 2 * 10 + 2 * 10
    assert json.loads(json.dumps(manifest)) == manifest


def test_the_manifest_of_one_teacher_is_as_it_always_was(tmp_path):
    one = make_manifest(read_source(settings(tmp_path), None, CPU), 2, None, 2, 4)
    assert list(one) == list(MANIFEST)
    assert one['format'] == 1
    assert all('teacher' not in tap for tap in one['taps'])


def test_images_are_loaded_and_preprocessed_once_for_all(source, monkeypatch):
    calls = []
    preprocess = source.model.data_preprocessor.forward

    def counted(*args: Any, **kwargs: Any) -> Any:
        calls.append(args)
        return preprocess(*args, **kwargs)

    monkeypatch.setattr(source.model.data_preprocessor, 'forward', counted)
    outputs = source.forward(source.batch([(0, 0), (0, 1)]))
    assert len(calls) == 1
    assert {name: list(found) for name, found in outputs.items()} == {
        'small': [Tap('backbone.layers.0'), Tap('head')],
        'wide': [Tap('head')],
    }


def test_the_records_are_each_teachers_own_outputs(source, written):
    """By the classifiers themselves; the wide one sees other pixels, enlarged."""
    records = stored(written)
    small, wide = (tapped.teacher.model for tapped in source.teachers.values())
    for epoch, image in ((0, 0), (1, IMAGES - 1)):
        pixels = source.dataset.replay(epoch, image)['inputs'].float()[None]
        enlarged = torch.nn.functional.interpolate(
            pixels, (40, 40), mode='bilinear', antialias=True
        )
        with torch.no_grad():
            logits = [small((pixels - 78) / 96), wide(enlarged / 255)]
        record = records[epoch, image]
        for field, x in zip('12', logits, strict=True):
            np.testing.assert_allclose(
                record[field]['log_prob'], x.log_softmax(1)[0], rtol=3e-3, atol=3e-3
            )


def test_each_teacher_reads_its_part_of_a_sample(source, written):
    cfg = Config.fromfile(written / 'two_cached.py')
    cached = {'type': 'mmvitkd.CachedTeacher', 'path': str(written.resolve())}
    assert cfg.model.teachers == {
        name: {**cached, 'name': name} for name in ('small', 'wide')
    }
    model = build({**cfg.model, 'data_preprocessor': dict(cfg.data_preprocessor)})
    model.load_teachers()
    with DefaultScope.overwrite_default_scope('mmvitkd'):
        sample = DATASETS.build(cfg.train_dataloader.dataset)[1, 2]
    inputs, samples = sample['inputs'][None].float(), [sample['data_samples']]
    outputs = model.forward_teachers(inputs, samples)
    record = stored(written)[1, 2]
    for name, field in (('small', '1'), ('wide', '2')):
        found = outputs[name][Tap('head')].value[0].tolist()
        assert found == record[field]['log_prob'].tolist()
    assert outputs['small'][Tap('backbone.layers.0')].hw == (4, 4)


def test_a_teacher_is_asked_for_by_its_name(written, source):
    told = f"cache '{written}' has outputs of the teachers small, wide, and the one "
    with pytest.raises(ValueError, match=rf"{told}.* is not named: give name='small'"):
        CachedTeacher(written)
    with pytest.raises(ValueError, match=rf"{told}.* is called 'other': give name="):
        CachedTeacher(written, name='other')
    wide = CachedTeacher(written, name='wide')
    assert wide.describe() == f"stored outputs of 'wide' in '{written}'"
    told = (
        r"no outputs of the tap 'wide:backbone.layers.0' \(patch\); it has 'wide:head'"
    )
    with pytest.raises(ValueError, match=told):
        wide.check(Tap('backbone.layers.0'))
    small, other = (source.teachers[name].cfg for name in ('small', 'wide'))
    with pytest.raises(ValueError, match=r'another teacher; .*\nwide.cfg.backbone'):
        CachedTeacher(written, small['cfg'], name='wide')
    named = CachedTeacher(written, small['cfg'], small['checkpoint'], name='small')
    named.load()
    with pytest.raises(ValueError, match=r'another teacher; .*\nsmall.weights: '):
        CachedTeacher(written, checkpoint=other['checkpoint'], name='small').load()


def test_one_teachers_cache_has_no_names(tmp_path):
    source = read_source(settings(tmp_path), None, CPU)
    write_cache(source, make_manifest(source, 1, None, 2, None), tmp_path / 'one')
    with pytest.raises(ValueError, match="which has no name: leave name='wide' out"):
        CachedTeacher(tmp_path / 'one', name='wide')


def test_the_cache_of_other_teachers_is_refused(source, manifest, written, tmp_path):
    pixels = replayed_pixels(source)
    other = deepcopy(manifest)
    other['teachers']['wide']['weights'] = 'x'
    with pytest.raises(ValueError, match=r'another run; .*\nteachers.wide.weights: '):
        require_own(written, other, pixels)
    renamed = {**manifest, 'teachers': {'small': {}, 'b': {}}}
    told = r'teachers: small, wide \(stored\) -> small, b \(requested\)'
    with pytest.raises(ValueError, match=told):
        require_own(written, renamed, pixels)
    one = make_manifest(read_source(settings(tmp_path), None, CPU), 2, None, 2, 4)
    told = r'teachers: small, wide \(stored\) -> only one \(requested\)'
    with pytest.raises(ValueError, match=told):
        require_own(written, one, pixels)


def test_shards_that_are_lost_are_written_to_the_same_bytes(source, manifest, written):
    file = written / 'epoch_0001/00000.npy'
    before = file.read_bytes()
    file.unlink()
    write_cache(source, manifest, written)
    assert file.read_bytes() == before


def test_verify_names_the_teacher_whose_output_is_wrong(
    source, manifest, written, tmp_path
):
    verify_cache(source, manifest, written, 3)
    out = shutil.copytree(written, tmp_path / 'cache')

    def other(records: np.ndarray) -> None:
        records['2']['log_prob'][:] = np.roll(records['2']['log_prob'], 1, 1)

    rewrite(out, other)
    with pytest.raises(ValueError, match="not the teacher's output at 'wide:head'"):
        verify_cache(source, manifest, out, 3)


@pytest.mark.parametrize(
    ('change', 'told'),
    [
        ({'teachers': []}, r'its teachers is \[\], not a dict'),
        ({'teachers': {}}, 'not of the teachers'),
        ({'teachers': {'small': {'normalisation': None}}}, 'not of the teachers'),
        ({'teachers': {'small': {}, 'wide': 3}}, 'lacks the normalisation'),
        ({'taps': [{'teacher': 3}]}, 'which are none'),
    ],
    ids=['list', 'empty', 'one too few', 'no pixels', 'number'],
)
def test_a_manifest_that_is_damaged(manifest, tmp_path, change, told):
    (tmp_path / 'manifest.json').write_text(json.dumps({**manifest, **change}))
    with pytest.raises(ValueError, match=f'its manifest.json is damaged .*{told}'):
        TeacherCache(tmp_path)


def test_a_teacher_whose_outputs_cannot_be_stored_is_named(tmp_path):
    cfg = two(tmp_path)
    cfg.model.teachers.small.type = 'MaskedTeacher'
    cfg.model.terms.mimic0 = None
    with pytest.raises(ValueError, match="outputs of teacher 'small', a MaskedTeacher"):
        read_source(cfg, None, CPU)
