"""Read a comparison of configs/comparison and make the trainings that it asks for."""

from __future__ import annotations

import inspect
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ablation_lib.tables import Setting, teachers_of
from mmengine.config import Config, ConfigDict
from mmengine.runner import Runner

import mmvitkd.models  # noqa: F401  registers the losses
from mmvitkd.registry import MODELS
from mmvitkd.utils.types import class_of

KEYS = {
    'name', 'config', 'terms_of', 'scale', 'tuned', 'differs', 'options', 'weights',
}  # fmt: skip
OURS = 'configs/comparison/methods.py'
REQUIRED = (
    'title', 'student', 'pair', 'teachers', 'options', 'factors', 'first_tuning_seed',
    'alone', 'to_beat', 'timed_against', 'without_factor', 'methods',
)  # fmt: skip
# what a training reads; other names of a config are those that others take over
READ = {*inspect.signature(Runner.__init__).parameters, 'custom_imports'}
# of a distiller, what makes the method
OWN = ('type', 'student', 'teacher', 'teachers', 'terms', 'task_weight')


@dataclass(frozen=True)
class Method:
    """One of those that are compared.

    Args:
        name: For people.
        cfg: The training at factor 1, its terms' weights written out.
        teachers: The trainings that make its teachers, by their names in the config.
        taught_by: The teachers, for people.
        tuned: The terms that the factor multiplies; none is a training without one.
        differs: By dotted keys, what differs from the training of the student alone.
        weights: Where those at factor 1 are from.
    """

    name: str
    cfg: Config
    teachers: dict[str, Setting]
    taught_by: str
    tuned: tuple[str, ...]
    differs: dict[str, str]
    weights: str

    @property
    def student(self) -> ConfigDict:
        return student_of(self.cfg)

    def setting(self, factor: float = 1.0, tuning: bool = False) -> Setting:
        """Make the training at a factor, to be tested on its split.

        Args:
            factor: Of the weights. Defaults to 1.0.
            tuning: Test on the validation split; no other is in the config then.
                Defaults to False.
        """
        cfg = deepcopy(self.cfg)
        for term in self.tuned:
            cfg.model.terms[term].loss.loss_weight *= factor
        if tuning:
            cfg.test_dataloader = deepcopy(cfg.val_dataloader)
            cfg.test_evaluator = deepcopy(cfg.val_evaluator)
        name = f'{self.name} x {factor:g}' if self.tuned else self.name
        one = self.teachers.get('teacher')
        return Setting(
            f'{name}, tuning' if tuning else name,
            cfg,
            one,
            several_teachers={} if one else self.teachers,
        )


@dataclass(frozen=True)
class Comparison:
    """The methods of a file, and their protocol.

    Args:
        title: Of its page.
        methods: By name.
        teachers: The trainings that make teachers.
        factors: The tries of every method.
        first_tuning_seed: The test's are below it.
        alone: What all are compared with; ``to_beat`` is another one.
        to_beat: See ``alone``.
        timed_against: Whose step is 1.
        without_factor: A sentence on what a training without a factor has instead.
        excluded: By the beginning of a config's name, why it is not compared.
    """

    title: str
    methods: dict[str, Method]
    teachers: list[Setting]
    factors: tuple[float, ...]
    first_tuning_seed: int
    alone: str
    to_beat: str
    timed_against: str
    without_factor: str
    excluded: dict[str, str]

    def selected(self, only: list[str] | None) -> list[Method]:
        """Return those that are asked for, and what they are compared with.

        Raises:
            ValueError: If one is unknown.
        """
        unknown = [name for name in only or [] if name not in self.methods]
        if unknown:
            raise ValueError(f'--only {unknown[0]!r}: there are {list(self.methods)}')
        names = {*(only or self.methods), self.alone, self.to_beat}
        return [self.methods[name] for name in self.methods if name in names]


