import csv
import json
import math
import pickle
import uuid
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from PIL import Image

from mmvitkd.commands import main
from mmvitkd.datasets import Digits
from mmvitkd.registry import DATASETS
from tests.helpers import save_weights
from tests.shrink import CONFIGS
from tests.test_tools.runs import ROOT, begin, end, message, run

pytestmark = [pytest.mark.onedl_only, pytest.mark.slow]

FOLDER = CONFIGS / 'downstream' / 'digit_scenes'
EVERY = {path.stem: path for path in sorted(FOLDER.glob('*.py'))}
DETECTOR = 'mask-rcnn_vitdet-w32_digit-scenes'
SEGMENTOR = 'fcn_vit-w32_digit-scenes'
PLAIN = {'mask-rcnn': DETECTOR, 'fcn': SEGMENTOR}
SCORES = {'mask-rcnn': 'coco/segm_mAP', 'fcn': 'mIoU'}
TRAIN, VAL = 5, 3


def draw(out: Path, *args: object, train: int = TRAIN) -> Path:
    command('draw-scenes', out, '--train', train, '--val', VAL, *args)
    return out


def command(name: str, *args: object) -> None:
    main(name, [str(arg) for arg in args])


def ended(name: str, *args: object) -> str:
    """Run a command that ends with an exit code or a message, and return that."""
    with pytest.raises(SystemExit) as end:
        command(name, *args)
    return str(end.value)


@pytest.fixture(scope='module')
def scenes(tmp_path_factory):
    return draw(tmp_path_factory.mktemp('scenes') / 'scenes')


@pytest.fixture(scope='module')
def student(tmp_path_factory):
    """Random weights of the digits' student, as those of its own training."""
    model = Config.fromfile(CONFIGS / 'digits' / 'digits_student.py').model
    return save_weights(model, tmp_path_factory.mktemp('student') / 'epoch_200.pth')


def load(name: str, scenes: Path, student: Path, folder: Path) -> Config:
    """A config on the few scenes, one epoch of one step."""
    cfg = Config.fromfile(EVERY[name])
    detects = name.startswith('mask-rcnn')
    root = scenes / ('coco' if detects else 'ade')
    for split in ('train', 'val', 'test'):
        cfg[f'{split}_dataloader'].dataset.data_root = f'{root}/'
        if detects and split != 'train':
            cfg[f'{split}_evaluator'].ann_file = str(
                root / 'annotations' / 'instances_val2017.json'
            )
    cfg.train_dataloader.batch_size = TRAIN
    cfg.train_cfg.update(max_epochs=1, val_interval=1)
    if detects:
        # its visualiser is then named after the run, as a process knows one by a name
        del cfg.visualizer.name
        # a detector this fresh is sure of nothing, but shall find something
        cfg.model.test_cfg.rcnn.score_thr = 0.0
    if cfg.model.backbone.init_cfg is not None:
        cfg.model.backbone.init_cfg.checkpoint = str(student)
    cfg.work_dir = str(folder / 'work_dir')
    cfg.experiment_name = uuid.uuid4().hex
    return cfg


def build_dataset(name: str, split: str, scenes: Path):
    """A config's own data set, by mmdet's or mmseg's class."""
    cfg = load(name, scenes, scenes, scenes)
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        return DATASETS.build(cfg[f'{split}_dataloader'].dataset)


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in folder.rglob('*')
        if file.is_file()
    }


@pytest.mark.parametrize('split', ['train', 'val'])
def test_both_formats_tell_the_same(split, scenes):
    """Labels, boxes and masks of CocoDataset are those of BaseSegDataset's maps."""
    coco, ade = (build_dataset(n, split, scenes) for n in (DETECTOR, SEGMENTOR))
    assert len(coco) == len(ade) == {'train': TRAIN, 'val': VAL}[split]
    for one, other in zip(coco, ade, strict=True):
        assert torch.equal(one['inputs'], other['inputs'])
        digits = one['data_samples'].gt_instances
        assert 1 <= len(digits) <= 4
        drawn = torch.zeros(96, 96, dtype=torch.long)  # the background
        for label, mask, box in zip(
            digits.labels, digits.masks.masks, digits.bboxes.tensor, strict=True
        ):
            mask = torch.from_numpy(mask).bool()
            assert not drawn[mask].any()  # digits do not overlap
            drawn[mask] = int(label) + 1
            rows, columns = mask.any(1).nonzero(), mask.any(0).nonzero()
            corners = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
            assert box.tolist() == [int(corner) for corner in corners]
        labels = other['data_samples'].gt_sem_seg.data[0]
        rim = labels == 255
        assert 0 < rim.sum() < 0.2 * rim.numel()
        assert not drawn[rim].any()
        assert torch.equal(labels[~rim], drawn[~rim])


