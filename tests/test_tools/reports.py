"""What the tests of the report share."""

import csv
import json
from pathlib import Path
from typing import Any

from tests.test_tools.runs import PIPELINE, config, loader, run

NAMES = ('zero', 'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine')
# what the test split of these runs is, so that accuracies can be compared
VAL = loader('val', PIPELINE)
TEST = {**VAL, 'dataset': {**VAL['dataset'], 'metainfo': {'classes': NAMES}}}
SETTINGS = {'test_dataloader': TEST, 'custom_hooks': [], 'custom_imports': None}


def train(folder: Path, name: str, work_dir: str, **changes: Any) -> Path:
    """Train a small run in ``folder/runs/<work_dir>``."""
    cfg = config(folder, name, **{**SETTINGS, **changes})
    run('train', cfg, '--work-dir', folder / 'runs' / work_dir)
    return folder / 'runs' / work_dir


def rows(report: Path, name: str) -> list[dict[str, str]]:
    with (report.parent / 'csv' / f'{name}.csv').open() as file:
        return list(csv.DictReader(file))


def last_accuracy(work_dir: Path) -> float:
    """What the log says of the last validation."""
    (scalars,) = work_dir.glob('*/vis_data/scalars.json')
    lines = [json.loads(line) for line in scalars.read_text().splitlines()]
    return [line['accuracy/top1'] for line in lines if 'accuracy/top1' in line][-1]
