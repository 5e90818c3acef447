"""Several configs, of which one learns from the student of the one before."""

import sys
from pathlib import Path

import pytest

from mmvitkd.commands import main
from tests.helpers import vit
from tests.test_tools.runs import begin, config, end, weights

SHORT = {'custom_hooks': [], 'custom_imports': None, 'train_cfg.max_epochs': 1}


@pytest.mark.slow
def test_an_assistant_then_its_student(tmp_path: Path):
    first = config(tmp_path, 'first', **SHORT, work_dir=str(tmp_path / '1'))
    assistant = {
        '_delete_': True,
        'cfg': vit(16),
        'checkpoint': str(tmp_path / '1' / 'epoch_1.pth'),
        'prefix': 'student.',
    }
    second = config(
        tmp_path,
        'second',
        **SHORT,
        work_dir=str(tmp_path / '2'),
        **{'model.teacher': assistant},
    )
    end(begin(sys.executable, '-m', 'mmvitkd', 'train', first, second))
    assert weights(tmp_path / '2' / 'epoch_1.pth')

    # the first fails: the second does not begin
    (tmp_path / '1' / 'epoch_1.pth').unlink()
    command = ('-m', 'mmvitkd', 'train', first, second, '--cfg-options')
    said = end(begin(sys.executable, *command, 'model.task_weight=half'), code=1)
    assert f"'{first}' ended with code 2; --resume goes on from it" in said


@pytest.mark.parametrize(
    'option', [('--work-dir', 'here'), ('--resume', 'it.pth'), ('--launcher', 'slurm')]
)
def test_what_is_of_one_run_is_refused(option, capsys):
    with pytest.raises(SystemExit) as end:
        main('train', ['one.py', 'two.py', *option])
    assert end.value.code == 2
    assert 'is of one config, and 2 are given' in capsys.readouterr().err
