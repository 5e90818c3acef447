"""What is compiled is one graph: nothing of student, teacher or term breaks it."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from mmvitkd.models.classifiers.compiled import keep_plain_numbers
from mmvitkd.models.classifiers.tap import record
from tests.helpers import GEN, MIMIC, NKD, build, distiller, vit
from tests.test_models.test_classifiers.test_every_loss import (
    EVERY,
    GRID,
    make,
    sides,
)
from tests.test_models.test_classifiers.test_synchronisations import (
    GENERATORS,
    NECKS,
    plain_convolutions,
    stepping,
)
from tests.test_tools.runs import in_processes


def breaks(function: Callable[..., Any], *args: Any, **kwargs: Any) -> list[str]:
    """List why and where dynamo would go back to Python."""
    torch._dynamo.reset()
    explained = torch._dynamo.explain(function)(*args, **kwargs)
    places = [
        f'{one.reason} at {one.user_stack[-1:]}' for one in explained.break_reasons
    ]
    unknown = explained.graph_break_count - len(places)
    return places + ['no reason is given'] * unknown


def require_whole(named: dict[str, Callable[[], list[str]]]) -> None:
    found = {name: reasons for name, look in named.items() if (reasons := look())}
    assert found == {}


def whole_step(folder: Any) -> None:
    """ViTKD + NKD, under a student and a teacher that drop paths in training."""
    model = build(
        distiller(
            folder,
            student=vit(16, layers=2, drop_path_rate=0.2),
            terms={
                'mimic': MIMIC,
                'gen': GEN,
                'nkd': NKD,
                'kd': {**NKD, 'loss': {'type': 'KDLoss'}},
            },
        )
    )
    plain_convolutions(model)
    model.train()
    images = torch.randn(2, 3, 32, 32)
    labels = torch.eye(10)[:2]  # mixed ones, which are looked at in the first steps
    with record(model.student, model.student_taps) as features:
        model.student(images)
    outputs = model.forward_teachers(images, None)
    require_whole(
        {
            'student': lambda: breaks(model.student, images),
            'teacher': lambda: breaks(model.teachers['teacher'].model, images),
            **{
                spec.name: lambda spec=spec: breaks(
                    model.terms[spec.name],
                    features[spec.student],
                    outputs['teacher'][spec.teacher],
                    labels,
                )
                for spec in model._specs
            },
        }
    )


@pytest.mark.slow
def test_student_teacher_and_terms_are_one_graph_each(tmp_path):
    # what dynamo starts would not survive the forks of other tests
    in_processes(1, whole_step, tmp_path)


def compiled_step(folder: Any) -> None:
    model, data, wrapper = stepping(folder)
    plain_convolutions(model)
    model.train()
    model.train_step(data, wrapper)  # as in the dry run, the teacher runs to its end
    step = torch.compile(model.train_step, backend='eager')
    for _ in range(2):
        found = step(data, wrapper)
        assert set(found) == {'loss', 'loss_mimic0', 'loss_gen', 'loss_nkd'}
        assert all(value.isfinite() for value in found.values())


@pytest.mark.slow
def test_a_step_that_is_compiled_as_a_whole_trains(tmp_path):
    """Though its graph breaks; a teacher that stops early would end it."""
    in_processes(1, compiled_step, tmp_path)


def every_loss() -> None:
    labels = torch.tensor([0, 1, 2])

    def look(name: str) -> list[str]:
        loss = make(name)
        grid = {'hw': GRID} if loss.takes_grid and name != 'ProbeLoss' else {}
        return breaks(loss, *sides(name), target=labels, **grid)

    require_whole({name: lambda name=name: look(name) for name in EVERY})


def every_neck() -> None:
    x, teacher, hw = torch.randn(2, 16, 16), torch.randn(2, 16, 24), (4, 4)

    def look(cfg: dict) -> list[str]:
        neck = build({'in_channels': 16, 'out_channels': 24, **cfg})
        plain_convolutions(nn.ModuleList([neck]))
        two_sided = getattr(neck, 'two_sided', False)
        return breaks(neck, x, hw, *([teacher, hw] if two_sided else []))

    cfgs = [*NECKS, *({'type': name} for name in GENERATORS)]
    require_whole({cfg['type']: lambda cfg=cfg: look(cfg) for cfg in cfgs})


@pytest.mark.slow
@pytest.mark.parametrize('every', [every_loss, every_neck])
def test_losses_and_necks_are_one_graph_each(every):
    in_processes(1, every)


def test_rates_of_numpy_become_pythons_numbers():
    """MMPretrain's drop path rates, on which an ``if`` would break a graph."""
    model = build(vit(layers=3, drop_path_rate=0.3))
    rates = [layer.attn.out_drop.drop_prob for layer in model.backbone.layers[1:]]
    assert all(isinstance(rate, np.number) for rate in rates)  # else it is not needed
    keep_plain_numbers(model)
    kept = [layer.attn.out_drop.drop_prob for layer in model.backbone.layers[1:]]
    assert [type(rate) for rate in kept] == [float, float]
    assert kept == rates
