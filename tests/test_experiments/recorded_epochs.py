"""What a test puts into a run, to see which stored outputs it trains from."""

from pathlib import Path
from typing import Any

from mmengine.hooks import Hook

from mmvitkd.registry import HOOKS


@HOOKS.register_module()
class RecordedEpochsHook(Hook):
    """Append the stored records of each step to a file of the epoch, a line each."""

    def before_train_iter(
        self, runner: Any, batch_idx: int, data_batch: dict | None = None
    ) -> None:
        samples = (data_batch or {}).get('data_samples', [])
        records = [s.get('teacher_record') for s in samples]
        with open(Path(runner.work_dir) / f'records_{runner.epoch}.txt', 'a') as file:
            file.writelines(f'{named[1].hex()}\n' for named in records if named)
