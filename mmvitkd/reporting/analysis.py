"""What the models do with images: the sections of an analysis, and examples."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import numpy as np
from mmengine.config import Config, ConfigDict

from mmvitkd.inspection.analyse import split
from mmvitkd.inspection.images import Image, ImageData, choose_varied, open_data
from mmvitkd.inspection.models import Classifier, Model
from mmvitkd.inspection.section import Section as Measured
from mmvitkd.inspection.section import Written
from mmvitkd.inspection.sections import FEWEST, SECTIONS
from mmvitkd.utils import load_checkpoint
from mmvitkd.utils.class_names import checkpoint_classes
from mmvitkd.utils.cli import print_rank0
from mmvitkd.utils.strangers import nothing_run, require_registered

from .classes import classes
from .examples import examples
from .groups import Group
from .models import LoadedModels, read_models, reason_of
from .page import Block, Csv, Downloads, Figure, Notes, Section, Text, slug
from .predictions import Predictions
from .runs import Run

IMAGES = 64  # that the layers are measured on
BATCH = 32
SHOWN = 4  # images whose attention is shown one by one
NEED_A_TEACHER = ('distance',)  # parts that compare students with their own teacher


class Part(NamedTuple):
    """A part of the analysis: of which section it is, and of which models."""

    key: str
    names: list[str]
    measured: Measured
    folder: str = ''  # where it writes, below that of all


def analysis(
    groups: list[Group], metric: str, data: Path | None, count: int, folder: Path
) -> list[Section]:
    """Ask the models, and lay out what they answer.

    Args:
        groups: All of them.
        metric: By which runs are chosen.
        data: Config of the images. Defaults to the chosen run's.
        count: How many images at most.
        folder: Where the figures and tables are written.
    """
    loaded = read_models(groups, metric)
    if loaded.run is None or not loaded.models:
        return [_section('Models', loaded.notes)]
    print_rank0([f'running {", ".join(model.name for model in loaded.models)}'])
    with ExitStack() as stack:
        try:
            images = _open(loaded.run, data, count, stack)
        except Exception as error:  # whatever a config of others brings about
            note = f'No images to run them on: {reason_of(error)}'
            return [_section('Models', [*loaded.notes, note])]
        names = images.classes or _classes(loaded.run)
        found = Predictions(loaded, names, len(images.dataset))
        try:
            parts = _run_models(loaded, images, found)
        except Exception as error:  # such as images of different sizes
            note = f'The models could not be run: {reason_of(error)}'
            return [_section('Models', [*loaded.notes, note])]
        sections = [*_of_parts(parts, folder), classes(found, folder)]
        sections.append(examples(found, images))
    for section in sections:
        section.blocks[:0] = [Text(note, warning=True) for note in loaded.notes]
    return sections


def _run_models(
    loaded: LoadedModels, images: ImageData, found: Predictions
) -> list[Part]:
    """Show the images to the models: all for their predictions, some to all parts."""
    wanted = np.linspace(0, len(images) - 1, min(IMAGES, len(images))).astype(int)
    lost: list[str] = []
    places, few = _read(images, wanted.tolist(), lost)
    if len(few) < FEWEST:
        raise ValueError(f'{len(few)} images could be read of {len(wanted)}; {lost[0]}')
    loaded.try_on(few[:FEWEST])
    parts = _parts(loaded, choose_varied(few, SHOWN), found.names)
    start = 0
    for batch in split(few, BATCH):
        models = (*loaded.models, *loaded.over_training)
        outputs = {model.name: model.capture(batch) for model in models}
        of_batch = places[start : start + len(batch)]
        start += len(batch)
        found.update(of_batch, batch, outputs)
        for part in parts:
            part.measured.update(batch, [outputs[name] for name in part.names])
    rest = sorted(set(range(len(images))).difference(wanted.tolist()))
    for start in range(0, len(rest), BATCH):
        of_batch, batch = _read(images, rest[start : start + BATCH], lost)
        if batch:
            outputs = {model.name: model.capture(batch) for model in loaded.models}
            found.update(of_batch, batch, outputs)
    if lost:
        more = f'; and {len(lost) - SHOWN} more' if len(lost) > SHOWN else ''
        named = '; '.join(lost[:SHOWN])
        loaded.notes.append(f"Images that can't be read are left out: {named}{more}")
    return parts


def _read(
    images: ImageData, places: list[int], lost: list[str]
) -> tuple[list[int], list[Image]]:
    """Read images; to ``lost`` goes what can't be read, and why."""
    found = []
    for place in places:
        try:
            found.append((place, images[place]))
        except Exception as error:  # every format has errors of its own for bad bytes
            lost.append(f'{images.name(place)}: {reason_of(error)}')
    return [place for place, _ in found], [image for _, image in found]


