from collections.abc import Sequence
from typing import Any

import mmcv
import numpy as np
from mmcv.transforms import LoadImageFromFile
from mmengine import fileio

from mmvitkd.registry import TRANSFORMS

from . import jpeg
from .fast_resized_crop import FastRandomResizedCrop, resize


@TRANSFORMS.register_module()
class ReadRandomResizedCrop(LoadImageFromFile):
    """Read an image and take a resized crop of it, decoding no more than that needs.

    It stands for ``LoadImageFromFile`` and ``RandomResizedCrop``. The crop is drawn
    first, from the file's header. Where it is at least 2, 4 or 8 times as large as
    its result, a JPEG is decoded at a half, a quarter or an eighth of its size. So
    crops have the same distribution; where a JPEG is reduced, the crop begins and
    ends at the nearest of the remaining pixels, and details go by libjpeg's filter
    and the resize's. Where simplejpeg is installed, it decodes, faster and less
    exactly than OpenCV: see :func:`.jpeg.decode`.

    Args:
        crop: Arguments of :class:`FastRandomResizedCrop`.
        **kwargs: Arguments of MMCV's ``LoadImageFromFile``.
    """

    def __init__(self, crop: dict[str, Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.crop = FastRandomResizedCrop(**crop)

    @property
    def whole(self) -> LoadImageFromFile:
        """The step that reads the whole image."""
        return LoadImageFromFile(
            self.to_float32,
            self.color_type,
            self.imdecode_backend,
            ignore_empty=self.ignore_empty,
            backend_args=self.backend_args,
        )

    def transform(self, results: dict) -> dict | None:
        """Read ``results['img_path']``, unless there is ``img`` already, and crop."""
        if 'img' in results:
            return self.crop(results)
        if self.file_client_args is not None or self.ignore_empty:
            loaded = super().transform(results)
            return None if loaded is None else self.crop(loaded)
        data = fileio.get(results['img_path'], backend_args=self.backend_args)
        return self.from_bytes(data, results)

    def from_bytes(self, data: bytes, results: dict) -> dict:
        """Crop an image that is the bytes of a file; see :meth:`transform`."""
        header = jpeg.read_header(data) if self._is_plain() else None
        if header is not None:
            box = self.crop.rand_crop_params(np.broadcast_to(np.uint8(0), header.size))
            by = max(n for n in jpeg.REDUCED if n == 1 or self._fits(box[2:], n))
            image = _decoded(jpeg.decode(data, header, by), results)
            return self._cut(image, header.size, box, by, results)
        image = mmcv.imfrombytes(
            data, flag=self.color_type, backend=self.imdecode_backend
        )
        image = _decoded(image, results)
        if self.to_float32:
            image = image.astype(np.float32)
        results.update(img=image, img_shape=image.shape[:2], ori_shape=image.shape[:2])
        return self.crop(results)

    def _is_plain(self) -> bool:
        """Whether pixels are to be as JPEGs are decoded."""
        by_cv2 = self.color_type == 'color' and self.imdecode_backend == 'cv2'
        return by_cv2 and not self.to_float32

    def _fits(self, size: Sequence[int], by: int) -> bool:
        """Whether height and width are so many times those of the result."""
        return all(
            side >= by * wanted
            for side, wanted in zip(size, self.crop.scale, strict=True)
        )

    def _cut(
        self,
        image: np.ndarray,
        size: tuple[int, int],
        box: tuple[int, int, int, int],
        by: int,
        results: dict,
    ) -> dict:
        """Take the crop out of an image, maybe decoded at a part of its size."""
        top, left, height, width = box
        rows, columns = (
            slice(round(begin / by), max(round((begin + side) / by), 1))
            for begin, side in ((top, height), (left, width))
        )
        crop = resize(image[rows, columns], self.crop.scale, self.crop.interpolation)
        results.update(img=crop, img_shape=crop.shape, ori_shape=size)
        return results

    def __repr__(self) -> str:
        return f'{super().__repr__()[:-1]}, crop={self.crop})'


def _decoded(image: np.ndarray | None, results: dict) -> np.ndarray:
    if image is None:
        raise ValueError(f'failed to load image: {results.get("img_path")}')
    return image
