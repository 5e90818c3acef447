"""What the models do with images: the sections of an analysis, and examples."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from mmengine.config import Config, ConfigDict

from mmvitkd.inspection.analyse import split
from mmvitkd.inspection.images import Image, load_data
from mmvitkd.inspection.section import Section as Part
from mmvitkd.inspection.section import Written
from mmvitkd.inspection.sections import FEWEST, SECTIONS
from mmvitkd.utils import load_checkpoint
from mmvitkd.utils.cli import print_rank0

from .examples import Examples
from .groups import Group
from .models import LoadedModels, read_models
from .page import Csv, Downloads, Figure, Notes, Section, Text
from .runs import Run
from .strangers import nothing_run, require_registered

IMAGES = 64  # that the layers are measured on
BATCH = 32
OVERLAYS = 4  # images whose attention is shown one by one
# parts that compare the students with the first model
NEED_A_TEACHER = ('distance',)

Parts = dict[str, tuple[list[str], Part]]  # with the names of each one's models


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
    try:
        images = load_data(data, count) if data else _own_images(loaded.run, count)
        if len(images) < FEWEST:
            raise ValueError(f'there are {len(images)}, and {FEWEST} are needed')
    except Exception as error:  # whatever a config or a file of others brings about
        reason = ' '.join(str(error).split())[:300]
        note = f'No images to run them on: {reason}'
        return [_section('Models', [*loaded.notes, note])]
    examples = Examples(loaded, _classes(loaded.run))
    parts = _parts(loaded)
    _run_models(loaded, images, examples, parts)
    written = {key: part.write(folder) for key, (_, part) in parts.items()}
    sections = [_laid_out(key, one, folder) for key, one in written.items()]
    sections.append(examples.section())
    for section in sections:
        section.blocks[:0] = [Text(note, warning=True) for note in loaded.notes]
    return sections


def _run_models(
    loaded: LoadedModels, images: list[Image], examples: Examples, parts: Parts
) -> None:
    """Show the images to the models: all to those of the examples, some to all."""
    places = set(np.linspace(0, len(images) - 1, min(IMAGES, len(images))).astype(int))
    few = [image for i, image in enumerate(images) if i in places]
    rest = [image for i, image in enumerate(images) if i not in places]
    for batch in split(few, BATCH):
        models = (*loaded.models, *loaded.over_training)
        outputs = {model.name: model.capture(batch) for model in models}
        examples.update(batch, outputs)
        for names, part in parts.values():
            part.update(batch, [outputs[name] for name in names])
    for start in range(0, len(rest), BATCH):
        batch = rest[start : start + BATCH]
        examples.update(batch, {m.name: m.capture(batch) for m in loaded.models})


def _own_images(run: Run, count: int) -> list[Image]:
    """Read the images that a run was tested on; nothing of its config is run."""
    cfg = Config((run.cfg or ConfigDict()).to_dict(), filename=str(run.config))
    for name in ('test_dataloader', 'val_dataloader'):
        require_registered((cfg.get(name) or {}).get('dataset'), name)
    require_registered({'default_scope': cfg.get('default_scope')})
    with nothing_run():
        return load_data(cfg, count)


def _section(title: str, notes: list[str]) -> Section:
    return Section(title, [Text(note, warning=True) for note in notes])


def _classes(run: Run) -> list[str]:
    """Name the classes as the run's checkpoint does; empty where it does not."""
    meta = load_checkpoint(str(run.checkpoint)).get('meta')
    meta = meta.get('dataset_meta') if isinstance(meta, dict) else None
    classes = meta.get('classes') if isinstance(meta, dict) else None
    return list(map(str, classes)) if isinstance(classes, (list, tuple)) else []


def _parts(loaded: LoadedModels) -> Parts:
    """Build the sections of an analysis that these models allow."""
    parts: Parts = {}
    for key, make in SECTIONS.items():
        models = loaded.models
        if key in NEED_A_TEACHER and (loaded.teacher is None or len(models) < 2):
            continue
        if key == 'dynamics':
            models = [*models, *loaded.over_training]
        parts[key] = [model.name for model in models], make(models, None, OVERLAYS)
    return parts


def _laid_out(key: str, written: Written, folder: Path) -> Section:
    section = Section(key.capitalize(), heading=written.title)
    for figure in written.figures:
        file = folder / figure.get('svg', figure.get('png', ''))
        section.blocks.append(Figure(figure['title'], figure['alt'], file, wide=True))
    names = [Path(table['csv']) for table in written.tables]
    numbers = [
        Csv(str(n.with_suffix('')), (folder / n).read_text(encoding='utf-8'))
        for n in names
    ]
    section.blocks.append(Downloads(numbers))
    if written.notes:
        section.blocks.append(Notes(written.notes))
    return section
