import random
from copy import deepcopy

import numpy as np
import pytest
import torch
from mmengine.dataset import DefaultSampler, default_collate
from mmengine.registry import DefaultScope
from mmpretrain.models import RandomBatchAugment
from torch.utils.data import DataLoader

from mmvitkd.datasets import Digits, ReplayedDataset, ReplaySampler
from mmvitkd.datasets.replayed_dataset import MIXING, seeded
from tests.test_tools.runs import PIPELINE

DIGITS = {
    'type': 'Digits',
    'split': 'train',
    'indices': 24,
    'pipeline': [
        PIPELINE[0],
        {'type': 'RandomCrop', 'crop_size': 32, 'padding': 4},
        {'type': 'RandomFlip', 'prob': 0.5, 'direction': 'horizontal'},
        PIPELINE[1],
    ],
}
BOTH = {'augments': [{'type': 'Mixup', 'alpha': 0.8}, {'type': 'CutMix', 'alpha': 1.0}]}


@pytest.fixture(autouse=True)
def ours():
    """Types are looked up as under our configs, whatever ran before."""
    with DefaultScope.overwrite_default_scope('mmvitkd'):
        yield


def replayed(mixing=BOTH, seed=0, **changes):
    return ReplayedDataset({**DIGITS, **changes}, seed=seed, mixing=mixing)


def epoch_of(dataset, epoch, batch=4, workers=0, persistent=False, loader=None):
    """An epoch's images and labels, by the images' numbers."""
    loader = loader or DataLoader(
        dataset,
        batch_size=batch,
        num_workers=workers,
        sampler=ReplaySampler(dataset, seed=epoch + 7),
        collate_fn=default_collate,
        persistent_workers=persistent,
        multiprocessing_context='fork' if workers else None,
    )
    loader.sampler.set_epoch(epoch)
    seen = {}
    for data in loader:
        for image, sample in zip(data['inputs'], data['data_samples'], strict=True):
            label = sample.get('gt_score', sample.get('gt_label'))
            seen[sample.sample_idx] = torch.cat([image.flatten(), label])
    return seen


def same(one, other):
    return one.keys() == other.keys() and all(
        torch.equal(one[k], other[k]) for k in one
    )


@pytest.mark.parametrize('mixing', [None, BOTH], ids=['plain', 'mixed'])
def test_workers_batches_and_order_change_no_pixel(mixing):
    dataset = replayed(mixing)
    reference = epoch_of(dataset, 1)
    assert len(reference) == 24
    random.seed(5), np.random.seed(5), torch.manual_seed(5)
    assert same(epoch_of(replayed(mixing), 1, batch=5, workers=2), reference)
    again = epoch_of(dataset, 0)
    assert not any(torch.equal(again[i], reference[i]) for i in (1, 2))
    assert same(epoch_of(dataset, 1), reference)


def test_workers_that_persist_hear_of_the_epoch():
    dataset = replayed()
    loader = DataLoader(
        dataset,
        batch_size=4,
        num_workers=1,
        sampler=ReplaySampler(dataset, seed=0),
        collate_fn=default_collate,
        persistent_workers=True,
        multiprocessing_context='fork',
    )
    for epoch in (0, 1):
        assert same(
            epoch_of(dataset, epoch, loader=loader), epoch_of(replayed(), epoch)
        )


def test_two_processes_see_the_images_of_one(monkeypatch):
    dataset = replayed()
    whole = epoch_of(dataset, 1)
    parts = []
    for rank in (0, 1):
        monkeypatch.setattr(
            'mmengine.dataset.sampler.get_dist_info', lambda rank=rank: (rank, 2)
        )
        parts.append(epoch_of(dataset, 1))
    assert [len(part) for part in parts] == [12, 12]
    assert same({**parts[0], **parts[1]}, whole)


def test_another_seed_shows_other_images():
    one, other = epoch_of(replayed(), 0), epoch_of(replayed(seed=1), 0)
    assert not any(torch.equal(one[i], other[i]) for i in one)


