"""Every mistake in a config or on the command line is one line that mends it."""

import sys
from pathlib import Path

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.registry import DefaultScope

from mmvitkd.registry import HOOKS
from tests.test_tools.runs import config, message, run

OPTIONS = {
    # arguments that nothing takes
    'model.task_wieght=0': "ViTKDDistiller takes no argument 'task_wieght': did you "
    "mean 'task_weight'?",
    'model.teacher.chekpoint=a.pth': "model.teacher.chekpoint='a.pth': Teacher takes "
    "no argument 'chekpoint': did you mean 'checkpoint'?",
    'train_dataloader.batchsize=4': "train_dataloader.batchsize=4: DataLoader takes no "
    "argument 'batchsize': did you mean 'batch_size'?",
    'train_cfg.maxepochs=4': "train_cfg.maxepochs=4: EpochBasedTrainLoop takes no "
    "argument 'maxepochs': did you mean 'max_epochs'?",
    'param_scheduler.0.startfactor=0.1': 'param_scheduler.0.startfactor=0.1: ',
    'model.student.backbone.img_sise=3': "did you mean 'img_size'?",
    'model.terms.nkd.loss.loss_weigth=1': 'model.terms.nkd.loss.loss_weigth=1: NKDLoss '
    "takes no argument 'loss_weigth': did you mean 'loss_weight'?",
    'optim_wrapper.clip_gard=3': 'optim_wrapper.clip_gard=3: OptimWrapper takes no '
    "argument 'clip_gard': did you mean 'clip_grad'?",
    'data_preprocessor.maen=3': 'data_preprocessor.maen=3: '
    "PartlyLabelledDataPreprocessor takes no argument 'maen': did you mean 'mean'?",
    'train_dataloader.dataset.pipeline.0.scal=3': "train_dataloader.dataset.pipeline.0"
    ".scal=3: Resize takes no argument 'scal': did you mean 'scale'?",
    'default_hooks.monitr.interval=3': "did you mean 'monitor'?",
    'default_hooks.checkpoint.intervl=3': "did you mean 'interval'?",
    'optim_wrapper.optimizer.weigth_decay=0': "nothing reads 'optim_wrapper.optimizer."
    "weigth_decay': did you mean 'weight_decay'?",
    'optim_wrapper.clip_grad.max_nrom=1': "did you mean 'max_norm'?",
    "model.student.backbone={'tpe': 'VisionTransformer'}": "nothing reads 'model."
    "student.backbone.tpe': did you mean 'type'?",
    'val_evaluator.topkk=1': "val_evaluator.topkk=1: Accuracy takes no argument 'topkk'"
    ": did you mean 'topk'?",
    # parts of another kind
    'model.student.train_cfg.augments=abc': 'model.student.train_cfg.augments must be '
    "dicts in a list, got 'abc'",
    'optim_wrapper.paramwise_cfg.custom_keys=3': 'custom_keys must be a dict, got 3',
    'custom_hooks=abc': "custom_hooks must be dicts in a list, got 'abc'",
    'default_hooks.monitor=3': 'default_hooks.monitor must be a dict, got 3',
    'val_evaluator=abc': "val_evaluator must be dicts in a list, got 'abc'",
    'train_dataloader.dataset=0': 'train_dataloader.dataset must be a dict, got 0',
    'train_dataloader.dataset.pipeline.1={}': 'train_dataloader.dataset.pipeline.1={} '
    "does not say which transform it is, by its 'type'",
    'model.teacher.cfg=7': "a teacher's cfg is a config's path",
    'custom_hooks.0=None': "custom_hooks.0 must be a dict, got 'None'",
    'env_cfg.mp_cfg=None': "env_cfg.mp_cfg must be a dict, got 'None'",
    'work_dir=[1]': 'work_dir=[1]: it must be a path',
    'log_level=[1]': "log_level=[1]: it is one such as 'INFO'",
    'default_scope=': "default_scope='': no such package is there",
    'resume=yes': "resume='yes': it must be True or False",
    # names that no registry has
    'model.student.train_cfg.augments.type=MixUp': 'model.student.train_cfg.augments'
    ".type='MixUp': there is no such batch augment: did you mean 'Mixup'?",
    'optim_wrapper.optimizer.type=AdmW': "did you mean 'AdamW'?",
    'param_scheduler.0.type=CosineLR': "param_scheduler.0.type='CosineLR': there is no "
    'such parameter scheduler',
    'train_dataloader.dataset.type=Digit': "did you mean 'Digits'?",
    'val_evaluator.type=Acuracy': "did you mean 'Accuracy'?",
    'custom_hooks.0.type=KilHook': "did you mean 'KillHook'?",
    'model.type=ViTKDDistiler': "did you mean 'ViTKDDistiller'?",
    'default_scope=mmpretrian': "did you mean 'mmpretrain'?",
    # values that a constructor refuses
    'model.student.train_cfg.augments.alpha=-1': 'model.student.train_cfg.augments'
    '.alpha=-1 (Mixup takes float): ',
    'model.student.train_cfg.probs=[2.0]': 'model.student.train_cfg.probs=[2.0]: The '
    'total probability',
    'model.student.backbone.arch=xx': "model.student.backbone.arch='xx'",
    'model.student.head.num_classes=a': "model.student.head.num_classes='a': "
    'VisionTransformerClsHead takes int',
    'optim_wrapper.optimizer.lr=-1': 'optim_wrapper.optimizer.lr=-1 (AdamW takes '
    'float, by default 0.001): Invalid learning rate: -1',
    'model.task_weight=half': 'model.task_weight: task_weight must be a number',
    'model.terms.nkd.loss.loss_weight=3e-5x': "model.terms.nkd.loss.loss_weight='3e-5x'"
    ': NKDLoss takes float, by default 1.0',
    'model.terms.nkd.loss=NKDLoss': "term 'nkd': loss must be a dict with its type",
    'model.student=None': "student must be a classifier's config",
    'model=None': 'has no model',
    'model=7': 'model must be a dict, got 7',
    'randomness.seed=a': "randomness.seed='a': ",
    'log_level=FOO': 'log_level: KeyError: FOO',
    'model.student.backbone.patch_size=None': 'model.student.backbone.patch_size=None '
    '(VisionTransformer takes int, by default 16): TypeError: ',
    'train_dataloader.sampler.shuffle=no': "train_dataloader.sampler.shuffle='no': "
    'DefaultSampler takes bool, by default True',
    'default_hooks.checkpoint.interval=[]': 'default_hooks.checkpoint.interval=[]: '
    'SafeCheckpointHook takes int, by default -1',
    'default_hooks.images.max_pixels=a': "default_hooks.images.max_pixels='a': "
    'ImageCheckHook takes int',
    'optim_wrapper.optimizer.lr=[]': 'optim_wrapper.optimizer.lr=[]: it must be a ',
    'model.student.head.init_cfg.layer=Liner': "did you mean 'Linear'?",
    'model.student.head.init_cfg.std=0': 'model.student.head.init_cfg.std=0: ',
    # which would show in the first step, or after the first epoch
    'train_dataloader.dataset.pipeline.0.scale=0': 'train_dataloader.dataset.pipeline.0'
    '.scale=0 (Resize): ',
    'val_dataloader.dataset.pipeline.0.interpolation=bad': 'val_dataloader.dataset.'
    "pipeline.0.interpolation='bad' (Resize): ",
    'data_preprocessor.num_classes=None': 'num_classes',
    'val_evaluator.topk=1,500': 'val_evaluator.topk=[1, 500] (Accuracy): Top-500 ',
    'val_evaluator.topk=a': "val_evaluator.topk='a' (Accuracy): ",
    'val_dataloader.dataset.indices=[]': 'the validation data set has no images',
    'default_hooks.checkpoint.save_best=accuracy/tp1': 'default_hooks.checkpoint.'
    "save_best='accuracy/tp1': validation yields no such metric, but accuracy/top1: "
    "did you mean 'accuracy/top1'?",
    # numbers that make no run
    'data_preprocessor.std=[1,0,1]': 'data_preprocessor.std=[1, 0, 1]: it must be a '
    'list of numbers above 0, one for each channel',
    'data_preprocessor.std=0': 'data_preprocessor.std=0: it must be a list of numbers',
    'data_preprocessor.mean=[1]': 'have not the same number of channels',
    'model.task_weight=nan': 'model.task_weight',
    'param_scheduler.0.eta_min=-1': 'param_scheduler.0.eta_min=-1: no rate is below 0',
    'train_cfg={}': 'train_cfg: IterBasedTrainLoop needs ',
    'train_cfg.val_begin=5': 'train_cfg.val_begin=5: training ends at 2',
    'train_cfg.max_epochs=0': 'train_cfg.max_epochs=0: it must be a whole number of at '
    'least 1',
    'train_cfg.val_interval=0': 'train_cfg.val_interval=0: ',
    'train_dataloader.batch_size=0': 'train_dataloader.batch_size=0: ',
    'train_dataloader.num_workers=-1': 'train_dataloader.num_workers=-1: ',
    'param_scheduler.0.begin=5': 'param_scheduler.0 begins at epoch 5, but training '
    'ends at epoch 2: train longer (train_cfg.max_epochs), or shorten what comes '
    'before it, such as a warm-up; train --try',
    # options that are none
    'abc': "--cfg-options 'abc' is no KEY=VALUE",
    '=3': "--cfg-options '=3' is no KEY=VALUE",
    'a..b=3': "--cfg-options 'a..b=3' is no KEY=VALUE",
    'model.x=[1,(2]': "--cfg-options model.x=[1,(2]: the value can't be read",
    "model.x={'a': 1": "the value can't be read",
    'model.type.foo=3': "--cfg-options model.type.foo: model.type is 'ViTKDDistiller', "
    'which has no keys: set model.type itself',
    'param_scheduler.5.type=a': 'param_scheduler is a list of 1, whose items are '
    "numbered from 0: there is no '5'",
    'param_scheduler.x=1': "there is no 'x'",
    'custom_imports.imports=[nope_x]': 'Failed to import nope_x',
    "model.terms.nkd.loss={'type': 'KDLoss', 'temprature': 1}": 'model.terms.nkd.loss'
    ".temprature=1: KDLoss takes no argument 'temprature': did you mean 'temperature'?",
    # files that are not there
    'model.teacher.cfg=a.py': "model.teacher: teacher config 'a.py' does not exist",
    'model.teacher.cfg=mmpretrain::deit/deit-tinny_4xb256_in1k.py': "did you mean "
    "'deit/deit-tiny_4xb256_in1k.py'?",
    'model.teacher.checkpoint=none.pth': 'model.teacher.checkpoint: checkpoint '
    "'none.pth' does not exist",
    'model.teacher.checkpoint=https://nothing.invalid/a.pth': "model.teacher.checkpoint"
    ": checkpoint 'https://nothing.invalid/a.pth' can't be reached",
    'load_from=none.pth': "load_from: checkpoint 'none.pth' does not exist",
    'train_dataloader.dataset.data_root=none': 'train_dataloader.dataset.data_root: '
    "there is no folder 'none'",
}  # fmt: skip
TERM = "{{'{}': dict(student='head', teacher='head', loss=dict(type='KDLoss'))}}"
FILES = {
    'x_a = (1,\nb = 2\n': "line 2: '(' was never closed: x_a = (1,",
    'x_a = 1\nmodel = dict(type=foo)\n': "line 3: NameError: name 'foo' is not defined",
    'x_a = 1 / 0\n': 'line 2: ZeroDivisionError: division by zero',
    "custom_imports = dict(imports=['nope_x'])\n": 'ImportError: Failed to import',
    "x_a = float('nan')\nrandomness = dict(seed=x_a)\n": 'randomness.seed=nan: that is',
    "train_cfg = dict(_delete_=True, type='IterBasedTrainLoop', max_iters=4)\n": (
        'param_scheduler.0 goes by epochs, but training by iterations'
    ),
    "train_dataloader = dict(datasset=dict(), dataset=None)\n": (
        "train_dataloader has no dataset: is 'datasset' a misspelt one?"
    ),
    'model = [1]\n': 'model must be a dict, got [1]',
    'model = dict(student=dict(type=3))\n': 'model.student',
    f'model = dict(terms={TERM.format("a.b")})\n': "a term can not be named 'a.b'",
    f'model = dict(terms={TERM.format("")})\n': "a term can not be named ''",
    f'model = dict(terms={TERM.format("keys")})\n': "a term can not be named 'keys'",
    "model = dict(teacher=dict(cfg='{folder}/broken.py'))\n": 'broken.py\': line 1: ',
    "model = dict(teacher=dict(cfg='{folder}/teacher.pth'))\n": 'it is no .py, '
    '.json, .yaml or .yml file',
    "model = dict(teacher=dict(_delete_=True, cfg='{folder}/misspelt.py', "
    "checkpoint='{folder}/teacher.pth'))\n": 'misspelt.py: model.backbone.depht=3: '
    "VisionTransformer takes no argument 'depht'",
}  # fmt: skip


