import pytest
import torch
from mmengine.config import Config
from mmengine.hub import get_config

from mmvitkd.inspection import estimate
from tests.helpers import build
from tests.test_tools.runs import PIPELINE, PLAIN, config, loader, message, run


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
        'frozen': 300, 'batch': 128, 'images': estimate.IMAGENET, 'logits': 46,
        'seen': 300 * estimate.IMAGENET,
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
    record = estimate.logit_bytes(1000)
    assert pytest.approx(17.7e9, rel=0.01) == 300 * estimate.IMAGENET * record
    # of fewer classes than are kept, each has its own value and nothing else
    assert estimate.logit_bytes(4) == record - 6 * 2 - 10 * 2 - 2


def test_step_is_three_forwards_of_what_learns_and_one_of_the_teacher(tmp_path):
    cfg = Config.fromfile(config(tmp_path, **PLAIN))
    cfg.model.terms = {'nkd': cfg.model.terms['nkd']}
    found = estimate.estimate(cfg)
    # but for the gradient of the images, which nobody asks for
    embedding = 16 * 16 * 3 * 8 * 8
    expected = 3 * found.student + found.teacher - embedding
    assert found.step == pytest.approx(expected, rel=1e-3)
    assert found.features == 0


def rows(out: str) -> list[dict[str, str]]:
    """The table that was printed."""
    lines = [line[2:-2].split(' | ') for line in out.splitlines() if line[:2] == '| ']
    return [dict(zip(lines[0], line, strict=True)) for line in lines[2:]]


def test_every_config_has_a_row_of_its_own_images(tmp_path, capsys):
    files = [config(tmp_path, 'a', **PLAIN)]
    by_steps = {
        'train_cfg': {'_delete_': True, 'by_epoch': False, 'max_iters': 10},
        'train_dataloader': loader('train', PIPELINE, images=64),
    }
    files += [config(tmp_path, 'b', **{**PLAIN, 'train_cfg.max_epochs': 2})]
    files += [config(tmp_path, 'c', **{**PLAIN, **by_steps})]
    run('estimate_cost', *files, '--images-per-second', '0.1', '--gpus', '2')
    out = capsys.readouterr().out
    found = rows(out)
    assert [row['config'] for row in found] == ['a.py', 'b.py', 'c.py']
    assert [row['training images'] for row in found] == ['16', '16', '64']
    # 1 epoch, 2 epochs, and 10 steps of 16 images on 2 GPUs
    hours = [16 / 360, 32 / 360, 320 / 360]
    assert [row['GPU hours'] for row in found] == [f'{h:.3g}' for h in hours]
    # 10 classes of 2 bytes, and the seed of 4
    assert found[0]['logits stored'] == '384 B'
    # two taps of 16 tokens x 24 channels x 2 bytes
    stored = ['24.6 kB', '49.2 kB', '492 kB']
    assert [row['features stored'] for row in found] == stored
    assert 'assumed' not in out


@pytest.mark.parametrize('fault', ['missing', 'countless'])
def test_images_that_cannot_be_counted_are_said_to_be_imagenets(
    tmp_path, capsys, fault
):
    changes = {'train_dataloader.dataset.type': 'No'}
    if fault == 'missing':
        dataset = {'type': 'ImageNet', 'data_root': str(tmp_path / 'nowhere')}
        changes = {'train_dataloader.dataset': {'_delete_': True, **dataset}}
    file = config(tmp_path, **{**PLAIN, **changes})
    # which is said although the second config is a mistake
    assert 'does not exist' in message('estimate_cost', file, tmp_path / 'none.py')
    out = capsys.readouterr().out
    assert rows(out)[0]['training images'] == '1,281,167'
    assert "tiny.py: its training images can't be counted (" in out
    assert out.strip().endswith("so ImageNet's 1,281,167 are assumed")


@pytest.mark.parametrize(
    ('value', 'text'),
    [(0, '0 B'), (999, '999 B'), (999.7, '1 kB'), (17.68e9, '17.7 GB')]
    + [(174e12, '174 TB'), (999.6e15, '1000 PB'), (12.3e18, '12300 PB')],
)
def test_bytes_in_a_unit_that_fits(value, text):
    assert estimate.size(value) == text


def test_config_of_no_distiller_or_of_nothing(tmp_path):
    text = "model = dict(type='ImageClassifier')\n"
    (tmp_path / 'plain.py').write_text(text)
    assert 'distils nothing' in message('estimate_cost', tmp_path / 'plain.py')
    assert 'does not exist' in message('estimate_cost', tmp_path / 'none.py')