def test_streams_go_on_as_if_nothing_had_been_drawn():
    dataset = replayed()
    draws = []
    for replay in (
        lambda: None,
        lambda: dataset[0, 3],
        lambda: dataset.replay(0, 3),
        lambda: dataset.__getitems__([(0, 3), (0, 4)]),
    ):
        random.seed(3), np.random.seed(3), torch.manual_seed(3)
        replay()
        draws.append([random.random(), np.random.rand(), float(torch.rand(()))])
    assert draws == 4 * [draws[0]]


def test_a_batch_has_the_images_that_a_subclass_yields():
    class Inverted(ReplayedDataset):
        def __getitem__(self, key):
            data = super().__getitem__(key)
            return {**data, 'inputs': 255 - data['inputs']}

    plain = epoch_of(replayed(None), 0)
    for number, inverted in epoch_of(Inverted(DIGITS), 0).items():
        expected = plain[number].clone()
        expected[:-1] = 255 - expected[:-1]
        assert torch.equal(inverted, expected)


@pytest.mark.parametrize('kind', [0, 1], ids=['mixup', 'cutmix'])
def test_mixing_is_mmpretrains_own(kind):
    """By the same ratio or box; on images that are normalised, as it mixes them."""
    mixing = {'augments': [BOTH['augments'][kind]]}
    dataset, plain = replayed(mixing), replayed(None)
    partner = dataset.partner(2, 5)
    assert partner != 5
    pair = [plain[2, 5], plain[2, partner]]
    images = torch.stack([data['inputs'] for data in pair]).float()
    labels = torch.cat([data['data_samples'].gt_label for data in pair])
    mean, std = 78.0, 96.0
    with seeded(dataset.replay_seed(2, 5, MIXING)):
        swap = next(s for s in range(99) if _permutation(s) == [1, 0])
        torch.manual_seed(swap)
        augment = RandomBatchAugment(**deepcopy(mixing))
        images, scores = augment(
            (images - mean) / std, torch.nn.functional.one_hot(labels, 10)
        )
    mixed = dataset[2, 5]
    torch.testing.assert_close((mixed['inputs'] - mean) / std, images[0])
    assert torch.equal(mixed['data_samples'].gt_score, scores[0])
    assert 0 < scores[0].max() < 1 or labels[0] == labels[1]


def _permutation(seed):
    torch.manual_seed(seed)
    return torch.randperm(2).tolist()


@pytest.mark.parametrize('workers', [0, 1])
def test_mixed_images_are_read_once(workers, tmp_path):
    """In batches of even size; in others the pairs that are taken apart are not."""
    for batch, processes, most in ((4, 1, 24), (3, 1, 24 + 4), (4, 2, 12)):
        dataset = replayed()
        read = tmp_path / f'{batch}-{processes}'
        prepare = dataset.dataset.prepare_data

        def counted(index, prepare=prepare, read=read):
            with read.open('a') as file:
                file.write(f'{index}\n')
            return prepare(index)

        dataset.dataset.prepare_data = counted
        loader = DataLoader(
            dataset,
            batch_size=batch,
            num_workers=workers,
            sampler=ReplaySampler(dataset, seed=4),
            collate_fn=default_collate,
            multiprocessing_context='fork' if workers else None,
        )
        if processes > 1:
            loader.sampler.rank, loader.sampler.world_size = 1, 2
        if workers == 0 or batch == 4:
            epoch_of(dataset, 1, loader=loader)
            assert len(read.read_text().split()) <= most


