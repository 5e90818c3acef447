from pathlib import Path

import pytest
import torch
import yaml
from mmengine.config import Config
from mmengine.runner import Runner
from mmpretrain.apis import get_model

from mmvitkd.utils.checkpoint import load_checkpoint
from mmvitkd.utils.export import export_student, plain_config
from tests.helpers import build
from tests.shrink import CONFIGS, shrink

MINIVIT = CONFIGS / 'minivit'
MODELS = {
    model['Name']: model
    for model in yaml.safe_load((MINIVIT / 'metafile.yml').read_text())['Models']
}
# millions of parameters, as its authors have them
PARAMETERS = {
    'mini-deit-tiny_regnety-16gf': 3,
    'mini-deit-small_regnety-16gf': 11,
    'mini-deit-base_regnety-16gf': 44,
    'mini-swin-tiny_swin-base': 12,
    'mini-swin-small_swin-base': 26,
    'mini-swin-base_swin-base': 46,
}


def config(pair: str) -> Config:
    return Config.fromfile(MINIVIT / f'minivit_{pair}_8xb128_in1k.py')


@pytest.mark.parametrize('pair', PARAMETERS)
def test_parameters_are_the_authors(pair):
    student = build(plain_config(config(pair)).model)
    count = sum(parameter.numel() for parameter in student.parameters())
    assert count == MODELS[f'minivit_{pair}_8xb128_in1k']['Metadata']['Parameters']
    assert round(count / 1e6) == PARAMETERS[pair]


@pytest.mark.parametrize('size', ['tiny', 'small', 'base'])
def test_mini_swin_learns_from_blocks_of_its_depth(size):
    """As released: blocks of the whole net, counted from 0, by their stage."""
    cfg = config(f'mini-swin-{size}_swin-base')
    depths = [2, 2, 6, 2] if size == 'tiny' else [2, 2, 18, 2]
    taps = {
        name: (term.student, term.teacher)
        for name, term in cfg.model.terms.items()
        if name.startswith('hidden')
    }

    def number(path: str, depths: list[int]) -> int:
        _, _, stage, _, block = path.split('.')
        return sum(depths[: int(stage)]) + int(block)

    student = [number(tap, depths) for tap, _ in taps.values()]
    assert list(taps) == [f'hidden{i}' for i in student]
    released = [1, 3, 5, 7, 9, 11] if size == 'tiny' else [1, 3, 9, 15, 21, 23]
    assert student == released
    teacher = [number(tap, [2, 2, 18, 2]) for _, tap in taps.values()]
    assert teacher == [1, 3, 9, 15, 21, 23]
    for name, (ours, theirs) in taps.items():
        attention = cfg.model.terms[name.replace('hidden', 'attn')]
        assert attention.student.path == f'{ours}.attn.w_msa.qkv'
        assert attention.teacher.path == f'{theirs}.attn.w_msa.qkv'


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """The real runner of the digits config, and its config beside it."""
    folder = tmp_path_factory.mktemp('minivit')
    cfg = shrink(Config.fromfile(MINIVIT / 'mini-deit_digits.py'), folder)
    cfg.custom_hooks = [{'type': 'EMAHook', 'momentum': 0.1}]
    path = folder / 'run.py'
    cfg.dump(path)
    runner = Runner.from_cfg(cfg)
    runner.train()
    return runner, path


def test_trained_student_is_exported(trained, tmp_path):
    """An ordinary checkpoint and a config that MMPretrain reads with this package."""
    runner, path = trained
    checkpoint = Path(runner.work_dir) / 'epoch_1.pth'
    out = export_student(checkpoint, tmp_path / 'out.pth', config=path, ema=False)
    cfg = Config.fromfile(out.with_suffix('.py'))
    assert cfg.model.backbone.type == 'mmvitkd.MiniDeiT'
    plain = get_model(str(out.with_suffix('.py')), pretrained=str(out))
    plain.eval()
    runner.model.eval()
    images = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(plain(images), runner.model(images))


def test_averaged_weights_are_counted_once(trained):
    """Shared ones have one average, by the name of the weights."""
    runner, _ = trained
    saved = load_checkpoint(Path(runner.work_dir) / 'epoch_1.pth')
    averaged, raw = saved['state_dict'], saved['ema_state_dict']
    shared = [key for key in averaged if key.endswith('.attn.qkv.weight')]
    expected = [f'student.backbone.layers.{i}.attn.qkv.weight' for i in (0, 2, 4)]
    assert shared == expected
    for key in shared:
        assert not torch.equal(averaged[key], raw[f'module.{key}'])
