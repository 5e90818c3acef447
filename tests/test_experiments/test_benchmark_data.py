"""``python -m mmvitkd benchmark data``: real images, photographs, the arithmetic."""

import csv
import json

import pytest

from mmvitkd.commands import main
from mmvitkd.experiments.benchmark.data import markdown, ratio, workers
from tests.shrink import CONFIGS
from tests.test_tools.runs import message

DIGITS = CONFIGS / 'digits' / 'vitkd_digits.py'
DEIT = CONFIGS / 'vitkd' / 'vitkd_deit-tiny_deit3-small_8xb128_in1k.py'


def measured(tmp_path, *args):
    main(
        'benchmark', ['data', *map(str, args), '--out', str(tmp_path), '--rounds', '2']
    )
    return json.loads((tmp_path / 'data.json').read_text())


def test_photographs_in_the_place_of_imagenet(tmp_path, capsys):
    record = measured(
        tmp_path, DEIT, '--photographs', '--photograph-size', 300, 400, '--images', 4,
        '--step-images-per-second', 1e6,
    )  # fmt: skip
    assert '400x300' in record['of']
    assert list(record['seconds']) == ['as it is', 'same-pixels', 'same-distribution']
    steps = record['seconds']['as it is']
    assert [*steps][1:3] == ['LoadImageFromFile', 'RandomResizedCrop']
    assert 'ReadRandomResizedCrop' in record['seconds']['same-distribution']
    assert all(len(rounds) == 2 for rounds in steps.values())
    assert sum(sum(rounds) for rounds in steps.values()) > 0
    page = (tmp_path / 'data.md').read_text()
    assert page in capsys.readouterr().out
    assert 'Your step takes 1000000 images/s. Workers' in page
    with (tmp_path / 'data.csv').open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == sum(map(len, record['seconds'].values()))


def test_a_configs_own_images(tmp_path):
    record = measured(tmp_path, DIGITS, '--images', 5)
    assert record['of'] == "the config's"
    assert [*record['seconds']['same-pixels']][1:] == [
        'Resize', 'RandomCrop', 'FastPackInputs',
    ]  # fmt: skip
    assert record['step_images_per_second'] is None


def test_images_that_are_not_there_are_named(tmp_path):
    said = message('benchmark', 'data', DEIT, '--out', tmp_path)
    assert said.startswith('error: ')
    assert 'imagenet' in said


def test_ratios_are_taken_within_a_round_and_workers_rounded_up():
    record = {
        'images': 10,
        'of': 'images',
        'machine': 'a machine',
        'step_images_per_second': 1000.0,
        'seconds': {
            'as it is': {'a': [0.1, 0.2, 0.1], 'b': [0.1, 0.2, 0.1]},
            'same-pixels': {'a': [0.1, 0.2, 0.1]},
        },
    }
    assert ratio(record, 'same-pixels') == (2, 2, 2)
    assert workers(50, 1000) == 20
    assert workers(49, 1000) == 21
    page = markdown(record)
    assert 'with a core each: 20, 10 with --fast-data same-pixels.' in page


@pytest.mark.parametrize(
    'given', [['--images', '0'], ['--step-images-per-second', '0']]
)
def test_numbers_that_can_not_be_are_refused(given, capsys):
    with pytest.raises(SystemExit):
        main('benchmark', ['data', 'CONFIG', *given])
    assert given[0] in capsys.readouterr().err
