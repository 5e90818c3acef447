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
from mmvitkd.datasets import Digits, FashionMNIST, fashion_mnist, held_out_split
from mmvitkd.experiments.scenes import PROTOCOLS
from mmvitkd.experiments.scenes.sources import paint_article
from mmvitkd.registry import DATASETS
from tests.helpers import save_weights
from tests.shrink import CONFIGS
from tests.test_tools.runs import ROOT, begin, end, message, run

pytestmark = [pytest.mark.onedl_only, pytest.mark.slow]

FOLDER = CONFIGS / 'downstream'
EVERY = {
    path.stem: path
    for folder in ('digit_scenes', 'fashion_mnist_scenes')
    for path in sorted((FOLDER / folder).glob('*.py'))
}
DETECTOR = 'mask-rcnn_vitdet-w32_digit-scenes'
SEGMENTOR = 'fcn_vit-w32_digit-scenes'
PLAIN = {'mask-rcnn': DETECTOR, 'fcn': SEGMENTOR}
HAS_IMAGES = any(
    fashion_mnist.has_all(folder)
    for folder in (fashion_mnist.DOWNLOADED, fashion_mnist.DEBIAN)
)
STUDENTS = {
    'digit-scenes': CONFIGS / 'digits' / 'digits_student.py',
    'fashion-mnist-scenes': CONFIGS / 'fashion_mnist' / 'fashion-mnist_student.py',
}
# nothing is skipped where the images are not
KINDS = ['digit-scenes', *['fashion-mnist-scenes'] * HAS_IMAGES]
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
def articles(tmp_path_factory):
    out = tmp_path_factory.mktemp('articles') / 'scenes'
    return draw(out, '--dataset', 'fashion-mnist')


@pytest.fixture
def drawn(request, kind):
    """The scenes of either kind."""
    name = {'digit-scenes': 'scenes', 'fashion-mnist-scenes': 'articles'}[kind]
    return request.getfixturevalue(name)


@pytest.fixture(scope='module')
def student(tmp_path_factory):
    return begin_with('digit-scenes', tmp_path_factory.mktemp('student'))


def begin_with(kind: str, folder: Path) -> Path:
    """Random weights of the scenes' student, as those of its own training."""
    model = Config.fromfile(STUDENTS[kind]).model
    return save_weights(model, folder / 'student.pth')


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
    """A config's own data set, by mmdet's or mmseg's class, without what is random."""
    cfg = load(name, scenes, scenes, scenes)
    dataset = cfg[f'{split}_dataloader'].dataset
    dataset.pipeline = [one for one in dataset.pipeline if one.type != 'RandomFlip']
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        return DATASETS.build(dataset)


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in folder.rglob('*')
        if file.is_file()
    }


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('split', ['train', 'val'])
def test_both_formats_tell_the_same(split, kind, drawn):
    """Labels, boxes and masks of CocoDataset are those of BaseSegDataset's maps."""
    names = (f'mask-rcnn_vitdet-w32_{kind}', f'fcn_vit-w32_{kind}')
    coco, ade = (build_dataset(name, split, drawn) for name in names)
    assert len(coco) == len(ade) == {'train': TRAIN, 'val': VAL}[split]
    for one, other in zip(coco, ade, strict=True):
        assert torch.equal(one['inputs'], other['inputs'])
        truth = one['data_samples'].gt_instances
        assert 1 <= len(truth) <= 4
        painted = torch.zeros(96, 96, dtype=torch.long)  # the background
        for label, mask, box in zip(
            truth.labels, truth.masks.masks, truth.bboxes.tensor, strict=True
        ):
            mask = torch.from_numpy(mask).bool()
            assert not painted[mask].any()  # they do not overlap
            painted[mask] = int(label) + 1
            rows, columns = mask.any(1).nonzero(), mask.any(0).nonzero()
            corners = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
            assert box.tolist() == [int(corner) for corner in corners]
        labels = other['data_samples'].gt_sem_seg.data[0]
        rim = labels == 255
        assert 0 < rim.sum() < 0.2 * rim.numel()
        assert not painted[rim].any()
        assert torch.equal(labels[~rim], painted[~rim])


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


