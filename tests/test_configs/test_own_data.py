import re
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from mmpretrain import ImageClassificationInferencer

from mmvitkd.utils import load_checkpoint, weights_of
from mmvitkd.utils.export import export_student
from tests.helpers import build, save_weights, vit
from tests.shrink import CONFIGS, image_folder, shrink

TEMPLATE = CONFIGS / 'own_data' / 'vitkd_own-data.py'
GUIDE = CONFIGS.parent / 'docs' / 'own_data.md'


def copied(folder: Path, name: str = TEMPLATE.name, **lines: object) -> Config:
    """Copy the folder of templates, change lines of the main one, read one."""
    for path in TEMPLATE.parent.glob('*.py'):
        text = path.read_text()
        if path == TEMPLATE:
            for key, value in lines.items():
                text, count = re.subn(
                    rf'^{key} = .*$', f'{key} = {value!r}', text, flags=re.MULTILINE
                )
                assert count == 1
        (folder / path.name).write_text(text)
    return Config.fromfile(folder / name)


def test_four_lines_are_all_that_changes(tmp_path):
    """From an image folder and a teacher's files to a classified image."""
    images = image_folder(tmp_path / 'my images', each=6)
    teacher = tmp_path / 'my_teacher.py'
    teacher.write_text(f'model = {vit(24, classes=7)!r}')
    weights = save_weights(vit(24, classes=7), tmp_path / 'my_teacher.pth')
    cfg = copied(
        tmp_path,
        data_root=str(images),
        num_classes=10,
        teacher_cfg=str(teacher),
        teacher_checkpoint=str(weights),
    )
    assert cfg.model.teacher == {'cfg': str(teacher), 'checkpoint': str(weights)}
    assert cfg.train_dataloader.dataset.data_root == str(images)

    cfg = shrink(cfg, tmp_path)
    del cfg.train_dataloader.dataset['indices'], cfg.val_dataloader.dataset['indices']
    runner = Runner.from_cfg(cfg)
    runner.train()
    assert len(runner.train_dataloader.dataset) == 60
    assert runner.iter == 15
    assert runner.message_hub.get_scalar('val/accuracy/top1').current() >= 0
    (best,) = (tmp_path / 'work_dir').glob('best_accuracy_top1_epoch_1.pth')

    config = tmp_path / 'work_dir' / 'vitkd_own-data.py'  # written by the run
    student = export_student(best, tmp_path / 'student.pth', config=config)
    ask = ImageClassificationInferencer(
        str(student.with_suffix('.py')), pretrained=str(student), device='cpu'
    )
    (answer,) = ask(str(images / 'val' / 'digit_4' / '0.png'))
    assert len(answer['pred_scores']) == 10
    assert re.fullmatch(r'digit_\d', answer['pred_class'])


def test_student_begins_with_the_published_weights(tmp_path):
    cfg = shrink(Config.fromfile(TEMPLATE), tmp_path)
    model = build({**cfg.model, 'data_preprocessor': cfg.data_preprocessor})
    model.init_weights()
    published = weights_of(
        load_checkpoint(cfg.model.student.backbone.init_cfg.checkpoint), 'backbone.'
    )
    begun = model.student.backbone.state_dict()
    assert all(torch.equal(begun[name], published[name]) for name in begun)
    assert model.student.head.num_classes == 10


def test_number_of_classes_goes_everywhere(tmp_path):
    for name in ('vitkd_own-data.py', 'vitkd-nkd_own-data.py', 'teacher_own-data.py'):
        cfg = copied(tmp_path, name, num_classes=3, data_root='elsewhere')
        assert cfg.model.get('student', cfg.model).head.num_classes == 3
        assert cfg.data_preprocessor.num_classes == 3
        for split in ('train', 'val', 'test'):
            dataset = cfg[f'{split}_dataloader'].dataset
            assert (dataset.num_classes, dataset.data_root) == (3, 'elsewhere')


def test_template_and_papers_runs_have_the_same_terms():
    """The template can be copied anywhere, so it repeats them."""
    ours = Config.fromfile(TEMPLATE).model.terms
    vit_terms = Config.fromfile(CONFIGS / '_base_' / 'terms' / 'vitkd_vit.py')
    assert ours == vit_terms.vitkd_terms
    ours = Config.fromfile(TEMPLATE.with_name('vitkd-nkd_own-data.py')).model.terms
    nkd = Config.fromfile(CONFIGS / '_base_' / 'terms' / 'nkd.py')
    assert ours.nkd == nkd.nkd_term


def test_default_teacher_and_student_are_the_papers():
    ours = Config.fromfile(TEMPLATE)
    name = 'vitkd_deit-tiny_deit3-small_8xb128_in1k.py'
    papers = Config.fromfile(CONFIGS / 'vitkd' / name).model
    assert ours.model.teacher == papers.teacher
    assert ours.model.student.backbone.arch == papers.student.backbone.arch


def test_own_teacher_is_the_corrected_deit3(tmp_path):
    """The same network as a published teacher, with the student's classes."""
    cfg = Config.fromfile(TEMPLATE.with_name('teacher_own-data.py'))
    assert cfg.model.backbone.type == 'mmvitkd.DeiT3'
    model = build(shrink(cfg, tmp_path).model)
    assert type(model.backbone).__module__.startswith('mmvitkd.')
    assert model.head.num_classes == 10


def test_nkd_under_a_teacher_of_other_classes_is_refused(tmp_path):
    cfg = shrink(Config.fromfile(TEMPLATE.with_name('vitkd-nkd_own-data.py')), tmp_path)
    cfg.model.teacher.cfg.model.head.num_classes = 1000
    with pytest.raises(ValueError, match='10 classes and the teacher 1000'):
        build({**cfg.model, 'data_preprocessor': cfg.data_preprocessor})


def test_guide_shows_the_templates_four_lines():
    marked = re.search(
        r'^# -+ the four lines.*?$\n(.*?)^# -+$',
        TEMPLATE.read_text(),
        flags=re.MULTILINE | re.DOTALL,
    )
    lines = [line.removesuffix('  # noqa: E501') for line in marked[1].splitlines()]
    assert len(lines) == 4
    guide = GUIDE.read_text()
    for line in lines:
        assert line.split(' = ')[0] + ' = ' in guide
