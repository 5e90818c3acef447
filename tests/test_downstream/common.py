"""What the tests of detection, segmentation and pose estimation share."""

import copy
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mmengine.config import Config, ConfigDict
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor

from mmvitkd.utils import load_checkpoint, weights_of
from tests.helpers import MIMIC, distiller, save_weights
from tests.shrink import CONFIGS

FOLDER = CONFIGS / 'downstream'


def names(framework: str) -> list[str]:
    """List the configs for a framework."""
    return sorted(path.stem for path in (FOLDER / framework).glob('*.py'))


def is_distilled(name: str) -> bool:
    """Tell whether a config's student was distilled."""
    return 'vitkd' in name or 'manifold' in name


def plain(framework: str) -> list[str]:
    """List those whose student was not distilled."""
    return [name for name in names(framework) if not is_distilled(name)]


def load(name: str) -> Config:
    (path,) = FOLDER.glob(f'*/{name}.py')
    return Config.fromfile(path)


def classifier(backbone: dict[str, Any]) -> dict[str, Any]:
    """The classifier of 224-pixel images whose backbone a shrunken model has."""
    arch = backbone['arch']
    if 'Swin' in backbone['type']:
        kind, width = 'SwinTransformer', 8 * arch['embed_dims']
        neck, head = {'type': 'GlobalAveragePooling'}, 'LinearClsHead'
    else:
        kind, width = 'VisionTransformer', arch['embed_dims']
        neck, head = None, 'VisionTransformerClsHead'
    return {
        'type': 'ImageClassifier',
        'backbone': {'type': kind, 'arch': arch, 'img_size': 224},
        'neck': neck,
        'head': {'type': head, 'num_classes': 10, 'in_channels': width},
    }


def save_student(backbone: dict[str, Any], path: Path, distilled: bool) -> Path:
    """Write random weights as a classifier's training, or a distiller's, would."""
    cfg = classifier(backbone)
    if distilled and 'Swin' in backbone['type']:
        mimic = {**MIMIC, 'student': 'backbone.stages.0.blocks.0'}
        cfg = distiller(path.parent, student=cfg, terms={'mimic0': mimic})
    elif distilled:
        cfg = distiller(path.parent, student=cfg)
    return save_weights(cfg, path)


def shrink_run(
    cfg: Config,
    folder: Path,
    data: Path,
    shrink_model: Callable[[ConfigDict], None],
    shrink_loader: Callable[[ConfigDict, Path], None],
) -> Config:
    """Return a small copy of a config, whose schedule is as it was.

    Its backbone begins with a checkpoint of its own small student: of a distillation
    run where the config names one of ours, or else of a plain classifier.
    """
    cfg = copy.deepcopy(cfg)
    shrink_model(cfg.model)
    init = cfg.model.backbone.init_cfg
    distilled = init.checkpoint.startswith('work_dirs/')
    init.checkpoint = str(folder / 'student.pth')
    save_student(cfg.model.backbone, Path(init.checkpoint), distilled)
    for split in ('train', 'val', 'test'):
        shrink_loader(cfg[f'{split}_dataloader'], data)
    # then named after the run, as a process knows one visualiser by a name
    cfg.visualizer.pop('name', None)
    cfg.default_hooks.logger.interval = 1
    cfg.randomness = {'seed': 0}
    cfg.work_dir = str(folder / 'work_dir')
    cfg.experiment_name = uuid.uuid4().hex
    return cfg


def student_weights(cfg: Config, distilled: bool) -> dict[str, Tensor]:
    """Read the backbone from the checkpoint that a shrunken model begins with."""
    checkpoint = load_checkpoint(cfg.model.backbone.init_cfg.checkpoint)
    return weights_of(checkpoint, 'student.backbone.' if distilled else 'backbone.')


class KeepFirst(Hook):
    """Keep the backbone's weights of before the first step."""

    def before_train(self, runner: Runner) -> None:
        self.weights = copy.deepcopy(runner.model.backbone.state_dict())


def train(cfg: Config) -> tuple[Runner, dict[str, Tensor]]:
    """Train; return the runner, and the backbone's weights of before the first step."""
    runner = Runner.from_cfg(cfg)
    first = KeepFirst()
    runner.register_hook(first)
    runner.train()
    return runner, first.weights


def refused(cfg: Config, message: str, error: type = ValueError) -> None:
    """Train, which shall end with an error."""
    with pytest.raises(error, match=message):
        Runner.from_cfg(cfg).train()