def read(scenes: Path, split: str) -> dict:
    file = scenes / 'coco' / 'annotations' / f'instances_{split}2017.json'
    return json.loads(file.read_text())


def test_splits_share_neither_scans_nor_photographs(scenes):
    train, val = (read(scenes, split) for split in ('train', 'val'))
    for part, key in (('images', 'photograph'), ('annotations', 'scan')):
        assert not {one[key] for one in train[part]} & {one[key] for one in val[part]}


if HAS_IMAGES:

    def test_articles_are_of_the_students_own_splits(articles, tmp_path):
        """Test scenes have test images; settings are chosen by those held out."""
        tuning = draw(tmp_path / 'tuning', '--dataset', 'fashion-mnist', '--tuning')
        published = {split: FashionMNIST(split=split) for split in ('train', 'test')}
        parts = {
            split: {
                one['img'].tobytes()
                for one in held_out_split({'type': 'FashionMNIST'}, 10000, split)
            }
            for split in ('train', 'val')
        }
        behind = {}
        for scenes, split, source, part in (
            (articles, 'train', 'train', 'train'),
            (articles, 'val', 'test', None),
            (tuning, 'val', 'train', 'val'),
        ):
            data = read(scenes, split)
            behind[part] = {one['photograph'] for one in data['images']}
            for one in data['annotations']:
                image = published[source][one['image']]
                assert one['category_id'] == image['gt_label'] + 1
                assert part is None or image['img'].tobytes() in parts[part]
        assert not behind['train'] & behind['val']
        assert not behind['train'] & behind[None]
        assert not behind['val'] & behind[None]
        # training scenes stay the same
        assert bytes_of(tuning / 'coco' / 'train2017') == bytes_of(
            articles / 'coco' / 'train2017'
        )
        options = ['--dataset', 'fashion-mnist', '--train', TRAIN, '--val', VAL]
        text = ended('draw-scenes', tuning, *options)
        assert (
            'other scenes, of fashion-mnist and seed 0 with 5 to train on and 3' in text
        )
        assert 'to tune on' in text


def test_articles_are_cut_out_with_their_dark_insides():
    """What is black within an outline is the article's, not the background's."""
    image = np.zeros((28, 28), np.uint8)
    image[4:24, 4:24] = 200
    image[10:18, 10:18] = 0
    share, grey = paint_article(np.random.RandomState(0), image, 28)
    assert share[4:24, 4:24].min() == 1
    assert share.sum() == 20 * 20
    assert grey.shape == (28, 28, 1)
    assert (grey[..., 0] == image).all()


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
    assert 'other scenes, of digits and seed 0 with 5 to train on' in text
    assert bytes_of(scenes) == before
    (tmp_path / 'mine.txt').write_text('mine')
    assert 'something else' in ended('draw-scenes', tmp_path)
    assert ended('draw-scenes', tmp_path, '--train', 0) == '2'
    assert '--train must be at least 1, got 0' in capsys.readouterr().err


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('stem', sorted({name.rpartition('_')[0] for name in EVERY}))
def test_trains_a_step_and_is_evaluated(stem, kind, drawn, tmp_path):
    name = f'{stem}_{kind}'
    cfg = load(name, drawn, begin_with(kind, tmp_path), tmp_path)
    runner = Runner.from_cfg(cfg)
    runner.train()
    log = runner.message_hub.log_scalars
    assert runner.iter == 1
    losses = [key for key in log if key.startswith('train/') and 'loss' in key]
    assert losses
    assert all(math.isfinite(log[key].current()) for key in losses)
    score = log[f'val/{SCORES[stem.split("_")[0]]}'].current()
    assert 0 <= score <= 100


