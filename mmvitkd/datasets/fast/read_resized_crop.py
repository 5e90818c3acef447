import io
from typing import Any

import cv2
import mmcv
import numpy as np
from mmcv.transforms import LoadImageFromFile
from mmengine import fileio
from PIL import Image

from mmvitkd.registry import TRANSFORMS

from .fast_resized_crop import FastRandomResizedCrop, resize

# libjpeg decodes at these scales for less
REDUCED = {
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}
ORIENTATION = 0x0112  # of Exif; from 5 on, height and width change places


@TRANSFORMS.register_module()
class ReadRandomResizedCrop(LoadImageFromFile):
    """Read an image and take a resized crop of it, decoding no more than that needs.

    It stands for ``LoadImageFromFile`` and ``RandomResizedCrop``. The crop is drawn
    first, from the file's header. Where it is at least 2, 4 or 8 times as large as
    its result, a JPEG is decoded at a half, a quarter or an eighth of its size. So
    crops have the same distribution; where a JPEG is reduced, the crop begins and
    ends at the nearest of the remaining pixels, and details go by libjpeg's filter
    and the resize's.

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
        size = self._reducible(data)
        if size is not None:
            state = np.random.get_state()
            box = self.crop.rand_crop_params(np.broadcast_to(np.uint8(0), size))
            by = max((n for n in REDUCED if self._fits(box, n)), default=1)
            if by > 1:
                return self._reduced(data, size, box, by, results)
            np.random.set_state(state)  # the crop draws it again
        image = mmcv.imfrombytes(
            data, flag=self.color_type, backend=self.imdecode_backend
        )
        if image is None:
            raise ValueError(f'failed to load image: {results.get("img_path")}')
        if self.to_float32:
            image = image.astype(np.float32)
        results.update(img=image, img_shape=image.shape[:2], ori_shape=image.shape[:2])
        return self.crop(results)

    def _fits(self, box: tuple[int, int, int, int], by: int) -> bool:
        return all(
            side >= by * wanted
            for side, wanted in zip(box[2:], self.crop.scale, strict=True)
        )

    def _reducible(self, data: bytes) -> tuple[int, int] | None:
        """Return height and width of a JPEG that is large enough, upright."""
        colour = self.color_type == 'color' and self.imdecode_backend == 'cv2'
        if not colour or self.to_float32 or data[:2] != b'\xff\xd8':
            return None
        try:
            with Image.open(io.BytesIO(data)) as image:
                size = image.size[::-1]
                if not any(
                    self._fits((0, 0, *each), min(REDUCED))
                    for each in (size, image.size)
                ):
                    return None
                turned = image.getexif().get(ORIENTATION, 1) >= 5
        except (OSError, ValueError, SyntaxError):
            return None  # the decoder says what is wrong
        return size[::-1] if turned else size

    def _reduced(
        self,
        data: bytes,
        size: tuple[int, int],
        box: tuple[int, int, int, int],
        by: int,
        results: dict,
    ) -> dict:
        """Decode at a part of the size, and crop."""
        image = cv2.imdecode(np.frombuffer(data, np.uint8), REDUCED[by])
        if image is None:
            raise ValueError(f'failed to load image: {results.get("img_path")}')
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
