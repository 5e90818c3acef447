"""Teacher and data set that read what is stored."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmpretrain.models import ClsDataPreprocessor
from mmpretrain.structures import DataSample

from mmvitkd.datasets import CachedDataset
from mmvitkd.datasets.cached_dataset import check_pixels, probe_pixels
from mmvitkd.models import CachedTeacher
from mmvitkd.models.classifiers.tap import Tap
from mmvitkd.utils.teacher_cache import TeacherCache
from tests.helpers import build
from tests.test_caching.small import MIXUP, rewrite, stored


def test_the_teacher_hands_out_what_was_stored(source, written):
    """To the samples that the data set gives their records."""
    dataset = build_dataset(written)
    teacher = CachedTeacher(written)
    keys = [(0, 3), (1, 5), (3, 0)]  # the second epoch again
    samples = [dataset[key]['data_samples'] for key in keys]
    preprocessor = source.model.data_preprocessor
    inputs = torch.zeros(3, 3, 32, 32)
    taps = [Tap('head'), Tap('backbone.layers.0')]
    dry = teacher(inputs, preprocessor, taps)
    assert all(not feature.value.any() for feature in dry.values())
    teacher.load()
    found = teacher(inputs, preprocessor, taps, samples)
    assert list(found) == taps
    assert found[taps[1]].hw == (4, 4)
    records = stored(written)
    for row, (epoch, image) in enumerate([(0, 3), (1, 5), (1, 0)]):
        record = records[epoch, image]
        assert found[taps[0]].value[row].tolist() == record['1']['log_prob'].tolist()
        assert found[taps[1]].value[row].tolist() == record['0']['value'].tolist()


def test_a_distiller_hands_the_samples_on(written):
    cfg = Config.fromfile(written / 'small_cached.py')
    model = build({**cfg.model, 'data_preprocessor': dict(cfg.data_preprocessor)})
    sample = build_dataset(written)[1, 2]
    model.load_teachers()
    inputs, samples = sample['inputs'][None].float(), [sample['data_samples']]
    outputs = model.forward_teachers(inputs, samples)['teacher']
    record = stored(written)[1, 2]['1']['log_prob']
    assert outputs[Tap('head')].value[0].tolist() == record.tolist()
    assert model.loss(inputs, samples)['loss_nkd'].isfinite()


def build_dataset(out: Path, **changes: Any) -> CachedDataset:
    cfg = Config.fromfile(out / 'small_cached.py').train_dataloader.dataset
    cfg.pop('type')
    with DefaultScope.overwrite_default_scope('mmvitkd'):
        return CachedDataset(**{**cfg, 'path': out, **changes})


def test_the_dry_run_refuses_other_pixels_and_training_missing_records(source, written):
    teacher = CachedTeacher(str(written))
    inputs, taps = torch.zeros(1, 3, 32, 32), [Tap('head')]
    assert teacher.describe() == f"stored outputs in '{written}'"
    other = ClsDataPreprocessor(mean=[78.0] * 3, std=[95.0] * 3)
    with pytest.raises(ValueError, match=r'1.0: 96.0 \(stored\) -> 95.0 \(requested'):
        teacher(inputs, other, taps)
    mixes = ClsDataPreprocessor(mean=[78.0] * 3, std=[96.0] * 3, batch_augments=MIXUP)
    with pytest.raises(ValueError, match='make images that no stored output fits'):
        teacher(inputs, mixes, taps)
    with pytest.raises(ValueError, match=r"has no outputs of the tap 'head' \(cls\)"):
        teacher.check(Tap('head', 'cls'))
    teacher.check(Tap('head'))
    for samples in (None, [DataSample()]):
        teacher.load()
        with pytest.raises(ValueError, match='the data samples hold no outputs of'):
            teacher(inputs, mixes, taps, samples)
    named = DataSample(metainfo={'teacher_record': ('other', b'')})
    with pytest.raises(ValueError, match=r"\(theirs: \['other'\]"):
        teacher(inputs, mixes, taps, [named])


def test_a_named_teacher_must_be_the_one_that_was_stored(source, written, tmp_path):
    named = source.teachers[None].cfg
    cfg, checkpoint = named['cfg'], named['checkpoint']
    saved = torch.load(checkpoint)
    meta = {'dataset_meta': {'classes': list('0123456789')}}
    torch.save({**saved, 'meta': meta}, tmp_path / 'own.pth')
    teacher = CachedTeacher(written, cfg, tmp_path / 'own.pth')
    assert teacher.classes is None
    teacher.load()
    assert teacher.classes == tuple('0123456789')
    (tmp_path / 'own.pth').unlink()
    teacher.load()  # which reads it once
    prefixed = {f'student.{k}': v for k, v in saved['state_dict'].items()}
    torch.save({'state_dict': prefixed}, tmp_path / 'student.pth')
    CachedTeacher(written, cfg, tmp_path / 'student.pth', 'student.').load()
    told = f"cache '{written}' belongs to another teacher; what differs:\nweights: "
    with pytest.raises(ValueError, match=told):
        CachedTeacher(written, cfg, tmp_path / 'student.pth').load()
    with pytest.raises(ValueError, match='cfg.head.num_classes: 10 .* -> 9'):
        CachedTeacher(written, {**cfg, 'head': {**cfg['head'], 'num_classes': 9}})


def test_the_images_must_be_those_that_were_stored(written):
    told = f"cache '{written}' belongs to another data set, transform or seed"
    with pytest.raises(ValueError, match=rf'{told}; what differs:\nseed: 0 \(stored\)'):
        build_dataset(written, seed=1)
    with pytest.raises(ValueError, match='num_classes: 10 .* -> 11'):
        build_dataset(written, num_classes=11)


def test_epochs_begin_again_with_one_warning(written, log):
    dataset = build_dataset(written)
    for epoch in range(4):
        dataset.set_epoch(epoch)
        warned = 'holds 2 epochs, which are now seen again' in log.text
        assert warned == (epoch > 1)
    assert log.text.count('are now seen again') == 1
    assert f"epoch 3: '{written}' holds" in log.text


def test_an_epochs_shards_are_checked_before_it_begins(out):
    dataset = build_dataset(out)
    file = out / 'epoch_0001/00001.npy'
    file.write_bytes(file.read_bytes()[:-1] + b'?')
    dataset.set_epoch(2)
    with pytest.raises(ValueError, match='shard epoch_0001/00001.npy is damaged'):
        dataset.set_epoch(3)


def test_records_of_another_augmentation_are_refused(out):
    def other(records: np.ndarray) -> None:
        records['seed'][1] += 1

    rewrite(out, other)
    dataset = build_dataset(out)
    assert dataset[1, 4]['data_samples'].teacher_record[0] == TeacherCache(out).name
    with pytest.raises(ValueError, match='epoch 1, image 5: the outputs were stored'):
        dataset[3, 5]
    with pytest.raises(ValueError, match='is indexed by'):
        dataset[3]


@pytest.mark.parametrize(
    ('change', 'told'),
    [
        (lambda x: x + 0.0019 * np.ptp(x), None),
        (lambda x: x - 0.0021 * np.ptp(x), 'it is off by'),
        (lambda x: x * np.nan, 'it is off by nan'),
        (lambda x: x[:, :31], r'its shape is \(3, 31, 32\), was \(3, 32, 32\)'),
    ],
    ids=['rounding', 'more', 'nan', 'shape'],
)
def test_pixels_may_differ_by_rounding_alone(source, written, change, told):
    pixels = probe_pixels(source.dataset)
    assert len(pixels) == 4
    cache = TeacherCache(written)
    check_pixels(cache, pixels)
    pixels[2] = change(pixels[2])
    if told is None:
        check_pixels(cache, pixels)
        return
    with pytest.raises(ValueError, match=f'image 2 does not come out .*{told}'):
        check_pixels(cache, pixels)


def test_pixels_that_cannot_be_read(source, out):
    (out / 'probe.npz').write_bytes(b'PK')
    with pytest.raises(ValueError, match=r'its probe.npz, .* is damaged \(\w+: '):
        check_pixels(TeacherCache(out), probe_pixels(source.dataset))
