import logging
from collections import Counter
from pathlib import Path
from typing import Any

from mmcv.transforms import LoadImageFromFile
from mmengine.logging import print_log
from mmpretrain.datasets import CustomDataset
from mmpretrain.datasets.custom import get_samples

from .image_check import (
    MAX_PIXELS,
    describe_unreadable,
    find_loader,
    find_unreadable,
    say_unreadable,
)

EXTENSIONS = ('.bmp', '.jpeg', '.jpg', '.pgm', '.png', '.ppm', '.tif', '.tiff', '.webp')
# what systems leave in folders, beside hidden files
LITTER = ('thumbs.db', 'desktop.ini', 'icon\r')


class ImageFiles(CustomDataset):
    """Images below a folder: which files they are, and which can't be read.

    Args:
        skip_unreadable: Leave out images that can't be read, up to so many; they are
            looked for when it is above 0. Defaults to 0.
        max_pixels: Of a picture; larger ones count as unreadable. Defaults to 100
            million.
        **kwargs: Arguments of MMPretrain's ``CustomDataset``.
    """

    def __init__(
        self,
        skip_unreadable: int = 0,
        max_pixels: int = MAX_PIXELS,
        **kwargs: Any,
    ) -> None:
        self.skip_unreadable = skip_unreadable
        self.max_pixels = max_pixels
        super().__init__(**kwargs)

    def list_images(self, numbers: dict[str, int] | None) -> list[Any]:
        """List the images that can be read: all, or those of subfolders.

        Args:
            numbers: Of the subfolders, or None.

        Returns:
            Paths, or pairs of a path and its subfolder's number.

        Raises:
            ValueError: If the folder can't be listed, or too many can't be read.
        """
        self._skipped: Counter[str] = Counter()
        try:
            samples, _ = get_samples(
                self.img_prefix, numbers, is_valid_file=self.is_valid_file
            )
        except OSError as error:  # a loop of links, or no permission
            raise ValueError(
                f"'{self.img_prefix}' can not be listed: {error.strerror}: "
                f"'{error.filename}'"
            ) from error
        return self._leave_out_unreadable(samples)

    def is_valid_file(self, filename: str) -> bool:
        """Whether a file, named from the folder on, is an image."""
        path = Path(filename)
        if any(part.startswith('.') for part in path.parts):
            return False  # also ._photo.jpg, in which macOS keeps what is no photo
        if super().is_valid_file(filename):
            return True
        if path.name.lower() not in LITTER:
            self._skipped[path.suffix.lower() or 'without extension'] += 1
        return False

    def say_skipped(self) -> str:
        """Log which files were left out; return it as a message's end."""
        if not self._skipped:
            return ''
        kinds = ', '.join(f'{n} {kind}' for kind, n in self._skipped.most_common())
        number = self._skipped.total()
        files = 'file that is no image' if number == 1 else 'files that are no images'
        text = f'skipped {number} {files} by their extension: {kinds}'
        self.say(text)
        return f'; {text}'

    def _leave_out_unreadable(self, samples: list[Any]) -> list[Any]:
        """Leave out up to ``skip_unreadable`` images.

        Raises:
            ValueError: If there are more; all are named.
        """
        if not self.skip_unreadable:
            return samples
        root = Path(self.img_prefix)
        found = find_unreadable(
            [str(root / _name(sample)) for sample in samples],
            find_loader(self) or LoadImageFromFile(),
            self.max_pixels,
            whole=True,
        )
        if len(found) > self.skip_unreadable:
            raise ValueError(
                f"'{root}' has {len(found)} images that can not be read, more than "
                f'skip_unreadable={self.skip_unreadable}:\n{describe_unreadable(found)}'
            )
        if found:
            say_unreadable(found, f"'{root}'")
        bad = {path for path, _ in found}
        return [sample for sample in samples if str(root / _name(sample)) not in bad]

    def say(self, text: str) -> None:
        print_log(f"'{self.img_prefix}': {text}", 'current', logging.WARNING)


def _name(sample: Any) -> str:
    return sample if isinstance(sample, str) else sample[0]