def test_digits_are_where_they_are_said_to_be(scenes):
    """Ink is brighter than what is around it, and the scan has this label."""
    data = json.loads((scenes / 'coco/annotations/instances_val2017.json').read_text())
    labels = {
        sample['scan_index']: sample['gt_label'] for sample in Digits(split='test')
    }
    maps = sorted((scenes / 'ade/annotations/validation').iterdir())
    images = sorted((scenes / 'ade/images/validation').iterdir())
    for file, image in zip(maps, images, strict=True):
        labelled = np.array(Image.open(file))
        grey = np.array(Image.open(image).convert('L')).astype(float)
        assert grey[labelled >= 2].mean() > grey[labelled == 1].mean() + 50
    for one in data['annotations']:
        assert one['category_id'] == labels[one['scan']] + 1
        assert one['area'] == sum(one['segmentation']['counts'][1::2])


def test_splits_share_neither_scans_nor_photographs(scenes):
    folder = scenes / 'coco' / 'annotations'
    train, val = (
        json.loads((folder / f'instances_{split}2017.json').read_text())
        for split in ('train', 'val')
    )
    for part, key in (('images', 'photograph'), ('annotations', 'scan')):
        assert not {one[key] for one in train[part]} & {one[key] for one in val[part]}


def test_same_seed_gives_the_same_bytes(scenes, tmp_path):
    again = bytes_of(draw(tmp_path / 'again'))
    assert again == bytes_of(scenes)
    more = bytes_of(draw(tmp_path / 'more', train=TRAIN + 1))
    images = [name for name in again if name.endswith('g')]
    assert [name for name in images if more[name] != again[name]] == []
    other = bytes_of(draw(tmp_path / 'other', '--seed', 1))
    assert all(other[name] != again[name] for name in images)


def test_nothing_is_written_over(scenes, tmp_path, capsys):
    before = bytes_of(scenes)
    draw(scenes)
    assert 'there already' in capsys.readouterr().out
    options = ['--train', TRAIN, '--val', VAL, '--seed', 7]
    text = ended('draw-scenes', scenes, *options)
    assert 'other scenes, of seed 0 with 5 to train on' in text
    assert bytes_of(scenes) == before
    (tmp_path / 'mine.txt').write_text('mine')
    assert 'something else' in ended('draw-scenes', tmp_path)
    assert ended('draw-scenes', tmp_path, '--train', 0) == '2'
    assert '--train must be at least 1, got 0' in capsys.readouterr().err


@pytest.mark.parametrize('name', EVERY)
def test_trains_a_step_and_is_evaluated(name, scenes, student, tmp_path):
    cfg = load(name, scenes, student, tmp_path)
    runner = Runner.from_cfg(cfg)
    runner.train()
    log = runner.message_hub.log_scalars
    assert runner.iter == 1
    losses = [key for key in log if key.startswith('train/') and 'loss' in key]
    assert losses
    assert all(math.isfinite(log[key].current()) for key in losses)
    score = log[f'val/{SCORES[name.split("_")[0]]}'].current()
    assert 0 <= score <= 100


@pytest.mark.parametrize('plain', PLAIN.values())
def test_variants_differ_in_the_beginning_alone(plain):
    stem, tail = plain.rsplit('_', 1)
    names = [f'{stem}{kind}_{tail}' for kind in ('', '-scratch', '-vitkd')]
    configs = [Config.fromfile(EVERY[name]).to_dict() for name in names]
    inits = [cfg['model']['backbone'].pop('init_cfg') for cfg in configs]
    assert configs[0] == configs[1] == configs[2]
    assert inits[1] is None
    files = [init.pop('checkpoint') for init in (inits[0], inits[2])]
    assert inits[0] == inits[2]
    # of the trainings of configs/digits, as long as they are
    for file, digits in zip(files, ('digits_student', 'vitkd_digits'), strict=True):
        epochs = Config.fromfile(
            CONFIGS / 'digits' / f'{digits}.py'
        ).train_cfg.max_epochs
        assert file == f'work_dirs/{digits}/epoch_{epochs}.pth'


