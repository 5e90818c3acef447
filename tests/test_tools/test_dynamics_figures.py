"""The section of tools/analyse.py on frequencies, entropy, magnitude and rank."""

import csv
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config

from mmvitkd.analysis.dynamics import activation_entropy, activation_magnitude
from mmvitkd.analysis.rank import effective_rank, principal_variances
from mmvitkd.analysis.spectrum import high_frequency_share, radial_spectrum
from mmvitkd.inspection.dynamics import DynamicsMeter
from mmvitkd.inspection.dynamics_figures import DynamicsFigures, describe_shape
from mmvitkd.inspection.images import load_data
from mmvitkd.inspection.models import load
from mmvitkd.models.classifiers.tap import Feature
from tests.helpers import save_weights
from tests.shrink import CONFIGS

NAMES = ('teacher', 'student', 'student@5', 'student@10')
CONFIG = {
    name: CONFIGS / 'digits' / f'digits_{name.partition("@")[0]}.py' for name in NAMES
}


@pytest.fixture(scope='module')
def analysed(tmp_path_factory) -> tuple[Path, Any, list, list]:
    """Write the section of four models on 24 digits, in two batches."""
    folder = tmp_path_factory.mktemp('dynamics')
    models = []
    for seed, name in enumerate(NAMES):
        weights = folder / f'{seed}.pth'
        save_weights(Config.fromfile(CONFIG[name]).model, weights, seed)
        models.append(load(str(CONFIG[name]), str(weights), name=name))
    images = load_data(CONFIGS / 'digits' / 'digits_student.py', 24)
    section = DynamicsFigures(models)
    for batch in (images[:16], images[16:]):
        section.update(batch, [model.capture(batch) for model in models])
    written = section.write(folder / 'out')
    return folder / 'out', written, models, images


def test_batches_measure_what_the_whole_does(analysed):
    _, written, models, images = analysed
    layers = [layer.tokens for layer in models[0].capture(images).layers]
    tokens = [x.value for x in layers]
    found = written.numbers['teacher']['values']
    for name, expected in {
        'high_share': [high_frequency_share(x, hw) for x, hw, *_ in layers],
        'entropy': activation_entropy(tokens).tolist(),
        'magnitude': activation_magnitude(tokens).tolist(),
        'effective_rank': [effective_rank(principal_variances(x)) for x in tokens],
    }.items():
        assert found[name] == pytest.approx(expected, rel=1e-4)


def test_every_figure_and_table_is_there(analysed):
    out, written, _, _ = analysed
    names = ['depth', 'spectra', 'rank', 'training_student']
    expected = [f'dynamics_{name}.svg' for name in names]
    assert [figure['svg'] for figure in written.figures] == expected
    for figure in written.figures:
        assert (out / figure['svg']).read_text().startswith('<?xml')
        assert (out / figure['png']).stat().st_size > 5000
    rows = list(csv.DictReader((out / 'dynamics.csv').open()))
    assert len(rows) == 6 * len(NAMES)
    first = next(row for row in rows if row['model'] == 'student@10')
    value = written.numbers['student@10']['values']['entropy'][0]
    assert float(first['entropy']) == pytest.approx(value, rel=1e-5)


def test_checkpoints_of_a_run_are_drawn_over_training_alone(analysed):
    out, written, _, _ = analysed
    training = (out / 'dynamics_training_student.svg').read_text()
    assert '>5</text>' in training and '>10</text>' in training
    assert 'student@' not in (out / 'dynamics_depth.svg').read_text()
    assert not [note for note in written.notes if '@' in note]


def test_shapes_are_told():
    assert describe_shape([3, 2, 1, 2, 3]) == 'U, turns at layer 2'
    assert describe_shape([1, 2, 3, 4, 2]) == 'arch, turns at layer 3'
    assert describe_shape([1, 2, 3, 4, 5]) == 'neither U nor arch'


def test_amplitudes_of_batches_of_unequal_size():
    """The mean is over images, not over batches."""
    x = torch.randn(5, 16, 8, generator=torch.Generator().manual_seed(0))
    meter = DynamicsMeter()
    with pytest.raises(ValueError, match='dynamics of no images'):
        meter.compute()
    for batch in x.split([4, 1]):
        meter.update([Feature(batch, (4, 4))])
    (amplitude,) = meter.compute().log_amplitude
    assert torch.allclose(amplitude, radial_spectrum(x, (4, 4)).log_amplitude)
    assert all(math.isfinite(a) for a in amplitude)
