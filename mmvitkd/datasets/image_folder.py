from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmpretrain.datasets import CustomDataset
from mmpretrain.datasets.custom import get_samples

from mmvitkd.registry import DATASETS

EXTENSIONS = ('.bmp', '.jpeg', '.jpg', '.pgm', '.png', '.ppm', '.tif', '.tiff', '.webp')


def subfolders(root: Path) -> list[str]:
    """List a folder's subfolders in their order, hidden ones left out.

    Raises:
        ValueError: If the folder does not exist or has none.
    """
    if not root.is_dir():
        raise ValueError(
            f"image folder '{root}' does not exist (looked in {Path.cwd()}): set "
            'data_root to a folder that holds train/ and val/'
        )
    found = sorted(
        p.name for p in root.iterdir() if p.is_dir() and not p.name.startswith('.')
    )
    if not found:
        raise ValueError(
            f"image folder '{root}' has no subfolders: put the images of every class "
            'into one of its own'
        )
    return found


@DATASETS.register_module()
class ImageFolder(CustomDataset):
    """Images in ``data_root/split/class/``, the layout of torchvision's ImageFolder.

    MMPretrain's ``CustomDataset`` numbers the classes of every split by itself, so
    that a class without validation images shifts all labels after it. Here the
    subfolders of ``train`` number them for every split, which may lack some.

    Args:
        data_root: The folder with ``train`` and the other splits.
        split: The subfolder of this dataset, such as ``'train'`` or ``'val'``.
        num_classes: How many classes the model has, checked against the folder.
        pipeline: Transforms, as in MMPretrain's datasets.
        extensions: Which files are images.
        **kwargs: Other arguments of MMPretrain's ``BaseDataset``.

    Raises:
        ValueError: If a folder is missing, the number of classes differs, the split
            has classes that ``train`` has not, or there are no images.
    """

    def __init__(
        self,
        data_root: str,
        split: str,
        num_classes: int,
        pipeline: Sequence[Any] = (),
        extensions: Sequence[str] = EXTENSIONS,
        **kwargs: Any,
    ) -> None:
        train = Path(data_root).expanduser() / 'train'
        classes = subfolders(train)
        if len(classes) != num_classes:
            raise ValueError(
                f"num_classes={num_classes}, but '{train}' has {len(classes)} "
                f'subfolders ({", ".join(classes[:5])}, ...): set '
                f'num_classes = {len(classes)}, or look for a folder too many'
            )
        super().__init__(
            data_root=data_root,
            data_prefix=split,
            pipeline=pipeline,
            extensions=extensions,
            metainfo={'classes': tuple(classes)},
            **kwargs,
        )

    def _find_samples(self) -> list[tuple[str, int]]:
        """List the images with their labels."""
        numbers = {name: i for i, name in enumerate(self.CLASSES)}
        found = subfolders(Path(self.img_prefix))
        unknown = [name for name in found if name not in numbers]
        if unknown:
            raise ValueError(
                f"'{self.img_prefix}' has classes that 'train' beside it has not: "
                f'{unknown}'
            )
        samples, _ = get_samples(
            self.img_prefix,
            {name: numbers[name] for name in found},
            is_valid_file=self.is_valid_file,
        )
        if not samples:
            raise ValueError(
                f"'{self.img_prefix}' has no images ({', '.join(EXTENSIONS)})"
            )
        return samples