def _open(run: Run, data: Path | None, count: int, stack: ExitStack) -> ImageData:
    """Open the images; those of a run are read with nothing of its config run.

    Raises:
        ValueError: If there are too few.
    """
    if data is not None:
        images = open_data(data, count)
    else:
        images = _own_images(run, count, stack)
    if len(images) < FEWEST:
        raise ValueError(f'there are {len(images)}, and {FEWEST} are needed')
    return images


def _own_images(run: Run, count: int, stack: ExitStack) -> ImageData:
    """Open the images that a run was tested on."""
    cfg = Config((run.cfg or ConfigDict()).to_dict(), filename=str(run.config))
    for name in ('test_dataloader', 'val_dataloader'):
        require_registered((cfg.get(name) or {}).get('dataset'), name)
    require_registered({'default_scope': cfg.get('default_scope')})
    stack.enter_context(nothing_run())
    return open_data(cfg, count)


def _section(title: str, notes: list[str]) -> Section:
    return Section(title, [Text(note, warning=True) for note in notes])


def _classes(run: Run) -> tuple[str, ...]:
    """Name the classes as the run's checkpoint does; empty where it does not."""
    try:
        return checkpoint_classes(load_checkpoint(str(run.checkpoint))) or ()
    except ValueError:  # of which the model's own note tells
        return ()


def _parts(
    loaded: LoadedModels, shown: list[Image], names: Sequence[str]
) -> list[Part]:
    """Build the parts of an analysis that these models allow."""

    def able(models: Iterable[Classifier]) -> list[Model]:
        return [model for model in models if isinstance(model, Model)]

    def make(key: str, models: list[Model], folder: str = '') -> Part:
        measured = SECTIONS[key](models, None, shown, names)
        return Part(key, [model.name for model in models], measured, folder)

    parts: list[Part] = []
    for key in SECTIONS:
        if key in NEED_A_TEACHER:
            for teacher in able(loaded.teachers):
                own = able(s for s, its in loaded.pairs() if its is teacher)
                first = all(part.key != key for part in parts)
                folder = '' if first else f'from-{slug(teacher.name)}'
                parts += [make(key, [teacher, *own], folder)] if own else []
            continue
        later = loaded.over_training if key == 'dynamics' else []
        models = able([*loaded.models, *later])
        parts += [make(key, models)] if models else []
    return parts


def _of_parts(parts: list[Part], folder: Path) -> list[Section]:
    """Write the parts, and lay out what was written; those of a key are a section."""
    sections: dict[str, Section] = {}
    for part in parts:
        written = part.measured.write(folder / part.folder)
        title = part.key.capitalize()
        section = sections.setdefault(part.key, Section(title, heading=written.title))
        if section.blocks:
            section.heading = title
        section.blocks += _laid_out(written, folder, Path(part.folder))
    return list(sections.values())


def _laid_out(written: Written, folder: Path, inner: Path) -> list[Block]:
    blocks: list[Block] = [
        Figure(one['title'], one['alt'], folder / inner / one['svg'], wide=True)
        for one in written.figures
    ]
    numbers = []
    for table in written.tables:
        name = (inner / table['csv']).with_suffix('')
        text = (folder / inner / table['csv']).read_text(encoding='utf-8')
        numbers.append(Csv(str(name), text))
    blocks.append(Downloads(numbers))
    if written.notes:
        blocks.append(Notes(written.notes))
    return blocks
