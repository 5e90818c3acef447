"""Read a comparison of configs/comparison and make the trainings that it names."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict
from mmengine.runner import Runner

import mmvitkd.models  # noqa: F401  registers the losses
from mmvitkd.registry import MODELS
from mmvitkd.utils.config_file import open_named
from mmvitkd.utils.own_configs import own_configs
from mmvitkd.utils.teacher_cache import sha256
from mmvitkd.utils.types import class_of, name_of

from ..run import Setting, cut, teachers_of, use_validation_split
from .differences import differences, require_named
from .transfer import is_written_for, transfer

FOLDER = own_configs() / 'comparison'
KEYS = {
    'name', 'config', 'terms_of', 'scale', 'tuned', 'differs', 'options', 'weights',
    'stored_epochs',
}  # fmt: skip
REQUIRED = (
    'title', 'student', 'pair', 'teachers', 'options', 'factors', 'first_tuning_seed',
    'baseline', 'to_beat', 'timed_against', 'without_factor', 'methods',
)  # fmt: skip
# what a training reads; other names of a config are those that others take over
READ = {*inspect.signature(Runner.__init__).parameters, 'custom_imports'}


@dataclass(frozen=True)
class Method:
    """One of those that are compared."""

    name: str  # for people
    cfg: Config  # the training at factor 1, its terms' weights written out
    teachers: dict[str, Setting]  # that make its teachers, by their names there
    taught_by: str  # the teachers, for people
    tuned: tuple[str, ...]  # the terms that the factor multiplies; none: without one
    differs: dict[str, str]  # by dotted keys, from the training of the student alone
    weights: str  # where those at factor 1 are from
    depends_on: str = ''  # digests of the weights of teachers that are not trained here
    stored_epochs: int = 0  # of its teachers' outputs; 0: they run

    @property
    def student(self) -> ConfigDict:
        """Return its student, or the classifier that is trained alone."""
        return self.cfg.model.get('student') or self.cfg.model

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
        name = f'{self.name} x {factor:g}' if self.tuned else self.name
        if tuning:
            use_validation_split(cfg)
            name += ', tuning'
        return Setting(
            name,
            cfg,
            self.teachers,
            depends_on=self.depends_on,
            stored_epochs=self.stored_epochs,
        )


@dataclass(frozen=True)
class Comparison:
    """The methods of a file, and their protocol."""

    title: str
    methods: dict[str, Method]  # by name
    teachers: list[Setting]  # the trainings that make teachers
    factors: tuple[float, ...]  # the tries of every method
    first_tuning_seed: int  # the test's are below it
    baseline: str  # the method that all are compared with
    to_beat: str  # another one that all are compared with
    timed_against: str  # whose step is 1
    without_factor: str  # a sentence on what a training without a factor has instead
    excluded: dict[str, str]  # by the beginning of a config's name, why
    added: tuple[str, ...] = ()  # methods that the command line named by their configs
    widenings: int = 0  # how often a range of tries is widened where its end is best
    paired: bool = False  # whether a seed makes the methods' runs alike

    @property
    def references(self) -> dict[str, str]:
        """What all are compared with: in the words of a heading, the method."""
        others = {} if self.to_beat == self.baseline else {self.to_beat: self.to_beat}
        return {'baseline': self.baseline, **others}

    def selected(self, only: Sequence[str] | None) -> list[Method]:
        """Return those that are wanted, and what they are compared with.

        Raises:
            ValueError: If one is unknown.
        """
        for name in only or []:
            if name not in self.methods:
                hint = '; configs stand before --only' if name.endswith('.py') else ''
                raise ValueError(f'--only {name!r}: there are {[*self.methods]}{hint}')
        names = {*(only or self.methods), *self.added, *self.references.values()}
        return [self.methods[name] for name in self.methods if name in names]


def find(name: str) -> Path:
    """Find a comparison's file: one of the user's, or by its name among ours.

    Raises:
        ValueError: If there is none.
    """
    for path in (Path(name), FOLDER / f'{name}.py'):
        if path.is_file():
            return path
    # the others in the folder are configs of methods, one for each data set
    known = sorted(p.stem for p in FOLDER.glob('*.py') if '_' not in p.stem)
    raise ValueError(f"there is no comparison '{name}': give a file, or one of {known}")


def read(
    path: Path, max_epochs: int | None = None, configs: Sequence[Path] = ()
) -> Comparison:
    """Read a comparison's file.

    Args:
        path: The file.
        max_epochs: Cuts every training, to try the machinery. Defaults to None.
        configs: Of methods to compare with those of the file, under the names of these
            files, whatever their trainings differ in. Defaults to none.

    Raises:
        ValueError: If a method can't be read, or its training differs from that of the
            student alone in what the file does not name.
    """
    cfg = open_named(path)
    # its former name, which only a user's file still gives
    cfg.baseline = cfg.get('alone', cfg.get('baseline'))
    missing = [key for key in REQUIRED if cfg.get(key) is None]
    if missing:
        raise ValueError(
            f'{path.name} must give {missing}, as {FOLDER}/methods.py does'
        )
    reader = _Reader(path, cfg, max_epochs)
    methods: dict[str, Method] = {}

    def add(entry: ConfigDict, source: str, free: bool = False) -> None:
        name = entry.get('name')
        try:
            method = reader.method(entry, free)
        except ImportError as error:  # MMEngine's lists sys.path
            reason = str(error).partition(', the current sys.path')[0]
            raise ValueError(f'{source}: {reason}; is it on PYTHONPATH?') from error
        except (ValueError, KeyError, OSError, SyntaxError) as error:
            missing = isinstance(error.__cause__, ImportError)
            hint = '; is it on PYTHONPATH?' if missing else ''
            raise ValueError(f'{source}, {name}: {error}{hint}') from error
        if name in methods:
            raise ValueError(f'{source}: two methods are named {name!r}')
        methods[method.name] = method

    for entry in cfg.methods:
        add(entry, path.name)
    for config in configs:
        own = {'name': config.stem, 'config': str(config.absolute())}
        add(ConfigDict(own, weights="its config's"), str(config), free=True)
    for role in ('baseline', 'to_beat', 'timed_against'):
        if cfg[role] not in methods:
            raise ValueError(f'{path.name}: {role}={cfg[role]!r} is no method of it')
    return Comparison(
        cfg.title,
        methods,
        [training for _, training in reader.teachers.values()],
        tuple(sorted(cfg.factors)),
        cfg.first_tuning_seed,
        cfg.baseline,
        cfg.to_beat,
        cfg.timed_against,
        cfg.without_factor,
        cfg.get('excluded', {}),
        tuple(config.stem for config in configs),
        cfg.get('widenings', 0),
        cfg.get('paired', False),
    )


class _Reader:
    """Makes methods of the entries of a comparison's file."""

    def __init__(self, file: Path, cfg: Config, max_epochs: int | None) -> None:
        self.file, self.cfg, self.max_epochs = file, cfg, max_epochs
        # of configs for other data than the student's, that of their student
        self.original: Config | None = None
        self.stands_for: dict[str, str] = {}  # a teacher here, by its stem there
        self.base = self._training(cfg.student, cfg.options)
        if theirs := cfg.get('written_for'):
            self.target = self._training(cfg.student, {})
            self.original = self._training(theirs.student, {})
            self.stands_for = {
                stem: Path(cfg.teachers[name]).stem
                for stem, name in theirs.get('teachers', {}).items()
            }
        # by the folder of the checkpoint that configs name
        stems = [Path(config).stem for config in cfg.teachers.values()]
        twice = sorted({stem for stem in stems if stems.count(stem) > 1})
        if twice:
            raise ValueError(
                f'two teachers have configs named {twice}, and a method names its '
                'teacher by the folder of that name: rename one of the files'
            )
        self.teachers = {
            Path(config).stem: (
                name,
                Setting(f'teacher {name}', cut(self._training(config, {}), max_epochs)),
            )
            for name, config in cfg.teachers.items()
        }

    def _read(self, config: str) -> Config:
        """Read a config that lies beside the comparison's file, or is ours."""
        for folder in (self.file.parent, FOLDER):
            if (folder / config).is_file():
                return open_named(folder / config)
        raise ValueError(
            f"there is no config '{config}', beside {self.file.name} or in {FOLDER}"
        )

    def _training(self, config: str, options: dict[str, Any]) -> Config:
        whole = self._read(config).to_dict()
        cfg = Config({key: value for key, value in whole.items() if key in READ})
        imports = cfg.get('custom_imports')
        if self.original is not None and is_written_for(cfg, self.original):
            cfg = transfer(cfg, self.original, self.target)
        cfg.merge_from_dict(deepcopy(dict(options)))
        _add_imports(cfg, imports)
        return cfg

    def method(self, entry: ConfigDict, free: bool) -> Method:
        """Make a method of its entry; a free one may differ in what it likes."""
        either = ('config' in entry) != ('terms_of' in entry)
        if set(entry) - KEYS or 'name' not in entry or not either:
            raise ValueError(
                "an entry has a name, 'config' or 'terms_of', and of "
                f'{sorted(KEYS)} what it needs, got {sorted(entry)}'
            )
        options = {**self.cfg.options, **entry.get('options', {})}
        cfg = self._training(entry.get('config', self.cfg.pair), options)
        if 'terms_of' in entry:
            source = self._read(entry.terms_of)
            _take_terms(cfg.model, source.model)
            _add_imports(cfg, source.get('custom_imports'))
        found = differences(cfg, self.base)
        changed = {
            key: f'{key} = {value}' for key, value in entry.get('options', {}).items()
        }
        differs = found if free else {**entry.get('differs', {}), **changed}
        require_named(found, differs)
        cut(cfg, self.max_epochs)
        terms = cfg.model.get('terms') or {}
        _write_weights(terms, entry.get('scale', 1.0))
        beginnings = entry.get('tuned')
        if free and terms and cfg.model.get('task_weight', 1.0) == 0:
            beginnings = []
            differs['task_weight'] = (
                'it reads no labels, against which a factor would weigh its terms, and '
                'has no factor'
            )
        stored_epochs = _stored_epochs(entry, cfg)
        if stored_epochs:
            differs['stored_epochs'] = (
                f'the outputs of {stored_epochs} epochs are stored, and come again in '
                f'turn for {cfg.train_cfg.max_epochs}, augmentations included'
            )
        trained, taught_by, digests = self._take_teachers(cfg.model)
        return Method(
            entry.name,
            cfg,
            trained,
            ' and '.join(dict.fromkeys(taught_by)),
            _tuned(list(terms), beginnings, cfg.model),
            differs,
            entry.get('weights', ''),
            ' '.join(digests),
            stored_epochs,
        )

    def _take_teachers(
        self, model: ConfigDict
    ) -> tuple[dict[str, Setting], list[str], list[str]]:
        """Give a distiller the teachers that are trained here.

        Returns:
            Their trainings, by their names in the config; the names of all, for people;
            and digests of the files of those that are taken as they are.
        """
        trained, names, digests = {}, [], []
        for key, teacher in teachers_of(model).items():
            file = teacher.get('checkpoint')
            stem = Path(file or '').parent.name
            stem = self.stands_for.get(stem, stem)
            if stem in self.teachers:
                name, trained[key] = self.teachers[stem]
                theirs = trained[key].cfg
                teacher.cfg = {
                    key: theirs[key].to_dict() for key in ('model', 'data_preprocessor')
                }
            elif not file:  # the model fetches its own weights, or they are stored
                name = name_of(_model_of(teacher).get('type', 'a teacher'))
            elif '://' in file or Path(file).is_file():
                name = f'{stem}/{Path(file).name}'
                digests += [] if '://' in file else [sha256(Path(file))]
            else:
                raise ValueError(
                    f"its teacher '{file}' is of none of "
                    f'{list(self.cfg.teachers.values())}, and no file that is there'
                )
            names.append(name)
        return trained, names, digests


