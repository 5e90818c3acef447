"""What docs/writing_a_teacher.md promises of a teacher of one's own."""

import re
from pathlib import Path

import pytest
import torch
from mmpretrain.registry import MODELS

from mmvitkd.models import Teacher, TeacherProtocol
from mmvitkd.models.classifiers.tap import Feature, Tap
from tests.helpers import NKD, build, distiller, samples, save_weights, vit  # noqa: F401

PAGE = Path(__file__).parents[3] / 'docs/writing_a_teacher.md'
IMAGES = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def mirrored():
    """The page's own class, run as it stands there."""
    code, _, test = re.findall(r'```python\n(.*?)```', PAGE.read_text(), re.S)
    code = code.replace('from .', 'from mmvitkd.models.classifiers.')
    names = {**globals(), '__name__': 'mirrored_teacher'}
    exec(compile(code + test, str(PAGE), 'exec'), names)
    yield names
    MODELS.children['mmvitkd'].module_dict.pop('MirroredTeacher')


def test_the_page_s_example(tmp_path, mirrored):
    mirrored['test_an_image_and_its_mirror_image_have_the_same_logits'](tmp_path)
    cfg = distiller(tmp_path, terms={'n': NKD})
    cfg['teacher']['type'] = 'MirroredTeacher'
    model = build(cfg)
    model.init_weights()
    assert model(IMAGES, samples([0, 1]), mode='loss')['loss_n'].isfinite()
    one, other = (
        model.forward_teachers(x, None)['teacher'][Tap('head')].value
        for x in (IMAGES, IMAGES.flip(-1))
    )
    assert torch.allclose(one, other, atol=1e-6)


class Constant(TeacherProtocol):
    """Logits that an own rule makes, from no model at all."""

    def check(self, tap):
        if tap.path != 'logits':
            raise ValueError(f"no tap '{tap.path}': this teacher has 'logits'")

    def __call__(
        self, inputs, preprocessor, taps, data_samples=None, student_features=None
    ):
        return {tap: Feature(torch.eye(10)[: len(inputs)], None) for tap in taps}


class Incomplete:
    def load(self):
        """Do nothing."""


@pytest.fixture
def registered():
    ours = MODELS.children['mmvitkd']
    for kind in (Constant, Incomplete):
        ours.register_module(module=kind)
    yield
    for kind in (Constant, Incomplete):
        ours.module_dict.pop(kind.__name__)


def test_a_teacher_without_a_model(tmp_path, registered):
    term = {**NKD, 'teacher': 'logits'}
    cfg = distiller(tmp_path, teacher={'type': 'Constant'}, terms={'n': term})
    model = build(cfg)
    model.init_weights()
    assert model(IMAGES, samples([0, 1]), mode='loss')['loss_n'].isfinite()
    assert model.teachers['teacher'].describe() == 'Constant'
    with pytest.raises(ValueError, match="term 'n', teacher: no tap 'head'"):
        build({**cfg, 'terms': {'n': NKD}})


def test_what_is_no_teacher_is_told_what_it_lacks(tmp_path, registered):
    cfg = distiller(tmp_path, teacher={'type': 'Incomplete'}, terms={'n': NKD})
    with pytest.raises(ValueError, match="'teacher' is a Incomplete without .*check"):
        build(cfg)


def test_two_observers_see_a_step(tmp_path):
    model = build(distiller(tmp_path))
    model.init_weights()
    seen = []
    model.observers += [lambda *step: seen.append(step) for _ in range(2)]
    losses = model(IMAGES, samples([0, 1]), mode='loss')
    assert [step[0] for step in seen] == [losses, losses]
    assert set(seen[0][1]) == {'teacher'} and seen[0][2].tolist() == [0, 1]


def test_weights_are_read_once(tmp_path):
    model = build(distiller(tmp_path))
    model.init_weights()
    Path(tmp_path / 'teacher.pth').unlink()
    model(IMAGES, samples([0, 1]), mode='loss')
    assert isinstance(model.teachers['teacher'], Teacher)
