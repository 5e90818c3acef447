import copy
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from mmpretrain.apis import get_model
from torch import Tensor

from mmvitkd.utils.export import export_student
from tests.helpers import build, samples
from tests.shrink import CONFIGS, shrink

STUDENTS = {'paper': 'co-advise_digits', 'plain': 'co-advise-plain_digits'}
HEADS = {'conv': 'head_conv', 'inv': 'head_inv'}


def config(folder: Path, student: str = 'paper', **model) -> Config:
    """The digits config, shrunk; its two teachers have weights of their own."""
    path = CONFIGS / 'co_advise' / f'{STUDENTS[student]}.py'
    cfg = shrink(Config.fromfile(path), folder)
    cfg.model.update(data_preprocessor=cfg.data_preprocessor, **model)
    return cfg


def made(cfg: Config):
    torch.manual_seed(0)
    model = build(copy.deepcopy(cfg.model))
    model.init_weights()
    return model


def batch() -> dict:
    generator = torch.Generator().manual_seed(1)
    return {
        'inputs': torch.randn(4, 3, 32, 32, generator=generator),
        'data_samples': samples([1, 2, 3, 4]),
    }


def reached(weight: Tensor) -> bool:
    return weight.grad is not None and bool(weight.grad.any())


@pytest.mark.parametrize('student', STUDENTS)
def test_each_loss_reaches_its_own_head_alone(student, tmp_path):
    model = made(config(tmp_path, student))
    layers = model.student.head.layers
    owners = {'loss': 'head', **{f'loss_{name}': head for name, head in HEADS.items()}}
    for loss, own in owners.items():
        model.zero_grad()
        model(**batch(), mode='loss')[loss].backward()
        for name in ('head', *HEADS.values()):
            assert reached(layers.get_submodule(name).weight) == (name == own)


def test_losses_by_hand(tmp_path):
    """Cross entropy and two divergences, each at weight and temperature 1."""
    model = made(config(tmp_path))
    losses = model(**batch(), mode='loss')
    model.eval()
    x, layers = batch()['inputs'], model.student.head.layers
    model.student.backbone.train()  # its norms see the batch
    tokens = model.student.backbone(x)[-1]
    for token, name in zip(tokens[1:], HEADS, strict=True):
        logits = layers.get_submodule(HEADS[name])(token)
        teacher = model.teachers[name].model(x)
        expected = torch.nn.functional.kl_div(
            logits.log_softmax(1), teacher.softmax(1), reduction='batchmean'
        )
        torch.testing.assert_close(losses[f'loss_{name}'], expected)


def test_swapping_the_teachers_names_swaps_the_losses(tmp_path):
    """With a student that does not tell its two tokens apart."""
    cfg = config(tmp_path, 'plain')
    swapped = copy.deepcopy(cfg)
    teachers = cfg.model.teachers
    swapped.model.teachers = {'conv': teachers.inv, 'inv': teachers.conv}
    found = []
    for one in (cfg, swapped):
        model = made(one)
        backbone, layers = model.student.backbone, model.student.head.layers
        with torch.no_grad():
            for rows in (backbone.cls_token, backbone.pos_embed):
                rows[:, 2] = rows[:, 1]
        layers.head_inv.load_state_dict(layers.head_conv.state_dict())
        found.append(model(**batch(), mode='loss'))
    one, other = found
    torch.testing.assert_close(one['loss_conv'], other['loss_inv'])
    torch.testing.assert_close(one['loss_inv'], other['loss_conv'])
    assert abs(one['loss_conv'] - one['loss_inv']) > 0.01
    assert one['loss'] == other['loss']


def test_predicts_the_mean_of_three_heads(tmp_path):
    model = made(config(tmp_path))
    model.eval()
    student, x = model.student, batch()['inputs']
    tokens = student.backbone(x)[-1]
    logits = [
        student.head.layers.get_submodule(name)(token)
        for name, token in zip(('head', *HEADS.values()), tokens, strict=True)
    ]
    assert len(logits) == 3
    scores = [sample.pred_score for sample in model(**batch(), mode='predict')]
    expected = (sum(logits) / 3).softmax(1)
    torch.testing.assert_close(torch.stack(scores), expected)


