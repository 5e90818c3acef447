import logging
from pathlib import Path

import numpy as np
from mmengine.logging import print_log

from mmvitkd.registry import DATASETS
from mmvitkd.utils.teacher_cache import TeacherCache, require_same

from .replayed_dataset import ReplayedDataset

PROBED = 4  # images whose pixels are kept beside the outputs
# of the range of an image's values: what another build of a library may change
TOLERANCE = 0.002


@DATASETS.register_module()
class CachedDataset(ReplayedDataset):
    """Images with stored teacher outputs, for :class:`CachedTeacher`.

    Each data sample gets its record as ``teacher_record``, read by the loader's
    workers. When more epochs are trained than stored, they begin again with the
    first, augmentations included.

    Args:
        path: Folder that ``python -m mmvitkd cache`` wrote.
        dataset: As for :class:`ReplayedDataset`; like the arguments below, what the
            outputs were stored for.
        seed: Of everything random. Defaults to 0.
        mixing: Mixup and CutMix. Defaults to None.
        num_classes: Length of the mixed labels.

    Raises:
        ValueError: If the cache is incomplete, or of other images, transforms, mixing
            or seed: the message lists what differs.
    """

    def __init__(
        self,
        path: str | Path,
        dataset: dict,
        seed: int = 0,
        mixing: dict | None = None,
        num_classes: int | None = None,
    ) -> None:
        super().__init__(dataset, seed, mixing, num_classes)
        self.cache = TeacherCache(path)
        stored = self.cache.manifest['data']
        require_same(
            self.cache.path, 'data set, transform or seed', stored, self.description()
        )
        self.cache.require_complete()
        check_pixels(self.cache, probe_pixels(self))
        self._cycling = False

    def set_epoch(self, epoch: int) -> None:
        """Check the epoch's shards; its workers then know them to be intact."""
        if epoch >= self.cache.epochs and not self._cycling:
            self._cycling = True
            print_log(
                f"epoch {epoch + 1}: '{self.cache.path}' holds {self.cache.epochs} "
                'epochs, which are now seen again with the same augmentations; '
                'python -m mmvitkd cache --epochs stores more',
                logger='current',
                level=logging.WARNING,
            )
        self.cache.open_epoch(epoch % self.cache.epochs)

    def _item(self, key: tuple[int, int]) -> dict:
        """Return an image of an epoch, with the outputs on it.

        Raises:
            ValueError: If the outputs were stored for another augmentation.
        """
        if isinstance(key, tuple):
            key = key[0] % self.cache.epochs, key[1]
        data = super()._item(key)
        record = self.cache.read(*key)
        seed = self.replay_seed(*key)
        if record['seed'] != seed:
            raise ValueError(
                f"cache '{self.cache.path}', epoch {key[0]}, image {key[1]}: the "
                f'outputs were stored for the seed {record["seed"]}, not {seed}'
            )
        # as bytes, for a tensor would cost the worker a file descriptor
        named = self.cache.name, record.tobytes()
        data['data_samples'].set_field(named, 'teacher_record', field_type='metainfo')
        return data


def probe_pixels(dataset: ReplayedDataset) -> list[np.ndarray]:
    """Return the first images of the first epoch as they come out of the transforms."""
    return [
        dataset.replay(0, i)['inputs'].float().numpy()
        for i in range(min(PROBED, len(dataset)))
    ]


def check_pixels(cache: TeacherCache, pixels: list[np.ndarray]) -> None:
    """Compare replayed images with those that the teacher saw.

    Raises:
        ValueError: If they differ.
    """
    for i, fresh in enumerate(pixels):
        stored = _stored_pixels(cache, i)
        if stored.shape != fresh.shape:
            found = f'its shape is {fresh.shape}, was {stored.shape}'
        elif not np.abs(stored - fresh).mean() <= TOLERANCE * np.ptp(stored):
            found = f'it is off by {np.abs(stored - fresh).mean():.3g} a pixel'
        else:
            continue
        raise ValueError(
            f"cache '{cache.path}': image {i} does not come out of the transforms as "
            f'the teacher saw it, {found}, although the config is the same. It was '
            f'written with {cache.manifest["versions"]}; do the files differ?'
        )


def _stored_pixels(cache: TeacherCache, image: int) -> np.ndarray:
    """Read an image as the teacher saw it.

    Raises:
        ValueError: If the file is missing or damaged.
    """
    try:
        with np.load(cache.path / 'probe.npz', allow_pickle=False) as seen:
            return seen[str(image)].astype(np.float32)
    except Exception as error:  # the archive, its compression, and NumPy have their own
        reason = ' '.join(f'{type(error).__name__}: {error}'.split())
        raise ValueError(
            f"cache '{cache.path}': its probe.npz, which holds the first images as "
            f'the teacher saw them, is damaged ({reason}): restore it from a copy, or '
            'write the cache anew'
        ) from error
