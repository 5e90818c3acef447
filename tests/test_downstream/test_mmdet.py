import copy
import json
import math
import re

import pytest
import torch
import yaml
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmpretrain.models import VisionTransformer

from mmvitkd.registry import MODELS
from mmvitkd.utils import load_checkpoint, weights_of
from tests.helpers import save_weights
from tests.shrink import CONFIGS
from tests.test_downstream.coco import IMAGES, classifier, coco, save_student, shrink
from tests.test_tools.runs import run

pytestmark = pytest.mark.onedl_only

FOLDER = CONFIGS / 'downstream' / 'mmdet'
EVERY = {path.stem: path for path in sorted(FOLDER.glob('*.py'))}
PLAIN = [name for name in EVERY if 'vitkd' not in name]
LARGE = 'mask-rcnn_vitdet-deit-small_16xb4-lsj-100e_coco'
LIGHT = 'mask-rcnn_vitdet-deit-small_1xb4-ms-1x_coco'
SCORES = [f'coco/{kind}_mAP' for kind in ('bbox', 'segm')]


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    return coco(tmp_path_factory.mktemp('coco') / 'coco')


def load(name: str) -> Config:
    return Config.fromfile(EVERY[name])


def variant(name: str, kind: str) -> str:
    """The config of the same detector on another student."""
    head, tail = name.rsplit('_', 2)[0], name.rsplit('_', 2)[1:]
    return '_'.join([f'{head}-{kind}', *tail])


def student_weights(path: str) -> dict[str, torch.Tensor]:
    weights = weights_of(load_checkpoint(path))
    prefix = 'student.backbone.' if 'terms.mimic0.neck.fc.weight' in weights else None
    return weights_of(weights, prefix or 'backbone.')


@pytest.mark.parametrize('name', EVERY)
def test_trains_a_step_and_is_evaluated(name, tmp_path, data):
    """From the student's checkpoint to COCO's mAP, by the real runner."""
    cfg = shrink(load(name), tmp_path, data)
    runner = Runner.from_cfg(cfg)
    before = {}
    original = runner.load_or_resume

    def keep() -> None:
        # after the weights were initialised, before the first step
        before.update(copy.deepcopy(runner.model.backbone.state_dict()))
        original()

    runner.load_or_resume = keep
    runner.train()

    student = student_weights(cfg.model.backbone.init_cfg.checkpoint)
    loaded = [n for n in student if n in before and n != 'pos_embed']
    assert len(loaded) >= len(student) - 4  # pos_embed, cls_token, ln1
    for weight in loaded:
        assert torch.equal(before[weight].cpu(), student[weight]), weight

    log = runner.message_hub.log_scalars
    losses = [key for key in log if key.startswith('train/loss')]
    assert {'train/loss', 'train/loss_mask', 'train/loss_rpn_cls'} <= set(losses)
    assert runner.iter == 1
    assert all(math.isfinite(log[key].current()) for key in losses)
    after = runner.model.backbone.state_dict()
    assert not torch.equal(after[loaded[0]], before[loaded[0]])
    for score in SCORES:
        assert 0 <= log[f'val/{score}'].current() <= 1
    assert (tmp_path / 'work_dir' / 'epoch_1.pth').is_file()


@pytest.mark.parametrize('name', PLAIN)
@pytest.mark.parametrize('kind', ['vitkd', 'vitkd-nkd'])
def test_variants_differ_in_the_checkpoint_alone(name, kind):
    configs = [load(name).to_dict(), load(variant(name, kind)).to_dict()]
    inits = [cfg['model']['backbone']['init_cfg'] for cfg in configs]
    _, file = (init.pop('checkpoint') for init in inits)
    assert configs[0] == configs[1]
    # it is of a run whose student is this backbone
    run_name = re.fullmatch(r'work_dirs/(.*)/epoch_300\.pth', file)[1]
    assert run_name.startswith(f'{kind}_')
    student = Config.fromfile(CONFIGS / 'vitkd' / f'{run_name}.py').model.student
    assert student.backbone.arch == configs[0]['model']['backbone']['arch']


def test_there_are_three_variants_of_each_detector():
    assert len(PLAIN) == 4
    assert len(EVERY) == 3 * len(PLAIN)


