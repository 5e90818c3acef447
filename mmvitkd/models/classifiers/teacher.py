import inspect
import logging
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.config import Config, ConfigDict
from mmengine.logging import print_log
from mmengine.registry import DefaultScope
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from mmvitkd.models.utils import is_compiling
from mmvitkd.registry import MODELS, SCOPE
from mmvitkd.utils import load_checkpoint, load_strictly, weights_of
from mmvitkd.utils.blocks import input_channels
from mmvitkd.utils.class_names import checkpoint_classes, model_classes
from mmvitkd.utils.config_file import find_config, open_config
from mmvitkd.utils.teacher_weights import find_constants, find_wrong_numbers, require
from mmvitkd.utils.types import class_of

from .compiled import compile_blocks, keep_plain_numbers
from .image_shape import natural_input_size, pair
from .positions import interpolate_when_run, resize_positions
from .preprocessing import blank_padding, find_preprocessing, renormalise
from .preprocessing import describe as describe_normalisation
from .tap import Feature, Grid, Tap, find_module, record
from .tasks import TASKS, Task, task_of
from .teacher_protocol import TeacherProtocol


@MODELS.register_module()
class Teacher(TeacherProtocol):
    """A frozen model, mostly a classifier, that no student can reach by accident.

    It is not a module: it stays out of the student's ``train()``, parameters,
    ``state_dict``, EMA copies (which share it) and gradient buckets. Its weights
    are read when training begins, so that testing does not need them.

    Args:
        cfg: Path of a config file, a name such as
            ``'mmpretrain::deit3/deit3-small-p16_64xb64_in1k.py'``, or a dict: a whole
            config, or its ``model``. Built in our scope, so that ``DeiT3`` is the
            corrected one.
        checkpoint: File or URL of the weights. May be left out only when the
            model fetches its own (timm's and HuggingFace's ``pretrained=True``).
        prefix: Take only the weights below it, e.g. ``'student.'`` of a
            distillation checkpoint. Defaults to ``''``.
        input_size: Resize the images to this, as ``(H, W)`` or one side.
            ``'same'`` leaves them as the student gets them; None asks the model, if
            it is a classifier. Defaults to None.
        weights_only: Refuse checkpoints that could run code. Defaults to True.
        dtype: Precision of its weights and its forward, e.g. ``'bfloat16'``, which
            takes less time and half of the memory, and changes its answers slightly.
            None leaves float32, or what mixed precision makes of it. Defaults to
            None.
        stop_early: Leave every forward but the first, which is checked as a whole,
            when the last tap has fired. Defaults to True.
        compile: Compile its blocks by ``torch.compile`` after a first forward; those
            with a tap inside are left out. Needs a C++ compiler on CPUs. Defaults to
            False.

    Raises:
        ValueError: If the config has no model, or there are no weights for it, or
            ``dtype`` is no precision.

    Attributes:
        classes: Names of its classes, as its checkpoint or its library tells them once
            the weights are read; else None.
    """

    def __init__(
        self,
        cfg: str | Path | dict,
        checkpoint: str | Path | None = None,
        prefix: str = '',
        input_size: int | tuple[int, int] | str | None = None,
        weights_only: bool = True,
        dtype: str | None = None,
        stop_early: bool = True,
        compile: bool = False,
    ) -> None:
        model_cfg = _own_model_cfg(cfg)
        if checkpoint is None and not model_cfg.get('pretrained', False):
            raise ValueError(
                'a teacher without weights teaches noise: give checkpoint=<file or '
                'URL> beside its cfg'
            )
        self.checkpoint = checkpoint
        self.prefix = prefix
        self.weights_only = weights_only
        with DefaultScope.overwrite_default_scope(SCOPE):
            self.model: nn.Module = MODELS.build(model_cfg)
        self.task = task_of(self.model)
        keep_plain_numbers(self.model)
        self.model.requires_grad_(False)
        self.model.eval()
        own = find_preprocessing(
            self.model, 'data_preprocessor' in model_cfg, 'the teacher'
        )
        self.preprocessor = None if own is None else own.preprocessor
        self._normalised = 'as the student normalises them'
        if own is not None:
            self.model.data_preprocessor = own.preprocessor
            what = describe_normalisation(own.preprocessor)
            self._normalised = f'normalised by {what}, from {own.source}'
        if input_size is None and not self.task.classifies:
            input_size = 'same'  # boxes and masks have the proportions of the image
        self.input_size = _input_size(self.model, input_size)
        if input_size is not None:
            interpolate_when_run(self.model)
        self.dtype = _precision(dtype)
        for name, module in self.model.named_children():
            if self.dtype is not None and name != 'data_preprocessor':
                module.to(self.dtype)
        self.stop_early = stop_early
        self.compile = compile
        self._checked: set[frozenset[Tap]] = set()
        self.classes = model_classes(self.model)
        self._loaded = False

    def __deepcopy__(self, memo: dict) -> 'Teacher':
        return self

    def load(self) -> None:
        """Read the weights, once.

        Raises:
            ValueError: If the file is missing or damaged, or its keys or shapes
                do not fit, or its numbers are no trained weights; the message lists
                them.
        """
        if self._loaded:
            return
        name = type(self.model).__name__
        if self.checkpoint is not None:
            name = f"checkpoint '{self.checkpoint}'"
            checkpoint = load_checkpoint(self.checkpoint, self.weights_only)
            weights = weights_of(checkpoint, self.prefix)
            require(f'teacher {name}', find_wrong_numbers(self.model, weights))
            weights = resize_positions(self.model, weights, str(self.checkpoint))
            problems = load_strictly(self.model, weights)
            if problems and not self.prefix and any(map(_is_students, weights)):
                problems.insert(
                    0,
                    "It is the checkpoint of a distillation run: prefix='student.' "
                    'takes its student',
                )
            fits = f'teacher {name} does not fit {type(self.model).__name__}'
            require(fits, problems)
            self.classes = checkpoint_classes(checkpoint) or self.classes
        require(f'teacher {name}', find_constants(self.model))
        self._loaded = True
        source = self.checkpoint or f'{_origin(self.model)}, by pretrained=True'
        print_log(
            f'Teacher weights: {source}; its pixels are {self._normalised}',
            logger='current',
        )

    def check(self, tap: Tap) -> None:
        """Refuse a tap that it can't answer.

        Raises:
            ValueError: If the model has no such module; the message offers others.
        """
        for path in filter(None, (tap.path, tap.through)):
            find_module(self.model, path)
        self.task.check_tap(self.model, tap)

    def apply(self, fn: Callable) -> None:
        """Move the model by a function of tensors, as ``nn.Module._apply`` takes."""
        self.model._apply(fn)

    @torch.no_grad()
    def __call__(
        self,
        inputs: Tensor,
        preprocessor: nn.Module,
        taps: Iterable[Tap],
        data_samples: list[DataSample] | None = None,
        student_features: dict[Tap, Feature] | None = None,
    ) -> dict[Tap, Feature]:
        """Yield the features of the student's images.

        Args:
            inputs: ``(B, C, H, W)`` after the student's preprocessing, Mixup and
                CutMix included; of one channel, a teacher of three gets grey ones.
            preprocessor: The student's, whose normalisation is taken back.
            taps: What to record.
            data_samples: Which tell what is padding in images of several sizes.
            student_features: For teachers that require some; this one does not.

        Returns:
            What every tap yields.
        """
        taps = tuple(taps)
        given, inputs = inputs, self.prepare(inputs, preprocessor)
        if data_samples and inputs is not given and inputs.shape == given.shape:
            inputs = blank_padding(inputs, data_samples)
        stop = self.stop_early and frozenset(taps) in self._checked
        stop &= not is_compiling()  # dynamo can't trace how a forward is left
        with ExitStack() as contexts:
            seen = contexts.enter_context(record(self.model, taps, stop))
            if self.dtype is not None:  # its own, whatever the student's
                contexts.enter_context(
                    torch.autocast(inputs.device.type, enabled=False)
                )
                inputs = inputs.to(self.dtype)
            self.task.run(self.model, inputs, data_samples)
        if self.compile and not self._checked:
            compile_blocks(self.model, taps)
        self._checked.add(frozenset(taps))
        return seen

    def forward_part(
        self, paths: Sequence[str], x: Tensor, hw: Grid
    ) -> tuple[Tensor, Grid]:
        """Run tokens through its modules, with gradient into the tokens alone.

        Those that ask for the grid, as Swin's stages and mergings do, get it, and tell
        theirs.

        Args:
            paths: Of the modules, one after the other.
            x: ``(B, N, C)``.
            hw: Their grid.

        Returns:
            What the last module yields, and its grid.

        Raises:
            ValueError: If there is no such module, or it does not take the tokens.
        """
        dtype = x.dtype
        with ExitStack() as contexts:
            if self.dtype is not None:
                contexts.enter_context(torch.autocast(x.device.type, enabled=False))
            for path in paths:
                module = find_module(self.model, path)
                asked = inspect.signature(module.forward).parameters.values()
                needed = [p for p in asked if p.default is p.empty and p.name != 'self']
                try:
                    out = module(x.to(self.dtype or dtype), *[hw][: len(needed) - 1])
                except torch.cuda.OutOfMemoryError:
                    raise
                except (RuntimeError, AssertionError) as error:
                    raise ValueError(
                        f"through='{path}': the {type(module).__name__} does not take "
                        f'tokens {tuple(x.shape)} on {hw}: {error}'
                    ) from error
                x, hw = out if isinstance(out, tuple) else (out, hw)
        return x.to(dtype), hw

    def prepare(self, inputs: Tensor, preprocessor: nn.Module) -> Tensor:
        """Normalise ``(B, C, H, W)`` and resize it as the teacher was trained.

        Raises:
            ValueError: If it takes images of fewer channels.
        """
        if self.preprocessor is not None:
            inputs = renormalise(inputs, preprocessor, self.preprocessor)
        channels = input_channels(self.model) or inputs.shape[1]
        if inputs.shape[1] == 1 != channels:
            inputs = inputs.expand(-1, channels, -1, -1)
        if inputs.shape[1] != channels:
            raise ValueError(
                f'the teacher takes images of {channels} channels and the student of '
                f'{inputs.shape[1]}: take a teacher for those of the student'
            )
        if self.input_size not in (None, tuple(inputs.shape[-2:])):
            inputs = F.interpolate(
                inputs, self.input_size, mode='bilinear', antialias=True
            )
        return inputs


