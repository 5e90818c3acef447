from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmvitkd.registry import DATASETS

from .image_check import MAX_PIXELS
from .image_files import EXTENSIONS, ImageFiles


@DATASETS.register_module()
class UnlabelledImages(ImageFiles):
    """All images below a folder, at any depth and of any names, without labels.

    Hidden files and folders are passed over; the log counts files that are no images.
    For several folders take MMEngine's ``ConcatDataset``, and
    :class:`~mmvitkd.datasets.WeightedSampler` to weigh them; beside a data set of
    classes it needs ``ignore_keys=['classes']``.

    Args:
        data_root: The folder.
        pipeline: Transforms, as in MMPretrain's datasets.
        extensions: Which files are images.
        skip_unreadable: Leave out images that can't be read, up to so many; they are
            looked for when it is above 0. Defaults to 0.
        max_pixels: Of a picture; larger ones count as unreadable. Defaults to 100
            million.
        **kwargs: Other arguments of MMPretrain's ``CustomDataset``, such as
            ``ann_file``: a file that lists the images to take, one path a line from
            ``data_root`` on.

    Raises:
        ValueError: If there is no such folder, or it has no images, or more can't be
            read than are to be skipped.
    """

    def __init__(
        self,
        data_root: str,
        pipeline: Sequence[Any] = (),
        extensions: Sequence[str] = EXTENSIONS,
        skip_unreadable: int = 0,
        max_pixels: int = MAX_PIXELS,
        **kwargs: Any,
    ) -> None:
        root = Path(data_root).expanduser()
        if not root.is_dir():
            raise ValueError(
                f"image folder '{root}' does not exist (looked in {Path.cwd()}): set "
                'data_root to a folder with images in it or below it'
            )
        super().__init__(
            # what is listed is relative to the prefix
            data_prefix=str(root),
            pipeline=pipeline,
            extensions=extensions,
            skip_unreadable=skip_unreadable,
            max_pixels=max_pixels,
            with_label=False,
            **kwargs,
        )

    def _find_samples(self) -> list[str]:
        """List the images."""
        samples = self.list_images(None)
        skipped = self.say_skipped()
        if not samples:
            raise ValueError(
                f"'{self.img_prefix}' has no images "
                f'({", ".join(sorted(self.extensions))}) at any depth{skipped}'
            )
        return samples