def test_teachers_see_the_same_mixed_batch_each_as_it_was_trained(tmp_path):
    cfg = config(tmp_path, train_cfg={'augments': {'type': 'Mixup', 'alpha': 0.8}})
    cfg.model.teachers.inv.cfg.data_preprocessor = {
        **cfg.data_preprocessor,
        'mean': [100.0] * 3,
        'std': [50.0] * 3,
    }
    cfg.model.teachers.inv.input_size = 32
    cfg.model.teachers.conv.input_size = 64
    model = made(cfg)
    seen = {}
    for name, teacher in model.teachers.items():
        teacher.model.register_forward_pre_hook(
            lambda _, args, name=name: seen.update({name: args[0]})
        )
    scans = torch.randint(0, 256, (4, 3, 32, 32)).float()
    data = {'inputs': scans, 'data_samples': samples([1, 2, 3, 4])}
    mixed = model.data_preprocessor(data, training=True)
    model(**mixed, mode='loss')
    pixels = mixed['inputs'] * 95.79 + 77.66
    torch.testing.assert_close(seen['inv'], (pixels - 100) / 50)
    larger = torch.nn.functional.interpolate(
        mixed['inputs'], (64, 64), mode='bilinear', antialias=True
    )
    torch.testing.assert_close(seen['conv'], larger)
    plain = (scans - 77.66) / 95.79
    assert not torch.allclose(plain, mixed['inputs'])


@pytest.mark.parametrize('student', STUDENTS)
def test_trained_student_is_exported(student, tmp_path):
    """An ordinary checkpoint and a config that MMPretrain reads with this package."""
    cfg = config(tmp_path, student)
    runner = Runner.from_cfg(cfg)
    runner.train()
    folder = tmp_path / 'work_dir'
    path = tmp_path / 'run.py'
    cfg.dump(path)
    out = export_student(folder / 'epoch_1.pth', tmp_path / 'out.pth', config=path)
    exported = Config.fromfile(out.with_suffix('.py'))
    assert 'teachers' not in exported.model
    assert exported.model.backbone.type.startswith('mmvitkd.')
    plain = get_model(str(out.with_suffix('.py')), pretrained=str(out))
    plain.eval()
    runner.model.eval()
    logits = plain(batch()['inputs'])
    torch.testing.assert_close(logits, runner.model(batch()['inputs']))
    assert not torch.load(out)['state_dict'].keys() & {'terms', 'teachers'}


def test_paper_trio_is_the_released_recipe():
    """All weights 1, T = 1, 1024 images, warm-up 20 epochs, norm of gradients 15."""
    name = 'co-advise_deit-small_regnety-4gf-halonet50ts_8xb128_in1k.py'
    cfg = Config.fromfile(CONFIGS / 'co_advise' / name)
    assert cfg.model.get('task_weight', 1.0) == 1.0
    for term in cfg.model.terms.values():
        assert term.loss == {'type': 'KDLoss', 'temperature': 1.0, 'loss_weight': 1.0}
    optimizer = cfg.optim_wrapper.optimizer
    assert (optimizer.lr, optimizer.weight_decay) == (5e-4 * 1024 / 512, 0.05)
    assert cfg.optim_wrapper.clip_grad == {'max_norm': 15.0}
    assert cfg.train_dataloader.batch_size * 8 == 1024
    assert cfg.train_cfg.max_epochs == 300
    assert cfg.param_scheduler[0].end == 20
    backbone = cfg.model.student.backbone
    assert (backbone.type, backbone.arch) == ('CrossBiasViT', 'deit-small')
    assert backbone.get('drop_path_rate', 0) == 0