def read(path: Path, max_epochs: int | None = None) -> Comparison:
    """Read a comparison's file.

    Args:
        path: The file.
        max_epochs: Cuts every training, to try the machinery. Defaults to None.

    Raises:
        ValueError: If it is missing, or a method can't be read, or its training
            differs from that of the student alone in what it does not name.
    """
    if not path.is_file():
        raise ValueError(f"there is no comparison '{path}'")
    cfg = Config.fromfile(path)
    missing = [key for key in REQUIRED if key not in cfg]
    if missing:
        raise ValueError(f'{path.name} must give {missing}, as {OURS} does')
    reader = _Reader(path.parent, cfg, max_epochs)
    methods: dict[str, Method] = {}
    for entry in cfg.methods:
        try:
            method = reader.method(entry)
        except (ValueError, KeyError, FileNotFoundError) as error:
            raise ValueError(f'{path.name}, {entry.get("name")}: {error}') from error
        if method.name in methods:
            raise ValueError(f'{path.name}: two methods are named {method.name!r}')
        methods[method.name] = method
    for role in ('alone', 'to_beat', 'timed_against'):
        if cfg[role] not in methods:
            raise ValueError(f'{path.name}: {role}={cfg[role]!r} is no method of it')
    return Comparison(
        cfg.title,
        methods,
        [training for _, training in reader.teachers.values()],
        tuple(sorted(cfg.factors)),
        cfg.first_tuning_seed,
        cfg.alone,
        cfg.to_beat,
        cfg.timed_against,
        cfg.without_factor,
        cfg.get('excluded', {}),
    )


class _Reader:
    """Makes methods of the entries of a comparison's file."""

    def __init__(self, folder: Path, cfg: Config, max_epochs: int | None) -> None:
        self.folder = folder
        self.max_epochs = max_epochs
        self.cfg = cfg
        self.base = self._training(self.cfg.student, self.cfg.options)
        # by the folder of the checkpoint that configs name
        stems = [Path(config).stem for config in self.cfg.teachers.values()]
        twice = sorted({stem for stem in stems if stems.count(stem) > 1})
        if twice:
            raise ValueError(
                f'two teachers have configs named {twice}, and a method names its '
                'teacher by the folder of that name: rename one of the files'
            )
        self.teachers = {
            Path(config).stem: (
                name,
                Setting(f'teacher {name}', self._cut(self._training(config, {}))),
            )
            for name, config in self.cfg.teachers.items()
        }

    def _training(self, config: str, options: dict[str, Any]) -> Config:
        whole = Config.fromfile(self.folder / config).to_dict()
        cfg = Config({key: value for key, value in whole.items() if key in READ})
        cfg.merge_from_dict(deepcopy(dict(options)))
        return cfg

    def _cut(self, cfg: Config) -> Config:
        loop = cfg.train_cfg
        loop.max_epochs = min(loop.max_epochs, self.max_epochs or loop.max_epochs)
        loop.val_interval = min(loop.val_interval, loop.max_epochs)
        return cfg

    def method(self, entry: ConfigDict) -> Method:
        """Make a method of its entry."""
        either = ('config' in entry) != ('terms_of' in entry)
        if set(entry) - KEYS or 'name' not in entry or not either:
            raise ValueError(
                "an entry has a name, 'config' or 'terms_of', and of "
                f'{sorted(KEYS)} what it needs, got {sorted(entry)}'
            )
        options = {**self.cfg.options, **entry.get('options', {})}
        cfg = self._training(entry.get('config', self.cfg.pair), options)
        if 'terms_of' in entry:
            source = Config.fromfile(self.folder / entry.terms_of).model
            _take_terms(cfg.model, source)
        differs = dict(entry.get('differs', {}))
        changed = {
            key: f'{key} = {value}' for key, value in entry.get('options', {}).items()
        }
        _check_same(cfg, self.base, {*differs, *changed})
        self._cut(cfg)
        terms = cfg.model.get('terms') or {}
        _write_weights(terms, entry.get('scale', 1.0))
        taught_by = self._take_teachers(cfg.model)
        return Method(
            entry.name,
            cfg,
            {name: training for name, (_, training) in taught_by.items()},
            ' and '.join(dict.fromkeys(name for name, _ in taught_by.values())),
            _tuned(list(terms), entry.get('tuned'), cfg.model),
            {**differs, **changed},
            entry.get('weights', ''),
        )

    def _take_teachers(self, model: ConfigDict) -> dict[str, tuple[str, Setting]]:
        """Give a distiller the teachers that are trained here."""
        found = {}
        for name, teacher in teachers_of(model).items():
            stem = Path(teacher.checkpoint).parent.name
            if stem not in self.teachers:
                raise ValueError(
                    f"its teacher '{teacher.checkpoint}' is of none of "
                    f'{list(self.cfg.teachers.values())}'
                )
            found[name] = self.teachers[stem]
            theirs = found[name][1].cfg
            teacher.cfg = {
                key: theirs[key].to_dict() for key in ('model', 'data_preprocessor')
            }
        return found


