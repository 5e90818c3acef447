"""Where a training step waits for the GPU: counted, and every wait that is left, named.

A new one is an error here: it would have every GPU run dry once a step.
"""

from typing import Any

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from torch import nn

from mmvitkd.models import ConvGenerativeProjector, losses
from mmvitkd.models.classifiers import finite
from mmvitkd.models.losses import logit_loss
from tests.helpers import GEN, MIMIC, NKD, build, distiller, samples, vit
from tests.shrink import RUNNABLE, shrink
from tests.synchronisations import Synchronisations
from tests.test_models.test_classifiers.test_every_loss import (
    EVERY,
    LOGITS,
    term_with,
)

MMENGINE = 'mmengine.model.utils.stack_batch'
# of a step, with the reason why it is left
EXPECTED = {
    # the sizes of the images, which are numbers on the host
    f'{MMENGINE}: lift_fresh': 2,
    f'{MMENGINE}: _local_scalar_dense': 1,
    # the losses: on a GPU when the backward pass is under way
    'mmvitkd.models.classifiers.finite.read_losses: _local_scalar_dense': 1,
}
# MMEngine logs the norm of the gradients, which it has clipped
CLIPPED = {'mmengine.optim.optimizer.optimizer_wrapper._clip_grad: _local_scalar_dense'}
OUR_OWN = {key: n for key, n in EXPECTED.items() if key.startswith('mmvitkd')}
IN1K = 'deit-tiny_deit3-small_8xb128_in1k'
CONFIGS = {path.stem: path for path in RUNNABLE}
METHODS = [
    f'vitkd-nkd_{IN1K}', f'dist_{IN1K}', f'dkd_{IN1K}', f'fitnet-last_{IN1K}',
    f'mgd_{IN1K}', f'rkd_{IN1K}', 'manifold_digits', 'maskedkd_digits', 'tat_digits',
    'unic_digits', 'co-advise_digits', 'scalekd_digits', 'cskd_digits', 'ssd_digits',
    'proteus_digits',
]  # fmt: skip
NECKS = [
    {'type': 'AnchorPointNeck', 'anchors': (2, 2)},
    {'type': 'CrossAttentionProjector', 'grid': (4, 4), 'queries': (4, 4)},
    {'type': 'GridAligner'},
    {'type': 'GroupwiseLinearNeck'},
    {'type': 'LadderProjector'},
    {'type': 'LinearProjector'},
    {'type': 'MLPProjector'},
    {'type': 'NormProjector'},
    {'type': 'OrthogonalProjector'},
    {'type': 'TargetAwareNeck'},
]
GENERATORS = [
    'ConvGenerativeProjector', 'CrossAttentionGenerativeProjector',
    'DenseGenerativeProjector', 'MGDProjector', 'ResidualGenerativeProjector',
    'SelfAttentionGenerativeProjector', 'TransformerGenerativeProjector',
]  # fmt: skip


@pytest.fixture(autouse=True)
def as_on_a_gpu(monkeypatch):
    """The labels' check is over, as it is after the first batches."""
    monkeypatch.setattr(logit_loss, 'CHECKED_TARGETS', 0)


def plain_convolutions(model: nn.Module) -> None:
    """Those that save products have sizes that depend on the mask: for CPUs alone."""
    for module in model.modules():
        if isinstance(module, ConvGenerativeProjector):
            module.sparse = False


def waits(model: Any, data: Any, wrapper: Any) -> dict[str, int]:
    """Count those of the second step, after what the first one does once."""
    plain_convolutions(model)
    model.train()
    model.train_step(data, wrapper)
    with Synchronisations() as seen:
        model.train_step(data, wrapper)
    return dict(seen.found)


def small_step(folder: Any, **changes: Any) -> dict[str, int]:
    model = build(distiller(folder, **changes))
    model.init_weights()
    data = {'inputs': torch.randn(4, 3, 32, 32), 'data_samples': samples([0, 1, 2, 3])}
    return waits(model, data, OptimWrapper(torch.optim.SGD(model.parameters(), 1e-9)))


def terms_of_every_loss() -> dict[str, dict]:
    """For models as wide as queries, keys and values need."""
    special = ('PartialCrossAttentionLoss', 'AdversarialFeatureLoss', 'DualViewLoss')
    return {
        name: term_with(name, NKD if name in LOGITS else {**MIMIC, 'neck': None})
        for name in EVERY
        if name not in special
    }


def terms_of_every_neck() -> dict[str, dict]:
    return {
        **{neck['type']: {**MIMIC, 'neck': neck} for neck in NECKS},
        'ladder': {
            **MIMIC,
            'student': [f'backbone.layers.{i}' for i in range(3)],
            'neck': {'type': 'LadderProjector'},
        },
        **{name: {**GEN, 'neck': {'type': name}} for name in GENERATORS},
    }


