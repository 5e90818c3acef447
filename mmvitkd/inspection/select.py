"""Select unlabelled images that resemble those that a teacher was trained with."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, NamedTuple

import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from mmvitkd.analysis.selection import (
    attention_probe,
    evenness,
    selection_score,
    smallest,
    uncertainty,
)
from mmvitkd.datasets.image_check import Unreadable, say_unreadable
from mmvitkd.datasets.image_files import EXTENSIONS
from mmvitkd.engine.training import set_input_size
from mmvitkd.registry import DATASETS, MODELS, SCOPE, TRANSFORMS
from mmvitkd.utils.cli import device_of, print_rank0
from mmvitkd.utils.config_check import read_config
from mmvitkd.utils.config_file import require_model
from mmvitkd.utils.tables import write_rows

from .models import Classifier, Model

SELECTED, SCORES = 'selected.txt', 'scores.csv'
EVERY = 5.0  # seconds between two lines of progress
# images of a file as data sets in memory have them, RGB
LOADING = [
    {'type': 'LoadImageFromFile'},
    {'type': 'NumpyToPIL', 'to_rgb': True},
    {'type': 'PILToNumpy'},
]


class Scored(NamedTuple):
    """What the teacher makes of the images, in the order of ``paths``.

    Args:
        paths: From the root on.
        classes: What it says, ``(M,)``.
        uncertain: How little sure it is, ``(M,)``.
        even: How evenly its class token looks, ``(blocks, M)``.
        blocks: In which blocks.
    """

    paths: list[str]
    classes: Tensor
    uncertain: Tensor
    even: Tensor
    blocks: list[str]


class WildImages(Dataset):
    """Images of files, without labels; one that can't be read tells why.

    Args:
        root: What names in the annotation file are relative to.
        paths: From the root on.
        pipeline: Transforms, of which the last packs.
    """

    def __init__(self, root: Path, paths: Sequence[str], pipeline: list[dict]) -> None:
        self.root = root
        self.paths = paths
        self.steps = [TRANSFORMS.build(step) for step in pipeline]

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> dict | Unreadable:
        """Read an image, or say what is wrong with it."""
        path = str(self.root / self.paths[index])
        data: Any = {'img_path': path}
        try:
            for step in self.steps:
                data = step(data)
        except Exception as error:  # every decoder has its own
            lines = str(error).strip().splitlines() or [type(error).__name__]
            return Unreadable(path, lines[0])
        return data


def select(args: argparse.Namespace) -> None:
    """Score images by a config's teacher, and write which to distil with.

    Args:
        args: As the command reads them.

    Raises:
        ValueError: If there is no teacher, or one that does not suit, there are fewer
            images than are to be selected, or the files are there already.
    """
    files = [args.out / name for name in (SELECTED, SCORES)]
    for file in files:
        if file.exists():
            raise ValueError(f"'{file}' exists already: give another --out")
    cfg = read_config(args.config, args.cfg_options)
    require_model(cfg)
    root, paths, pipeline = find_images(cfg, args.images)
    if args.count > len(paths):
        raise ValueError(
            f"--count {args.count}: '{root}' has {len(paths)} images: select fewer"
        )
    distiller, teacher = open_teacher(cfg, args.teacher)
    model = open_model(teacher, args)
    distiller.to(device_of(args.device, 0))
    workers = args.workers
    if workers is None:
        workers = cfg.get('train_dataloader', {}).get('num_workers', 0)
    loader = DataLoader(
        WildImages(root, paths, pipeline),
        args.batch_size,
        num_workers=workers,
        collate_fn=list,
    )
    scored = score_images(loader, distiller, teacher, model, args)
    write(scored, root, args, files)


def find_images(cfg: Config, folder: str | None) -> tuple[Path, list[str], list[dict]]:
    """List the images of a folder, or else of a config's training set.

    Returns:
        Their root, their paths from there on, and the pipeline of the config's test,
        which reads files.

    Raises:
        ValueError: If there is no folder, there are no images, or they are no files.
    """
    scope = cfg.get('default_scope', 'mmpretrain')
    loader = cfg.get('test_dataloader') or cfg.get('val_dataloader') or {}
    pipeline = deepcopy(loader.get('dataset', {}).get('pipeline'))
    if not pipeline:
        raise ValueError(
            f"config '{cfg.filename}' has no test_dataloader or val_dataloader whose "
            'pipeline could prepare the images'
        )
    pipeline = [dict(step) for step in pipeline]
    if folder is not None:
        root = Path(folder)
        if not root.is_dir():
            raise ValueError(f"--images: there is no folder '{folder}'")
        files = [f for f in root.rglob('*') if f.suffix.lower() in EXTENSIONS]
        paths = [str(f.relative_to(root)) for f in sorted(files) if f.name[0] != '.']
    else:
        with DefaultScope.overwrite_default_scope(scope):
            dataset = DATASETS.build(deepcopy(cfg.train_dataloader.dataset))
        root, paths = _files_of(dataset, cfg)
    if not paths:
        raise ValueError(f"'{root}' has no images: looked for {', '.join(EXTENSIONS)}")
    for path in paths:
        if (
            len(path.splitlines()) > 1
            or path.encode('utf-8', 'ignore').decode() != path
        ):
            raise ValueError(f'{path!r}: rename it, as a name is one line of UTF-8')
    if not any('LoadImage' in str(step['type']) for step in pipeline):
        own = cfg.get('data_preprocessor') or cfg.model.get('data_preprocessor') or {}
        # one that is told to flip them expects BGR, as files are read
        pipeline = [*LOADING[: 1 if own.get('to_rgb') else None], *pipeline]
    return root, paths, pipeline


def _files_of(dataset: Any, cfg: Config) -> tuple[Path, list[str]]:
    """List the files of a data set, from its folder on.

    Raises:
        ValueError: If its images are no files of this machine.
    """
    infos = []
    if hasattr(dataset, 'get_data_info'):
        infos = [dataset.get_data_info(i) for i in range(len(dataset))]
    files = [info.get('img_path') for info in infos]
    if not files or any(file is None or '://' in file for file in files):
        raise ValueError(
            f"the training images of config '{cfg.filename}' "
            f'({type(dataset).__name__}) are no files that an annotation file could '
            'name: give a folder of images by --images'
        )
    root = getattr(dataset, 'img_prefix', '')
    root = Path(root or os.path.commonpath([os.path.dirname(file) for file in files]))
    return root, [os.path.relpath(file, root) for file in files]


def open_teacher(cfg: Config, name: str | None) -> tuple[Any, Any]:
    """Build a config's distiller, and read the weights of one of its teachers.

    Args:
        cfg: Of a distillation.
        name: Of the teacher; None for the only one.

    Raises:
        ValueError: If it has none of that name, several and none is named, or one
            without a model.
    """
    if 'terms' not in cfg.model:
        raise ValueError(
            f"config '{cfg.filename}' distils nothing: give one with "
            'model=dict(student=..., teacher=..., terms=...), whose teacher is asked'
        )
    for teacher in (
        *(cfg.model.get('teachers') or {}).values(),
        cfg.model.get('teacher'),
    ):
        if teacher:  # it is asked in float32, and by itself
            teacher.pop('dtype', None)
    set_input_size(cfg)
    preprocessor = cfg.get('data_preprocessor')
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope', SCOPE)):
        distiller = MODELS.build({'data_preprocessor': preprocessor, **cfg.model})
    teachers = distiller.teachers
    if name is None and len(teachers) == 1:
        (name,) = teachers
    if name not in teachers:
        raise ValueError(f'--teacher {name}: choose one of {sorted(teachers)}')
    teacher = teachers[name]
    if teacher.model is None:
        raise ValueError(
            f"the teacher '{name}' has stored outputs and no model to ask: give the "
            'config without a cache'
        )
    teacher.load()
    distiller.eval()
    return distiller, teacher


def open_model(teacher: Any, args: argparse.Namespace) -> Classifier:
    """Look into a teacher's blocks, or, if these have no weight, at its answers alone.

    Raises:
        ValueError: If its attention can't be seen, or it has no class token or no such
            block or head.
    """
    if not args.probe_weight:
        return Classifier('teacher', teacher.model)
    advice = '; --probe-weight 0 selects by its answers alone'
    try:
        model = Model('teacher', teacher.model)
        depth = len(model.blocks)
        thirds = [max(depth // 3 - 1, 0), max(2 * depth // 3 - 1, 0)]
        model.keep(thirds if args.layers is None else args.layers)
    except ValueError as error:
        raise ValueError(f'{error}{advice}') from error
    if model.no_maps is not None:
        raise ValueError(f'{model.no_maps}{advice}')
    if not model.extra_tokens:
        raise ValueError(
            'the teacher has no class token whose attention could be seen' + advice
        )
    fewest = min(model.num_heads(block) for block in model.blocks)
    if args.head != 'mean' and args.head >= fewest:
        raise ValueError(
            f'--head {args.head}: the teacher has the heads 0 to {fewest - 1}'
        )
    return model


@torch.no_grad()
def score_images(
    loader: DataLoader,
    distiller: Any,
    teacher: Any,
    model: Classifier,
    args: argparse.Namespace,
) -> Scored:
    """Ask the teacher about all images; those that can't be read are left out.

    Raises:
        ValueError: If no image can be read, or they differ in size.
    """
    images: Any = loader.dataset
    kept, bad, parts = [], [], []
    progress = Progress(len(images))
    seen = 0
    for batch in loader:
        good = [i for i, one in enumerate(batch) if not isinstance(one, Unreadable)]
        bad += [one for one in batch if isinstance(one, Unreadable)]
        kept += [images.paths[seen + i] for i in good]
        seen += len(batch)
        if good:
            data = distiller.data_preprocessor(_stack([batch[i] for i in good]))
            inputs = teacher.prepare(data['inputs'], distiller.data_preprocessor)
            parts.append(_judge(model, inputs, args.head))
        progress.at(seen)
    if bad:
        say_unreadable(bad, f"'{images.root}'")
    if not parts:
        raise ValueError(f"no image of '{images.root}' can be read")
    classes, uncertain, even = (
        torch.cat(part, -1) for part in zip(*parts, strict=True)
    )
    return Scored(kept, classes, uncertain, even, model.blocks)


def _stack(batch: list[dict]) -> dict:
    """Make a batch of samples.

    Raises:
        ValueError: If the images differ in size.
    """
    sizes = sorted({tuple(one['inputs'].shape[-2:]) for one in batch})
    if len(sizes) > 1:
        raise ValueError(
            f"the images are {sizes[0]} and {sizes[-1]}: let the config's test "
            'pipeline end with one size, by Resize, or by ResizeEdge and CenterCrop'
        )
    return {'inputs': torch.stack([one['inputs'] for one in batch])}


def _judge(
    model: Classifier, inputs: Tensor, head: int | str
) -> tuple[Tensor, Tensor, Tensor]:
    """Return classes, uncertainty and evenness of a batch, on the CPU."""
    answer = model.run(inputs)
    even = []
    for block, layer in zip(model.blocks, answer.layers, strict=True):
        assert isinstance(model, Model) and layer.qkv is not None and layer.tokens.hw
        heads = model.num_heads(block)
        even.append(evenness(attention_probe(layer.qkv, heads, layer.tokens.hw, head)))
    logits = answer.logits
    stacked = torch.stack(even) if even else logits.new_empty(0, len(logits))
    return logits.argmax(1).cpu(), uncertainty(logits).cpu(), stacked.cpu()


def write(
    scored: Scored, root: Path, args: argparse.Namespace, files: list[Path]
) -> None:
    """Write all scores, and the annotation file of the images of the smallest ones."""
    scores = selection_score(
        scored.uncertain, list(scored.even), args.output_weight, args.probe_weight
    )
    chosen = smallest(scores, args.count).tolist()
    args.out.mkdir(parents=True, exist_ok=True)
    selected, table = files
    taken = set(chosen)
    with table.open('x', newline='', encoding='utf-8') as stream:
        names = [f'evenness in {block}' for block in scored.blocks]
        header = ['image', 'class', 'uncertainty', *names, 'score', 'selected']
        columns = (scored.classes, scored.uncertain, *scored.even, scores)
        numbers = zip(*(column.tolist() for column in columns), strict=True)
        rows = (
            [path, *row, int(i in taken)]
            for i, (path, row) in enumerate(zip(scored.paths, numbers, strict=True))
        )
        write_rows(stream, [header, *rows])
    with selected.open('x', encoding='utf-8') as stream:
        for i in chosen:
            label = f' {scored.classes[i]}' if args.with_label else ''
            stream.write(f'{scored.paths[i]}{label}\n')
    classes = scored.classes[chosen].unique().numel()
    print_rank0(
        [
            f'{len(chosen)} of {len(scored.paths)} images selected, of {classes} '
            f'classes by the teacher; scores up to {scores[chosen[-1]]:.4g} of '
            f'{scores.max():.4g}',
            f'{table}: the scores of all',
            f'{selected}: the images; train with them by',
            f"  dataset=dict(type='CustomDataset', data_prefix='{root}', "
            f"ann_file='{selected}', with_label={args.with_label}, pipeline=...)",
        ]
    )


class Progress:
    """Tells how far a run is, every few seconds.

    Args:
        total: How much there is to do.
        unit: Of what. Defaults to ``'images'``.
    """

    def __init__(self, total: int, unit: str = 'images') -> None:
        self.total = total
        self.unit = unit
        self.seen = 0
        self.begun = self.told = time.monotonic()

    def step(self) -> None:
        """One more is done."""
        self.at(self.seen + 1)

    def at(self, seen: int) -> None:
        """Print a line, if the last one is some time ago, or all is done."""
        self.seen = seen
        now = time.monotonic()
        if now - self.told < EVERY and seen < self.total:
            return
        self.told = now
        left = (self.total - seen) * (now - self.begun) / seen
        time_left = f'{left / 60:.0f} min' if left >= 120 else f'{left:.0f} s'
        print_rank0([f'{seen} of {self.total} {self.unit}, about {time_left} left'])
