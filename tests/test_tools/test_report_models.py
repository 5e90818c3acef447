"""Which teachers, images and classes the report shows, and what it says is missing."""

import json
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.registry import DefaultScope
from PIL import Image as Pillow

from mmvitkd.inspection.images import Image
from mmvitkd.inspection.models import Captured, Classifier
from mmvitkd.inspection.style import save
from mmvitkd.registry import DATASETS
from mmvitkd.reporting import classes, groups, models
from mmvitkd.reporting.inline import inline
from mmvitkd.reporting.predictions import Predictions
from mmvitkd.reporting.runs import find_runs
from tests.helpers import build, vit
from tests.test_models.test_classifiers.test_dry_run import resnet
from tests.test_tools.reports import NAMES, TEST, last_accuracy, rows
from tests.test_tools.runs import run

pytestmark = pytest.mark.slow


def copy_run(runs: Path, to: Path, teacher: str, accuracy: float | None = None) -> None:
    """Copy a distilled run, as if it had this teacher and ended with this accuracy."""
    shutil.copytree(runs / 'taught/seed0', to)
    (config,) = to.glob('*/vis_data/config.py')
    text = config.read_text().replace(str(runs / 'big' / 'epoch_2.pth'), teacher)
    config.write_text(text)
    if accuracy is not None:
        (scalars,) = to.glob('*/vis_data/scalars.json')
        lines = [json.loads(line) for line in scalars.read_text().splitlines()]
        for line in lines:
            if 'accuracy/top1' in line:
                line['accuracy/top1'] = accuracy
        scalars.write_text('\n'.join(map(json.dumps, lines)))


def test_only_the_pair_of_a_teacher_that_is_gone_is_missing(runs, tmp_path):
    copy_run(runs, tmp_path / 'orphan', '/nowhere/gone.pth', accuracy=99.0)
    page = tmp_path / 'report.html'
    run(
        'report', runs, tmp_path / 'orphan', '--out', page, '--csv', tmp_path / 'csv',
        '--count', '8',
    )  # fmt: skip
    text = page.read_text()
    # the best of all, so it is the one whose teacher is looked for first
    assert 'The teacher of orphan can not be looked into: checkpoint' in text
    assert 'what compares orphan with it is missing' in text
    assert {row['model'] for row in rows(page, 'distance')} == {'taught'}
    shown = {row['model'] for row in rows(page, 'attention_summary')}
    assert shown == {'big', 'alone', 'taught', 'orphan'}


def test_a_run_is_not_credited_with_the_teacher_of_another(runs, tmp_path):
    """Though that is the only teacher among the runs."""
    copy_run(runs, tmp_path / 'orphan', '/nowhere/gone.pth', accuracy=99.0)
    page = tmp_path / 'report.html'
    run('report', runs, tmp_path / 'orphan', '--out', page, '--no-analysis')
    text = page.read_text()
    assert 'Best distilled student: orphan, 99.0' in text
    assert 'its teacher' not in text
    run('report', runs, '--out', page, '--no-analysis')
    accuracy = last_accuracy(runs / 'big')
    assert f'; its teacher: {accuracy:.1f} (big)' in page.read_text()


def test_images_that_can_not_be_read_are_left_out_and_named(runs, tmp_path):
    """Of two places: among those that the layers are measured on, and of the rest."""
    rng = np.random.default_rng(0)
    for i in range(80):
        pixels = rng.integers(0, 255, (32, 32, 3), dtype=np.uint8)
        Pillow.fromarray(pixels).save(tmp_path / f'{i:02d}.png')
    lost = sorted({*range(80)} - {*np.linspace(0, 79, 64).astype(int).tolist()})[0]
    for i in (0, lost):
        file = tmp_path / f'{i:02d}.png'
        file.write_bytes(file.read_bytes()[:60])
    names = [f'{i:02d}.png {i % 10}' for i in range(80)]
    (tmp_path / 'test.txt').write_text('\n'.join(names))
    data = tmp_path / 'data.py'
    dataset = {
        'type': 'CustomDataset',
        'data_root': str(tmp_path),
        'ann_file': 'test.txt',
        'pipeline': [{'type': 'LoadImageFromFile'}, {'type': 'PackInputs'}],
    }
    data.write_text(f'test_dataloader = dict(dataset={dataset!r})\n')
    page = tmp_path / 'report.html'
    run('report', runs, '--out', page, '--data', data, '--csv', tmp_path / 'csv')
    text = page.read_text()
    assert 'Images that can&#39;t be read are left out: 00.png: ' in text
    assert f'{lost:02d}.png: ' in text
    assert rows(page, 'attention_summary')
    assert '% of 78 images' in text