@pytest.fixture(scope='module')
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A config without a mistake."""
    return config(tmp_path_factory.mktemp('mistakes'))


def mistake(*args) -> str:
    """Run a command whose user made a mistake; return the line."""
    DefaultScope._instance_dict.clear()
    with pytest.raises(SystemExit) as end:
        run(*args)
    assert end.value.code == 2
    return str(end.value)


@pytest.mark.parametrize('option', OPTIONS)
def test_an_option_is_told_with_its_place(option, tiny, tmp_path):
    told = mistake('train', tiny, '--work-dir', tmp_path, '--cfg-options', option)
    assert told.startswith('error: ')
    assert OPTIONS[option] in told
    assert not list(tmp_path.glob('*.pth'))
    assert '\n' not in told


@pytest.mark.parametrize('text', FILES)
def test_a_file_is_told_with_its_line(text, tiny):
    folder = tiny.parent
    (folder / 'broken.py').write_text('model = dict(')
    (folder / 'misspelt.py').write_text(
        "model = dict(type='ImageClassifier', "
        "backbone=dict(type='VisionTransformer', depht=3))"
    )
    file = folder / 'mine.py'
    text_of = text.replace('{folder}', str(folder))
    file.write_text(f"_base_ = ['{tiny.name}']\n{text_of}")
    told = mistake('train', file, '--work-dir', folder / 'run')
    assert FILES[text] in told
    assert '\n' not in told


def test_files_that_are_no_config(tiny):
    folder = tiny.parent
    assert "did you mean 'tiny.py'?" in mistake('train', folder / 'tyni.py')
    assert 'does not exist' in mistake('train', folder)
    for name, content, told in (
        ('latin.py', b'# \xe9\nmodel = dict()\n', 'it is not UTF-8'),
        ('cut.json', b'{"model": ', 'JSONDecodeError'),
        ('list.json', b'[1]', "config '"),
        ('other.txt', b'model', 'Only py/yml/yaml/json'),
        ('none.py', b'x_a = 1\n', 'has no model'),
        ('base.py', b"_base_ = ['nothing.py']\n", 'nothing.py'),
        (
            'zoo.py',
            b"_base_ = 'mmpretrain::deit/deit-tinny_4xb256_in1k.py'\n",
            "did you mean 'deit/deit-tiny_4xb256_in1k.py'?",
        ),
    ):
        (folder / name).write_bytes(content)
        assert told in mistake('train', folder / name), name


COMMANDS = {
    'export_student': ['gone.pth', 'student.pth', '--config', 'broken.py'],
    'estimate_cost': ['broken.py'],
    'report': ['run', '--out', 'report.html', '--data', 'broken.py'],
    'advise': [
        'broken.py', 'tiny.py', '--student-checkpoint', 'gone.pth', '--data', 'tiny.py',
        '--out', 'advice',
    ],
    'test': ['broken.py', 'gone.pth'],
}  # fmt: skip


@pytest.mark.parametrize('command', COMMANDS)
def test_every_command_tells_a_broken_config(command, tiny, monkeypatch):
    monkeypatch.chdir(tiny.parent)
    Path('broken.py').write_text('model = dict(')
    assert "config 'broken.py': line 1: " in mistake(command, *COMMANDS[command])


NUMBERS = {
    'estimate_cost': (['tiny.py', '--gpus', '0'], '--gpus 0: give a number above 0'),
    'test': (['tiny.py', 'a.pth', '--interval', '0'], '--interval 0: give 1 or more'),
}


@pytest.mark.parametrize('command', NUMBERS)
def test_numbers_that_make_no_sense(command, capsys):
    args, told = NUMBERS[command]
    with pytest.raises(SystemExit, match='2'):
        run(command, *args)
    assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    ('out', 'told'),
    [
        ('', 'is a folder: give a file'),
        ('file/out.pth', 'a file of this name'),
    ],
)
def test_an_export_that_has_no_place(out, told, tiny, monkeypatch):
    monkeypatch.chdir(tiny.parent)
    Path('file').touch()
    student = {'student.a': torch.zeros(2)}
    torch.save({'state_dict': student}, 'run.pth')
    assert told in message('export_student', 'run.pth', out)


def test_an_item_of_a_list_is_replaced(tiny, tmp_path):
    flip = "train_dataloader.dataset.pipeline.1={'type': 'RandomFlip', 'prob': 0.5}"
    once = 'train_cfg.max_epochs=1'
    runner = run('train', tiny, '--work-dir', tmp_path, '--cfg-options', flip, once)
    step = runner.cfg.train_dataloader.dataset.pipeline[1]
    assert step == {'type': 'RandomFlip', 'prob': 0.5}


def test_debug_shows_the_traceback(tiny, tmp_path):
    option = 'model.task_wieght=0'
    with pytest.raises(TypeError, match='task_wieght'):
        run('train', tiny, '--debug', '--work-dir', tmp_path, '--cfg-options', option)


def test_a_term_is_switched_off(tiny, tmp_path):
    off = ('model.terms.nkd=None', 'train_cfg.max_epochs=1')
    runner = run('train', tiny, '--work-dir', tmp_path / 'a', '--cfg-options', *off)
    assert set(runner.model.terms) == {'mimic0', 'gen'}
    all_off = [f'model.terms.{name}=None' for name in ('nkd', 'gen', 'mimic0')]
    how = ('--work-dir', tmp_path / 'b', '--cfg-options', 'train_cfg.max_epochs=1')
    runner = run('train', tiny, *how, *all_off, 'model.teacher.checkpoint=none.pth')
    assert not runner.model.terms
    assert 'loss_nkd' not in runner.message_hub.log_scalars


@HOOKS.register_module()
class Unlucky(Hook):
    """Meet what a machine may come up with, in the third step."""

    def __init__(self, error: str) -> None:
        self.error = error

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == 2:
            raise {
                'memory': MemoryError(),
                'gpu': RuntimeError('CUDA out of memory. Tried to allocate 2 GiB'),
                'handles': OSError(24, 'Too many open files', '/data/a.jpg'),
                'worker': RuntimeError('received 0 items of ancdata'),
                'quota': OSError(122, 'Disk quota exceeded', '/data/log'),
            }[self.error]


@pytest.mark.parametrize(
    ('error', 'told'),
    [
        ('memory', 'the machine has not enough memory'),
        ('gpu', 'the GPU has not enough memory'),
        ('handles', "'/data/a.jpg': Too many open files: too many files are open"),
        ('worker', 'Too many open files'),
        ('quota', "'/data/log': Disk quota exceeded"),
    ],
)
def test_the_machine_is_told_from_a_bug(error, told, tmp_path):
    hooks = [{'type': 'Unlucky', 'error': error}]
    cfg = config(tmp_path, custom_hooks=hooks)
    text = message('train', cfg, '--work-dir', tmp_path / 'run')
    assert told in text
    assert 'goes on from the last one with --resume' in text


def test_a_file_that_can_not_be_written(tiny, tmp_path):
    """Too large for the limit, as on a full disk; what was whole stays whole."""
    resource = pytest.importorskip('resource')
    import signal

    work_dir = tmp_path / 'run'
    run(
        'train', tiny, '--work-dir', work_dir, '--cfg-options', 'train_cfg.max_epochs=1'
    )
    before = (work_dir / 'epoch_1.pth').read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, hard))
    DefaultScope._instance_dict.clear()
    try:
        told = message('train', tiny, '--work-dir', work_dir, '--resume')
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert f"'{work_dir / 'epoch_2.pth'}': File too large" in told
    assert (work_dir / 'epoch_1.pth').read_bytes() == before
    assert not list(work_dir.glob('*.part'))


class Careless(Hook):
    """Have a bug in its first step."""

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        {}['nothing']


def test_a_bug_of_the_users_own_keeps_its_traceback(tmp_path):
    HOOKS.register_module(module=Careless, force=True)
    cfg = config(tmp_path, custom_hooks=[{'type': 'Careless'}])
    with pytest.raises(KeyError, match='nothing'):
        run('train', cfg, '--work-dir', tmp_path / 'run')


@pytest.mark.parametrize('name', ['file/below', 'a' * 300, 'b/' * 3000])
def test_a_work_dir_that_can_not_be(name, tiny, tmp_path):
    (tmp_path / 'file').touch()
    told = message('train', tiny, '--work-dir', tmp_path / name)
    assert 'Not a directory' in told or 'File name too long' in told
    assert len(told) < 1500


def test_a_try_of_everything_keeps_nothing(tiny, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sys.modules['tempfile'], 'tempdir', str(tmp_path))
    work_dir = tmp_path / 'run'
    run('train', tiny, '--work-dir', work_dir, '--try')
    out = capsys.readouterr().out
    assert 'tried: 3 steps of training, validation, a checkpoint of ' in out
    assert ', its export, test; nothing was kept' in out
    assert 'a whole run has 8' in out
    assert not work_dir.exists()
    assert list(tmp_path.iterdir()) == []


ITERATIONS = {
    'train_cfg': {
        '_delete_': True, 'type': 'IterBasedTrainLoop', 'max_iters': 40,
        'val_interval': 20,
    },
    'param_scheduler': [
        {'type': 'LinearLR', 'by_epoch': False, 'end': 20, 'start_factor': 0.1},
        {'type': 'CosineAnnealingLR', 'by_epoch': False, 'begin': 20},
    ],
    'default_hooks.checkpoint': {'by_epoch': False, 'interval': 20},
    'log_processor': {'by_epoch': False},
}  # fmt: skip
TRIES = {
    'iterations': (ITERATIONS, 40),
    'accumulated': ({'optim_wrapper.accumulative_counts': 4}, 8),
    'strategy': (
        {
            **ITERATIONS,
            'runner_type': 'FlexibleRunner',
            'strategy': {'type': 'SingleDeviceStrategy'},
        },
        40,
    ),
}


@pytest.mark.parametrize('how', TRIES)
def test_a_try_of_other_loops(how, tmp_path, capsys):
    changes, steps = TRIES[how]
    amp = ['--amp'] if how == 'iterations' else []
    cfg = config(tmp_path, **changes)
    run('train', cfg, '--work-dir', tmp_path / 'run', '--try', *amp)
    out = capsys.readouterr().out
    assert 'tried: 3 steps of training, validation, a checkpoint of ' in out
    assert ', its export, test; nothing was kept' in out
    assert f'a whole run has {steps}:' in out


def test_options_for_no_parameter_and_late_checkpoints_are_told(tmp_path, capsys):
    keys = {'.clss_token': {'lr_mult': 0.5}, '.rel_pos': {'lr_mult': 0.1}}
    changes = {
        **ITERATIONS,
        'train_cfg.max_iters': 2,
        'train_cfg.val_interval': 2,
        'param_scheduler': None,
        'default_hooks.checkpoint': {'interval': 1},
        'optim_wrapper.paramwise_cfg': {'custom_keys': keys},
    }
    run('train', config(tmp_path, **changes), '--work-dir', tmp_path / 'run')
    out = ' '.join(capsys.readouterr().out.split())
    assert "no parameter has '.clss_token' in its name" in out
    assert "did you mean 'cls_token'?" in out
    assert '.rel_pos' not in out  # of models that this is none of
    assert 'the only checkpoint is written at the end' in out


def test_the_console_has_a_screenful_and_the_file_the_rest(tiny, tmp_path, capsys):
    how = ('--work-dir', tmp_path, '--cfg-options', 'train_cfg.max_epochs=1')
    run('train', tiny, *how)
    lines = capsys.readouterr().out.splitlines()
    first = next(i for i, line in enumerate(lines) if 'Epoch(train)' in line)
    assert first < 40
    before = '\n'.join(lines[:first])
    for part in ('64 training images', '1 epochs of 4 steps', 'AdamW', str(tmp_path)):
        assert part in before
    assert 'What is distilled' in before
    log = next(tmp_path.glob('*/*.log')).read_text()
    assert 'System environment' in log
    assert 'Hooks will be executed' in log
    assert 'FileClient' not in log
    DefaultScope._instance_dict.clear()
    run('test', tiny, tmp_path / 'epoch_1.pth', *how)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) < 5
    assert 'accuracy/top1' in lines[-1]
