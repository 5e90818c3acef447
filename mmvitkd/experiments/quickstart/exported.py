"""A trained model as MMPretrain's users get it: plain config, plain checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from torch import nn

from .costs import BATCH


class Exported:
    """An exported classifier, loaded back by MMPretrain's own inferencer.

    Args:
        config: What the model was trained by, a distiller or a classifier.
        checkpoint: What the training saved.
        stem: Where to write ``<stem>.pth`` and ``<stem>.py``.
        device: ``'cpu'`` or ``'cuda'``.
    """

    def __init__(self, config: Path, checkpoint: Path, stem: Path, device: str) -> None:
        from mmpretrain import ImageClassificationInferencer

        export(config, checkpoint, stem)
        self.inferencer = ImageClassificationInferencer(
            str(stem.with_suffix('.py')),
            pretrained=str(stem.with_suffix('.pth')),
            device=device,
        )

    @property
    def model(self) -> nn.Module:
        """The classifier itself, in eval mode."""
        return self.inferencer.model

    def predict(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """Classify images ``(H, W, 3)`` in memory; return labels ``(N, )``."""
        found = self.inferencer(list(images), batch_size=BATCH)
        return np.array([one['pred_label'] for one in found])

    def predict_file(self, path: Path) -> tuple[str, float]:
        """Classify an image file; return the class's name and its score."""
        found = self.inferencer(str(path))[0]
        return found['pred_class'], found['pred_score']


def export(config: Path, checkpoint: Path, stem: Path) -> None:
    """Write ``<stem>.pth`` and ``<stem>.py``, which MMPretrain takes as its own."""
    from mmvitkd.utils import load_checkpoint
    from mmvitkd.utils.export import export_student

    weights = stem.with_suffix('.pth')
    cfg = Config.fromfile(config)
    if 'student' in cfg.model:
        export_student(checkpoint, weights, config=config, force=True)
        return
    # a plain classifier: only the training's state is left out
    loaded = load_checkpoint(checkpoint)
    meta = {'dataset_meta': loaded['meta']['dataset_meta']}
    torch.save({'meta': meta, 'state_dict': loaded['state_dict']}, weights)
    cfg.default_scope = 'mmpretrain'
    cfg.dump(stem.with_suffix('.py'))
