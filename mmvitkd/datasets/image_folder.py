import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.logging import print_log

from mmvitkd.registry import DATASETS

from .image_check import MAX_PIXELS
from .image_files import EXTENSIONS, ImageFiles


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
class ImageFolder(ImageFiles):
    """Images in ``data_root/split/class/``, the layout of torchvision's ImageFolder.

    MMPretrain's ``CustomDataset`` numbers the classes of every split by itself, so
    that a class without validation images shifts all labels after it. Here the
    subfolders of ``train`` number them for every split. Others than ``train`` may lack
    some, which the log says, as it counts the files that are no images. Hidden files
    and folders are passed over.

    Args:
        data_root: The folder with ``train`` and the other splits.
        split: The subfolder of this dataset, such as ``'train'`` or ``'val'``.
        num_classes: How many classes the model has, checked against the folder.
        pipeline: Transforms, as in MMPretrain's datasets.
        extensions: Which files are images.
        allow_empty: Whether classes of ``train`` may have no images. Defaults to
            False.
        skip_unreadable: Leave out images that can't be read, up to so many; they are
            looked for when it is above 0. Defaults to 0.
        max_pixels: Of a picture; larger ones count as unreadable. Defaults to 100
            million.
        fallback: The split to read where there is no folder ``split``, which the log
            says. Defaults to None: that is an error.
        **kwargs: Other arguments of MMPretrain's ``BaseDataset``.

    Raises:
        ValueError: If a folder is missing, the number of classes differs, the split
            has classes that ``train`` has not, there are no images, or, of ``train``,
            none of some classes; or more can't be read than are to be skipped.
    """

    def __init__(
        self,
        data_root: str,
        split: str,
        num_classes: int,
        pipeline: Sequence[Any] = (),
        extensions: Sequence[str] = EXTENSIONS,
        allow_empty: bool = False,
        skip_unreadable: int = 0,
        max_pixels: int = MAX_PIXELS,
        fallback: str | None = None,
        **kwargs: Any,
    ) -> None:
        root = Path(data_root).expanduser()
        if fallback is not None and root.is_dir() and not (root / split).exists():
            print_log(
                f"there is no '{root / split}': the {split} figures are those of the "
                f"images of '{fallback}', and optimistic where these chose the epoch "
                'or the settings',
                'current',
                logging.WARNING,
            )
            split = fallback
        train = root / 'train'
        classes = subfolders(train)
        self._must_have_all = root / split == train and not allow_empty
        if len(classes) != num_classes:
            raise ValueError(
                f"num_classes={num_classes}, but '{train}' has {len(classes)} "
                f'subfolders ({", ".join(classes[:5])}, ...): set '
                f'num_classes = {len(classes)}, or look for a folder too many'
            )
        super().__init__(
            data_root=str(root),
            data_prefix=split,
            pipeline=pipeline,
            extensions=extensions,
            metainfo={'classes': tuple(classes)},
            skip_unreadable=skip_unreadable,
            max_pixels=max_pixels,
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
        samples = self.list_images({name: numbers[name] for name in found})
        skipped = self._say_what_was_skipped()
        if not samples:
            raise ValueError(
                f"'{self.img_prefix}' has no images "
                f'({", ".join(sorted(self.extensions))}){skipped}'
            )
        self._check_classes({label for _, label in samples}, skipped)
        return samples

    def _say_what_was_skipped(self) -> str:
        """Log which files are left out; return it as a message's end."""
        beside = [
            path.name
            for path in Path(self.img_prefix).iterdir()
            if path.is_file() and self.is_valid_file(path.name)
        ]
        if beside:
            self.say(
                f'{len(beside)} images ({", ".join(sorted(beside)[:3])}, ...) lie '
                'beside the folders of the classes and belong to none'
            )
        return self.say_skipped()

    def _check_classes(self, labels: set[int], skipped: str) -> None:
        """Refuse classes without training images; tell of those of other splits."""
        empty = [name for i, name in enumerate(self.CLASSES) if i not in labels]
        if not empty:
            return
        more = f' and {len(empty) - 10} more' if len(empty) > 10 else ''
        names = ', '.join(empty[:10]) + more
        text = f'no images of {len(empty)} of {len(self.CLASSES)} classes: {names}'
        if not self._must_have_all:
            self.say(text)
            return
        raise ValueError(
            f"'{self.img_prefix}' has {text}{skipped}. Put some there (formats: "
            f'{", ".join(sorted(self.extensions))}), or take these folders away, or '
            'set allow_empty=True for this dataset'
        )
