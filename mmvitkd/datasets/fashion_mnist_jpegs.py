import tempfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from mmengine.dist import barrier, is_main_process

from mmvitkd.registry import DATASETS

from .fashion_mnist import FashionMNIST


@DATASETS.register_module()
class FashionMNISTJPEGs(FashionMNIST):
    """Fashion-MNIST as JPEG files of enlarged images, for pipelines that read files.

    So what such a pipeline does to a student's accuracy can be measured without a data
    set of photographs. The files of a split are written when it is first read: 60,000
    for ``'train'``, 10,000 for ``'test'``, 2.8 KB each at 112 pixels.

    Args:
        size: Side of the images, which are enlarged from 28 by cubic interpolation.
            Defaults to 112.
        folder: Where the files are written. Defaults to ``'data/fashion_mnist_jpegs'``.
        **kwargs: Of :class:`FashionMNIST`.

    Raises:
        ValueError: If the folder of a split holds another number of files.
    """

    def __init__(
        self,
        size: int = 112,
        folder: str = 'data/fashion_mnist_jpegs',
        **kwargs: Any,
    ) -> None:
        self.size = size
        self.folder = Path(folder, str(size))
        super().__init__(**kwargs)

    def load_data_list(self) -> list[dict]:
        """List the split's files and labels."""
        infos = super().load_data_list()
        folder = self.folder / self.split
        if is_main_process() and not folder.is_dir():
            self._write([info['img'] for info in infos], folder)
        barrier()
        files = sorted(folder.glob('*.jpg'))
        if len(files) != len(infos):
            raise ValueError(
                f"'{folder}' holds {len(files)} JPEGs, the split {len(infos)} images: "
                'remove the folder, and it is written anew'
            )
        return [
            {'img_path': str(file), 'gt_label': info['gt_label']}
            for file, info in zip(files, infos, strict=True)
        ]

    def _write(self, images: list[np.ndarray], folder: Path) -> None:
        """Write all images, or none where it is interrupted."""
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as unfinished:
            files = Path(unfinished, folder.name)
            files.mkdir()
            for number, image in enumerate(images):
                large = cv2.resize(
                    image, (self.size, self.size), interpolation=cv2.INTER_CUBIC
                )
                cv2.imwrite(str(files / f'{number:05}.jpg'), large)
            try:
                files.rename(folder)
            except OSError:
                if not folder.is_dir():  # else another training has just written it
                    raise
