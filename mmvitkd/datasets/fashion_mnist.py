import gzip
import hashlib
import io
import warnings
import zlib
from pathlib import Path
from typing import Any

from mmengine.dist import barrier, is_main_process
from mmpretrain.datasets import FashionMNIST as UpstreamFashionMNIST
from mmpretrain.datasets.mnist import read_sn3_pascalvincent_tensor

from mmvitkd.registry import DATASETS

DOWNLOADED = 'data/fashion_mnist'
DEBIAN = '/usr/share/datasets/fashion-mnist'

# MD5 of what the archives hold: Debian packs it anew, so that its archives' own sums
# are not those of MMPretrain's list
CONTENT = {
    'train-images-idx3-ubyte': 'f4a8712d7a061bf5bd6d2ca38dc4d50a',
    'train-labels-idx1-ubyte': '9018921c3c673c538a1fc5bad174d6f9',
    't10k-images-idx3-ubyte': '8181f5470baa50b63fa0f6fddb340f0a',
    't10k-labels-idx1-ubyte': '15d484375f8d13e6eb1aabb0c3f46965',
}


def find_file(folder: str | Path, name: str) -> Path | None:
    """Return the path of one of the four files, packed or not; None where it lacks."""
    paths = (Path(folder, name + suffix) for suffix in ('', '.gz'))
    return next((path for path in paths if path.is_file()), None)


def has_all(folder: str | Path) -> bool:
    """Whether a folder holds the four files."""
    return all(find_file(folder, name) for name in CONTENT)


@DATASETS.register_module()
class FashionMNIST(UpstreamFashionMNIST):
    """Fashion-MNIST, 60,000 + 10,000 grey images of 28x28 pixels, wherever it lies.

    MMPretrain's class wants its files unpacked, in a folder that it may write to, does
    not check them, and reads the training images for ``split='test'`` unless
    ``test_mode`` is set. This one also reads them packed, as the package
    ``dataset-fashion-mnist`` of Debian and Ubuntu brings them, and goes by ``split``.
    A sample starts with the image itself, uint8 ``(28, 28)``.

    Args:
        data_root: The folder; the files are downloaded to it if it lacks any. Defaults
            to None: ``data/fashion_mnist`` if they are there, or else Debian's
            ``/usr/share/datasets/fashion-mnist``, or else the first, downloaded.
        split: ``'train'`` or ``'test'``.
        verify: Whether the files must be those published; False admits other images in
            their format. Defaults to True.
        **kwargs: Other arguments of MMPretrain's ``FashionMNIST``.

    Raises:
        ValueError: If the files are nowhere and can't be downloaded, or are others.
    """

    def __init__(
        self,
        data_root: str | None = None,
        split: str = 'train',
        verify: bool = True,
        **kwargs: Any,
    ) -> None:
        if not (data_root or kwargs.get('data_prefix')):
            found = (folder for folder in (DOWNLOADED, DEBIAN) if has_all(folder))
            data_root = next(found, DOWNLOADED)
        self.verify = verify
        super().__init__(data_root=data_root or '', split=split, **kwargs)

    def load_data_list(self) -> list[dict]:
        """List the split's images and labels."""
        root = self.data_prefix['root']
        if is_main_process() and not has_all(root):
            self._fetch(root)
        barrier()
        part = 'train' if self.split == 'train' else 't10k'
        images = self._read(f'{part}-images-idx3-ubyte')
        labels = self._read(f'{part}-labels-idx1-ubyte').tolist()
        return [
            {'img': image, 'gt_label': label}
            for image, label in zip(images, labels, strict=True)
        ]

    def _fetch(self, root: str) -> None:
        """Download the files.

        Raises:
            ValueError: If that is not wanted or fails.
        """
        reason = 'download=False'
        if self.download:
            try:
                return self._download()
            except (OSError, RuntimeError) as error:  # no network, a wrong checksum
                reason = f'the download from {self.url_prefix} failed: {error}'
        raise ValueError(
            f"Fashion-MNIST is not in '{root}', and {reason}. On Debian and Ubuntu, "
            f"'apt install dataset-fashion-mnist' puts it into '{DEBIAN}', where it is "
            'found if data_root is None; or get the four .gz files of '
            f"https://github.com/zalandoresearch/fashion-mnist into '{root}'"
        )

    def _read(self, name: str) -> Any:
        """Read one of the files: images ``(N, 28, 28)`` or labels ``(N, )``, uint8."""
        root = self.data_prefix['root']
        path = find_file(root, name)
        if path is None:
            raise ValueError(f"'{root}' has no {name}, nor {name}.gz")
        try:
            content = path.read_bytes()
            if path.suffix == '.gz':
                content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            raise ValueError(f"'{path}' can not be read: {error}") from error
        found = hashlib.md5(content).hexdigest()
        if self.verify and found != CONTENT[name]:
            raise ValueError(
                f"'{path}' is not Fashion-MNIST's: the MD5 of its content is {found}, "
                f'not {CONTENT[name]}. Remove it and get it anew, or set verify=False '
                'for images of your own in its format'
            )
        with warnings.catch_warnings():  # torch's, of bytes that can't be written to
            warnings.filterwarnings('ignore', 'The given NumPy array is not writable')
            return read_sn3_pascalvincent_tensor(io.BytesIO(content)).numpy().copy()
