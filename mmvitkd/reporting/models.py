"""The models that the report asks: the best run of every group, and their teachers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmengine.config import ConfigDict
from mmengine.device import get_device

from mmvitkd.inspection.images import Image
from mmvitkd.inspection.models import Classifier, Model, config_of, load_classifier
from mmvitkd.models import Teacher
from mmvitkd.models.classifiers.teacher import model_cfg_of
from mmvitkd.utils.strangers import installed_config, nothing_run, require_registered

from .groups import Group, baselines_of, find_weights, teachers_of
from .runs import Run

DISTILLED = 2  # how many of the distilled groups are looked into
OVER_TRAINING = 5  # how many of a run's checkpoints
# of a teacher's config, what makes its model; also of one whose outputs are stored
TEACHER = ('cfg', 'checkpoint', 'prefix', 'input_size')


@dataclass
class LoadedModels:
    """The models, and the run whose images they are shown.

    Args:
        teachers: Those of the distilled students, as far as they can be read; that of
            the best one first.
        students: The baseline first, if there is one, then the distilled, the best
            first.
        taught_by: The names of each student's teachers; of a baseline, those of the
            best distilled student.
        best: The name of the best distilled one, or of the only one; it may be one
            that can't be read.
        over_training: Checkpoints of the best distilled run, as ``RUN@EPOCH``.
        run: The best distilled run, or else the best of all.
        notes: What could not be read, and why.
    """

    teachers: list[Classifier] = field(default_factory=list)
    students: list[Classifier] = field(default_factory=list)
    taught_by: dict[str, list[str]] = field(default_factory=dict)
    over_training: list[Classifier] = field(default_factory=list)
    best: str = ''
    run: Run | None = None
    notes: list[str] = field(default_factory=list)
    # what configs say of the teachers, and their names, those that failed included
    read_before: list[tuple[dict[str, Any], str]] = field(default_factory=list)

    @property
    def models(self) -> list[Classifier]:
        """All, in the order of their colours; further teachers come last."""
        return [*self.teachers[:1], *self.students, *self.teachers[1:]]

    def pairs(self) -> list[tuple[Classifier, Classifier]]:
        """List students with their teachers, as far as both could be read."""
        return [
            (student, teacher)
            for student in self.students
            for teacher in self.teachers
            if teacher.name in self.taught_by.get(student.name, [])
        ]

    def read(
        self, what: str, name: str, make: Callable[..., Any], *args: Any
    ) -> list[Classifier]:
        """Make a model, and put it where it is fast; trouble becomes a note."""
        try:
            classifier = make(*args).to(get_device())
            return [self._look_into(name, classifier)]
        except Exception as error:  # whatever a config or a file of others brings about
            self.notes.append(f'{what} can not be looked into: {reason_of(error)}')
            return []

    def try_on(self, images: list[Image]) -> None:
        """Take out the models that these images are too much for, with a note."""
        for models in (self.teachers, self.students, self.over_training):
            for model in list(models):
                try:
                    model.capture(images)
                except Exception as error:  # whatever a model does not like
                    models.remove(model)
                    self.notes.append(
                        f'{model.name} does not run on the images: {reason_of(error)}'
                    )

    def _look_into(self, name: str, classifier: Any) -> Classifier:
        try:
            return Model(name, classifier)
        except ValueError as error:  # no vision transformer, or a peculiar one
            self.notes.append(f'Of {name} there are predictions alone: {error}')
            return Classifier(name, classifier)


def reason_of(error: Exception) -> str:
    """Tell an error in one line that is not too long."""
    text = ' '.join(str(error).split())[:300]
    return text or type(error).__name__


def read_models(groups: list[Group], metric: str) -> LoadedModels:
    """Read the students that ended best, the same one alone, and their teachers."""

    def ended(group: Group) -> float:
        return max(group.finals(metric), default=float('-inf'))

    able = sorted((g for g in groups if g.best_run(metric)), key=ended, reverse=True)
    distilled = [group for group in able if group.is_distilled][:DISTILLED]
    alone = [group for group in able if group.is_baseline]
    if distilled:  # another student alone would be no baseline
        alone = [group for group in alone if group in baselines_of(distilled[0], able)]
    chosen = [*alone[:1], *distilled] or able[:1]
    loaded = LoadedModels()
    if not chosen:
        loaded.notes.append('No run has a checkpoint, so no model was looked into.')
        return loaded
    best = (distilled or chosen)[0]
    loaded.best, loaded.run = best.name, best.best_run(metric)
    for group in chosen:
        run = group.best_run(metric)
        loaded.students += loaded.read(group.name, group.name, _student, run)
    for group in distilled:
        _read_teachers(loaded, group, group.best_run(metric), groups)
    if alone and distilled:
        loaded.taught_by[alone[0].name] = loaded.taught_by[best.name]
    looked_into = [m.name for m in loaded.students if isinstance(m, Model)]
    if best.is_distilled and best.name in looked_into and loaded.run is not None:
        for step, file in _kept(loaded.run).items():
            name = f'{best.name}@{step}'
            loaded.over_training += loaded.read(
                file.name, name, _student, loaded.run, file
            )
    return loaded


def _read_teachers(
    loaded: LoadedModels, group: Group, run: Any, groups: list[Group]
) -> None:
    """Read the teachers that a run's own config names, each once."""
    names = loaded.taught_by.setdefault(group.name, [])
    for key, cfg in teachers_of(run).items():
        cfg = {k: v for k, v in cfg.items() if k in TEACHER}
        weights = find_weights(run, cfg.get('checkpoint'))
        if weights is not None:
            cfg['checkpoint'] = str(weights.resolve())
        same = [one for one in loaded.read_before if one[0] == cfg]
        name = same[0][1] if same else _free_name(key, weights, groups, loaded, group)
        names.append(name)
        if same:
            continue
        loaded.read_before.append((dict(cfg), name))
        what = f'The teacher of {group.name}'
        what += f" ('{key}')" if len(teachers_of(run)) > 1 else ''
        found = loaded.read(what, name, _teacher, cfg, weights, run)
        if not found:
            loaded.notes[-1] += f'; what compares {group.name} with it is missing'
        loaded.teachers += found


