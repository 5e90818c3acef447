"""What holds for every loss as a term, whatever it compares."""

import pytest
import torch

from mmvitkd.models import losses
from tests.helpers import GEN, MIMIC, NKD, build, distiller, samples

LOGITS = {'KDLoss', 'HardKDLoss', 'NKDLoss', 'DKDLoss', 'DISTLoss'}
EVERY = [name for name in losses.__all__ if not name.endswith('Contrast')]


@pytest.mark.parametrize('name', EVERY)
def test_the_gradient_reaches_student_and_neck_and_never_the_teacher(name, tmp_path):
    """Teacher weights that want a gradient stay without one, too."""
    base = GEN if name == 'ViTKDGenLoss' else NKD if name in LOGITS else MIMIC
    term = {**base, 'loss': {'type': name}}
    model = build(distiller(tmp_path, terms={'term': term}))
    teacher = model.teachers['teacher'].model.requires_grad_(True)
    losses_of_batch = model.loss(torch.randn(4, 3, 32, 32), samples([0, 1, 2, 3]))
    losses_of_batch['loss_term'].backward()
    patch = model.student.backbone.patch_embed.projection.weight
    assert patch.grad.isfinite().all()
    assert patch.grad.any()
    assert all(p.grad is not None for p in model.terms.parameters())
    assert all(p.grad is None for p in teacher.parameters())
