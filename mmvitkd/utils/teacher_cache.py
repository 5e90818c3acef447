"""The folder of stored teacher outputs: ``python -m mmvitkd cache`` writes it,
:class:`mmvitkd.datasets.CachedDataset` and ``CachedTeacher`` read it."""

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

FORMAT = 1
FORMAT_OF_SEVERAL = 2  # teachers by name; one teacher's cache is as it always was
COUNTS = ('epochs', 'record_bytes', 'batch_size', 'shard_size')
# settings of the machine, which change no output
LOCATIONS = (
    '_scope_',
    'ann_file',
    'backend_args',
    'data_prefix',
    'data_root',
    'init_cfg',
    'lazy_init',
    'serialize_data',
)


class TeacherCache:
    """Read stored teacher outputs, one record for every image and epoch.

    Args:
        path: The folder.

    Attributes:
        manifest: What the outputs belong to, and how they are laid out.
        name: A digest of that, which tells caches apart.

    Raises:
        ValueError: If there is no cache, or it is of another format.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        file = self.path / 'manifest.json'
        if not file.is_file():
            raise ValueError(
                f"'{self.path}' holds no teacher outputs (no manifest.json, looked in "
                f'{Path.cwd()}): write them with python -m mmvitkd cache'
            )
        self.manifest = _read_manifest(file)
        if self.manifest.get('format') not in (FORMAT, FORMAT_OF_SEVERAL):
            raise ValueError(
                f"cache '{self.path}' is of format {self.manifest.get('format')}, this "
                f'version reads {FORMAT} and {FORMAT_OF_SEVERAL}: write it anew with '
                'python -m mmvitkd cache'
            )
        self.name = cache_name(self.manifest)
        self._shards: dict[tuple[int, int], np.ndarray] = {}  # by epoch and number
        self._intact: set[Path] = set()

    def __getstate__(self) -> dict[str, Any]:
        """Leave the open maps out: pickled, they would be the whole files."""
        return {**self.__dict__, '_shards': {}}

    @property
    def epochs(self) -> int:
        """How many epochs are stored."""
        return self.manifest['epochs']

    def teacher(self, name: str | None) -> dict[str, Any]:
        """Return what is known of a teacher; None is a cache's only one.

        Raises:
            ValueError: If the cache has no outputs of it.
        """
        several = self.manifest.get('teachers')
        if several is None and name is None:
            normalisation = self.manifest['normalisation']
            return {**self.manifest['teacher'], 'normalisation': normalisation}
        if several is None:
            raise ValueError(
                f"cache '{self.path}' has the outputs of one teacher, which has no "
                f"name: leave name='{name}' out"
            )
        if name not in several:
            asked = 'is not named' if name is None else f"is called '{name}'"
            raise ValueError(
                f"cache '{self.path}' has outputs of the teachers "
                f'{", ".join(several)}, and the one that is asked for {asked}: give '
                f"name='{next(iter(several))}' or another of them"
            )
        return several[name]

    def shards(self) -> Iterator[tuple[Path, int, range]]:
        """Yield file, epoch and the images of every shard."""
        images, size = self.manifest['data']['images'], self.manifest['shard_size']
        for epoch in range(self.epochs):
            for start in range(0, images, size):
                file = self._file(epoch, start // size)
                yield file, epoch, range(start, min(start + size, images))

    def _file(self, epoch: int, shard: int) -> Path:
        return self.path / f'epoch_{epoch:04d}' / f'{shard:05d}.npy'

    def require_complete(self) -> None:
        """Refuse a cache whose files are not all there.

        Raises:
            ValueError: If shards are missing, or of another size than their records.
        """
        record = self.manifest['record_bytes']
        missing, short = [], []
        for file, _, images in self.shards():
            if not file.is_file():
                missing.append(file)
            elif not 0 <= file.stat().st_size - len(images) * record <= 65536:
                short.append(file)  # more or less than a header beside the records
        for what, files in (('missing', missing), ('of the wrong size', short)):
            if files:
                raise ValueError(
                    f"cache '{self.path}': {len(files)} shards are {what} "
                    f'({files[0].relative_to(self.path)}, ...): run '
                    'python -m mmvitkd cache again, which writes only those'
                )

    def open_epoch(self, epoch: int) -> None:
        """Check the checksums of an epoch's shards, each once in a process."""
        for start in range(
            0, self.manifest['data']['images'], self.manifest['shard_size']
        ):
            self._open(epoch, start // self.manifest['shard_size'])

    def read(self, epoch: int, image: int) -> np.void:
        """Return the record of an image in one of the stored epochs.

        Raises:
            ValueError: If its shard is damaged.
        """
        shard, row = divmod(image, self.manifest['shard_size'])
        return self._open(epoch, shard)[row]

    def _open(self, epoch: int, shard: int) -> np.ndarray:
        held = self._shards.get((epoch, shard))
        if held is not None:
            return held
        file = self._file(epoch, shard)
        if file not in self._intact:
            problem = damage(file)
            if problem is not None:
                raise ValueError(
                    f"cache '{self.path}': shard {file.relative_to(self.path)} "
                    f'{problem}: run python -m mmvitkd cache again, which writes it '
                    'anew'
                )
            self._intact.add(file)
        if next(iter(self._shards), (epoch, shard))[0] != epoch:
            self._shards.clear()  # of the epoch before
        # a plain view of the map, whose rows are quicker to take
        self._shards[epoch, shard] = np.asarray(np.load(file, mmap_mode='r'))
        return self._shards[epoch, shard]


def _read_manifest(file: Path) -> dict[str, Any]:
    """Read a manifest.

    Raises:
        ValueError: If it is damaged.
    """
    try:
        manifest = json.loads(file.read_text(encoding='utf-8'))
        if not isinstance(manifest, dict):
            raise ValueError(f'it is a {type(manifest).__name__}, not a dict')
        if manifest.get('format') in (FORMAT, FORMAT_OF_SEVERAL):
            _require_manifest(manifest)
    except (ValueError, RecursionError) as error:  # of UTF-8 and JSON, too
        raise ValueError(
            f"cache '{file.parent}': its manifest.json is damaged ({error}): restore "
            'it from a copy, or remove the folder and run python -m mmvitkd cache again'
        ) from error
    return manifest


def _require_manifest(manifest: dict[str, Any]) -> None:
    """Refuse a manifest that lacks what its readers look for."""
    data = manifest.get('data')
    taps = manifest.get('taps')
    counts = {key: manifest.get(key) for key in COUNTS}
    counts['data.images'] = data.get('images') if isinstance(data, dict) else None
    for key, value in counts.items():
        if not isinstance(value, int) or value < 1:
            raise ValueError(f'its {key} is {value!r}, not a number above 0')
    if not isinstance(taps, list) or not taps or not all(map(_is_tap, taps)):
        raise ValueError(f'its taps are {taps!r}, which are none')
    of_one = manifest['format'] == FORMAT
    whose = 'teacher' if of_one else 'teachers'
    for key in (whose, 'versions'):
        if not isinstance(manifest.get(key), dict):
            raise ValueError(f'its {key} is {manifest.get(key)!r}, not a dict')
    names = {None} if of_one else set(manifest['teachers'])
    if {tap.get('teacher') for tap in taps} != names:
        raise ValueError(f'its taps are {taps!r}, not of the {whose}')
    for teacher in [manifest] if of_one else manifest['teachers'].values():
        if not isinstance(teacher, dict) or 'normalisation' not in teacher:
            raise ValueError(f'its {whose} lacks the normalisation')


def _is_tap(setting: Any) -> bool:
    """Whether a part of a manifest is what is stored of a tap."""
    if not isinstance(setting, dict):
        return False
    hw, top_k = setting.get('hw'), setting.get('top_k')
    return (
        all(isinstance(setting.get(key), str) for key in ('path', 'tokens'))
        and isinstance(setting.get('teacher', ''), str)
        and _is_sizes(setting.get('shape'))
        and (hw is None or (_is_sizes(hw) and len(hw) == 2))
        and (top_k is None or isinstance(top_k, int))
    )


def _is_sizes(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(v, int) and v > 0 for v in value)


def cache_bytes(images: int, epochs: int, record: int) -> int:
    """Return the size of all records; headers and checksums are small beside them."""
    return images * epochs * record


def checksum_file(shard: Path) -> Path:
    """The file beside a shard, as ``sha256sum -c`` reads it."""
    return shard.with_suffix('.sha256')


def sha256(file: Path) -> str:
    """Digest a file's bytes."""
    with file.open('rb') as stream:
        digest = hashlib.sha256()
        while block := stream.read(1 << 22):
            digest.update(block)
    return digest.hexdigest()


def damage(shard: Path) -> str | None:
    """Say what is wrong with a shard, or None."""
    if not shard.is_file():
        return 'is missing'
    beside = checksum_file(shard)
    if not beside.is_file():
        return 'has no checksum beside it'
    stored, found = beside.read_text(errors='replace').partition(' ')[0], sha256(shard)
    if stored != found:
        return f'is damaged (sha256 {stored[:12]} stored, {found[:12]} found)'
    return None


def write_whole(file: Path, content: bytes) -> None:
    """Write a file that is complete or not there, whenever the process is killed."""
    part = file.with_name(file.name + '.part')
    with part.open('wb') as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    part.replace(file)


def plain(value: Any, dropped: tuple[str, ...] = LOCATIONS) -> Any:
    """Turn a config into what JSON holds, without the settings of a machine."""
    if isinstance(value, dict):
        kept = {str(k): plain(v, dropped) for k, v in value.items() if k not in dropped}
        if isinstance(kept.get('type'), str):
            kept['type'] = kept['type'].rpartition('.')[2]  # 'mmvitkd.X' is X
        return kept
    if isinstance(value, (list, tuple)):
        return [plain(item, dropped) for item in value]
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    return value.__name__ if isinstance(value, type) else repr(value)


def cache_name(manifest: dict[str, Any]) -> str:
    """Digest a manifest, but for what may grow and what only informs."""
    kept = {k: v for k, v in manifest.items() if k not in ('epochs', 'versions')}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:16]


