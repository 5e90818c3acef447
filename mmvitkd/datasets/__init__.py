from .balanced_subset import balanced_subset
from .cached_dataset import CachedDataset
from .corrupt import Corrupt
from .digits import Digits
from .fashion_mnist import FashionMNIST
from .fashion_mnist_jpegs import FashionMNISTJPEGs
from .fast import (
    FastPackInputs,
    FastRandAugment,
    FastRandomErasing,
    FastRandomFlip,
    FastRandomResizedCrop,
    ReadRandomResizedCrop,
)
from .held_out_split import held_out_split
from .hugging_face_images import HuggingFaceImages
from .hugging_face_stream import HuggingFaceStream
from .image_files import ImageFiles
from .image_folder import ImageFolder
from .replay_sampler import ReplaySampler
from .replayed_dataset import ReplayedDataset
from .seeded_batches import SeededBatches
from .streamed_images import StreamedImages
from .unlabelled_images import UnlabelledImages
from .webdataset_images import WebDatasetImages
from .weighted_sampler import WeightedSampler
from .without_labels import without_labels

__all__ = [
    'CachedDataset',
    'Corrupt',
    'Digits',
    'FashionMNIST',
    'FashionMNISTJPEGs',
    'FastPackInputs',
    'FastRandAugment',
    'FastRandomErasing',
    'FastRandomFlip',
    'FastRandomResizedCrop',
    'HuggingFaceImages',
    'HuggingFaceStream',
    'ImageFiles',
    'ImageFolder',
    'ReadRandomResizedCrop',
    'ReplaySampler',
    'ReplayedDataset',
    'SeededBatches',
    'StreamedImages',
    'UnlabelledImages',
    'WebDatasetImages',
    'WeightedSampler',
    'balanced_subset',
    'held_out_split',
    'without_labels',
]