def test_there_are_three_variants_of_each_model():
    assert len(EVERY) == 3 * len(PLAIN)


def test_students_weights_are_in_the_backbone(scenes, student, tmp_path):
    weights = torch.load(student)['state_dict']
    for name in PLAIN.values():
        backbone = Runner.from_cfg(load(name, scenes, student, tmp_path)).model.backbone
        backbone.init_weights()
        for key, weight in backbone.state_dict().items():
            if key != 'pos_embed':  # resized to the scenes' grid
                assert torch.equal(weight, weights[f'backbone.{key}']), key


@pytest.fixture(scope='module')
def trained(scenes, student, tmp_path_factory):
    """A detector and a segmentor, each trained by ``tools/downstream/train.py``."""
    found = {}
    for kind, name in PLAIN.items():
        folder = tmp_path_factory.mktemp(kind)
        path = folder / f'{kind}.py'
        load(name, scenes, student, folder).dump(path)
        run('downstream/train', path, '--work-dir', folder / 'run', '--auto-scale-lr')
        found[kind] = (path, folder / 'run' / 'epoch_1.pth')
    return found


@pytest.mark.parametrize('kind', PLAIN)
def test_resumes(kind, trained):
    path, checkpoint = trained[kind]
    again = run(
        'downstream/train', path, '--work-dir', checkpoint.parent, '--resume',
        '--cfg-options', 'train_cfg.max_epochs=2',
    )  # fmt: skip
    assert again.iter == 2


def test_detectors_predictions(trained, tmp_path):
    """Written and drawn, and what they are worth."""
    out, metrics = tmp_path / 'predictions.pkl', tmp_path / 'metrics.json'
    run(
        'test', *trained['mask-rcnn'], '--work-dir', tmp_path, '--out', out,
        '--metrics', metrics, '--show-dir', tmp_path / 'drawn',
    )  # fmt: skip
    predictions = pickle.loads(out.read_bytes())  # noqa: S301
    assert [one['img_id'] for one in predictions] == [1, 2, 3]
    instances = predictions[0]['pred_instances']
    assert len(instances['masks']) == len(instances['scores']) > 0
    assert 0 <= json.loads(metrics.read_text())[SCORES['mask-rcnn']] <= 1
    drawn = [Image.open(file).size for file in (tmp_path / 'drawn').glob('*.jpg')]
    assert drawn == [(2 * 96, 96)] * VAL  # the truth is beside it


def test_segmentors_predictions(trained, tmp_path):
    out = tmp_path / 'maps'
    run(
        'test', *trained['fcn'], '--work-dir', tmp_path, '--out', out,
        '--show-dir', tmp_path / 'drawn',
    )  # fmt: skip
    maps = [np.array(Image.open(file)) for file in sorted(out.glob('*.png'))]
    assert [one.shape for one in maps] == [(96, 96)] * VAL
    # as in ADE20K's files: classes from 1, nothing unlabelled
    assert {*np.unique(maps)} <= {*range(1, 12)}
    assert len(list((tmp_path / 'drawn').rglob('*.png'))) == VAL


@pytest.mark.parametrize('kind', PLAIN)
def test_shows_predictions(kind, trained, tmp_path):
    """In a window that nobody sees here."""
    run(
        'test', *trained[kind], '--work-dir', tmp_path, '--show',
        '--wait-time', 0.01,
    )  # fmt: skip
    assert not list(tmp_path.rglob('*.jpg'))


