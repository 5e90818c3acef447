"""A small distiller, and what it is trained on."""

import torch

from tests.helpers import build, distiller, samples

LABELS = samples([0, 1, 2, 3])


def made(tmp_path, **changes):
    torch.manual_seed(0)
    model = build(distiller(tmp_path, **changes))
    model.init_weights()
    return model