def student_of(cfg: Config) -> ConfigDict:
    """Return a distiller's student, or the classifier that is trained alone."""
    return cfg.model.get('student') or cfg.model


def _take_terms(model: ConfigDict, source: ConfigDict) -> None:
    """Take over what a config for other models says about the method."""
    model.terms = source.terms
    model.task_weight = source.get('task_weight', 1.0)
    own = {k: v for k, v in source.teacher.items() if k not in ('cfg', 'checkpoint')}
    model.teacher.update(own)


def _write_weights(terms: dict[str, Any], scale: float) -> None:
    for name, term in terms.items():
        kind = class_of(term.loss.type, MODELS)
        parameters = inspect.signature(kind).parameters if kind else {}
        if 'loss_weight' not in parameters:
            raise ValueError(f"term '{name}': {term.loss.type} has no loss_weight")
        default = parameters['loss_weight'].default
        term.loss.loss_weight = scale * term.loss.get('loss_weight', default)


def _tuned(
    terms: list[str], beginnings: list[str] | None, model: ConfigDict
) -> tuple[str, ...]:
    """Name the terms that the factor multiplies."""
    if beginnings is None:
        if terms and model.get('task_weight', 1.0) == 0:
            raise ValueError(
                'without labels a factor of all terms changes nothing but the scale '
                'of the loss, which AdamW does not see: name some terms, tuned=[...]'
            )
        return tuple(terms)
    for beginning in beginnings:
        if not any(term.startswith(beginning) for term in terms):
            raise ValueError(f"tuned: no term of {terms} begins with '{beginning}'")
    return tuple(term for term in terms if term.startswith(tuple(beginnings)))


def _check_same(cfg: Config, base: Config, named: set[str]) -> None:
    """Refuse differences between two trainings that are not named, and the reverse."""
    found = differences(cfg, base)
    secret = [k for k in found if not any(_is_of(k, name) for name in named)]
    if secret:
        raise ValueError(
            f'{secret} differ from the training of the student alone: name them in '
            'differs, with the reason, if the method needs that'
        )
    absent = [n for n in sorted(named) if not any(_is_of(key, n) for key in found)]
    if absent:
        raise ValueError(f'{absent} do not differ from the student alone')


def _is_of(key: str, name: str) -> bool:
    return key == name or key.startswith(f'{name}.')


def differences(cfg: Config, base: Config) -> list[str]:
    """List the dotted keys in which two trainings differ, methods apart."""
    ours, theirs = _flat(_compared(cfg)), _flat(_compared(base))
    missing = object()
    return sorted(
        key
        for key in {*ours, *theirs}
        if ours.get(key, missing) != theirs.get(key, missing)
    )


def _compared(cfg: Config) -> dict[str, Any]:
    whole = cfg.to_dict()
    model = whole.pop('model')
    others = {}
    if 'student' in model:
        others = {key: value for key, value in model.items() if key not in OWN}
    return {**whole, 'model': {**others, 'student': model.get('student', model)}}


def _flat(value: dict[str, Any], prefix: str = '') -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, inner in value.items():
        if isinstance(inner, dict) and inner:
            flat.update(_flat(inner, f'{prefix}{key}.'))
        else:
            flat[f'{prefix}{key}'] = inner
    return flat
