from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from mmvitkd.registry import MODELS
from mmvitkd.utils import load_checkpoint, weights_of
from mmvitkd.utils.class_names import checkpoint_classes
from mmvitkd.utils.teacher_cache import (
    TeacherCache,
    digest_weights,
    plain,
    require_same,
)

from .cached_feature_spec import CachedFeatureSpec, record_dtype, tap_label
from .preprocessing import normalisation
from .tap import Feature, Tap
from .teacher import model_cfg_of
from .teacher_protocol import TeacherProtocol


@MODELS.register_module()
class CachedTeacher(TeacherProtocol):
    """Stored outputs in a teacher's place; there is no model.

    ``python -m mmvitkd cache`` writes them, and a config that trains from them. The
    training data set is a :class:`CachedDataset` of the same folder.

    Args:
        path: The folder.
        cfg: Of the teacher, as for :class:`Teacher`, to make sure that the outputs are
            its own. Defaults to None.
        checkpoint: Its weights, likewise; their file is read when training begins.
            Defaults to None.
        prefix: As for :class:`Teacher`. Defaults to ``''``.
        name: Which teacher's outputs, where the cache has those of several. Defaults
            to None.

    Raises:
        ValueError: If there is no cache, or it is of another teacher: the message says
            what differs.
    """

    softmax_only = True  # logits are stored as log-probabilities

    def __init__(
        self,
        path: str | Path,
        cfg: str | Path | dict | None = None,
        checkpoint: str | Path | None = None,
        prefix: str = '',
        name: str | None = None,
    ) -> None:
        self.cache = TeacherCache(path)
        self.name = name
        self._known = self.cache.teacher(name)
        taps = [
            CachedFeatureSpec.of_setting(tap) for tap in self.cache.manifest['taps']
        ]
        self._stored = {
            stored.tap: (str(i), stored)
            for i, stored in enumerate(taps)
            if stored.teacher == name
        }
        self._dtype = record_dtype(taps)
        self.checkpoint = checkpoint
        self.prefix = prefix
        self.classes: tuple[str, ...] | None = None
        self._training = False
        if cfg is not None:
            self._require_same('cfg', plain(model_cfg_of(cfg)))

    def _require_same(self, key: str, requested: Any) -> None:
        where = key if self.name is None else f'{self.name}.{key}'
        stored = {where: self._known[key]}
        require_same(self.cache.path, 'teacher', stored, {where: requested})

    def load(self) -> None:
        """Get ready to train: compare the weights' digest, once, if they were named.

        Raises:
            ValueError: If it differs.
        """
        self._training = True
        if self.checkpoint is not None:
            checkpoint = load_checkpoint(self.checkpoint)
            weights = weights_of(checkpoint, self.prefix)
            self.classes = checkpoint_classes(checkpoint)
            self._require_same('weights', digest_weights(weights))
            self.checkpoint = None

    def check(self, tap: Tap) -> None:
        """Refuse a tap that was not stored.

        Raises:
            ValueError: If so; the message lists those that were.
        """
        if tap not in self._stored:
            taps = [tap, *self._stored]
            asked, *stored = (f"'{tap_label(self.name, t)}' ({t.tokens})" for t in taps)
            raise ValueError(
                f"cache '{self.cache.path}' has no outputs of the tap {asked}; it has "
                f'{", ".join(stored)}'
            )

    def describe(self) -> str:
        """Tell where the outputs are stored."""
        whose = '' if self.name is None else f" of '{self.name}'"
        return f"stored outputs{whose} in '{self.cache.path}'"

    def __call__(
        self,
        inputs: Tensor,
        preprocessor: nn.Module,
        taps: Iterable[Tap],
        data_samples: list[DataSample] | None = None,
        student_features: dict[Tap, Feature] | None = None,
    ) -> dict[Tap, Feature]:
        """Hand out what was stored for the samples.

        Args:
            inputs: The images ``(B, 3, H, W)``, for their number and device.
            preprocessor: The student's, which must normalise as the teacher saw it.
            taps: Which outputs.
            data_samples: With the records that :class:`CachedDataset` read. Before
                training, None gets blank ones, for the dry run.
            student_features: For teachers that require some; stored outputs don't.

        Returns:
            Logits as log-probabilities ``(B, K)``, tokens with their grid; float32.

        Raises:
            ValueError: If the samples have no records of this cache.
        """
        if data_samples is None and not self._training:
            self._check_preprocessor(preprocessor)
            records = np.zeros(len(inputs), self._dtype)
        else:
            records = self._records(data_samples or [])
        outputs = {}
        for tap in taps:
            name, stored = self._stored[tap]
            outputs[tap] = stored.decode(records[name], inputs.device)
        return outputs

    def _check_preprocessor(self, preprocessor: Any) -> None:
        """Refuse other images than those that the teacher saw."""
        if getattr(preprocessor, 'batch_augments', None) is not None:
            raise ValueError(
                "Mixup and CutMix of a batch, by train_cfg or the data preprocessor's "
                'batch_augments, make images that no stored output fits: give them to '
                'the CachedDataset as mixing=dict(augments=...), for which the outputs '
                'were stored'
            )
        stored = self._known['normalisation']
        if stored is not None:  # else the teacher has one of its own
            requested = plain(normalisation(preprocessor))
            require_same(
                self.cache.path,
                'data preprocessor',
                {'mean, std, to_rgb': stored},
                {'mean, std, to_rgb': requested},
            )

    def _records(self, data_samples: list[DataSample]) -> np.ndarray:
        found = [sample.get('teacher_record') for sample in data_samples]
        names = {None if named is None else named[0] for named in found}
        if names != {self.cache.name}:
            raise ValueError(
                f"the data samples hold no outputs of the cache '{self.cache.path}' "
                f'(theirs: {sorted(map(str, names))}, its name: {self.cache.name}): '
                'give the training data loader '
                "dataset=dict(type='mmvitkd.CachedDataset', "
                f"path='{self.cache.path}', dataset=...)"
            )
        return np.frombuffer(b''.join(named[1] for named in found), self._dtype)
