"""A teacher whose classifier is at random, as MAE's is: refused, or warned of."""

from pathlib import Path

import pytest
from mmengine.config import Config

from tests.shrink import CONFIGS, image_folder, shrink
from tests.test_tools.runs import message, run


@pytest.fixture
def control(tmp_path: Path) -> Path:
    """The control of configs/kd, shrunk, with digits for images."""
    name = 'kd_deit-tiny_mae-vit-base_8xb128_in1k'
    cfg = shrink(Config.fromfile(CONFIGS / 'kd' / f'{name}.py'), tmp_path)
    cfg.train_dataloader.dataset.update(
        type='CustomDataset',
        data_root=str(image_folder(tmp_path / 'digits', each=4)),
        data_prefix='train',
        indices=None,
    )
    del cfg.train_dataloader.dataset['split']
    path = tmp_path / 'control.py'
    cfg.dump(path)
    return path


def test_it_is_refused_before_the_first_step(control, tmp_path):
    said = message('train', control, '--work-dir', tmp_path / 'run')
    assert "teacher 'teacher' is near chance" in said
    assert 'its logits, by kd are taught' in said
    assert not list((tmp_path / 'run').rglob('*.pth'))


def test_where_it_is_allowed_it_is_warned_of(control, tmp_path):
    allowed = ('--cfg-options', 'default_hooks.check.allow_chance=True')
    run('train', control, '--work-dir', tmp_path / 'run', *allowed)
    (log,) = (tmp_path / 'run').rglob('*.log')
    assert "WARNING - teacher 'teacher' is near chance" in log.read_text()
    assert (tmp_path / 'run' / 'epoch_1.pth').is_file()
