"""Whether two lists of class names number the same classes."""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

SHOWN = 3  # examples in a message
# names that tell no more than a number, and those of WordNet
NUMBER = re.compile(r'(label|class)?\d+')
CODE = re.compile(r'(label|class|n)?\d+')


class Difference(NamedTuple):
    """How two lists differ: whether that proves another order, and where."""

    certain: bool
    text: str


def name_class(index: int, names: Sequence[str], size: int = 30) -> str:
    """Name a class, shortly; by its number where it has no name."""
    if index >= len(names):
        return str(index)
    name = names[index].partition(',')[0].strip() or names[index]  # ImageNet's synonyms
    return name if len(name) <= size else f'{name[: size - 1]}…'


def checkpoint_classes(checkpoint: dict[str, Any]) -> tuple[str, ...] | None:
    """Return the class names that MMEngine or MMCls wrote into a checkpoint."""
    meta = checkpoint.get('meta')
    if not isinstance(meta, dict):
        return None
    data = meta.get('dataset_meta')
    for holder in (data, meta):
        for key in ('classes', 'CLASSES'):
            names = holder.get(key) if isinstance(holder, dict) else None
            if isinstance(names, (list, tuple)) and names:
                return tuple(map(str, names))
    return None


def model_classes(classifier: Any) -> tuple[str, ...] | None:
    """Return the class names in the config of a HuggingFace model."""
    config = getattr(getattr(classifier, 'model', None), 'config', None)
    names = getattr(config, 'id2label', None)
    if not isinstance(names, dict) or sorted(names) != list(range(len(names))):
        return None
    return tuple(str(names[i]) for i in range(len(names))) or None


def dataset_classes(dataset: Any) -> tuple[str, ...] | None:
    """Return the class names of a data set, also of a wrapped one."""
    names = dataset_metainfo(dataset).get('classes')
    return tuple(map(str, names)) if names else None


def dataset_metainfo(dataset: Any) -> dict[str, Any]:
    """Return what a data set, also a wrapped one, tells of itself, or nothing.

    One that has class names comes before one that has none.
    """
    found: dict[str, Any] = {}
    while True:
        meta = getattr(dataset, 'metainfo', None)
        if isinstance(meta, dict):
            names = meta.get('classes')
            if isinstance(names, (list, tuple)) and names:
                return meta
            found = found or {**meta, 'classes': None}
        if not hasattr(dataset, 'dataset'):
            return found
        dataset = dataset.dataset


def compare_classes(
    teacher: Sequence[str], data: Sequence[str], whose: str = 'the teacher'
) -> Difference | None:
    """Compare the names that two sides give to classes of the same number.

    Case, blanks, hyphens and the like don't count, nor synonyms after a comma, nor
    numbers and WordNet's codes beside words. The same names in another order are
    certain to be wrong, and so is a name that both sides have, at different places.
    Other names are only doubtful.

    Args:
        teacher: Of one side.
        data: Of the data set.
        whose: The first side, for the text. Defaults to ``'the teacher'``.

    Returns:
        How they differ; None if they don't, or are not as many.
    """
    if len(teacher) != len(data):
        return None
    for key in (str, plain_name, first_synonym):
        ours, theirs = [key(n) for n in data], [key(n) for n in teacher]
        if ours == theirs:
            return None
        if sorted(ours) == sorted(theirs):
            return Difference(True, _tell(teacher, data, key, whose))
    moved = find_moved(teacher, data)
    if moved and not all(NUMBER.fullmatch(name) for name, _, _ in moved):
        return Difference(True, _tell(teacher, data, plain_name, whose))
    if any(all(CODE.fullmatch(plain_name(n)) for n in s) for s in (teacher, data)):
        return None
    return Difference(False, _tell(teacher, data, plain_name, whose))


def find_moved(one: Sequence[str], other: Sequence[str]) -> list[tuple[str, int, int]]:
    """Find names that both sides have once, at different places, and these."""
    places = []
    for names in (one, other):
        plain = [plain_name(name) for name in names]
        count = Counter(plain)
        places.append({n: i for i, n in enumerate(plain) if count[n] == 1})
    first, second = places
    both = [name for name in first if name in second]
    return [(n, first[n], second[n]) for n in both if first[n] != second[n]]


def plain_name(name: str) -> str:
    """Drop what is only spelling."""
    name = unicodedata.normalize('NFKC', name).casefold()
    return re.sub(r'[\W_]+', '', name) or name


def first_synonym(name: str) -> str:
    """Return what ImageNet's lists write before the first comma."""
    return plain_name(name.partition(',')[0])


def _tell(
    teacher: Sequence[str], data: Sequence[str], key: Callable[[str], str], whose: str
) -> str:
    """Name the first classes that differ."""
    pairs = list(zip(teacher, data, strict=True))
    found = [i for i, (t, d) in enumerate(pairs) if key(t) != key(d)]
    texts = [
        f"class {i} is '{pairs[i][1]}' in the data set and '{pairs[i][0]}' to {whose}"
        for i in found[:SHOWN]
    ]
    more = f' and {len(found) - SHOWN} more' if len(found) > SHOWN else ''
    return '; '.join(texts) + more
