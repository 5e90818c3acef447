"""The models that the report asks: the best run of every group, and their teacher."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmengine.config import ConfigDict
from mmengine.device import get_device

from mmvitkd.inspection.models import Model, config_of, load
from mmvitkd.models import Teacher
from mmvitkd.models.classifiers.teacher import model_cfg_of

from .groups import Group, find_weights, teachers_of
from .runs import Run
from .strangers import installed_config, nothing_run, require_registered

DISTILLED = 2  # how many of the distilled groups are looked into
OVER_TRAINING = 5  # how many of a run's checkpoints
# of a teacher's config, what makes its model; also of one whose outputs are stored
TEACHER = ('cfg', 'checkpoint', 'prefix', 'input_size')


@dataclass
class LoadedModels:
    """The models, and the run whose images they are shown.

    Args:
        teacher: None where it can't be read.
        students: The student alone first, if there is one, then the distilled, the
            best first.
        best: The name of the best distilled one, or of the only one.
        over_training: Checkpoints of the best distilled run, as ``RUN@EPOCH``.
        run: The best distilled run, or else the best of all.
        notes: What could not be read, and why.
    """

    teacher: Model | None = None
    students: list[Model] = field(default_factory=list)
    over_training: list[Model] = field(default_factory=list)
    best: str = ''
    run: Run | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def models(self) -> list[Model]:
        return [self.teacher, *self.students] if self.teacher else self.students

    def read(self, what: str, make: Callable[..., Model], *args: Any) -> list[Model]:
        """Make a model, and put it where it is fast; trouble becomes a note."""
        try:
            model = make(*args)
            model.classifier.to(get_device())
        except Exception as error:  # whatever a config or a file of others brings about
            reason = ' '.join(str(error).split())[:300]
            self.notes.append(f'{what} can not be looked into: {reason}')
            return []
        return [model]


def read_models(groups: list[Group], metric: str) -> LoadedModels:
    """Read the students that ended best, the same one alone, and their teacher."""

    def ended(group: Group) -> float:
        return max(group.finals(metric), default=float('-inf'))

    able = sorted((g for g in groups if g.best_run(metric)), key=ended, reverse=True)
    distilled = [group for group in able if group.is_distilled][:DISTILLED]
    alone = [group for group in able if group.is_baseline][:1]
    chosen = [*alone, *distilled] or able[:1]
    loaded = LoadedModels()
    if not chosen:
        loaded.notes.append('No run has a checkpoint, so no model was looked into.')
        return loaded
    best = (distilled or chosen)[0]
    loaded.best, loaded.run = best.name, best.best_run(metric)
    for group in chosen:
        run = group.best_run(metric)
        loaded.students += loaded.read(group.name, _student, group.name, run)
    if best.is_distilled and loaded.run is not None:
        found = loaded.read('The teacher', _teacher, loaded.run, groups)
        loaded.teacher = next(iter(found), None)
        for step, file in _kept(loaded.run).items():
            loaded.over_training += loaded.read(
                file.name, _student, f'{best.name}@{step}', loaded.run, file
            )
    return loaded


def _student(name: str, run: Run, checkpoint: Path | None = None) -> Model:
    """Read the student of a run; of its newest checkpoint, if none is named."""
    if not (run.cfg and run.cfg.get('model')):
        raise ValueError('it has no config that says its model')
    model = config_of(run.cfg.to_dict(), pretrained=False)
    require_registered(model, 'model')
    with nothing_run():
        return load(model, str(checkpoint or run.checkpoint), name=name)


def _teacher(run: Run, groups: list[Group]) -> Model:
    """Read the first of a run's teachers."""
    name, cfg = next(iter(teachers_of(run).items()))
    cfg = {k: v for k, v in cfg.items() if k in TEACHER}
    weights = find_weights(run, cfg.get('checkpoint'))
    if weights is not None:
        cfg['checkpoint'] = str(weights)
        folder = weights.resolve().parent
        for group in groups:
            if folder in [one.folder.resolve() for one in group.runs]:
                name = group.name
    cfg['cfg'] = _teacher_config(cfg.get('cfg'), weights)
    require_registered(cfg['cfg'], 'teacher')
    with nothing_run():
        teacher = Teacher(**cfg)
        teacher.load()
    classifier: Any = teacher.model
    if teacher.preprocessor is None:  # it sees what its student sees
        student = _student('student', run)
        classifier.data_preprocessor = student.classifier.data_preprocessor
    return Model(name, classifier)


def _teacher_config(cfg: Any, weights: Path | None) -> ConfigDict:
    """Return a teacher's model config, of the packages' own or as its run dumped it."""
    if isinstance(cfg, dict):
        return model_cfg_of(cfg)
    own = Run(weights.resolve().parent, '').cfg if weights is not None else None
    if own is not None and own.get('model'):
        return model_cfg_of(own.to_dict())
    return installed_config(str(cfg), model_cfg_of)


def _kept(run: Run) -> dict[int, Path]:
    """List checkpoints of a run by their step, spread evenly, if it kept three."""
    held = {}
    for file in run.folder.glob('*.pth'):
        kind, _, step = file.stem.rpartition('_')
        if kind in ('epoch', 'iter') and step.isdigit():
            held[int(step)] = file
    steps = sorted(held)
    if len(steps) < 3:
        return {}
    count = min(OVER_TRAINING, len(steps))
    places = [round(i * (len(steps) - 1) / (count - 1)) for i in range(count)]
    return {steps[place]: held[steps[place]] for place in places}
