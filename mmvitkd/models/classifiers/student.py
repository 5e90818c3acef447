"""What an ordinary model needs to become the student of a distiller."""

import copy
from typing import Any

from mmengine.registry import DefaultScope
from mmpretrain.models import HuggingFaceClassifier, TimmClassifier
from torch import nn

from mmvitkd.registry import MODELS, SCOPE

from .tasks import Task


def keep_names(student: nn.Module) -> None:
    """Drop the hooks by which timm's and HuggingFace's wrappers rename weights.

    They are written for a model that stands alone: inside another one they rename
    on loading only, so that no checkpoint would fit. Ours then holds
    ``student.model.*``, and ``weights_of`` gives the wrapper's own names back.
    """
    if isinstance(student, (TimmClassifier, HuggingFaceClassifier)):
        student._state_dict_hooks.clear()
        student._load_state_dict_pre_hooks.clear()


def one_of(name: str, given: Any, students: Any) -> Any:
    """Return what the distiller or its student is given.

    Raises:
        ValueError: If both are, and differ.
    """
    if given is not None and students is not None and given != students:
        raise ValueError(
            f'{name} is given to the distiller and, another one, to the student: '
            'keep one of them'
        )
    return students if given is None else given


def take_augments(train_cfg: Any, student_cfg: dict, student: Task) -> Any:
    """Take the batch augments out of a student's config, if that is what it has.

    Args:
        train_cfg: The distiller's, or None.
        student_cfg: Changed in place; a detector's ``train_cfg`` stays there.
        student: Its task.

    Raises:
        ValueError: If the student takes none, or both are given and differ.
    """
    if student.augments:
        return one_of('train_cfg', train_cfg, student_cfg.pop('train_cfg', None))
    if train_cfg is not None:
        raise ValueError(
            'the train_cfg of a distiller are batch augments (Mixup, CutMix) of '
            f'classifiers, got {train_cfg!r}: a {student.called} takes none; what its '
            'own loss needs is student.train_cfg'
        )
    return None


def build_preprocessor(
    cfg: dict | nn.Module | None, train_cfg: dict | None, student: Task, scope: Any
) -> Any:
    """Build the data preprocessor, with the batch augments of ``train_cfg``.

    Args:
        cfg: Its config; a built one is returned.
        train_cfg: The augments, of a student that has such.
        student: Its task.
        scope: In which a student is built that has none.
    """
    if isinstance(cfg, nn.Module):
        return cfg
    if not student.augments:  # its own, as its framework has it
        return cfg if cfg is None else MODELS.build({'_scope_': scope, **cfg})
    # a copy: MMPretrain adds to the list of probabilities, and a run writes its config
    augments = copy.deepcopy(train_cfg)
    kind = 'PartlyLabelledDataPreprocessor'
    cfg = {'type': kind, 'batch_augments': augments, **(cfg or {})}
    with DefaultScope.overwrite_default_scope(SCOPE):
        return MODELS.build(cfg)
