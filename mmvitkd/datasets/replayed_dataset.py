import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from functools import lru_cache
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmpretrain.models import RandomBatchAugment
from torch import Tensor
from torch.utils.data import IterableDataset

from mmvitkd.registry import DATASETS
from mmvitkd.utils.teacher_cache import plain

# the streams of random numbers that an epoch of an image has
AUGMENTATION, MIXING, PARTNERS = range(3)


@lru_cache(maxsize=8)  # a cached dataset asks twice
def replay_seed(seed: int, epoch: int, image: int, stream: int) -> int:
    """Mix four numbers into a seed of 32 bits."""
    mixed = np.random.SeedSequence((seed, epoch, image, stream))
    return int(mixed.generate_state(1)[0])


def seed_streams(seed: int) -> None:
    """Seed the streams that transforms draw from, which are not those of GPUs."""
    random.seed(seed)
    np.random.seed(seed)
    torch.default_generator.manual_seed(seed)


@contextmanager
def streams_kept() -> Iterator[None]:
    """Restore these streams afterwards; it takes longer than to seed them."""
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed the streams that transforms draw from, and restore them afterwards."""
    with streams_kept():
        seed_streams(seed)
        yield


@DATASETS.register_module()
class ReplayedDataset:
    """A dataset whose epochs can be seen again: equal pixels on every replay.

    What is random about an image follows from ``seed``, the epoch and the image's
    index, so it does not depend on the number of workers, processes or nodes, nor on
    what was drawn before. It is indexed by ``(epoch, index)``, which
    :class:`ReplaySampler` yields.

    Mixup and CutMix belong here, as MMPretrain mixes by how a batch was dealt out. In
    every epoch the whole set is paired off anew, by chance; two partners are mixed into
    each other, and each image has a ratio or a box of its own. The sampler yields
    partners one after the other, and an image is kept until its partner was asked for,
    so that it is read once.

    Args:
        dataset: Config of a dataset of MMPretrain or one like it.
        seed: Of everything random. Defaults to 0.
        mixing: ``dict(augments=..., probs=...)``, as MMPretrain's ``train_cfg`` or
            ``batch_augments``. Defaults to None.
        num_classes: Length of the mixed labels. Defaults to the number of the dataset's
            class names.

    Raises:
        ValueError: If ``seed`` is negative, the dataset is a stream, or there is mixing
            without a number of classes.
    """

    def __init__(
        self,
        dataset: dict,
        seed: int = 0,
        mixing: dict | None = None,
        num_classes: int | None = None,
    ) -> None:
        if seed < 0:
            raise ValueError(f'seed must be at least 0, got {seed}')
        self._cfg = dataset
        self.dataset: Any = DATASETS.build(dataset)
        if isinstance(self.dataset, IterableDataset):
            raise ValueError(
                f'{type(self.dataset).__name__} is streamed, so its images have no '
                'places by which they could be seen again: take a data set that is '
                'read by the image, such as mmvitkd.HuggingFaceImages'
            )
        self.dataset.full_init()
        self.seed = seed
        self.mixing = mixing
        self.num_classes = num_classes or len(self.metainfo.get('classes') or ())
        if mixing is not None and not self.num_classes:
            raise ValueError('mixing needs num_classes: the dataset has no class names')
        self._mix: Any = None
        if mixing is not None:
            self._mix = RandomBatchAugment(**deepcopy(mixing))
        self._partners: tuple[int, np.ndarray] | None = None
        # an image and its partner, before they are mixed, by epoch and index
        self._held: dict[tuple[int, int], dict] = {}

    def __len__(self) -> int:
        return len(self.dataset)

    @property
    def metainfo(self) -> dict:
        """The dataset's own."""
        return self.dataset.metainfo

    def get_data_info(self, index: int) -> dict:
        """Return an image's annotation."""
        return self.dataset.get_data_info(index)

    def set_epoch(self, epoch: int) -> None:
        """Hear that an epoch begins, in the main process."""

    def replay_seed(self, epoch: int, index: int, stream: int = AUGMENTATION) -> int:
        """Return the seed of an image's augmentation or mixing in an epoch."""
        return replay_seed(self.seed, epoch, index, stream)

    def __getitem__(self, key: tuple[int, int]) -> dict:
        """Return an image as one epoch sees it.

        Raises:
            ValueError: If ``key`` is not ``(epoch, index)``.
        """
        with streams_kept():
            return self._item(key)

    def __getitems__(self, keys: list[tuple[int, int]]) -> list[dict]:
        """Return the images of a batch, which PyTorch's loaders ask for at once."""
        if type(self).__getitem__ is not ReplayedDataset.__getitem__:
            return [self[key] for key in keys]  # in the way of a subclass
        with streams_kept():
            return [self._item(key) for key in keys]

    def _item(self, key: tuple[int, int]) -> dict:
        if not isinstance(key, tuple):
            raise ValueError(
                f'{type(self).__name__} is indexed by (epoch, index), got {key!r}: '
                "give its data loader sampler=dict(type='mmvitkd.ReplaySampler')"
            )
        return self._replayed(*key)

    def replay(self, epoch: int, index: int) -> dict:
        """Return an image as an epoch sees it, mixed if there is mixing."""
        with streams_kept():
            return self._replayed(epoch, index)

    def _replayed(self, epoch: int, index: int) -> dict:
        if self._mix is None:
            return self._augmented(epoch, index)
        return self._mixed(epoch, index)

    def _augmented(self, epoch: int, index: int) -> dict:
        seed_streams(self.replay_seed(epoch, index))
        return self.dataset[index]

    def _pair(self, epoch: int, index: int) -> tuple[dict, dict]:
        """Return an image and its partner; they are kept until that was asked for."""
        keys = (epoch, index), (epoch, self.partner(epoch, index))
        known, self._held = self._held, {}
        both = [known.get(key) or self._augmented(*key) for key in keys]
        if keys[0] not in known:
            self._held = dict(zip(keys, both, strict=True))
        return both[0], both[1]

    def _mixed(self, epoch: int, index: int) -> dict:
        """Mix with the partner, by MMPretrain's own classes on a batch of the two."""
        data, other = self._pair(epoch, index)
        images = torch.stack([data['inputs'], other['inputs']]).float()
        scores = torch.stack([self._score(d['data_samples']) for d in (data, other)])
        seed_streams(self.replay_seed(epoch, index, MIXING))
        # ratio and box come from NumPy's stream, the order of the two from torch's
        torch.default_generator.manual_seed(SWAP)
        images, scores = self._mix(images, scores)
        sample = data[
            'data_samples'
        ].new()  # the other is mixed with the image as it is
        sample.set_gt_score(scores[0].clone())
        # without the other's memory
        return {**data, 'inputs': images[0].clone(), 'data_samples': sample}

    def partner(self, epoch: int, index: int) -> int:
        """Return the image that is mixed into another in an epoch, and it into that."""
        return int(self.partners(epoch)[index])

    def partners(self, epoch: int) -> np.ndarray:
        """Return every image's partner; of an odd number one is its own."""
        if self._partners is None or self._partners[0] != epoch:
            seed = self.replay_seed(epoch, 0, PARTNERS)
            order = np.random.RandomState(seed).permutation(len(self))
            ones, others = order[: len(order) // 2 * 2].reshape(-1, 2).T
            partners = np.arange(len(self))
            partners[ones], partners[others] = others, ones
            self._partners = epoch, partners
        return self._partners[1]

    def _score(self, sample: Any) -> Tensor:
        """Return the labels of a sample as ``(K,)``."""
        if 'gt_score' in sample:
            return sample.gt_score.float()
        if 'gt_label' not in sample:
            raise ValueError('mixing needs labels, but the samples have none')
        score = torch.zeros(self.num_classes)
        score[sample.gt_label] = 1
        return score

    def description(self) -> dict[str, Any]:
        """Tell, as plain data, what decides over the pixels."""
        found = {
            'images': len(self),
            'names': _digest_names(self),
            'dataset': plain(self._cfg),
            'mixing': plain(self.mixing),
            'num_classes': self.num_classes,
            'seed': self.seed,
        }
        # in caches that were written before, partners were not mutual
        return found if self.mixing is None else {**found, 'partners': 'pairs'}


def _digest_names(dataset: ReplayedDataset) -> str:
    """Digest every image's name, or pixels where it has none, and label, in order."""
    digest = hashlib.sha256()
    for index in range(len(dataset)):
        info = dataset.get_data_info(index)
        if 'img_path' in info:  # class and file: the folders above may move
            digest.update('/'.join(Path(info['img_path']).parts[-2:]).encode())
        elif 'img' in info:
            digest.update(np.asarray(info['img']).tobytes())
        digest.update(f' {info.get("gt_label")} {info.get("gt_score")}\n'.encode())
    return digest.hexdigest()


def _swapping_seed() -> int:
    """Find a seed after which torch's permutation of two swaps them."""
    for seed in count():
        order = torch.randperm(2, generator=torch.Generator().manual_seed(seed))
        if order.tolist() == [1, 0]:
            return seed
    raise AssertionError  # half of all seeds do


SWAP = _swapping_seed()
