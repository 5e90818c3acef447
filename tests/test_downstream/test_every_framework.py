"""What holds in detection, segmentation and pose estimation alike."""

import copy
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
import yaml
from mmengine.config import Config
from mmengine.fileio import load as load_file

from tests.helpers import save_weights
from tests.shrink import CONFIGS
from tests.test_downstream import ade, coco, coco_keypoints
from tests.test_downstream.common import (
    FOLDER,
    classifier,
    load,
    names,
    plain,
    refused,
    save_student,
)
from tests.test_tools.runs import run

pytestmark = [pytest.mark.onedl_only, pytest.mark.slow]

IMAGES = ('.png', '.jpg')


@dataclass(frozen=True)
class Framework:
    """A framework and a config for it, whose shrunken run is quick."""

    name: str
    config: str
    score: str
    steps: int
    checkpoint: str  # that the run ends with
    backbone: str
    write: Callable[[Path], Path]
    shrink: Callable[[Config, Path, Path], Config]


EVERY = [
    Framework(
        'mmdet', 'mask-rcnn_vitdet-deit-small_1xb4-ms-1x_coco', 'coco/bbox_mAP',
        1, 'epoch_1.pth', 'ViTDet', coco.coco, coco.shrink,
    ),
    Framework(
        'mmseg', 'upernet_deit-small_8xb2-160k_ade20k-512x512', 'mIoU',
        2, 'iter_2.pth', 'VisionTransformer', ade.ade, ade.shrink,
    ),
    Framework(
        'mmpose', 'td-hm_vitpose-deit-small_8xb64-210e_coco-256x192', 'coco/AP',
        1, 'epoch_1.pth', 'VisionTransformer',
        coco_keypoints.coco_keypoints, coco_keypoints.shrink,
    ),
]  # fmt: skip


@pytest.fixture(scope='module', params=EVERY, ids=lambda framework: framework.name)
def framework(request):
    return request.param


@pytest.fixture(scope='module')
def data(framework, tmp_path_factory):
    return framework.write(tmp_path_factory.mktemp(framework.name) / 'data')


@pytest.fixture
def cfg(framework, tmp_path, data):
    return framework.shrink(load(framework.config), tmp_path, data)


VARIANTS = [
    *(
        (name, kind)
        for each in EVERY
        for name in plain(each.name)
        for kind in ('vitkd', 'vitkd-nkd')
    ),
    ('mask-rcnn_swin-tiny_8xb2-1x_coco', 'manifold'),
]


@pytest.mark.parametrize(('name', 'kind'), VARIANTS)
def test_variants_differ_in_the_checkpoint_alone(name, kind):
    student, schedule, dataset = name.rsplit('_', 2)
    variant = f'{student}-{kind}_{schedule}_{dataset}'
    configs = [load(name).to_dict(), load(variant).to_dict()]
    inits = [cfg['model']['backbone']['init_cfg'] for cfg in configs]
    _, file = (init.pop('checkpoint') for init in inits)
    assert configs[0] == configs[1]
    # it is of a run whose student is this backbone
    run_name = re.fullmatch(r'work_dirs/(.*)/epoch_300\.pth', file)[1]
    assert run_name.startswith(f'{kind}_')
    method = 'manifold' if kind == 'manifold' else 'vitkd'
    student = Config.fromfile(CONFIGS / method / f'{run_name}.py').model.student
    assert student.backbone.arch == configs[0]['model']['backbone']['arch']


def test_there_are_three_variants_of_each_model():
    counts = {each.name: len(plain(each.name)) for each in EVERY}
    assert counts == {'mmdet': 4, 'mmseg': 2, 'mmpose': 1}
    for name, count in counts.items():
        of_vitkd = [n for n in names(name) if 'manifold' not in n]
        assert len(of_vitkd) == 3 * count


def test_tools_train_and_test(framework, cfg, tmp_path):
    """The scores come out, and the predictions, written and drawn."""
    path = tmp_path / 'model.py'
    cfg.dump(path)
    runner = run('downstream/train', path, '--work-dir', tmp_path / 'run')
    trained = runner.message_hub.get_scalar(f'val/{framework.score}').current()
    out = tmp_path / ('maps' if framework.name == 'mmseg' else 'predictions.pkl')
    run(
        'test', path, tmp_path / 'run' / framework.checkpoint,
        '--work-dir', tmp_path / 'test', '--metrics', tmp_path / 'metrics.json',
        '--out', out, '--show-dir', tmp_path / 'drawn',
    )  # fmt: skip
    metrics = json.loads((tmp_path / 'metrics.json').read_text())
    assert metrics[framework.score] == trained
    assert len(list(out.iterdir()) if out.is_dir() else load_file(out)) > 0
    drawn = [f for f in (tmp_path / 'drawn').rglob('*') if f.suffix in IMAGES]
    assert drawn


def test_a_resumed_run_keeps_its_weights(framework, cfg, tmp_path):
    """The student's would be loaded first, and then the run's."""
    path = tmp_path / 'model.py'
    cfg.dump(path)
    folder = tmp_path / 'run'
    first = run('downstream/train', path, '--work-dir', folder)
    again = run('downstream/train', path, '--work-dir', folder, '--resume')
    assert again.iter == framework.steps
    one, other = (r.model.state_dict() for r in (first, again))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_student_of_another_architecture_is_refused(framework, cfg):
    arch = {'embed_dims': 16, 'depths': [1, 1, 1, 1], 'num_heads': [1, 1, 2, 2]}
    swin = classifier({'type': 'SwinTransformer', 'arch': arch})
    save_weights(swin, cfg.model.backbone.init_cfg.checkpoint)
    message = r'.*layers\.0.*are missing.*stages\.0'
    refused(cfg, f'(?s)does not fit the {framework.backbone}{message}')


def test_student_of_another_width_is_refused(cfg, tmp_path):
    wide = copy.deepcopy(cfg.model.backbone)
    width = wide.arch.embed_dims
    wide.arch.embed_dims = 2 * width
    path = save_student(wide, tmp_path / 'wide.pth', distilled=True)
    cfg.model.backbone.init_cfg.checkpoint = str(path)
    shapes = rf'{2 * width}\].* {width}\]'
    refused(cfg, rf'(?s)wide\.pth.*another shape.*{shapes}.*another width')


def test_checkpoint_without_the_prefix_is_refused(cfg):
    cfg.model.backbone.init_cfg.prefix = 'student.backbone.'
    refused(cfg, r"'student\.backbone\.'; this checkpoint has \['backbone\.', 'head\.'")


def test_truncated_checkpoint_is_refused(cfg):
    path = Path(cfg.model.backbone.init_cfg.checkpoint)
    path.write_bytes(path.read_bytes()[:-1000])
    refused(cfg, "student.pth' (can't be read|is damaged)")


def models(framework: Framework) -> list[dict]:
    text = (FOLDER / framework.name / 'metafile.yml').read_text()
    return yaml.safe_load(text)['Models']


def test_metafile_lists_every_config_once(framework):
    folder = f'configs/downstream/{framework.name}'
    paths = [f'{folder}/{name}.py' for name in names(framework.name)]
    assert sorted(model['Config'] for model in models(framework)) == sorted(paths)
    for model in models(framework):
        assert model['Config'].endswith(f'/{model["Name"]}.py')
        assert 'Weights' not in model
        for result in model.get('Results', []):
            assert all(key.endswith('(paper)') for key in result['Metrics'])
