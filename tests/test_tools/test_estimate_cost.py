import pytest
import torch
from mmengine.config import Config
from mmengine.hub import get_config

from mmvitkd.inspection import estimate
from tests.helpers import build
from tests.test_tools.runs import PLAIN, config, message, run


@pytest.mark.parametrize(('name', 'published'), [('tiny', 1.26e9), ('small', 4.61e9)])
def test_multiply_adds_are_those_of_the_model_zoo(name, published):
    model = build(get_config(f'mmpretrain::deit/deit-{name}_4xb256_in1k.py').model)
    images = torch.zeros(estimate.BATCH, 3, 224, 224)
    with torch.no_grad():
        assert estimate.count(lambda: model(images)) == pytest.approx(
            published, rel=0.01
        )


def cost(**changes):
    given = {
        'student': 1.0, 'teacher': 1.0, 'step': 4.0, 'features': 1, 'trainable': 100,
        'frozen': 300, 'batch': 128, 'epochs': 300,
    }  # fmt: skip
    return estimate.Cost(**{**given, **changes})


def test_hours_of_the_papers_run():
    """Table 13: 7.8 minutes an epoch on 8 GPUs, so 342 images a second on each."""
    assert cost().hours(1_281_167 / (7.8 * 60) / 8) == pytest.approx(300 * 7.8 / 60 * 8)


def test_bytes_that_two_processes_send():
    """A ring's pass sends each process's half once; 4 bytes a number."""
    traffic = estimate.Traffic.of(cost(), processes=2)
    assert traffic == (2 * 200, 3 * 200, 600)
    assert estimate.Traffic.of(cost(), processes=1) == (0, 0, 0)


def test_stored_logits_are_tinyvits_17_gb():
    assert pytest.approx(17.7e9, rel=0.01) == 300 * estimate.IMAGENET * estimate.LOGITS


def test_step_is_three_forwards_of_what_learns_and_one_of_the_teacher(tmp_path):
    cfg = Config.fromfile(config(tmp_path, **PLAIN))
    cfg.model.terms = {'nkd': cfg.model.terms['nkd']}
    found = estimate.estimate(cfg)
    # but for the gradient of the images, which nobody asks for
    embedding = 16 * 16 * 3 * 8 * 8
    expected = 3 * found.student + found.teacher - embedding
    assert found.step == pytest.approx(expected, rel=1e-3)
    assert found.features == 0


def test_prints_a_row_for_every_config(tmp_path, capsys):
    files = [config(tmp_path, name, **PLAIN) for name in ('a', 'b')]
    run('estimate_cost', *files, '--images-per-second', '1000')
    lines = capsys.readouterr().out.splitlines()
    lines = [line for line in lines if line.startswith('| ')]
    assert [line.split(' | ')[0] for line in lines[2:]] == ['| a.py', '| b.py']
    assert 'images/s and GPU, measured' in lines[0]
    # 1 epoch of ImageNet
    assert ' | 1000 | 0 | ' in lines[2]


def test_config_of_no_distiller_or_of_nothing(tmp_path):
    text = "model = dict(type='ImageClassifier')\n"
    (tmp_path / 'plain.py').write_text(text)
    assert 'distils nothing' in message('estimate_cost', tmp_path / 'plain.py')
    assert 'does not exist' in message('estimate_cost', tmp_path / 'none.py')
