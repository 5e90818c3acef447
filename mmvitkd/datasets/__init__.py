from .balanced_subset import balanced_subset
from .cached_dataset import CachedDataset
from .corrupt import Corrupt
from .digits import Digits
from .image_folder import ImageFolder
from .replay_sampler import ReplaySampler
from .replayed_dataset import ReplayedDataset
from .seeded_batches import SeededBatches

__all__ = [
    'CachedDataset',
    'Corrupt',
    'Digits',
    'ImageFolder',
    'ReplaySampler',
    'ReplayedDataset',
    'SeededBatches',
    'balanced_subset',
]
