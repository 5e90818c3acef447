import os
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import all_reduce, master_only
from mmengine.fileio import LocalBackend, register_backend
from mmengine.hooks import CheckpointHook, EMAHook
from mmengine.runner import EpochBasedTrainLoop
from torch import Tensor

from mmvitkd.registry import HOOKS
from mmvitkd.utils.cli import unwrap
from mmvitkd.utils.finite import first_of, nonfinite_weights

from .exact_resume_hook import IN_EPOCH
from .gradients import GRADIENTS, gather_gradients, restore_gradients

ATOMIC = 'mmvitkd.atomic'
VALIDATED = 'validated_iter'  # in the message hub: when a validation was last finished


@register_backend(ATOMIC)
class AtomicLocalBackend(LocalBackend):
    """The local disk; a file appears under its name when it is complete."""

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write bytes beside the file, then put them in its place."""
        part = f'{filepath}.part'
        try:
            super().put(obj, part)
            os.replace(part, filepath)
        except OSError as error:
            with suppress(OSError):
                os.unlink(part)  # which would keep a full disk full
            raise OSError(error.errno, error.strerror, str(filepath)) from error


@HOOKS.register_module()
class SafeCheckpointHook(CheckpointHook):
    """MMEngine's ``CheckpointHook``, which a kill at any moment can't hurt.

    - A file on a local disk is complete or not there, and an outdated one, also an
      outdated best one, is removed after the new one was written, not before.
    - It says whether its validation is finished: one that was due and is not comes
      first when the run is resumed, so that the best file is the uninterrupted run's.
    - Weights that are NaN or infinite are never written; they end the run.
    - Gradients that wait for an update are written along.

    Arguments as for ``CheckpointHook``.
    """

    backend_args: dict[str, Any] | None
    out_dir: str
    last_ckpt: str | None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._resumed = self._trains = False
        self._gradients: dict[str, Any] | None = None
        self._meta: dict[str, int] | None = None
        self._saved_step: int | None = None
        self._outdated: list[str] = []

    def after_load_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        """Keep the gradients that a resumed run goes on with."""
        self._resumed = bool(runner._resume)
        self._gradients = checkpoint.pop(GRADIENTS, None)

    def before_train(self, runner: Any) -> None:
        """Choose the backend; make up for a validation that was cut off.

        The backend is ours, unless the user or the folder asks for another.
        """
        super().before_train(runner)
        if self.backend_args is None and type(self.file_backend) is LocalBackend:
            self.backend_args = {'backend': ATOMIC}
        self._trains = True
        # the folder may have been moved or copied: another's file is not ours
        self._set_best({k: self._here(path) for k, path in self._best().items()})
        if not self._resumed:
            return
        restore_gradients(runner, self._gradients)
        self._gradients = None
        if not validation_due(runner):
            self._remove_strays(self._step(runner))
            return
        runner.logger.info(
            'The checkpoint was written before its validation was finished: first that'
        )
        self._saved_step = self._step(runner)
        runner.val_loop.run()

    def after_val(self, runner: Any) -> None:
        """Note in the checkpoint that it was validated; remove outdated best files."""
        if not self._trains:
            return
        step = self._step(runner)
        runner.message_hub.update_info(VALIDATED, runner.iter)
        if self._saved_step == step or (self._outdated and self.last_ckpt is not None):
            meta = {'epoch': runner.epoch, 'iter': runner.iter}
            self._save_checkpoint_with_step(runner, step, meta)
        for name in self._outdated:
            self._remove(name)
        self._outdated = []
        self._remove_strays(step)

    def after_train(self, runner: Any) -> None:
        """Look at the weights once more, whether or not the last ones were written."""
        self._require_finite(runner)
        super().after_train(runner)

    def before_save_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        """Add the gradients; let a file say the step that it is of.

        MMEngine's FlexibleRunner counts one too many in a file written after a
        validation.
        """
        if self._meta is not None:
            checkpoint.get('meta', {}).update(self._meta)
        if self._gradients is not None:
            checkpoint[GRADIENTS] = self._gradients

    def _step(self, runner: Any) -> int:
        return runner.epoch if self.by_epoch else runner.iter

    def _save_checkpoint_with_step(self, runner: Any, step: int, meta: dict) -> None:
        self._require_finite(runner)
        outdated = None
        if self.max_keep_ckpts > 0 and step not in self.keep_ckpt_ids:
            if len(self.keep_ckpt_ids) == self.max_keep_ckpts:
                outdated = self.keep_ckpt_ids.popleft()
            self.keep_ckpt_ids.append(step)
            runner.message_hub.update_info('keep_ckpt_ids', list(self.keep_ckpt_ids))
        self._meta, self._gradients = dict(meta), gather_gradients(runner)
        super()._save_checkpoint_with_step(runner, step, meta)
        self._meta = self._gradients = None
        self._saved_step = step
        if outdated is not None:
            self._remove(self.filename_tmpl.format(outdated))

    def _save_best_checkpoint(self, runner: Any, metrics: dict) -> None:
        """Write new best files; those before are removed when all is written."""
        if not self.save_best:
            return
        self._require_finite(runner)
        before, last = self._best(), self.last_ckpt
        # without them, nothing is removed and no checkpoint written again, yet
        self._set_best(dict.fromkeys(before))
        self.last_ckpt = None
        self._meta = {'epoch': runner.epoch, 'iter': runner.iter}
        super()._save_best_checkpoint(runner, metrics)
        self._meta, self.last_ckpt = None, last
        found = self._best()
        self._set_best({key: found[key] or before[key] for key in before})
        self._outdated = [
            Path(before[key] or '').name for key in before if found[key] is not None
        ]

    def _best(self) -> dict[str, str | None]:
        """Return the best files' paths, by metric if there are several."""
        if hasattr(self, 'best_ckpt_path_dict'):
            return dict(self.best_ckpt_path_dict)
        return {'': getattr(self, 'best_ckpt_path', None)}

    def _set_best(self, paths: dict[str, str | None]) -> None:
        if hasattr(self, 'best_ckpt_path_dict'):
            self.best_ckpt_path_dict = paths
        else:
            self.best_ckpt_path = paths['']

    def _here(self, path: str | None) -> str | None:
        if path is None:
            return None
        return self.file_backend.join_path(self.out_dir, Path(path).name)

    def _remove_strays(self, step: int) -> None:
        """Remove best files that a kill left beside the best one.

        Those of later steps than a resumed run's stay until it comes there.
        """
        if type(self.file_backend) is not LocalBackend:
            return
        number = re.escape(self.filename_tmpl).replace(r'\{\}', r'(\d+)')
        for best in [Path(path) for path in self._best().values() if path]:
            named = re.fullmatch(f'(best_.*){number}', best.name)
            if named is None or not best.exists():
                continue
            for other in best.parent.iterdir():
                found = re.fullmatch(re.escape(named[1]) + number, other.name)
                if found and other.name != best.name and int(found[1]) <= step:
                    self._remove(other.name)

    @master_only
    def _remove(self, name: str) -> None:
        path = self.file_backend.join_path(self.out_dir, name)
        if not name or path in self._best().values():
            return
        if self.file_backend.isdir(path):  # DeepSpeed's and FSDP's
            self.file_backend.rmtree(path)
        elif self.file_backend.isfile(path):
            self.file_backend.remove(path)

    def _require_finite(self, runner: Any) -> None:
        """Stop before weights are written that are NaN or infinite.

        Raises:
            FloatingPointError: If there are any, in any process.
        """
        weights = _weights(runner)
        bad = nonfinite_weights(weights)
        count = torch.tensor(len(bad))
        all_reduce(count, 'max')  # all processes stop, or none waits for the others
        if not count:
            return
        which = first_of(bad, weights) if bad else 'in another process'
        last = self.last_ckpt or runner.message_hub.get_info('last_ckpt')
        good = f"the last good one is '{last}'" if last else 'there is no earlier one'
        raise FloatingPointError(
            f'after iteration {runner.message_hub.get_info("iter", 0) + 1} weights are '
            f'NaN or infinite, {which}. They are not written to a checkpoint; {good}. '
            'Lower the learning rate, clip gradients, or look at the losses before it'
        )


