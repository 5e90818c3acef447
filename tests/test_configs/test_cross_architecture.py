import copy

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from mmpretrain.apis import get_model

from mmvitkd.utils.config_check import read_config
from mmvitkd.utils.export import export_student
from tests.helpers import build, samples
from tests.shrink import CONFIGS, shrink
from tests.test_configs.test_paper_pairs import url_path, zoo

FOLDER = CONFIGS / 'cross_architecture'
SUFFIX = '_8xb32_in1k'
PAIRS = sorted(
    path.stem.removeprefix('cross-arch_').removesuffix(SUFFIX)
    for path in FOLDER.glob(f'cross-arch_*{SUFFIX}.py')
)


def load(method: str, pair: str) -> Config:
    return Config.fromfile(FOLDER / f'{method}_{pair}{SUFFIX}.py')


def test_the_reviews_pairs_on_imagenet_are_all_there():
    assert set(PAIRS) == {
        'resnet50_vit-base',
        'resnet50_swin-large',
        'mobilenet-v2_swin-large',
        'resnet18_vit-large',
        'efficientnet-b0_vit-large',
        'mobilenet-v2_deit-base',
        'efficientnet-b0_deit-base',
        'resnet18_swin-base',
        'mobilenet-v2_swin-base',
    }


@pytest.mark.parametrize('pair', PAIRS)
def test_teachers_weights_belong_to_its_config(pair):
    teacher = load('cross-arch', pair).model.teacher
    published = zoo()[url_path(teacher.checkpoint)]
    config = 'mmpretrain::' + published['Config'].removeprefix('configs/')
    assert config == teacher.cfg
    assert ('in21k-pre' in published['Name']) == ('deit' not in pair)
    assert published['Name'].endswith(('384px', '384'))


@pytest.mark.parametrize('method', ['cross-arch', 'kd'])
@pytest.mark.parametrize('pair', PAIRS)
def test_the_schedule_is_the_papers(pair, method):
    cfg = load(method, pair)
    optimizer = {k: cfg.optim_wrapper.optimizer[k] for k in ('type', 'lr', 'momentum')}
    assert optimizer == {'type': 'SGD', 'lr': 0.1, 'momentum': 0.9}
    assert cfg.optim_wrapper.optimizer.weight_decay == 1e-4
    assert cfg.train_cfg.max_epochs == 120
    assert cfg.param_scheduler.type == 'MultiStepLR'
    assert cfg.param_scheduler.milestones == [30, 60, 90]
    assert cfg.auto_scale_lr.base_batch_size == 8 * cfg.train_dataloader.batch_size


@pytest.mark.parametrize('pair', PAIRS)
def test_soft_labels_alone_differ_by_the_methods_parts(pair):
    ours, kd = load('cross-arch', pair).to_dict(), load('kd', pair).to_dict()
    terms = ours['model']['terms']
    assert list(terms) == ['kd', 'attention', 'features']
    for name in ('attention', 'features'):
        del terms[name]
    assert len(ours.pop('custom_hooks')) == 2
    assert kd.pop('custom_hooks') == []
    assert ours == kd


@pytest.mark.parametrize(
    'pair',
    [
        'resnet50_vit-base',
        'resnet18_swin-base',
        'mobilenet-v2_deit-base',
        'efficientnet-b0_deit-base',
    ],
)
def test_images_and_their_size_have_one_place(pair):
    """As `--cfg-options` changes them."""
    path = FOLDER / f'cross-arch_{pair}{SUFFIX}.py'
    cfg = read_config(path, {'data_root': 'elsewhere', 'image_size': 112})
    for split in ('train', 'val', 'test'):
        dataset = cfg[f'{split}_dataloader'].dataset
        assert dataset.data_root == 'elsewhere'
        sizes = [t.get('crop_size', t.get('scale')) for t in dataset.pipeline]
        assert [size for size in sizes if size][-1] == 112


def test_the_ramp_is_as_released():
    """Weights times min(max(epoch - 25, 0) / 50, 0.2), for the method's two terms."""
    cfg = load('cross-arch', PAIRS[0])
    attention, features = (cfg.model.terms[n].loss for n in ('attention', 'features'))
    assert (attention['attention'], attention['values']) == (0.2, 0.05)
    assert features.loss_weight == pytest.approx(0.05 * attention.loss_weight)
    hook, views = cfg.custom_hooks
    assert views.type == 'mmvitkd.StudentViewHook'
    assert set(hook.terms) == {'attention', 'features'}
    for ramp in hook.terms.values():
        for epoch in range(120):
            share = (epoch - ramp.begin) / (ramp.end - ramp.begin)
            factor = attention.loss_weight * min(max(share, 0), 1)
            assert factor == pytest.approx(min(max(epoch - 25, 0) / 50, 0.2))


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """The digits config after two steps, its config and its model before."""
    folder = tmp_path_factory.mktemp('cross')
    cfg = shrink(Config.fromfile(FOLDER / 'cross-arch_digits.py'), folder)
    runner = Runner.from_cfg(cfg)
    runner.model.init_weights()
    before = copy.deepcopy(runner.model.state_dict())
    runner.train()
    path = folder / 'run.py'
    cfg.dump(path)
    return runner, before, path


def test_one_optimiser_trains_student_necks_and_discriminator(trained):
    runner, before, _ = trained
    after = runner.model.state_dict()
    parts = ('student.', 'terms.attention.neck.qkv', 'terms.features.neck.projector')
    for part in (*parts, 'terms.features.neck.discriminator'):
        changed = [not torch.equal(before[k], after[k]) for k in after if part in k]
        assert changed
        assert any(changed)
    groups = runner.optim_wrapper.param_groups
    told = {id(p) for p in runner.model.terms.features.neck.discriminator.parameters()}
    rates = {g['lr'] for g in groups if id(g['params'][0]) in told}
    others = {g['lr'] for g in groups if id(g['params'][0]) not in told}
    assert max(rates) == pytest.approx(0.01 * max(others))


def test_evaluation_needs_nothing_of_it(trained):
    """Neither teacher nor necks nor chance."""
    model = trained[0].model.eval()
    images = torch.randn(4, 3, 32, 32)
    before = model(images)
    for parameter in model.terms.parameters():
        parameter.data.fill_(torch.nan)
    assert torch.equal(model(images), before)
    scores = [x.pred_score for x in model.predict(images, samples([0, 1, 2, 3]))]
    assert torch.stack(scores).isfinite().all()


def test_what_is_exported_is_a_plain_resnet(trained, tmp_path):
    runner, _, path = trained
    out = tmp_path / 'student.pth'
    export_student(path.parent / 'work_dir' / 'epoch_1.pth', out, config=path)
    weights = torch.load(out)['state_dict']
    build(Config.fromfile(path).model.student).load_state_dict(weights)
    assert 'mmvitkd' not in str(Config.fromfile(out.with_suffix('.py')).model)
    plain = get_model(str(out.with_suffix('.py')), pretrained=str(out)).eval()
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(plain(images), runner.model.student.eval()(images))
