import re
import shutil
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from mmpretrain import ImageClassificationInferencer

from mmvitkd.commands import main
from mmvitkd.datasets.pipeline_size import pipeline_size
from mmvitkd.registry import DATASETS
from mmvitkd.utils import load_checkpoint, weights_of
from mmvitkd.utils.config_check import read_config
from mmvitkd.utils.export import export_student
from tests.helpers import build, save_weights, vit
from tests.shrink import CONFIGS, RUNNABLE, image_folder, shrink


def template(name: str) -> Path:
    return CONFIGS / 'own_data' / f'{name}_own-data.py'


TEMPLATE = template('vitkd')
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


def test_five_lines_are_all_that_changes(tmp_path):
    """From an image folder and a teacher's files to a classified image."""
    images = image_folder(tmp_path / 'my images', each=6)
    teacher = tmp_path / 'my_teacher.py'
    teacher.write_text(f'model = {vit(24, classes=7)!r}')
    weights = save_weights(vit(24, classes=7), tmp_path / 'my_teacher.pth')
    cfg = copied(
        tmp_path,
        data_root=str(images),
        num_classes=10,
        image_size=96,
        teacher_cfg=str(teacher),
        teacher_checkpoint=str(weights),
    )
    assert cfg.model.teacher == {'cfg': str(teacher), 'checkpoint': str(weights)}
    assert cfg.train_dataloader.dataset.data_root == str(images)
    train, test = (cfg[f'{s}_dataloader'].dataset.pipeline for s in ('train', 'test'))
    assert (train[1].scale, test[1].scale, test[2].crop_size) == (96, 109, 96)
    assert cfg.model.student.backbone.img_size == 96

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


@pytest.mark.parametrize('name', ['teacher', 'vitkd', 'vitkd-nkd'])
def test_a_config_that_inherits_from_the_template_is_followed(name, tmp_path):
    """As `new-config` writes it, with its lines changed, and by options."""
    path = tmp_path / 'mine.py'
    main('new-config', [f'{name}_own-data', str(path)])
    model = read_config(path).model
    assert model.pop('_scope_') == 'mmvitkd'
    assert model == Config.fromfile(template(name)).model
    text = path.read_text()
    lines = {'data_root': 'my/own', 'num_classes': 3, 'image_size': 384}
    for key, value in lines.items():
        text, count = re.subn(rf'(?m)^{key} = .*$', f'{key} = {value!r}', text)
        assert count == 1
    changed = tmp_path / 'changed.py'
    changed.write_text(text)
    for cfg in (read_config(changed), read_config(path, lines)):
        student = cfg.model.get('student', cfg.model)
        assert (student.backbone.img_size, student.head.num_classes) == (384, 3)
        assert cfg.data_preprocessor.num_classes == 3
        for split in ('train', 'val', 'test'):
            dataset = cfg[f'{split}_dataloader'].dataset
            assert (dataset.data_root, dataset.num_classes) == ('my/own', 3)
            assert pipeline_size(dataset, 'mmpretrain') == (384, 384)


def test_teacher_is_of_those_lines(tmp_path):
    path = tmp_path / 'mine.py'
    for name in ('vitkd', 'vitkd-nkd'):
        path.unlink(missing_ok=True)
        main('new-config', [f'{name}_own-data', str(path)])
        options = {'teacher_cfg': 'a.py', 'teacher_checkpoint': 'a.pth'}
        teacher = read_config(path, options).model.teacher
        assert teacher == {'cfg': 'a.py', 'checkpoint': 'a.pth'}


def test_new_config_refuses_what_it_can_not_write(tmp_path, capsys):
    path = tmp_path / 'mine.py'
    path.write_text('# mine')

    def refusal(*args: object) -> str:
        with pytest.raises(SystemExit) as end:
            main('new-config', [str(arg) for arg in args])
        assert end.value.code == 2
        return capsys.readouterr().err

    assert 'exists already' in refusal('vitkd_own-data', path)
    assert path.read_text() == '# mine'
    told = refusal('vitkd_own_data', tmp_path / 'new.py')
    assert "no template 'vitkd_own_data': did you mean 'vitkd_own-data'?" in told
    assert 'a config is a .py file' in refusal('vitkd_own-data', tmp_path / 'new')
    assert 'there is no folder' in refusal('vitkd_own-data', tmp_path / 'no' / 'a.py')
    assert 'give the file to write' in refusal('vitkd_own-data')


def test_new_config_lists_every_runnable_config(capsys):
    main('new-config', [])
    names = set(capsys.readouterr().out.split('\n')[::2]) - {''}
    assert names >= {path.stem for path in RUNNABLE}
    assert 'methods' not in names


def test_without_a_test_folder_the_log_says_whose_figures_it_shows(tmp_path, log):
    images = image_folder(tmp_path / 'images', each=2)
    cfg = copied(tmp_path, data_root=str(images)).test_dataloader.dataset
    cfg.pipeline = []
    dataset = DATASETS.build(cfg)
    (told,) = [r.message for r in log.records if 'optimistic' in r.message]
    assert f"there is no '{images / 'test'}'" in told
    log.clear()
    assert Path(dataset.img_prefix).name == 'val'
    shutil.copytree(images / 'val', images / 'test')
    (images / 'test' / 'digit_4' / '0.png').unlink()
    assert len(DATASETS.build(cfg)) == len(dataset) - 1
    assert not [r for r in log.records if 'optimistic' in r.message]


def test_guide_shows_the_templates_five_lines():
    marked = re.search(
        r'^# -+ the five lines.*?$\n(.*?)^# -+ all below',
        TEMPLATE.read_text(),
        flags=re.MULTILINE | re.DOTALL,
    )
    lines = marked[1].splitlines()
    assert len(lines) == 5
    guide = GUIDE.read_text()
    for line in lines:
        assert line.split(' = ')[0] + ' = ' in guide
