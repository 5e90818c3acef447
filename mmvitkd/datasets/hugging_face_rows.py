"""Tables of images that Hugging Face's ``datasets`` reads."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from mmengine.config import ConfigDict

from mmvitkd.utils.libraries import optional_libraries


class Rows(NamedTuple):
    """A table, whose images are still files, and its classes, if it names any."""

    table: Any
    classes: tuple[str, ...] | None


def open_rows(
    path: str,
    split: str,
    image: str,
    label: str | None,
    load: Mapping[str, Any] | None,
    streaming: bool,
) -> Rows:
    """Open a table.

    Args:
        path: A name on the Hub, a kind of files (``'parquet'``), or a folder that
            ``save_to_disk`` wrote.
        split: Such as ``'train'``.
        image: The column with the images.
        label: The one with the classes' numbers, or None.
        load: Other arguments of ``load_dataset``.
        streaming: Whether it is to be read row by row.

    Raises:
        ValueError: If it can't be opened, or lacks a column, or one is of another kind.
        ImportError: If the library is missing.
    """
    with optional_libraries():
        import datasets
    try:
        table = _open(path, split, ConfigDict(load or {}).to_dict(), streaming)
    except Exception as error:  # of the library, the Hub, a file
        reason = ' '.join(str(error).split())
        raise ValueError(f"the split '{split}' of '{path}': {reason}") from error
    if table.features is None:
        table = table._resolve_features()
    columns = [image] if label is None else [image, label]
    for column in columns:
        if column not in table.features:
            raise ValueError(
                f"'{path}' has no column '{column}', but {', '.join(table.features)}"
            )
    kind = table.features[image]
    if not isinstance(kind, datasets.Image) and getattr(kind, 'dtype', '') != 'binary':
        raise ValueError(
            f"the column '{image}' of '{path}' holds {kind}: must be images "
            '(datasets.Image) or the bytes of their files'
        )
    table = table.select_columns(columns)
    if isinstance(kind, datasets.Image):
        table = table.cast_column(image, datasets.Image(decode=False))
    kind = None if label is None else table.features[label]
    if kind is not None and 'int' not in getattr(kind, 'dtype', ''):
        raise ValueError(
            f"the column '{label}' of '{path}' holds {kind}: must be the classes' "
            'numbers, which class_encode_column makes of names'
        )
    names = getattr(kind, 'names', None)
    return Rows(table, None if names is None else tuple(names))


def _open(path: str, split: str, load: dict[str, Any], streaming: bool) -> Any:
    import datasets

    folder = Path(path).expanduser()
    saved = ('state.json', 'dataset_dict.json')
    if not any((folder / name).is_file() for name in saved):
        return datasets.load_dataset(path, split=split, streaming=streaming, **load)
    if load:
        raise ValueError(f'load={load} is for load_dataset, this is of save_to_disk')
    found = datasets.load_from_disk(str(folder))
    if isinstance(found, datasets.DatasetDict):
        if split not in found:
            raise ValueError(f'there is none, but {", ".join(found)}')
        found = found[split]
    elif str(found.split or split) != split:
        raise ValueError(f"this is the split '{found.split}'")
    return found.to_iterable_dataset() if streaming else found


def bytes_of(cell: Any) -> bytes:
    """Return the file that a row holds, or names."""
    if not isinstance(cell, Mapping):
        return cell
    if cell['bytes'] is not None:
        return cell['bytes']
    import fsspec  # which datasets brings

    with fsspec.open(cell['path'], 'rb') as file:
        return file.read()


def label_of(number: int | None) -> dict[str, int]:
    """Return an annotation: nothing for no label, which the Hub writes as -1."""
    return {} if number is None or number < 0 else {'gt_label': int(number)}