def test_every_loss_in_one_step(tmp_path):
    terms = terms_of_every_loss()
    assert len(terms) > 20
    assert small_step(tmp_path, student=vit(24), terms=terms) == OUR_OWN


def test_every_neck_in_one_step(tmp_path):
    assert small_step(tmp_path, terms=terms_of_every_neck()) == OUR_OWN


def test_a_teachers_own_normalisation(tmp_path):
    """The numbers of both are compared once, not in every step."""
    cfg = distiller(tmp_path, terms={'nkd': NKD})
    own = {'type': 'ClsDataPreprocessor', 'mean': [90.0] * 3, 'std': [50.0] * 3}
    cfg['teacher']['cfg'] = {**cfg['teacher']['cfg'], 'data_preprocessor': own}
    given = {'mean': [80.0] * 3, 'std': [60.0] * 3}
    changes = {'teacher': cfg['teacher'], 'terms': cfg['terms']}
    assert small_step(tmp_path, data_preprocessor=given, **changes) == OUR_OWN


def test_a_new_one_is_noticed(tmp_path, monkeypatch):
    own = losses.ViTKDMimicLoss.equation

    def curious(self, student, teacher):
        loss = own(self, student, teacher)
        assert loss < 1e9  # reads a number
        student[student > 0].sum().tolist()  # needs a size, reads another
        return loss

    monkeypatch.setattr(losses.ViTKDMimicLoss, 'equation', curious)
    found = small_step(tmp_path, terms={'mimic': MIMIC})
    place = f'{__name__}.curious'
    assert found == {
        **OUR_OWN,
        f'{place}: _local_scalar_dense': 1,
        f'{place}: index': 1,
        f'{place}: tolist': 1,
    }


@pytest.mark.slow
@pytest.mark.parametrize('name', METHODS)
def test_methods_by_their_configs(name, tmp_path):
    """Real images, Mixup, the optimiser and the clipping of the config."""
    cfg = shrink(Config.fromfile(CONFIGS[name]), tmp_path)
    runner = Runner.from_cfg(cfg)
    runner.model.init_weights()
    data = next(iter(runner.build_dataloader(cfg.train_dataloader)))
    found = waits(runner.model, data, runner.build_optim_wrapper(runner.optim_wrapper))
    expected = {**EXPECTED, **dict.fromkeys(CLIPPED & set(found), 1)}
    assert found == expected


# ------------------------------------------------------- losses that are read late


@pytest.fixture
def late(monkeypatch):
    """The losses are left unread until an optimiser steps, as on a GPU."""
    monkeypatch.setattr(finite, '_is_late', lambda values: True)
    monkeypatch.setattr(finite, '_event', lambda: None)
    monkeypatch.setattr(finite, '_unread', [])


def stepping(folder: Any) -> tuple[Any, dict, OptimWrapper]:
    torch.manual_seed(0)
    model = build(distiller(folder))
    model.init_weights()
    data = {'inputs': torch.randn(4, 3, 32, 32), 'data_samples': samples([0, 1, 2, 3])}
    return model, data, OptimWrapper(torch.optim.SGD(model.parameters(), 0.1))


def spoil(model: Any) -> None:
    with torch.no_grad():
        model.terms['gen'].neck.mask_token.fill_(float('nan'))


def test_a_loss_that_is_read_late_stops_the_step_before_a_weight_is_changed(
    tmp_path, late
):
    model, data, wrapper = stepping(tmp_path)
    model.train_step(data, wrapper)
    assert finite._unread == []
    spoil(model)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    with pytest.raises(FloatingPointError, match=r"not finite: \{'loss_gen': nan"):
        model.train_step(data, wrapper)
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, before[name]) or name.endswith('mask_token')
    assert finite._unread == []  # the next training begins anew


def test_it_is_read_by_the_next_step_if_a_scaler_skipped_the_optimisers(tmp_path, late):
    model, data, _ = stepping(tmp_path)
    spoil(model)
    sum(model.loss(data['inputs'], data['data_samples']).values()).backward()
    assert len(finite._unread) == 1
    with pytest.raises(FloatingPointError, match='loss_gen'):
        model.loss(data['inputs'], data['data_samples'])


def test_who_observes_a_step_sees_no_loss_that_is_not_finite(tmp_path, late):
    model, data, _ = stepping(tmp_path)
    spoil(model)
    seen = []
    model.observers.append(lambda *args: seen.append(args))
    with pytest.raises(FloatingPointError, match='loss_gen'):
        model.loss(data['inputs'], data['data_samples'])
    assert seen == []


def test_what_is_unread_holds_no_graph(tmp_path, late):
    model, data, _ = stepping(tmp_path)
    model.loss(data['inputs'], data['data_samples'])
    (step,) = finite._unread
    features = [step.features, *step.outputs.values()]
    assert not any(f.value.requires_grad for taps in features for f in taps.values())