def test_teachers_are_those_of_the_runs_own_config(runs, tmp_path):
    other = tmp_path / 'runs' / 'other'
    shutil.copytree(runs / 'big', other)
    copy_run(runs, tmp_path / 'runs' / 'own', str(other / 'epoch_2.pth'))
    found = groups.group_runs(find_runs([runs, tmp_path / 'runs']))
    # the teachers' settings are the same, so they are one group of two runs
    (teachers,) = [group for group in found if group.is_teacher]
    distilled = [group for group in found if group.is_distilled]
    assert {group.name for group in distilled} == {'taught', 'own'}
    assert all(groups.teacher_groups(g, found) == [teachers] for g in distilled)
    loaded = models.read_models(found, groups.TOP1)
    assert len({teacher.name for teacher in loaded.teachers}) == 2
    taught_by = {student.name: teacher.name for student, teacher in loaded.pairs()}
    assert taught_by['own'] != taught_by['taught']
    assert taught_by['alone'] == taught_by[loaded.best]


def test_a_file_of_the_same_name_is_not_taken_for_the_teacher(runs, tmp_path):
    copy_run(runs, tmp_path / 'runs' / 'taught', '/nowhere/gone/epoch_2.pth')
    shutil.copy(runs / 'big' / 'epoch_2.pth', tmp_path / 'runs' / 'epoch_2.pth')
    (one,) = find_runs([tmp_path / 'runs'])
    assert groups.find_weights(one, '/nowhere/gone/epoch_2.pth') is None


def test_attention_is_shown_of_images_of_different_classes_by_name(report):
    images = {row['image'] for row in rows(report, 'class_attention')}
    with DefaultScope.overwrite_default_scope('mmvitkd'):
        data = DATASETS.build(TEST['dataset'])
    labels = [int(data.get_data_info(int(name))['gt_label']) for name in images]
    assert len(labels) == len(set(labels)) == 4
    text = report.read_text()
    for label in labels:
        assert f', label {NAMES[label]}; brightest' in text


def test_numbers_of_logarithmic_axes_are_numbers(report):
    text = report.read_text()
    assert 'relations, mean square' in text  # whose colours are logarithmic
    assert 'mathdefault' not in text


def test_classes_add_up_to_the_accuracy_and_the_confusions(runs, report):
    found = rows(report, 'classes')
    assert {row['class'] for row in found} == set(NAMES)
    assert sum(int(row['images']) for row in found) == 64
    for name in ('alone', 'big'):
        right = sum(float(row[name] or 0) * int(row['images']) for row in found) / 64
        assert right == pytest.approx(last_accuracy(runs / name), abs=1e-3)
        matrix = rows(report, f'confusion-{name}')
        hits = sum(int(row[row['class']]) for row in matrix)
        assert 100 * hits / 64 == pytest.approx(right, abs=1e-3)
        by_class = {row['class']: sum(int(row[n]) for n in NAMES) for row in matrix}
        assert by_class == {row['class']: int(row['images']) for row in found}
    shares = [float(row['taught']) for row in found if row['taught']]
    assert shares == sorted(shares)  # the worst first