def test_large_recipe_is_vitdets():
    """100 epochs, 64 images a step, large-scale jitter at 1024, layer decay."""
    cfg = load(LARGE)
    dataset = cfg.train_dataloader.dataset
    assert dataset.times * cfg.train_cfg.max_epochs == 100
    assert 16 * cfg.train_dataloader.batch_size == cfg.auto_scale_lr.base_batch_size
    assert cfg.auto_scale_lr.base_batch_size == 64
    jitter = {t.type: t for t in dataset.dataset.pipeline}['RandomResize']
    assert (jitter.scale, jitter.ratio_range) == ((1024, 1024), (0.1, 2.0))
    assert cfg.test_dataloader.dataset.pipeline[1].scale == (1024, 1024)
    steps = cfg.param_scheduler[1].milestones
    assert [s / 25 for s in steps] == pytest.approx(
        [163889 / 184375, 177546 / 184375], abs=0.01
    )
    assert cfg.optim_wrapper.optimizer == {
        'type': 'AdamW', 'lr': 1e-4, 'betas': (0.9, 0.999), 'weight_decay': 0.1,
    }  # fmt: skip
    assert cfg.optim_wrapper.paramwise_cfg.layer_decay_rate == 0.7


def test_light_recipe_is_1x():
    cfg = load(LIGHT)
    assert cfg.train_cfg.max_epochs == 12
    scales = {t.type: t for t in cfg.train_dataloader.dataset.pipeline}
    shorts = [min(scale) for scale in scales['RandomChoiceResize'].scales]
    assert (min(shorts), max(shorts)) == (512, 800)
    batch = cfg.train_dataloader.batch_size * cfg.optim_wrapper.accumulative_counts
    assert batch == 16


def test_swins_recipe_is_mmdets():
    """All but the backbone and how batches are collated."""
    ours = load('mask-rcnn_swin-tiny_8xb2-1x_coco').to_dict()
    path = FOLDER / 'unwritten.py'
    text = "_base_ = 'mmdet::swin/mask-rcnn_swin-t-p4-w7_fpn_1x_coco.py'"
    upstream = Config.fromstring(text, path.suffix).to_dict()
    del ours['collate_fn'], ours['model']['backbone'], upstream['model']['backbone']
    for split in ('train', 'val', 'test'):
        collate = ours[f'{split}_dataloader'].pop('collate_fn')
        assert collate == {'type': 'pseudo_collate'}
    assert ours == upstream


