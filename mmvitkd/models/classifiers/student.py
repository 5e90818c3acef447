"""What an ordinary classifier needs to become the student of a distiller."""

import copy
from typing import Any

from mmengine.registry import DefaultScope
from mmpretrain.models import HuggingFaceClassifier, TimmClassifier
from torch import nn

from mmvitkd.registry import MODELS, SCOPE


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


def build_preprocessor(cfg: dict | nn.Module | None, train_cfg: dict | None) -> Any:
    """Build the data preprocessor, with the batch augments of ``train_cfg``."""
    if isinstance(cfg, nn.Module):
        return cfg
    # a copy: MMPretrain adds to the list of probabilities, and a run writes its config
    augments = copy.deepcopy(train_cfg)
    kind = 'PartlyLabelledDataPreprocessor'
    cfg = {'type': kind, 'batch_augments': augments, **(cfg or {})}
    with DefaultScope.overwrite_default_scope(SCOPE):
        return MODELS.build(cfg)
