"""Files of others: whatever they hold, nothing of it is run."""

import json
import os
import pickle
import shutil
import sys
from pathlib import Path
from typing import Any

import mmpretrain
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import CheckpointLoader

from mmvitkd.reporting.runs import find_runs
from mmvitkd.utils.safe_loading import read_weights_only
from tests.helpers import build, vit
from tests.test_tools.runs import (
    PIPELINE,
    begin,
    config,
    end,
    loader,
    message,
    run,
    weights,
)


class Touch:
    """A pickle that writes a file when it is loaded."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return os.system, (f'touch {self.marker}',)


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    """What a stranger's code would write: it must never be there."""
    return tmp_path / 'marker'


@pytest.fixture
def hostile(tmp_path: Path, marker: Path) -> Path:
    """A checkpoint of a student's weights, with code beside them."""
    state = {'state_dict': build(vit(16)).state_dict(), 'meta': Touch(marker)}
    torch.save(state, tmp_path / 'hostile.pth')
    return tmp_path / 'hostile.pth'


# ---------------------------------------------------------- checkpoints, all ways


def refused(text: str, marker: Path) -> None:
    assert 'would run code' in text and 'posix.system' in text
    assert 'Nothing in it was run' in text
    assert not marker.exists()


def small(tmp_path: Path, **changes: Any) -> Path:
    """A config of a student alone."""
    alone = {'_delete_': True, **vit(16)}
    return config(tmp_path, 'small', model=alone, **changes)


def test_load_from(tmp_path, hostile, marker):
    cfg = small(tmp_path, load_from=str(hostile))
    refused(message('train', cfg, '--work-dir', tmp_path / 'run'), marker)


def test_resume(tmp_path, hostile, marker):
    args = (small(tmp_path), '--work-dir', tmp_path / 'run', '--resume', hostile)
    refused(message('train', *args), marker)


def test_pretrained(tmp_path, hostile, marker):
    """What configs/own_data recommends."""
    given = {'type': 'Pretrained', 'checkpoint': str(hostile)}
    cfg = small(tmp_path, **{'model.init_cfg': given})
    refused(message('train', cfg, '--work-dir', tmp_path / 'run'), marker)


def test_pretrained_of_a_part(tmp_path, hostile, marker):
    given = {'type': 'Pretrained', 'checkpoint': str(hostile), 'prefix': 'backbone.'}
    cfg = config(tmp_path, **{'model.student.backbone.init_cfg': given})
    refused(message('train', cfg, '--work-dir', tmp_path / 'run'), marker)


def test_teacher(tmp_path, hostile, marker):
    cfg = config(tmp_path, **{'model.teacher.checkpoint': str(hostile)})
    refused(message('train', cfg, '--work-dir', tmp_path / 'run'), marker)


@pytest.mark.parametrize('tool', ['test', 'export_student'])
def test_tools(tmp_path, hostile, marker, tool):
    args = (small(tmp_path), hostile) if tool == 'test' else (hostile, tmp_path / 'o')
    refused(message(tool, *args), marker)


def test_flexible_runner(tmp_path, hostile, marker):
    """Its strategies load by themselves."""
    cfg = small(
        tmp_path,
        runner_type='FlexibleRunner',
        strategy={'type': 'SingleDeviceStrategy'},
        load_from=str(hostile),
    )
    refused(message('train', cfg, '--work-dir', tmp_path / 'run'), marker)


@pytest.mark.slow
def test_mmpretrains_own_train(tmp_path, hostile, marker):
    """Of our code it imports what the config's types name, and nothing else."""
    own = {'custom_hooks': [], 'custom_imports': None, 'load_from': str(hostile)}
    tool = Path(mmpretrain.__file__).parent / '.mim' / 'tools' / 'train.py'
    args = config(tmp_path, **own), '--work-dir', tmp_path, '--no-persistent-workers'
    text = end(begin(sys.executable, tool, *args), code=1)
    refused(text.splitlines()[-1], marker)


