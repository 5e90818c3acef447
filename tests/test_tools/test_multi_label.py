"""Students whose images have several classes, under a teacher's features."""

import json

import numpy as np
import pytest
import torch
from mmpretrain.structures import DataSample
from PIL import Image
from sklearn.datasets import load_digits

from mmvitkd.models.classifiers.classes import (
    count_classes,
    has_one_label,
    is_multi_label,
    labels_of,
)
from tests.helpers import MIMIC, build, samples, vit
from tests.test_tools.runs import PIPELINE, config, run

LINEAR = {
    **vit(16),
    'head': {'type': 'MultiLabelLinearClsHead', 'num_classes': 10, 'in_channels': 16},
}
CSRA = {
    'type': 'ImageClassifier',
    'backbone': {'type': 'ResNet', 'depth': 18, 'base_channels': 8, 'stem_channels': 8},
    'head': {
        'type': 'CSRAClsHead',
        'num_classes': 10,
        'in_channels': 64,
        'num_heads': 1,
        'lam': 0.1,
    },
}
STUDENTS = {'linear': (LINEAR, 'backbone.layers.0'), 'csra': (CSRA, 'backbone.layer2')}


def pairs(folder, kind):
    """Two digits beside each other, whose labels are one, two, or none for blanks."""
    scans, labels = load_digits(return_X_y=True)
    scans = np.rint(scans.reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)
    annotations = []
    for i in range(0, 48, 2):
        image = np.concatenate([scans[i], scans[i + 1]], 1)  # (8, 16)
        found = sorted({int(labels[i]), int(labels[i + 1])})
        if i % 12 == 0:
            image, found = image * 0, []
        Image.fromarray(image).resize((32, 32)).save(folder / f'{i}.png')
        score = [int(c in found) for c in range(10)]
        label = {'gt_label': found} if kind == 'label' else {'gt_score': score}
        annotations.append({'img_path': str(folder / f'{i}.png'), **label})
    whole = {'metainfo': {'classes': list('0123456789')}, 'data_list': annotations}
    (folder / 'pairs.json').write_text(json.dumps(whole))
    return {
        'batch_size': 8,
        'num_workers': 0,
        'sampler': {'type': 'DefaultSampler', 'shuffle': True},
        'dataset': {
            'type': 'MultiLabelDataset',
            'ann_file': str(folder / 'pairs.json'),
            'pipeline': [{'type': 'LoadImageFromFile'}, *PIPELINE],
        },
    }


@pytest.mark.parametrize('student', STUDENTS)
@pytest.mark.parametrize('kind', ['label', 'score'])
def test_a_run_under_features(tmp_path, student, kind):
    """With check and monitor, which leave accuracies out."""
    model, tap = STUDENTS[student]
    term = {**MIMIC, 'student': tap, 'neck': {'type': 'LinearProjector'}}
    loader = pairs(tmp_path, kind)
    metric = {'type': 'MultiLabelMetric', 'average': 'micro', 'thr': 0.5}
    cfg = config(
        tmp_path,
        **{
            'model.student': {'_delete_': True, **model},
            'model.terms': {'_delete_': True, 'mimic0': term},
            'train_dataloader': {'_delete_': True, **loader},
            'val_dataloader': {'_delete_': True, **loader},
            'val_evaluator': {'_delete_': True, **metric},
            'train_cfg.max_epochs': 1,
            'default_hooks.monitor': {
                'type': 'mmvitkd.DistillationMonitorHook',
                'interval': 1,
            },
        },
    )
    runner = run('train', cfg, '--work-dir', tmp_path / 'run')
    assert (
        runner.message_hub.get_scalar('val/multi-label/f1-score_micro').current() >= 0
    )
    (log,) = (tmp_path / 'run').rglob('*.log')
    text = log.read_text()
    assert 'not tried, as an image may have several classes' in text
    looks = [line for line in text.splitlines() if 'Distillation [' in line]
    assert len(looks) == 3
    assert all('cosine' in line and 'accuracy' not in line for line in looks)
    assert 'no training image' not in text


def several(*labels):
    return [DataSample().set_gt_label(list(label)) for label in labels]


def test_labels_of_several_classes_are_scores():
    student = build(LINEAR)
    scores = labels_of(several([0, 3], [], [9]), student)
    assert scores.nonzero().tolist() == [[0, 0], [0, 3], [2, 9]]
    assert scores.shape == (3, 10)
    # whatever the batch happens to hold
    assert labels_of(samples([1, 2]), student).shape == (2, 10)
    assert torch.equal(labels_of(samples([1, 2]), build(vit())), torch.tensor([1, 2]))
    assert labels_of(None, student) is None
    assert labels_of([DataSample()], student) is None


def test_who_has_several_classes():
    assert is_multi_label(build(LINEAR))
    assert is_multi_label(build(CSRA))
    assert count_classes(build(CSRA)) == 10
    plain = build(vit())
    assert not is_multi_label(plain)
    mixed = torch.tensor([[0.3, 0.7], [1.0, 1.0], [0.0, 0.0], [1.0, 0.0]])
    assert has_one_label(mixed).tolist() == [True, False, False, True]
    assert has_one_label(torch.tensor([3, 0])).tolist() == [True, True]


def test_of_a_plain_head_images_with_one_class_are_counted(tmp_path):
    """Scores of several classes, as one trains them by a sigmoid."""
    loader = pairs(tmp_path, 'score')
    changes = {
        'model.terms': {'_delete_': True, 'mimic0': MIMIC},
        'model.student.train_cfg': None,
        'train_dataloader': {'_delete_': True, **loader},
        'val_dataloader': None,
        'val_evaluator': None,
        'val_cfg': None,
        'train_cfg.max_epochs': 1,
    }
    cfg = config(tmp_path, **changes)
    run('train', cfg, '--work-dir', tmp_path / 'run')
    (log,) = (tmp_path / 'run').rglob('*.log')
    annotated = json.loads((tmp_path / 'pairs.json').read_text())['data_list']
    single = sum(sum(image['gt_score']) == 1 for image in annotated)
    assert single
    assert f' of {single} training images' in log.read_text()
