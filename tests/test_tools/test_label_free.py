"""From images without labels to a fine-tuned student that had no head."""

import pytest
import torch
from mmengine.config import Config

from tests.helpers import MIMIC, NKD, vit
from tests.test_tools.runs import config, kill, message, run, run_together, weights

LAST = 'backbone.ln1'
TOKEN = {'path': LAST, 'tokens': 'cls'}
LINEAR = {'type': 'LinearProjector'}
QUEUE = {
    'student': TOKEN,
    'teacher': TOKEN,
    'neck': LINEAR,
    'loss': {'type': 'QueueKLLoss', 'size': 40},
}
RELATION = {**MIMIC, 'neck': None, 'loss': {'type': 'RelationKLLoss'}}
MASKED = {
    **MIMIC,
    'view': {'type': 'MaskedView'},
    'loss': {'type': 'ViTKDGenLoss', 'reduction': 'mean'},
}
TERMS = {'queue': QUEUE, 'relation': RELATION, 'masked': MASKED}
HOOK = {'type': 'FeatureProbeHook', 'k': 3}


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp('label_free')
    student = vit(16, drop_path_rate=0.3)
    del student['head']
    changes = {
        'model.student': {'_delete_': True, **student},
        'model.terms': {'_delete_': True, **TERMS},
        'model.task_weight': 0.0,
        'val_evaluator': [],
        'test_evaluator': [],
        'default_hooks.checkpoint': {'interval': 1, 'save_best': 'knn3/top1'},
    }
    file = config(folder, 'run', **changes)
    cfg = Config.fromfile(file)
    cfg.custom_hooks = [*cfg.custom_hooks, HOOK]
    cfg.dump(file)
    return folder


@pytest.fixture(scope='module')
def trained(folder):
    run('train', folder / 'run.py', '--work-dir', folder / 'work')
    return folder / 'work' / 'epoch_2.pth'


def test_the_queue_is_in_the_checkpoint_and_not_in_the_export(folder, trained):
    held = weights(trained)
    assert held['terms.queue.loss.queue'].shape == (40, 24)
    assert held['terms.queue.loss.count'] == 40  # of 128 images that have passed
    norms = held['terms.queue.loss.queue'].norm(dim=1)
    torch.testing.assert_close(norms, torch.ones(40))
    run(
        'export_student', trained, folder / 'student.pth', '--config', folder / 'run.py'
    )
    exported = weights(folder / 'student.pth')
    assert exported and all(name.startswith('backbone.') for name in exported)
    assert Config.fromfile(folder / 'student.py').model.get('head') is None


@pytest.mark.slow
def test_a_killed_run_ends_as_an_uninterrupted_one(folder, trained):
    kill(6, folder / 'run.py', '--work-dir', folder / 'killed')
    run('train', folder / 'run.py', '--work-dir', folder / 'killed', '--resume')
    one, two = weights(trained), weights(folder / 'killed' / 'epoch_2.pth')
    assert one.keys() == two.keys()
    assert all(torch.equal(one[key], two[key]) for key in one)
    best = sorted(path.name for path in (folder / 'work').glob('best_*'))
    assert best == sorted(path.name for path in (folder / 'killed').glob('best_*'))


@pytest.mark.slow
def test_the_queue_of_two_processes_is_one(folder):
    """So that a resumed run has it whole: it holds the images of both."""
    file = folder / 'run.py'
    run_together(2, 'train', file, '--work-dir', folder / 'two')
    kill(3, file, '--work-dir', folder / 'again', processes=2)
    run_together(2, 'train', file, '--work-dir', folder / 'again', '--resume')
    one, two = (weights(folder / n / 'epoch_2.pth') for n in ('two', 'again'))
    assert one['terms.queue.loss.count'] == 40
    assert all(torch.equal(one[key], two[key]) for key in one)


def test_it_is_fine_tuned(folder, trained):
    cfg = Config.fromfile(folder / 'run.py')
    init = {'type': 'StrictPretrained', 'checkpoint': str(trained)}
    cfg.model = vit(16, init_cfg={**init, 'prefix': 'student.backbone.'})
    cfg.val_evaluator = cfg.test_evaluator = {'type': 'Accuracy', 'topk': 1}
    cfg.default_hooks.pop('checkpoint')
    cfg.custom_hooks = []
    cfg.optim_wrapper.optimizer.lr = 0.0
    cfg.dump(folder / 'finetune.py')
    run('train', folder / 'finetune.py', '--work-dir', folder / 'finetuned')
    before, after = weights(trained), weights(folder / 'finetuned' / 'epoch_2.pth')
    for name in after:
        if name.startswith('backbone.'):
            assert torch.equal(after[name], before[f'student.{name}'])
    assert 'head.layers.head.weight' in after


@pytest.mark.parametrize(
    ('changes', 'said'),
    [
        ({'model.task_weight': 1.0}, 'has no head that labels could teach'),
        ({'val_evaluator': {'type': 'Accuracy'}}, 'pred_label'),
    ],
)
def test_what_a_student_without_a_head_can_not_do(folder, tmp_path, changes, said):
    cfg = Config.fromfile(folder / 'run.py')
    for key, value in changes.items():
        part, _, name = key.rpartition('.')
        (cfg[part] if part else cfg)[name] = value
    cfg.dump(tmp_path / 'bad.py')
    assert said in message(
        'train', tmp_path / 'bad.py', '--work-dir', tmp_path / 'work'
    )


@pytest.mark.parametrize('name', ['KDLoss', 'NKDLoss', 'LogitMSELoss'])
def test_logits_of_a_teacher_without_a_head(tmp_path, name):
    teacher = {
        'type': 'TimmClassifier', 'model_name': 'vit_tiny_patch16_224', 'img_size': 32,
        'patch_size': 8, 'embed_dim': 16, 'depth': 1, 'num_heads': 2, 'num_classes': 0,
    }  # fmt: skip
    term = {**NKD, 'teacher': 'model.head', 'loss': {'type': name}}
    file = config(tmp_path, 'run', **{'model.terms': {'_delete_': True, 'kd': term}})
    cfg = Config.fromfile(file)
    cfg.model.teacher.cfg = teacher  # the file is not read
    cfg.dump(file)
    text = message('train', file, '--work-dir', tmp_path / 'work')
    assert (
        f"term 'kd': {name} compares logits, and the teacher (TimmClassifier)" in text
    )