def test_addresses_of_others(tmp_path, hostile, marker, monkeypatch):
    """Loaders that somebody registered with MMEngine, by torch.load alone."""
    monkeypatch.setattr(CheckpointLoader, '_schemes', dict(CheckpointLoader._schemes))
    CheckpointLoader.register_scheme(
        'shelf://',
        lambda name, map_location=None: torch.load(
            tmp_path / name.removeprefix('shelf://'), weights_only=False
        ),
    )
    read_weights_only()
    with pytest.raises(pickle.UnpicklingError):
        CheckpointLoader.load_checkpoint(f'shelf://{hostile.name}')
    assert not marker.exists()
    torch.save({'a': torch.ones(1)}, tmp_path / 'good.pth')
    assert 'a' in CheckpointLoader.load_checkpoint('shelf://good.pth')


# ------------------------------------------------------- work dirs, handed to report


@pytest.fixture(scope='module')
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The work dirs of a teacher and of a student that learned from it."""
    folder = tmp_path_factory.mktemp('strangers')
    plain = {
        'test_dataloader': loader('val', PIPELINE),
        'custom_hooks': [],
        'custom_imports': None,
        'train_cfg.max_epochs': 1,
    }
    big = {'_delete_': True, **vit(24)}
    cfg = config(folder, 'teacher', **plain, model=big)
    run('train', cfg, '--work-dir', folder / 'runs' / 'teacher')
    checkpoint = str(folder / 'runs' / 'teacher' / 'epoch_1.pth')
    cfg = config(folder, 'taught', **plain, **{'model.teacher.checkpoint': checkpoint})
    run('train', cfg, '--work-dir', folder / 'runs' / 'taught')
    return folder / 'runs'


@pytest.fixture
def runs(trained: Path, tmp_path: Path) -> Path:
    """A copy of them, to be changed."""
    return Path(shutil.copytree(trained, tmp_path / 'runs'))


def rewrite(work_dir: Path, change: Any) -> None:
    """Change the dumped config of a run, everywhere."""
    for file in [*work_dir.glob('*.py'), *work_dir.glob('*/vis_data/config.py')]:
        file.write_text(change(file.read_text()))


def page_of(runs: Path, marker: Path, *args: Any, **env: str) -> str:
    """Write the report; return its text."""
    out = runs.parent / 'report.html'
    run('report', runs, '--out', out, *args, **env)
    assert not marker.exists()
    return out.read_text()


def test_unchanged_work_dirs_are_looked_into(runs, marker):
    """Else the tests below say nothing."""
    page = page_of(runs, marker)
    assert 'can not be' not in page
    assert 'Where the student differs' in page
    assert 'Distance from teacher' in page


def test_a_config_is_not_run(runs, marker):
    rewrite(runs / 'taught', lambda text: f'open({str(marker)!r}, "w")\n{text}')
    page = page_of(runs, marker)
    assert 'its config can not be read: line 1 is no setting but code' in page


@pytest.mark.parametrize(
    'line',
    [
        'import os; os.system("touch MARKER")',
        'x = __import__("os").system("touch MARKER")',
        'x = [open("MARKER", "w") for _ in (1,)]',
        'x = dict(a=open("MARKER", "w"))',
        'x = dict(**open("MARKER", "w"))',
        "x = f\"{open('MARKER', 'w')}\"",
        'x: int = open("MARKER", "w")',
        'x = 10 ** 10 ** 10 ** 10',
        'x = "a" * 10 ** 12',
        '_base_ = ["evil.py"]\nx = _base_.y',
        'from evil import x',
        'x = (lambda: open("MARKER", "w"))()',
        'x = ' + '[' * 5000,
        'x = ' + '-' * 50000 + '1',
        'x = "\0"',
        'model = 5',
        'model = dict(teacher=[1])',
        'randomness = dict(seed="x")',
        'train_cfg = dict(max_epochs="many")',
    ],
)
def test_other_texts_are_no_config(runs, marker, line):
    line = line.replace('MARKER', str(marker))
    rewrite(runs / 'taught', lambda text: f'{text}\n{line}\n')
    (run,) = find_runs([runs / 'taught'])
    assert run.cfg is None
    assert 'its config can not be read' in run.notes[0]
    assert not marker.exists()


def test_substitutions_are_not_made(runs, marker):
    """MMEngine would put the environment, or a part of its code, in their place."""
    secret = "x = '{{$SECRET:}} {{ fileDirname }} {{_base_.model}}'"
    rewrite(runs / 'taught', lambda text: f'{secret}\n{text}')
    assert '8ab2f1' not in page_of(runs, marker, '--no-analysis', SECRET='8ab2f1')


def student(**changes: tuple[str, str]) -> Any:
    """Change a dumped config by what stands in it."""

    def change(text: str) -> str:
        for old, new in changes.values():
            assert old in text
            text = text.replace(old, new)
        return text

    return change


EVIL_TYPES = {
    'a function': "dict(type='os.system', command='touch MARKER')",
    'exec': 'dict(type=\'builtins.exec\', source=\'open("MARKER", "w")\')',
    'a module': "dict(type='evil.Head')",
    'a scope': "dict(type='LinearClsHead', _scope_='evil')",
    'a path of a class': "dict(type='mmengine.fileio.load', file='evil.pkl')",
    'a nested distiller': "dict(type='mmvitkd.ViTKDDistiller', student=dict(type="
    "'ImageClassifier'), teacher=dict(cfg='evil.py', checkpoint='x'), terms=dict())",
    'Hugging Face': "dict(type='HuggingFaceClassifier', model_name='evil', "
    'trust_remote_code=True)',
}


@pytest.mark.parametrize('evil', EVIL_TYPES.values(), ids=EVIL_TYPES)
def test_a_model_runs_no_code(runs, marker, evil, monkeypatch):
    folder = runs.parent / 'evil'
    folder.mkdir()
    code = f'open({str(marker)!r}, "w").close()\n'
    (folder / 'evil.py').write_text(code + 'class Head: pass\nmodel = {}\n')
    (folder / 'evil.pkl').write_bytes(pickle.dumps(Touch(marker)))
    monkeypatch.syspath_prepend(folder)
    monkeypatch.chdir(folder)
    evil = evil.replace('MARKER', str(marker))
    rewrite(runs / 'taught', lambda text: f'{text}\nmodel = {evil}\n')
    page = page_of(runs, marker)
    assert 'can not be looked into' in page


@pytest.mark.slow
def test_a_teachers_config_is_not_run(runs, marker, monkeypatch):
    """It names a file of the stranger's, which would be run as any config is."""
    folder = runs.parent
    (folder / 'evil.py').write_text(
        f'open({str(marker)!r}, "w").close()\nmodel = {dict(vit(24))!r}\n'
    )
    monkeypatch.chdir(folder)
    shutil.copy(runs / 'teacher' / 'epoch_1.pth', folder / 'elsewhere.pth')
    for name in ('evil.py', f'mmpretrain::../../../../../..{folder}/evil.py'):
        teacher = f"\nmodel['teacher'] = dict(cfg='{name}', checkpoint='elsewhere.pth')"
        file = next((runs / 'taught').glob('*/vis_data/config.py'))
        namespace: dict = {}
        exec(compile(file.read_text() + teacher, 'own', 'exec'), namespace)
        lines = [f'{k} = {v!r}' for k, v in namespace.items() if k[0] != '_']
        rewrite(runs / 'taught', lambda text, lines=lines: '\n'.join(lines))
        page = page_of(runs, marker)
        assert 'The teacher of taught can not be looked into' in page
        assert 'does not run for a work dir' in page


