"""Accuracy against latency in the report, of models that were really timed."""

import csv
import re
import shutil

import pytest

from mmvitkd.commands import main
from tests.test_tools.reports import last_accuracy, rows
from tests.test_tools.runs import message, run


@pytest.fixture(scope='module')
def timed(runs, tmp_path_factory):
    """The work dirs with what the command latency has written beside them."""
    folder = tmp_path_factory.mktemp('timed')
    models = [runs / name / 'epoch_2.pth' for name in ('alone', 'taught/seed1')]
    options = ['--runtime', 'eager', '--rounds', 2, '--warm-up', 0]
    args = [*models, *options, '--out', folder / 'latency']
    main('latency', [str(arg) for arg in args])
    return folder / 'latency' / 'latency.csv'


def report(work_dir, folder, *options):
    page = folder / 'report.html'
    options = ('--no-analysis', '--csv', folder / 'csv', *options)
    run('report', work_dir, '--out', page, *options)
    return page


def test_the_models_are_the_runs_and_their_accuracies(runs, timed, tmp_path):
    """Of seeds that were timed once, the mean over all; the times are the file's."""
    page = report(runs, tmp_path, '--latency', timed)
    found = {row['model']: row for row in rows(page, 'latency')}
    seeds = [last_accuracy(runs / f'taught/seed{seed}') for seed in (0, 1)]
    wanted = {'alone': last_accuracy(runs / 'alone'), 'taught': sum(seeds) / 2}
    accuracies = {k: float(row['accuracy/top1']) for k, row in found.items()}
    assert accuracies == pytest.approx(wanted)
    with timed.open() as file:
        first = next(csv.DictReader(file))
    assert float(found['alone']['p50, ms']) == pytest.approx(
        1000 * float(first['p50_seconds'])
    )
    drawn = {row['model']: float(row['ms']) for row in rows(page, 'latency-accuracy')}
    assert drawn == {k: float(row['p50, ms']) for k, row in found.items()}
    text = page.read_text()
    assert 'accuracy/top1 against the milliseconds of one image, one thread' in text


@pytest.mark.slow
def test_a_file_in_a_work_dir_is_found_and_a_broken_one_is_told(runs, timed, tmp_path):
    """One that is named and broken is refused; in a work dir it is a remark."""
    work_dir = tmp_path / 'runs'
    shutil.copytree(runs, work_dir)
    assert 'id="latency"' not in report(work_dir, tmp_path).read_text()
    shutil.copytree(timed.parent, work_dir / 'latency')
    page = report(work_dir, tmp_path)
    assert {row['model'] for row in rows(page, 'latency')} == {'alone', 'taught'}
    broken = work_dir / 'latency' / 'latency.csv'
    broken.write_text(re.sub(r',\d[\d.e-]*', ',nan', timed.read_text()))
    text = report(work_dir, tmp_path).read_text()
    assert 'is no latency.csv that `python -m mmvitkd latency` writes' in text
    said = message(
        'report', work_dir, '--out', tmp_path / 'new.html', '--latency', broken
    )
    assert said.startswith(f"error: '{broken}' is no latency.csv")
    assert '\n' not in said
    assert not (tmp_path / 'new.html').exists()
