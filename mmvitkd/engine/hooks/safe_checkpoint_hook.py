import os
from pathlib import Path
from typing import Any

from mmengine.dist import master_only
from mmengine.fileio import LocalBackend, register_backend
from mmengine.hooks import CheckpointHook
from mmengine.runner import Runner

from mmvitkd.registry import HOOKS

ATOMIC = 'mmvitkd.atomic'


@register_backend(ATOMIC)
class AtomicLocalBackend(LocalBackend):
    """The local disk; a file appears under its name when it is complete."""

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write bytes beside the file, then put them in its place."""
        part = f'{filepath}.part'
        super().put(obj, part)
        os.replace(part, filepath)


@HOOKS.register_module()
class SafeCheckpointHook(CheckpointHook):
    """MMEngine's ``CheckpointHook``, which a kill at any moment can't hurt.

    A file on a local disk is complete or not there, and with ``max_keep_ckpts``
    an outdated one is removed after the new one was written, not before, so
    that there is always one to resume from. Arguments as for ``CheckpointHook``.
    """

    backend_args: dict[str, Any] | None

    def before_train(self, runner: Runner) -> None:
        """Choose the backend: ours, unless the user or the folder asks for another."""
        super().before_train(runner)
        if self.backend_args is None and type(self.file_backend) is LocalBackend:
            self.backend_args = {'backend': ATOMIC}

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict) -> None:
        outdated = None
        if self.max_keep_ckpts > 0 and step not in self.keep_ckpt_ids:
            if len(self.keep_ckpt_ids) == self.max_keep_ckpts:
                outdated = self.keep_ckpt_ids.popleft()
            self.keep_ckpt_ids.append(step)
            runner.message_hub.update_info('keep_ckpt_ids', list(self.keep_ckpt_ids))
        super()._save_checkpoint_with_step(runner, step, meta)
        if outdated is not None:
            self._remove(self.filename_tmpl.format(outdated))

    @master_only
    def _remove(self, name: str) -> None:
        path = self.file_backend.join_path(self.out_dir, name)
        if self.file_backend.isdir(path):  # DeepSpeed's and FSDP's
            self.file_backend.rmtree(path)
        elif self.file_backend.isfile(path):
            self.file_backend.remove(path)