def test_weights_only_of_a_work_dir_is_not_heeded(runs, marker):
    hostile = {'state_dict': build(vit(24)).state_dict(), 'meta': Touch(marker)}
    for folder in (runs / 'teacher', runs / 'taught'):
        torch.save(hostile, folder / 'epoch_1.pth')
    rewrite(
        runs / 'taught',
        student(a=('teacher=dict(', 'teacher=dict(weights_only=False, ')),
    )
    page = page_of(runs, marker, TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD='1')
    assert 'would run code when it is loaded: it calls posix.system' in page


DATA = {
    'pickled annotations': "dict(type='mmpretrain.CustomDataset', data_root='evil', "
    "ann_file='evil.pkl', pipeline=[])",
    'pickles of another ending': "dict(type='RefCOCO', data_root='evil', "
    "ann_file='a', split_file='evil.pkl', pipeline=[])",
    'a text that is evaluated': "dict(type='Digits', split='val', pipeline=[dict("
    "type='torchvision/ConvertImageDtype', "
    'dtype=\'float32 if open("MARKER", "w") else 1\')])',
    'an import for files': "dict(type='Digits', split='val', pipeline=[dict("
    "type='LoadImageFromFile', backend_args=dict(backend='memcached', "
    "sys_path='evil', server_list_cfg='', client_cfg=''))])",
    'a transform by path': "dict(type='Digits', split='val', pipeline=[dict("
    "type='os.system', command='touch MARKER')])",
    'another package': "dict(type='evil.Data')",
}