@pytest.mark.parametrize('kind', STUDENTS)
@pytest.mark.parametrize('stem', ['mask-rcnn_vitdet-w32', 'fcn_vit-w32'])
def test_variants_differ_in_the_beginning_alone(stem, kind):
    names = [f'{stem}{variant}_{kind}' for variant in ('', '-scratch', '-vitkd')]
    configs = [Config.fromfile(EVERY[name]).to_dict() for name in names]
    inits = [cfg['model']['backbone'].pop('init_cfg') for cfg in configs]
    assert configs[0] == configs[1] == configs[2]
    assert inits[1] is None
    files = [init.pop('checkpoint') for init in (inits[0], inits[2])]
    assert inits[0] == inits[2]
    # of the students' own trainings, as long as they are
    plain = STUDENTS[kind]
    dataset = plain.stem.removesuffix('_student')
    vitkd = plain.with_name(f'{PROTOCOLS[dataset].vitkd}.py')
    for file, path in zip(files, (plain, vitkd), strict=True):
        epochs = Config.fromfile(path).train_cfg.max_epochs
        assert file == f'work_dirs/{path.stem}/epoch_{epochs}.pth'


def test_there_are_three_variants_of_each_model():
    assert len(EVERY) == 3 * len(PLAIN) * len(STUDENTS)


@pytest.mark.parametrize('kind', STUDENTS)
@pytest.mark.parametrize('stem', ['mask-rcnn_vitdet-w32', 'fcn_vit-w32'])
def test_students_weights_are_in_the_backbone(stem, kind, scenes, tmp_path):
    file = begin_with(kind, tmp_path)
    weights = torch.load(file)['state_dict']
    cfg = load(f'{stem}_{kind}', scenes, file, tmp_path)
    backbone = Runner.from_cfg(cfg).model.backbone
    backbone.init_weights()
    for key, weight in backbone.state_dict().items():
        if key != 'pos_embed':  # resized to the scenes' grid
            assert torch.equal(weight, weights[f'backbone.{key}']), key


@pytest.mark.parametrize('stem', ['mask-rcnn_vitdet-w32', 'fcn_vit-w32'])
def test_a_seed_gives_both_students_the_same_heads(stem, scenes, tmp_path):
    """So that a difference is the backbones'."""
    heads = []
    for variant, folder in (('', 'plain'), ('-vitkd', 'vitkd')):
        (tmp_path / folder).mkdir()
        file = begin_with('fashion-mnist-scenes', tmp_path / folder)
        name = f'{stem}{variant}_fashion-mnist-scenes'
        cfg = load(name, scenes, file, tmp_path / folder)
        cfg.randomness = {'seed': 1000}
        model = Runner.from_cfg(cfg).model
        model.init_weights()
        heads.append(
            {k: v for k, v in model.state_dict().items() if 'backbone' not in k}
        )
    assert heads[0].keys() == heads[1].keys()
    assert len(heads[0]) > 5
    assert all(torch.equal(heads[0][key], heads[1][key]) for key in heads[0])


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


def test_distilled_models_go_from_classifiers_to_pictures(scenes, tmp_path, capsys):
    """One epoch of each training; what is finished is not run again."""
    options = [
        '--models', '--tasks', 'segmentation', '--scenes', scenes,
        '--work-dir', tmp_path / 'runs', '--seeds', 1, '--max-epochs', 1,
        '--gpus', 0, '--jobs', 2, '--out', tmp_path / 'out',
    ]  # fmt: skip
    assert ended('compare-scenes', *options) == 'False'
    assert '6 of 6 runs to do' in capsys.readouterr().out
    folder = tmp_path / 'out' / 'dense-students'
    lines = csv.DictReader((folder / 'dense-students.csv').open())
    values = {line['init']: float(line['values']) for line in lines}
    assert set(values) == {'teacher', 'plain', 'by-cwd', 'by-vitkd'}
    assert all(0 <= value <= 100 for value in values.values())
    page = (tmp_path / 'out' / 'dense-students.md').read_text()
    assert '4 of 4 fine-tunings are finished' in page
    assert Image.open(folder / 'segmentation.png').width > 800
    assert ended('compare-scenes', *options) == 'False'
    assert '0 of 6 runs to do' in capsys.readouterr().out


def test_what_distilled_models_have_no_part_in_is_refused(scenes, capsys):
    for option in (['--fine-tunings', 2], ['--baseline-only']):
        options = ['--models', '--scenes', scenes, *option]
        assert ended('compare-scenes', *options) == '2'
        assert f'once: no {option[0]}' in capsys.readouterr().err