def test_mmpretrains_swin_is_mmdets():
    """The same weights give the same maps, on sizes that windows do not divide."""
    from mmdet.models import SwinTransformer

    arch = {'embed_dims': 16, 'depths': [2, 2, 2, 2], 'num_heads': [1, 1, 2, 2]}
    cfg = load('mask-rcnn_swin-tiny_8xb2-1x_coco').model.backbone
    cfg.update(arch=arch, init_cfg=None)
    ours = MODELS.build(cfg)
    theirs = SwinTransformer(**arch, window_size=7, drop_path_rate=0.2)
    torch.manual_seed(0)
    for parameter in ours.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    theirs.load_state_dict(ours.state_dict())
    ours.eval()
    theirs.eval()
    images = torch.randn(1, 3, 100, 164)
    with torch.no_grad():
        for one, other in zip(ours(images), theirs(images), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('name', [LARGE, LIGHT])
def test_full_size_detector_builds(name):
    """Its backbone has the parameters of MMPretrain's, and relative positions."""
    cfg = load(name)
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = MODELS.build(cfg.model)
    assert model.backbone.global_blocks == (2, 5, 8, 11)
    plain = VisionTransformer(
        'deit-small', cfg.model.backbone.img_size, out_type='featmap',
        with_cls_token=False, final_norm=False,
    )  # fmt: skip
    ours = {n: p.shape for n, p in model.backbone.named_parameters()}
    positions = {n: ours.pop(n) for n in list(ours) if 'rel_pos' in n}
    assert ours == {n: p.shape for n, p in plain.named_parameters()}
    if name == LARGE:
        # of 64 wide heads: windows of 14, and 1024 / 16 = 64 tokens over the map
        blocks = range(12)
        assert [positions[f'layers.{i}.attn.rel_pos_w'][0] for i in blocks] == [
            127 if i in (2, 5, 8, 11) else 27 for i in blocks
        ]
    assert bool(positions) == (name == LARGE)


def test_tools_train_and_test_a_detector(tmp_path, data):
    """By ``tools/train.py`` and ``tools/test.py``, whose defaults are MMPretrain's."""
    path = tmp_path / 'detector.py'
    shrink(load(LIGHT), tmp_path, data).dump(path)
    runner = run('train', path, '--work-dir', tmp_path / 'run')
    trained = runner.message_hub.get_scalar(f'val/{SCORES[0]}').current()
    runner = run(
        'test', path, tmp_path / 'run' / 'epoch_1.pth', '--work-dir', tmp_path / 'test',
        '--out', tmp_path / 'metrics.json', '--out-item', 'metrics',
    )  # fmt: skip
    metrics = json.loads((tmp_path / 'metrics.json').read_text())
    assert metrics[SCORES[0]] == trained


def test_a_resumed_run_keeps_its_weights(tmp_path, data):
    """The student's would be loaded first, and then the run's."""
    path = tmp_path / 'detector.py'
    shrink(load(LIGHT), tmp_path, data).dump(path)
    folder = tmp_path / 'run'
    first = run('train', path, '--work-dir', folder)
    again = run('train', path, '--work-dir', folder, '--resume')
    assert again.iter == 1
    one, other = (r.model.state_dict() for r in (first, again))
    assert all(torch.equal(one[name], other[name]) for name in one)


def broken(tmp_path, data, name: str = LIGHT) -> Config:
    cfg = shrink(load(name), tmp_path, data)
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    return cfg


def refused(cfg: Config, message: str, error: type = ValueError) -> None:
    with pytest.raises(error, match=message):
        Runner.from_cfg(cfg).train()


def test_student_of_another_architecture_is_refused(tmp_path, data):
    cfg = broken(tmp_path, data)
    swin = shrink(load('mask-rcnn_swin-tiny_8xb2-1x_coco'), tmp_path, data)
    save_weights(
        classifier(swin.model.backbone), cfg.model.backbone.init_cfg.checkpoint
    )
    refused(cfg, r'(?s)does not fit the ViTDet.*layers\.0.*are missing.*stages\.0')


def test_student_of_another_width_is_refused(tmp_path, data):
    cfg = broken(tmp_path, data)
    wide = copy.deepcopy(cfg.model.backbone)
    wide.arch.embed_dims = 32
    save_student(wide, tmp_path / 'wide.pth', distilled=True)
    cfg.model.backbone.init_cfg.checkpoint = str(tmp_path / 'wide.pth')
    refused(cfg, r'(?s)wide\.pth.*another shape.*32\].* 16\].*another width')


def test_checkpoint_without_the_prefix_is_refused(tmp_path, data):
    cfg = broken(tmp_path, data)
    cfg.model.backbone.init_cfg.prefix = 'student.backbone.'
    refused(cfg, r"'student\.backbone\.'; this checkpoint has \['backbone\.', 'head\.'")


def test_truncated_checkpoint_is_refused(tmp_path, data):
    cfg = broken(tmp_path, data)
    path = tmp_path / 'student.pth'
    path.write_bytes(path.read_bytes()[:-1000])
    refused(cfg, "student.pth' (can't be read|is damaged)")


def test_image_smaller_than_a_window_is_refused(tmp_path, data):
    """Only where padding does not make it larger, as it does in our configs."""
    cfg = broken(tmp_path, data)
    cfg.model.data_preprocessor.pad_size_divisor = 16
    resize = {t.type: t for t in cfg.train_dataloader.dataset.pipeline}
    resize['RandomChoiceResize'].scales = [(60, 40)]
    refused(cfg, r'images of 48x64 give a map of 3x4 .*pad_size_divisor=64')


def test_annotations_of_a_missing_image_are_refused(tmp_path):
    data = coco(tmp_path / 'coco')
    (data / 'train2017' / f'{IMAGES - 1:012d}.jpg').unlink()
    refused(broken(tmp_path, data), '000000000003.jpg', FileNotFoundError)


def test_metafile_lists_every_config_once():
    text = (FOLDER / 'metafile.yml').read_text()
    models = yaml.safe_load(text)['Models']
    paths = [f'configs/downstream/mmdet/{name}.py' for name in EVERY]
    assert sorted(model['Config'] for model in models) == sorted(paths)
    for model in models:
        assert model['Config'].endswith(f'/{model["Name"]}.py')
        assert 'Weights' not in model
        for result in model.get('Results', []):
            assert all(key.endswith('(paper)') for key in result['Metrics'])


def test_readme_and_headers_show_the_metafiles_figures():
    rows = (FOLDER / 'README.md').read_text().splitlines()
    for model in yaml.safe_load((FOLDER / 'metafile.yml').read_text())['Models']:
        name = model['Name']
        (row,) = (row for row in rows if f']({name}.py)' in row)
        header = EVERY[name].read_text().split('_base_ =')[0]
        for result in model.get('Results', []):
            for figure in result['Metrics'].values():
                assert f'{figure:.2f}' in row
                assert f'{figure:.2f}' in header
