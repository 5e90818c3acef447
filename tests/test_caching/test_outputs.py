"""What is stored is what the teacher says; timed, and verified."""

import os
import shutil
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.config import Config

from mmvitkd.caching import outputs
from mmvitkd.caching.cache import verify_cache, write_cache
from mmvitkd.caching.outputs import (
    Times,
    encode,
    time_batches,
    verify,
    write_shards,
)
from mmvitkd.caching.plan import Source, feature_specs, make_manifest, read_source
from mmvitkd.models.classifiers.cached_feature_spec import CachedFeatureSpec
from mmvitkd.models.classifiers.tap import Tap
from mmvitkd.utils.teacher_cache import TeacherCache, checksum_file, sha256
from tests.test_caching.small import CPU, IMAGES, rewrite, settings, stored


def test_records_are_the_teachers_outputs_on_the_replayed_images(tmp_path):
    """By the teacher itself, one image after the other."""
    source = read_source(settings(tmp_path), None, CPU)
    write_cache(source, make_manifest(source, 2, None, 2, 5), tmp_path / 'cache')
    records = stored(tmp_path / 'cache')
    teacher = source.teachers[None].teacher.model
    mean, std = 78.0, 96.0
    seen = {}
    teacher.backbone.layers[0].register_forward_hook(
        lambda _, __, tokens: seen.update(tokens=tokens[:, 1:])
    )
    for epoch in (0, 1):
        for image in range(IMAGES):
            sample = source.dataset.replay(epoch, image)
            with torch.no_grad():
                logits = teacher((sample['inputs'].float()[None] - mean) / std)
            record = records[epoch, image]
            assert record['seed'] == source.dataset.replay_seed(epoch, image)
            np.testing.assert_allclose(
                record['0']['value'], seen['tokens'][0], rtol=2e-3, atol=2e-3
            )
            np.testing.assert_allclose(
                record['1']['log_prob'], logits.log_softmax(1)[0], rtol=2e-3, atol=2e-3
            )
    assert len(np.unique(records['seed'])) == 2 * IMAGES


def test_images_are_loaded_by_the_workers_to_the_same_bytes(
    source, manifest, written, tmp_path
):
    loaded_by = get_context('fork').SimpleQueue()

    def collate(samples: list) -> dict:
        loaded_by.put(os.getpid())
        return source.collate(samples)

    cfg = Config({**source.cfg.to_dict(), 'train_dataloader': {'num_workers': 1}})
    out = shutil.copytree(written, tmp_path / 'cache')
    file = out / 'epoch_0001/00000.npy'
    before = file.read_bytes()
    file.unlink()
    cache = TeacherCache(out)
    specs = [CachedFeatureSpec.of_setting(tap) for tap in cache.manifest['taps']]
    by_worker = source._replace(cfg=cfg, collate=collate)
    assert write_shards(by_worker, cache, specs, pin_memory=False) == 1
    assert file.read_bytes() == before
    assert loaded_by.get() != os.getpid()


def test_time_of_all_images():
    times = Times(load=0.5, forward=0.25)
    assert times.total(8, workers=0) == 6
    assert times.total(8, workers=1) == 4
    assert times.total(8, workers=4) == 2  # as the teacher takes


def test_times_are_of_an_image_without_the_first_batch(source, monkeypatch):
    """By a clock that goes on by the images of a batch to load, and a hundredth."""
    now = [0.0]
    slow = [100.0]

    class Clocked(Source):
        def batch(self, keys: Any) -> dict:
            keys = list(keys)
            seen.append(keys)
            now[0] += slow[0] + 0.5 * len(keys)
            return super().batch(keys)

        def forward(self, batch: dict) -> Any:
            now[0] += slow[0] + 0.25 * len(batch['inputs'])
            slow[0] = 0.0
            return super().forward(batch)

    seen: list[list[tuple[int, int]]] = []
    monkeypatch.setattr(outputs, 'perf_counter', lambda: now[0])
    times = time_batches(Clocked(*source), 4)
    assert times == pytest.approx((0.5, 0.25))
    images = [[image for _, image in keys] for keys in seen]
    assert images == [[0, 1, 2, 3], [4, 5, 0, 1], [2, 3, 4, 5], [0, 1, 2, 3]]
    assert {epoch for keys in seen for epoch, _ in keys} == {0}
    seen.clear()
    time_batches(Clocked(*source), 100)
    assert {len(keys) for keys in seen} == {IMAGES}


class EachOnce:
    """In place of a random generator: draws every number once."""

    def integers(self, high: int, size: int) -> np.ndarray:
        return np.arange(high)[:size]


@pytest.fixture
def each_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('numpy.random.default_rng', EachOnce)


def test_verify_finds_nothing_wrong_in_what_is_right(source, written, each_once):
    assert wrong_of(source, written, 99) == []


def wrong_of(source: Source, out: Path, count: int) -> list[str]:
    cache = TeacherCache(out)
    specs = [CachedFeatureSpec.of_setting(tap) for tap in cache.manifest['taps']]
    return verify(source, cache, specs, count)


def test_verify_finds_the_one_image_that_is_wrong(source, out, each_once):
    file = out / 'epoch_0001/00001.npy'  # images 4 and 5
    records = np.load(file)
    records['1']['log_prob'][1] *= 1.1
    np.save(file, records)
    checksum_file(file).write_text(f'{sha256(file)}  {file.name}\n')
    wrong = ["epoch 1, image 5: not the teacher's output at 'head'"]
    assert wrong_of(source, out, 99) == wrong
    assert wrong_of(source, out, 2 * IMAGES - 1) == []


def test_verify_finds_other_seeds_and_damaged_files(source, manifest, out, each_once):
    def other(records: np.ndarray) -> None:
        records['seed'] += 1

    rewrite(out, other)
    wrong = [
        f'epoch {epoch}, image {image}: stored for another augmentation'
        for epoch in (0, 1)
        for image in range(IMAGES)
    ]
    assert wrong_of(source, out, 99) == wrong
    for count, more in ((99, ' and 2 more'), (11, ' and 1 more'), (10, '')):
        with pytest.raises(ValueError) as error:
            verify_cache(source, manifest, out, count)
        assert str(error.value) == f"cache '{out}': {'; '.join(wrong[:10])}{more}"
    for file in out.glob('epoch_*/*.npy'):
        file.write_bytes(b'')
    wrong = wrong_of(source, out, 99)
    assert len(wrong) == 4
    assert wrong[0].startswith('epoch_0000/00000.npy is damaged (sha256 ')


def test_encoding_takes_the_first_images_of_the_rest(source, manifest):
    specs = feature_specs(source, None)
    batch = source.forward(source.batch([(1, 3), (1, 4)]))
    records = encode(specs, batch, source, 1, range(3, 6))
    assert records['seed'].tolist() == [
        source.dataset.replay_seed(1, i) for i in (3, 4)
    ]
    np.testing.assert_allclose(
        records['1']['log_prob'],
        batch[None][Tap('head')].value.log_softmax(1),
        rtol=2e-3,
    )