def predictions(labels: list[int], answers: list[int], width: int) -> Predictions:
    """What a student of so many classes predicts."""
    loaded = models.LoadedModels(students=[SimpleNamespace(name='s')], best='s')
    found = Predictions(loaded, [], total=1000)
    pixels = np.zeros((1, 1, 3), np.uint8)
    images = [Image(str(i), pixels, label) for i, label in enumerate(labels)]
    logits = torch.nn.functional.one_hot(torch.tensor(answers), width)
    found.update(list(range(len(labels))), images, {'s': Captured([], logits)})
    return found


def test_of_many_classes_the_most_confused_pairs_are_listed(tmp_path):
    labels = [*range(40), 3, 3, 5, 5, 5]
    answers = [*range(40), 4, 4, 6, 3, 6]
    section = classes.classes(predictions(labels, answers, 40), tmp_path)
    assert not list(tmp_path.iterdir())  # no matrix is drawn
    table = section.blocks[-1]
    found = [[cell.text for cell in row] for row in table.rows]
    assert found == [
        ['s', '3', '4', '2', '66.7'],
        ['s', '5', '6', '2', '50.0'],
        ['s', '5', '3', '1', '25.0'],
    ]
    (by_class,) = [b for b in section.blocks if getattr(b, 'name', '') == 'classes']
    assert [cell.text for cell in by_class.rows[0]] == ['5', '4', '25.0', '6 (2)']
    said = ' '.join(getattr(block, 'text', '') for block in section.blocks)
    assert 'Of 45 images out of the 1,000 of the split' in said
    assert '--count 400 takes more' in said


def test_a_model_that_fails_leaves_the_others():
    """The best one, which can't be read, and one that does not take the images."""
    loaded = models.LoadedModels(best='gone')
    names = {'ours': vit(), 'two': resnet(in_channels=2)}
    for name, cfg in names.items():
        loaded.students += loaded.read(name, name, lambda cfg=cfg: build(cfg))
    assert len(loaded.students) == 2
    images = [Image('x', np.zeros((32, 32, 3), np.uint8), 0)] * 4
    loaded.try_on(images)
    assert [model.name for model in loaded.models] == ['ours']
    assert loaded.notes[-1].startswith('two does not run on the images: ')
    found = Predictions(loaded, [], total=4)
    found.update([0, 1, 2, 3], images, {'ours': loaded.students[0].capture(images)})
    assert found.best == 'ours'


def test_without_labels_no_class_is_judged(tmp_path):
    section = classes.classes(predictions([0, -1], [0, 1], 2), tmp_path)
    assert [block.text for block in section.blocks] == [
        'Images with one label each are needed for this.'
    ]


def test_a_model_without_attention_still_predicts():
    loaded = models.LoadedModels()
    (model,) = loaded.read('The run cnn', 'cnn', lambda: build(resnet()))
    assert type(model) is Classifier
    assert 'Of cnn there are predictions alone' in loaded.notes[0]
    image = Image('x', np.zeros((32, 32, 3), np.uint8))
    assert model.capture([image, image]).logits.shape == (2, 10)
    assert loaded.read('The run vit', 'vit', lambda: build(vit())) != []
    assert len(loaded.notes) == 1


def test_a_drawing_in_the_page_runs_nothing_and_names_nothing_twice(tmp_path):
    from matplotlib import pyplot as plt

    evil = '<script>alert(1)</script>"onload="x'
    figure, axes = plt.subplots()
    axes.plot([0, 1], label=evil)
    axes.set_title(evil)
    axes.legend()
    save(figure, tmp_path / 'figure')
    drawn, width = inline(tmp_path / 'figure.svg', evil, 'a1')
    assert '<script' not in drawn
    assert '<style' not in drawn
    assert (
        'aria-label="&lt;script&gt;alert(1)&lt;/script&gt;&quot;onload=&quot;x"'
        in drawn
    )
    assert width > 400
    names = re.findall(r' id="([^"]*)"', drawn)
    assert names
    assert all(f'#{name}' in drawn for name in names)
    assert '#000000' not in drawn