def model_cfg_of(cfg: str | Path | dict) -> ConfigDict:
    """Return a classifier's config, with the data preprocessor that belongs to it.

    Nothing that it names is imported.
    """
    _, model = _read(cfg)
    model.pop('train_cfg', None)  # its batch augments, which the student's replace
    return in_our_scope(model)


def _own_model_cfg(cfg: str | Path | dict) -> ConfigDict:
    """Return the config of any framework's model, in its own scope."""
    scope, model = _read(cfg)
    if scope not in (None, SCOPE, MODELS.parent.scope):
        model.setdefault('_scope_', scope)
    if task_of_config(model).augments:  # which the student's replace
        model.pop('train_cfg', None)
    return in_own_scope(model)


def _read(cfg: str | Path | dict) -> tuple[str | None, ConfigDict]:
    """Return the scope of a config, and its model with the data preprocessor."""
    name = 'the given dict'
    if isinstance(cfg, (str, Path)):
        name = f"'{cfg}'"
        if '::' in str(cfg):
            cfg = find_config(str(cfg))
        elif Path(cfg).is_file():
            cfg = open_config(cfg)
        else:
            raise ValueError(f'teacher config {name} does not exist')
    elif not isinstance(cfg, (dict, Config)):
        raise ValueError(
            "a teacher's cfg is a config's path, a name such as 'mmpretrain::...', or "
            f'a dict, got {cfg!r}'
        )
    whole = ConfigDict(cfg.to_dict() if isinstance(cfg, Config) else cfg)
    model = whole.get('model', whole)
    if not isinstance(model, dict) or 'type' not in model:
        raise ValueError(
            f'teacher config {name} has no model: give a whole config, or a dict with '
            "a 'type'"
        )
    model = ConfigDict(model.copy())
    if 'data_preprocessor' in whole:
        model.setdefault('data_preprocessor', whole['data_preprocessor'])
    return whole.get('default_scope'), model