@pytest.mark.parametrize('processes', [1, 2, 3, 5])
@pytest.mark.parametrize('round_up', [True, False])
@pytest.mark.parametrize('images', [24, 23])
def test_partners_follow_each_other(images, round_up, processes, monkeypatch):
    """Every image comes as often as by MMEngine's sampler, pairs side by side."""
    dataset = replayed(indices=images)
    parts = []
    for rank in range(processes):
        monkeypatch.setattr(
            'mmengine.dataset.sampler.get_dist_info',
            lambda rank=rank: (rank, processes),
        )
        sampler = ReplaySampler(dataset, seed=1, round_up=round_up)
        sampler.set_epoch(2)
        parts.append([index for _, index in sampler])
        assert len(parts[-1]) == len(sampler)
    seen = [index for part in parts for index in part]
    assert set(seen) == set(range(images))
    assert len(seen) == (-(-images // processes) * processes if round_up else images)
    whole = images // (2 * processes)
    for part in parts:  # but for what is left over at the end
        for one, other in zip(
            part[: 2 * whole : 2], part[1 : 2 * whole : 2], strict=True
        ):
            assert dataset.partner(2, one) == other


def test_a_step_of_several_processes_is_one_of_a_larger_batch(monkeypatch):
    dataset = replayed()
    steps = []
    for processes in (1, 2, 3):
        parts = []
        for rank in range(processes):
            monkeypatch.setattr(
                'mmengine.dataset.sampler.get_dist_info',
                lambda rank=rank, processes=processes: (rank, processes),
            )
            part = [i for _, i in ReplaySampler(dataset, seed=1)]
            size = 12 // processes
            parts.append(
                [part[begin : begin + size] for begin in range(0, len(part), size)]
            )
        steps.append([sorted(sum(batch, [])) for batch in zip(*parts, strict=True)])
    assert steps[0] == steps[1] == steps[2]
    assert [len(step) for step in steps[0]] == [12, 12]


def test_mixing_leaves_the_partner_as_it_was():
    """Whichever of the two is asked for first, alone or after the other."""
    dataset = replayed()
    one, other = 3, dataset.partner(0, 3)
    fresh = [replayed()[0, i]['inputs'] for i in (one, other)]
    for order in ((one, other), (other, one)):
        found = {i: dataset[0, i]['inputs'] for i in order}
        assert torch.equal(found[one], fresh[0])
        assert torch.equal(found[other], fresh[1])


def test_every_image_is_the_partner_of_one():
    dataset = replayed()
    for epoch in (0, 1):
        assert all(
            dataset.partner(epoch, dataset.partner(epoch, i)) == i for i in range(24)
        )
        assert sorted(dataset.partner(epoch, i) for i in range(24)) == list(range(24))
    orders = [[dataset.partner(e, i) for i in range(24)] for e in (0, 1)]
    assert orders[0] != orders[1]


def test_the_mixings_probability_is_kept():
    dataset = replayed({'augments': [{'type': 'Mixup', 'alpha': 0.8}], 'probs': [0.5]})
    assert {tuple(dataset[e, 0]['inputs'].dtype for e in range(2))} == {
        (torch.float32, torch.float32)
    }
    mixed = sum(
        float(dataset[0, i]['data_samples'].gt_score.max()) < 1 for i in range(24)
    )
    assert 3 < mixed < 21


def test_an_ordinary_sampler_is_refused():
    dataset = replayed()
    loader = DataLoader(dataset, sampler=DefaultSampler(dataset, seed=0))
    with pytest.raises(ValueError, match='ReplaySampler'):
        next(iter(loader))
    with pytest.raises(ValueError, match='ReplaySampler is for a ReplayedDataset'):
        ReplaySampler(Digits())


def test_what_cannot_be_mixed_or_seeded_is_refused():
    with pytest.raises(ValueError, match='seed must be at least 0, got -1'):
        replayed(seed=-1)
    with pytest.raises(ValueError, match='mixing needs num_classes'):
        replayed(metainfo={'classes': ()})


def test_description_is_of_content_not_of_place(tmp_path):
    from tests.shrink import image_folder

    descriptions = []
    for name in ('here', 'there'):
        root = image_folder(tmp_path / name)
        dataset = {'type': 'ImageFolder', 'data_root': str(root), 'split': 'train'}
        dataset.update(
            num_classes=10, pipeline=[{'type': 'LoadImageFromFile'}, *PIPELINE]
        )
        descriptions.append(ReplayedDataset(dataset).description())
    assert descriptions[0] == descriptions[1]
    next((tmp_path / 'there').rglob('train/*/1.png')).rename(
        root / 'train/digit_9/2.png'
    )
    assert ReplayedDataset(dataset).description() != descriptions[0]