def _weights(runner: Any) -> dict[str, Tensor]:
    """Return a run's weights and running statistics, the averaged ones too."""
    models = {'': unwrap(runner.model)}
    for hook in runner.hooks:
        if isinstance(hook, EMAHook) and hasattr(hook, 'ema_model'):
            models['averaged '] = hook.ema_model.module
    return {
        f'{prefix}{name}': value
        for prefix, model in models.items()
        for found in (model.named_parameters(), model.named_buffers())
        for name, value in found
    }


def validation_due(runner: Any) -> bool:
    """Whether the step that a run is resumed at was to be validated and is not."""
    loop = runner.train_loop
    if runner.val_loop is None or not hasattr(loop, 'val_interval') or not loop.iter:
        return False
    by_epoch = isinstance(loop, EpochBasedTrainLoop)
    done = loop.iter - loop.epoch * len(runner.train_dataloader)
    if by_epoch and runner.message_hub.get_info(IN_EPOCH, done):
        return False  # inside an epoch
    loop._decide_current_val_interval()
    at, last = (
        (loop.epoch, loop.max_epochs) if by_epoch else (loop.iter, loop.max_iters)
    )
    due = at >= loop.val_begin and (at % loop.val_interval == 0 or at == last)
    return due and runner.message_hub.get_info(VALIDATED) != loop.iter