def student_config(student: Any) -> dict:
    """Return a student's config in its own scope; empty if it is built already.

    Raises:
        ValueError: If it is neither a config nor a module.
    """
    if not isinstance(student, (dict, nn.Module)):
        raise ValueError(
            "student must be a classifier's config, dict(type='ImageClassifier', ...), "
            f'got {student!r}'
        )
    return in_own_scope(dict(student)) if isinstance(student, dict) else {}


def in_own_scope(cfg: dict) -> ConfigDict:
    """Have a model built in the scope of its framework, which for classifiers is ours.

    It is that of the class that ``type`` names in our scope, or, if there is none, in
    that of the run or of another framework that is in use; for a class of the user's,
    that of the class it derives from.
    """
    scope = task_of_config(cfg).scope
    if scope is None:
        return in_our_scope(cfg)
    found = in_our_scope(cfg, keep=True)
    if found.get('_scope_') in (None, SCOPE):
        found['_scope_'] = scope
    return found


def task_of_config(cfg: dict, scope: str | None = None) -> Task:
    """Return the task of a model that is not yet built; by default a classifier's.

    Args:
        cfg: Of the model.
        scope: Of the run. Defaults to None: the one in force.
    """
    kind, run = cfg.get('type'), DefaultScope.get_current_instance()
    # a student's framework is a teacher's, too
    imported = [task.scope for task in TASKS if task.scope in sys.modules]
    scopes = [cfg.get('_scope_'), scope, run and run.scope_name, *imported]
    names = [f'{scope}.{kind}' for scope in scopes if scope and isinstance(kind, str)]
    found = (class_of(name, MODELS) for name in (kind, *names))
    kind = next((one for one in found if one is not None), None)
    return task_of(kind if isinstance(kind, type) else nn.Module)


