from types import SimpleNamespace

import pytest
import torch
from torch import nn

from mmvitkd.engine import StudentViewHook
from mmvitkd.registry import MODEL_WRAPPERS
from tests.helpers import build, distiller, samples, vit

MEAN, STD = [10.0, 20.0, 30.0], [40.0, 50.0, 60.0]
PIXELS = {'mean': MEAN, 'std': STD, 'to_rgb': False}


class Wrapped(nn.Module):
    """As a data-parallel wrapper holds its model."""

    def __init__(self, module):
        super().__init__()
        self.module = module


def model_of(folder, **changes):
    return build(distiller(folder, data_preprocessor=PIXELS, **changes))


def images(count: int = 4) -> torch.Tensor:
    """Of all pixels from 0 to 255, normalised."""
    draw = torch.Generator().manual_seed(count)
    pixels = 255 * torch.rand(count, 3, 32, 32, generator=draw)
    mean, std = (torch.tensor(x).view(3, 1, 1) for x in (MEAN, STD))
    return (pixels - mean) / std


def seen(model, hook, inputs: torch.Tensor) -> dict[str, torch.Tensor]:
    """The images that reach the student's backbone and the teacher."""
    found, handles = {}, []
    sides = {'student': model.student, 'teacher': model.teachers['teacher'].model}
    hook.before_train(SimpleNamespace(model=model))
    for name, side in sides.items():
        handles.append(
            side.backbone.patch_embed.register_forward_pre_hook(
                lambda _, args, name=name: found.__setitem__(name, args[0].clone())
            )
        )
    model.loss(inputs, samples([0, 1, 2, 3]))
    for handle in handles:
        handle.remove()
    return found


def test_the_student_alone_sees_another_view(tmp_path):
    inputs = images()
    found = seen(model_of(tmp_path), StudentViewHook(prob=1.0), inputs)
    assert torch.equal(found['teacher'], inputs)
    for before, after in zip(inputs, found['student'], strict=True):
        assert not torch.equal(before, after)


def test_half_of_the_images_are_changed():
    torch.manual_seed(0)
    hook = StudentViewHook()
    backbone = nn.Identity()
    hook.preprocessor = build({'type': 'ClsDataPreprocessor', **PIXELS})
    inputs = images(400)
    (out,) = hook._change(backbone, (inputs,))
    changed = (out != inputs).flatten(1).any(1).float().mean()
    assert 0.43 < changed < 0.57


def test_evaluation_and_what_follows_see_the_images_as_they_are(tmp_path):
    model, hook, inputs = model_of(tmp_path), StudentViewHook(prob=1.0), images()
    plain = model.eval()(inputs)
    MODEL_WRAPPERS.register_module(name='ViewWrapped', module=Wrapped, force=True)
    hook.before_train(SimpleNamespace(model=Wrapped(model)))
    assert torch.equal(model(inputs), plain)
    model.train()
    assert not torch.equal(model(inputs), plain)
    hook.after_train(SimpleNamespace(model=model))
    assert torch.equal(model(inputs), plain)


def test_geometry_stays():
    """What is not erased is where it was: a black image's white square."""
    hook = StudentViewHook(prob=1.0, jitter=0.4, erase=0.0)
    hook.preprocessor = build({'type': 'ClsDataPreprocessor', **PIXELS})
    image = torch.zeros(3, 32, 32) - torch.tensor(MEAN).view(3, 1, 1) / 50
    image[:, 8:16, 4:20] += 3
    out = hook.view(image)
    assert max(out[0, 8:16, 4:20].std(), out[0, :8].std()) < 1e-6
    assert out[0, 10, 10] > out[0, 0, 0]


def test_one_rectangle_of_the_mean_colour_is_erased():
    torch.manual_seed(0)
    hook = StudentViewHook(prob=1.0, jitter=0.0)
    hook.preprocessor = build({'type': 'ClsDataPreprocessor', **PIXELS})
    for image in images(20):
        out = hook.view(image)
        erased = (out == 0).all(0)
        assert 0 < erased.float().mean() < 0.4
        rows, columns = erased.any(1).sum(), erased.any(0).sum()
        assert erased.sum() == rows * columns
        assert torch.allclose(out[:, ~erased], image[:, ~erased], atol=1e-5)


def test_jitter_stays_within_the_colours_that_there_are():
    hook = StudentViewHook(jitter=1.0, erase=0.0)
    hook.preprocessor = build({'type': 'ClsDataPreprocessor', **PIXELS})
    mean, std = (torch.tensor(x).view(3, 1, 1) for x in (MEAN, STD))
    out = torch.stack([hook.view(image) for image in images(20)]) * std + mean
    assert out.min() > -1e-3
    assert out.max() < 255 + 1e-3


def test_a_student_without_terms_sees_what_it_always_sees(tmp_path):
    model, inputs = model_of(tmp_path, terms=None), images()
    StudentViewHook(prob=1.0).before_train(SimpleNamespace(model=model))
    assert torch.equal(model(inputs), model(inputs))
    assert not model.student.backbone._forward_pre_hooks


def test_bad_arguments(tmp_path):
    for name in ('prob', 'jitter', 'erase'):
        with pytest.raises(ValueError, match=f'{name} must be between 0 and 1, got 2'):
            StudentViewHook(**{name: 2})
    runner = SimpleNamespace(model=build(vit()))
    with pytest.raises(ValueError, match='ImageClassifier has no student'):
        StudentViewHook().before_train(runner)