def differences(stored: Any, requested: Any, name: str = '') -> list[str]:
    """List the settings that differ, as ``name: stored -> requested``."""
    if isinstance(stored, (dict, list)) and type(stored) is type(requested):
        old, new = (
            dict(enumerate(side)) if isinstance(side, list) else side
            for side in (stored, requested)
        )
        return [
            line
            for key in dict.fromkeys([*old, *new])
            for line in differences(
                old.get(key, 'absent'),
                new.get(key, 'absent'),
                f'{name}.{key}' if name else str(key),
            )
        ]
    if stored == requested:
        return []
    return [f'{name}: {stored} (stored) -> {requested} (requested)']


def require_same(path: Path, what: str, stored: Any, requested: Any) -> None:
    """Refuse a cache that belongs to something else.

    Raises:
        ValueError: If so; the message lists what differs.
    """
    lines = differences(stored, requested)
    if lines:
        raise ValueError(
            f"cache '{path}' belongs to another {what}; what differs:\n"
            + '\n'.join(lines)
            + '\nGive what it was written for, or write another cache'
        )


def digest_weights(weights: dict[str, Tensor]) -> str:
    """Digest a model's weights, whatever file they came in."""
    digest = hashlib.sha256()
    for key in sorted(weights):
        if not key.startswith('data_preprocessor.'):
            value = weights[key].detach().cpu().contiguous()
            digest.update(f'{key} {value.dtype} {tuple(value.shape)}'.encode())
            digest.update(value.flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