@pytest.mark.parametrize('evil', DATA.values(), ids=DATA)
def test_data_run_no_code(runs, marker, evil, monkeypatch):
    folder = runs.parent / 'evil'
    folder.mkdir()
    code = f'open({str(marker)!r}, "w").close()\n'
    for name in ('evil', 'mc'):
        (folder / f'{name}.py').write_text(code)
    (folder / 'evil.pkl').write_bytes(pickle.dumps(Touch(marker)))
    monkeypatch.syspath_prepend(folder)
    monkeypatch.chdir(runs.parent)
    evil = evil.replace('MARKER', str(marker))
    line = f'test_dataloader = dict(batch_size=1, dataset={evil})'
    for name in ('taught', 'teacher'):
        rewrite(runs / name, lambda text: f'{text}\n{line}\n')
    assert 'No images to run them on' in page_of(runs, marker)


@pytest.mark.slow
def test_what_the_user_names_may_run(runs, marker):
    cfg = config(runs.parent, 'own', test_dataloader=loader('val', PIPELINE))
    cfg.write_text(f'{cfg.read_text()}\nprint("run")\n')
    rewrite(runs / 'taught', lambda text: f'{text}\ntest_dataloader = None\n')
    page = page_of(runs, marker, '--data', cfg)
    assert 'Where the student differs' in page


def test_no_table_holds_a_formula(runs, marker):
    (runs / 'taught').rename(runs / '=cmd')
    (runs / 'teacher').rename(runs / '@SUM(1)')
    page_of(runs, marker, '--no-analysis', '--csv', runs.parent / 'csv')
    text = (runs.parent / 'csv' / 'summary.csv').read_text()
    assert "'=cmd" in text and "'@SUM(1)" in text
    assert not any(line.startswith(('=', '@')) for line in text.splitlines())


def test_damaged_records_are_told(runs, marker):
    (scalars,) = (runs / 'taught').glob('*/vis_data/scalars.json')
    scalars.write_text(scalars.read_text() + '3\n[1]\n{"a": }\n' + '[' * 99999 + '\n')
    assert '4 lines of its log are broken' in page_of(runs, marker, '--no-analysis')


@pytest.mark.slow
def test_a_config_in_json_is_read(runs, marker):
    (file,) = (runs / 'taught').glob('*/vis_data/config.py')
    settings = Config.fromfile(file).to_dict()
    for written in [file, *(runs / 'taught').glob('*.py')]:
        written.unlink()
    (runs / 'taught' / 'config.json').write_text(json.dumps(settings))
    assert 'can not be' not in page_of(runs, marker)


# --------------------------------------------------------- what a base name keys


def test_configs_of_one_name_do_not_share_a_work_dir(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cfgs = []
    for folder, width in (('a', 16), ('b', 32)):
        (tmp_path / folder).mkdir()
        alone = {'_delete_': True, **vit(width)}
        cfgs.append(config(tmp_path / folder, 'x', model=alone))
    run('train', cfgs[0])
    before = weights(tmp_path / 'work_dirs' / 'x' / 'epoch_2.pth')
    assert 'holds another run' in message('train', cfgs[1])
    after = weights(tmp_path / 'work_dirs' / 'x' / 'epoch_2.pth')
    assert all(torch.equal(before[key], after[key]) for key in before)