def _model_of(teacher: ConfigDict) -> dict[str, Any]:
    cfg = teacher.get('cfg')
    return cfg.get('model', cfg) if isinstance(cfg, dict) else teacher


def _add_imports(cfg: Config, more: dict[str, Any] | None) -> None:
    """Let a training import what another config does, too."""
    both = [imports for imports in (more, cfg.get('custom_imports')) if imports]
    if len(both) == 2 and both[0] != both[1]:
        names = [[i] if isinstance(i, str) else i for i in (b['imports'] for b in both)]
        cfg.custom_imports = {**both[1], 'imports': list(dict.fromkeys(sum(names, [])))}
    elif both:
        cfg.custom_imports = both[0]


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


def _stored_epochs(entry: ConfigDict, cfg: Config) -> int:
    """Return for how many epochs a method's teachers are stored, 0 if they run.

    Raises:
        ValueError: If it has no teacher, or the number is none of epochs.
    """
    if 'stored_epochs' not in entry:
        return 0
    epochs = entry.stored_epochs
    if not isinstance(epochs, int) or isinstance(epochs, bool) or epochs < 1:
        raise ValueError(
            f'stored_epochs must be a whole number above 0, got {epochs!r}'
        )
    if not teachers_of(cfg.model) or 'max_epochs' not in cfg.train_cfg:
        raise ValueError(
            f'stored_epochs={epochs} needs a teacher, and a training by epochs'
        )
    return epochs


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