def test_test_time_augmentation(trained, tmp_path):
    options = ['--work-dir', tmp_path, '--tta', '--metrics', tmp_path / 'metrics.json']
    run('test', *trained['fcn'], *options)
    assert 'mIoU' in json.loads((tmp_path / 'metrics.json').read_text())

    path, checkpoint = trained['mask-rcnn']
    text = message('test', path, checkpoint, *options)
    assert 'merges boxes, not masks' in text
    weights = torch.load(checkpoint, weights_only=False)['state_dict']
    weights = {k: v for k, v in weights.items() if 'mask_head' not in k}
    torch.save({'state_dict': weights}, tmp_path / 'boxes.pth')
    run(
        'test', path, tmp_path / 'boxes.pth', *options, '--cfg-options',
        'model.roi_head.mask_head=None', 'model.roi_head.mask_roi_extractor=None',
        'test_evaluator.metric=bbox',
    )  # fmt: skip
    assert 'coco/bbox_mAP' in json.loads((tmp_path / 'metrics.json').read_text())


def test_options_that_do_not_fit_are_refused(trained, tmp_path, capsys):
    where = ['--work-dir', tmp_path]
    text = message('test', *trained['mask-rcnn'], '--out', 'a.txt', *where)
    assert "--out 'a.txt'" in text
    assert '.pkl' in text
    options = ['--show-dir', tmp_path, '--interval', 2, *where]
    text = message('test', *trained['mask-rcnn'], *options)
    assert '--interval 2: mmdet draws every image' in text
    file = tmp_path / 'file'
    file.touch()
    text = message('test', *trained['fcn'], '--out', file, *where)
    assert 'need a folder' in text
    assert message('test', *trained['fcn'], '--metrics', 'a.pkl') == '2'
    assert '--metrics is a .json file' in capsys.readouterr().err


def test_dist_scripts(trained, tmp_path):
    """A detector is trained by two processes while a segmentor is tested by one."""
    tools = ROOT / 'tools' / 'downstream'
    training = begin(
        'bash', tools / 'dist_train.sh', trained['mask-rcnn'][0], 2,
        '--work-dir', tmp_path,
    )  # fmt: skip
    testing = begin(
        'bash', tools / 'dist_test.sh', *trained['fcn'], 1,
        '--work-dir', tmp_path / 'test', '--metrics', tmp_path / 'metrics.json',
    )  # fmt: skip
    end(training)
    end(testing)
    assert (tmp_path / 'epoch_1.pth').is_file()
    assert 'mIoU' in json.loads((tmp_path / 'metrics.json').read_text())


def test_comparison_of_nothing_is_refused(tmp_path, capsys):
    options = ['--scenes', tmp_path, '--work-dir', tmp_path / 'runs']
    assert ended('compare-scenes', *options) == '2'
    assert f'python -m mmvitkd draw-scenes {tmp_path}' in capsys.readouterr().err


def test_comparison_goes_from_students_to_pictures(scenes, tmp_path, capsys):
    """One epoch of each training; what is finished is not run again."""
    options = [
        '--scenes', scenes, '--work-dir', tmp_path / 'runs',
        '--seeds', 1, '--max-epochs', 1, '--gpus', 0, '--jobs', 2,
        '--out', tmp_path / 'out',
    ]  # fmt: skip
    assert ended('compare-scenes', *options) == 'False'
    assert '9 of 9 runs to do' in capsys.readouterr().out
    lines = csv.DictReader((tmp_path / 'out/downstream/downstream.csv').open())
    values = {(line['metric'], line['init']): line['values'] for line in lines}
    assert len(values) == 9
    assert all(0 <= float(value) <= 100 for value in values.values())
    page = (tmp_path / 'out' / 'downstream.md').read_text()
    assert page.count('of one seed, which tells nothing') == 3
    assert '6 of 6 fine-tunings are finished' in page
    for task in ('detection', 'segmentation'):
        picture = Image.open(tmp_path / 'out' / 'downstream' / f'{task}.png')
        assert picture.width > 1000
    # each began with its own student
    runs = {
        path.parent.parent.name.rsplit('-', 1)[0]: json.loads(path.read_text())
        for path in (tmp_path / 'runs').glob('*/seed0/config.json')
    }
    for task in ('detection', 'segmentation'):
        begun = {
            init: runs[f'{task}-{init}']['model']['backbone']['init_cfg']
            for init in ('scratch', 'plain', 'vitkd')
        }
        assert begun['scratch'] is None
        assert '/digits-student-' in begun['plain']['checkpoint']
        assert '/digits-ViTKD-' in begun['vitkd']['checkpoint']
    assert ended('compare-scenes', *options) == 'False'
    assert '0 of 9 runs to do' in capsys.readouterr().out
