from typing import Any

from mmengine.dist import broadcast
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmvitkd.models.classifiers.fake_quantisation import FakeQuantised, fake_quantised
from mmvitkd.registry import HOOKS
from mmvitkd.utils.cli import unwrap
from mmvitkd.utils.errors import ConfigError
from mmvitkd.utils.quantisers import starts_trained


@HOOKS.register_module()
class QuantisationHook(Hook):
    """Freeze the ranges of a quantised student's inputs before training ends.

    It comes by itself with a distiller's ``quantisation``, and its setting is
    ``default_hooks.quantisation.freeze_from``. The ranges are those of the first
    process, in all processes, whenever an epoch or validation begins or ends.

    Args:
        freeze_from: Share of the iterations after which ranges stay as they are, from
            0 to 1, at which they never do. Defaults to 0.75.

    Raises:
        ConfigError: If it is out of range. Before training: if the student is not
            quantised, or was not trained before.
    """

    def __init__(self, freeze_from: float = 0.75) -> None:
        if not 0 <= freeze_from <= 1:
            raise ConfigError(
                f'QuantisationHook: freeze_from={freeze_from} must be a share of '
                'training, from 0 to 1'
            )
        self.freeze_from = freeze_from
        self._layers: list[FakeQuantised] = []

    def before_train(self, runner: Runner) -> None:
        """Find the layers, and refuse to begin with random weights."""
        self._layers = list(fake_quantised(unwrap(runner.model)).values())
        if not self._layers:
            raise ConfigError(
                'QuantisationHook: no layer is quantised: set model.quantisation=dict()'
            )
        model = runner.cfg.get('model') or {}
        begun = runner._resume or runner._load_from
        if not begun and not starts_trained(model.get('student') or {}):
            raise ConfigError(
                'model.quantisation: the student has no weights to begin with: train '
                'it in float32 first, and name its checkpoint, '
                "model.student.init_cfg=dict(type='Pretrained', checkpoint=FILE)"
            )

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None
    ) -> None:
        """Freeze or not, by the number of the iteration alone."""
        frozen = runner.iter >= self.freeze_from * runner.max_iters
        for layer in self._layers:
            layer.frozen = frozen

    def after_train_epoch(self, runner: Runner) -> None:
        """Take the first process's ranges."""
        self._share()

    def before_val(self, runner: Runner) -> None:
        """Likewise."""
        self._share()

    def _share(self) -> None:
        for layer in self._layers:
            for buffer in layer.input_quantiser.buffers():
                broadcast(buffer)