def _free_name(
    key: str,
    weights: Path | None,
    groups: list[Group],
    loaded: LoadedModels,
    pupil: Group,
) -> str:
    """Name a teacher by its group, or as the config does where it is no group's."""
    folder = weights.resolve().parent if weights else None
    own = [
        name
        for group in groups
        for one in group.runs
        if one.folder.resolve() == folder
        for name in (group.name, f'{one.name} (teacher)')
    ]
    if not own:
        taken = {group.name for group in groups}
        own = [key] if key not in taken else []
    used = {model.name for model in loaded.students}
    used |= {name for _, name in loaded.read_before}
    return next(name for name in [*own, f'{key} of {pupil.name}'] if name not in used)


def _student(run: Run, checkpoint: Path | None = None) -> Any:
    """Read the student of a run; of its newest checkpoint, if none is named."""
    if not (run.cfg and run.cfg.get('model')):
        raise ValueError('it has no config that says its model')
    model = config_of(run.cfg.to_dict(), pretrained=False)
    require_registered(model, 'model')
    with nothing_run():
        return load_classifier(model, str(checkpoint or run.checkpoint))


def _teacher(cfg: dict[str, Any], weights: Path | None, run: Run) -> Any:
    """Read a teacher, of which a run's config says this."""
    cfg = {**cfg, 'cfg': _teacher_config(cfg.get('cfg'), weights)}
    require_registered(cfg['cfg'], 'teacher')
    with nothing_run():
        teacher = Teacher(**cfg)
        teacher.load()
    classifier: Any = teacher.model
    if teacher.preprocessor is None:  # it sees what its student sees
        classifier.data_preprocessor = _student(run).data_preprocessor
    return classifier


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