def in_our_scope(cfg: dict, keep: bool = False) -> ConfigDict:
    """Have a model built in our scope, where the corrected types come first.

    Drops MMPretrain's scope, which a config inherited from ``mmpretrain::`` names, or
    puts ours in its place, to ``keep`` what stands in another framework's. It replaces
    the types of MMPretrain that ours correct, however they are named: with the scope,
    or as a class. The log says so.
    """
    found = ConfigDict({k: _ours(v, keep) for k, v in cfg.items()})
    if found.get('_scope_') == MODELS.parent.scope:
        found['_scope_'] = SCOPE
        if not keep:
            del found['_scope_']
    if 'type' in found:
        found.type = _our_type(found.type)
    return found


def _ours(value: Any, keep: bool) -> Any:
    if isinstance(value, dict):
        return in_our_scope(value, keep)
    return [_ours(v, keep) for v in value] if isinstance(value, list) else value


def _our_type(kind: Any) -> Any:
    """Return our own class in the place of the one that it corrects."""
    scope = MODELS.parent.scope
    name, module = str(kind), ''
    if isinstance(kind, type):
        name, module = kind.__name__, kind.__module__
    elif '.' in name:
        module, _, name = name.rpartition('.')
    ours = MODELS.module_dict.get(name)
    theirs = MODELS.parent.module_dict.get(name)
    if module.split('.')[0] != scope or ours is None or theirs is None:
        return kind
    if not issubclass(ours, theirs):
        return kind
    print_log(
        f"{scope}'s {name} is replaced by {SCOPE}'s, which corrects it",
        logger='current',
        level=logging.WARNING,
    )
    return f'{SCOPE}.{name}'


def _is_students(name: str) -> bool:
    return name.startswith('student.')


def _origin(model: Any) -> str:
    """Tell where a library took a pretrained model from."""
    inner = getattr(model, 'model', None)
    name = getattr(getattr(inner, 'config', None), 'name_or_path', '')
    cfg = getattr(inner, 'pretrained_cfg', None) or {}
    tag = '.'.join(filter(None, (cfg.get('architecture'), cfg.get('tag'))))
    return name or tag or "the model's own"


def _input_size(model: nn.Module, size: Any) -> Grid | None:
    if size == 'same':
        return None
    if size is None:
        return natural_input_size(model)
    if isinstance(size, str):
        raise ValueError(f"input_size must be a size, 'same' or None, got '{size}'")
    return pair(size)


def _precision(name: str | None) -> torch.dtype | None:
    if name is None:
        return None
    dtype = getattr(torch, str(name), None)
    if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
        raise ValueError(
            "dtype must be 'bfloat16', 'float16', 'float32' or None, got " + repr(name)
        )
    return dtype
