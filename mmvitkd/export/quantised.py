"""A student that was quantised in training, as a graph of INT8."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmvitkd.models.classifiers.fake_quantisation import (
    FakeQuantised,
    fake_quantised,
    quantise_layers,
)
from mmvitkd.utils.checkpoint import load_checkpoint
from mmvitkd.utils.errors import ConfigError
from mmvitkd.utils.export import student_quantisers
from mmvitkd.utils.quantisers import QUANTISER

from .student import Student


def is_quantised(student: Student) -> bool:
    """Whether a student's run has quantised it."""
    return student.run.model.get('quantisation') is not None


def restore_quantisers(
    student: Student, checkpoint: str | Path, ema: bool | None = None
) -> None:
    """Let a student predict with the rounding that it was trained with.

    Args:
        student: Of that checkpoint, changed in place.
        checkpoint: File, folder or URL.
        ema: As for :func:`~mmvitkd.utils.export.export_student`.

    Raises:
        ConfigError: If the checkpoint has no ranges of the inputs.
    """
    quantise_layers(student.model, **student.run.model.quantisation)
    state = student_quantisers(load_checkpoint(checkpoint), ema)
    for path, layer in fake_quantised(student.model).items():
        prefix = f'{path}.{QUANTISER}.'
        own = {
            key.removeprefix(prefix): value
            for key, value in state.items()
            if key.startswith(prefix)
        }
        if own.keys() != layer.input_quantiser.state_dict().keys():
            raise ConfigError(
                f"checkpoint '{checkpoint}' was not trained with model.quantisation: "
                f"it has no ranges of the inputs of '{path}'"
            )
        layer.input_quantiser.load_state_dict(own)
    student.model.eval()
    student.model.requires_grad_(False)
    layers = fake_quantised(student.model).values()
    if not any(_is_trained(layer) for layer in layers):
        raise ConfigError(
            f"checkpoint '{checkpoint}' has ranges of the inputs that no image has "
            'been seen for: train it'
        )


def as_integers(student: Student, signed: bool = False) -> Student:
    """Return a copy whose layers hold INT8, as QuantizeLinear and DequantizeLinear.

    Args:
        student: Of :func:`restore_quantisers`.
        signed: Whether weights are stored from -128 to 127, instead of the same numbers
            plus 128. Defaults to False.
    """
    model = deepcopy(student.model)
    for path, layer in fake_quantised(model).items():
        if _is_trained(layer):  # else its weights are used without it
            parent, _, name = path.rpartition('.')
            setattr(model.get_submodule(parent), name, IntegerLayer(layer, signed))
    return replace(student, model=model.eval())


def _is_trained(layer: FakeQuantised) -> bool:
    return bool(layer.input_quantiser.fake_quant_enabled)


class IntegerLayer(nn.Module):
    """A linear layer or convolution with weights of INT8, and inputs rounded to it.

    Args:
        layer: What it was in training.
        signed: Whether weights are stored from -128 to 127, instead of from 0 to 255.
    """

    weight: Tensor
    scale: Tensor
    zero: Tensor

    def __init__(self, layer: Any, signed: bool) -> None:
        super().__init__()
        # registers the operations that ONNX has as QuantizeLinear
        from torch.ao.quantization.fx import _decomposed  # noqa: F401

        self.conv: Any = None
        scale = layer.weight_scale()
        steps = scale.view(-1, *[1] * (layer.weight.ndim - 1))
        self.stored = (-128, 127, torch.int8) if signed else (0, 255, torch.uint8)
        zero = 0 if signed else 128
        weight = (layer.rounded_weight() / steps).round() + zero
        weight = weight.to(self.stored[2])
        if isinstance(layer, nn.Conv2d):
            if layer.padding_mode != 'zeros':
                raise ConfigError(
                    f"padding_mode='{layer.padding_mode}' of a quantised convolution "
                    'is not exported'
                )
            self.conv = (layer.stride, layer.padding, layer.dilation, layer.groups)
        else:
            weight = weight.T.contiguous()  # (C_in, C_out), as ONNX multiplies
        self.axis = 0 if self.conv else 1
        self.register_buffer('weight', weight)
        self.register_buffer('scale', scale)
        self.register_buffer('zero', torch.full_like(scale, zero, dtype=torch.int64))
        self.bias = layer.bias
        quantiser = layer.input_quantiser
        self.input_scale = float(quantiser.scale)
        self.input_zero = int(quantiser.zero_point)

    def forward(self, x: Tensor) -> Tensor:
        """Take and return what the layer does."""
        ops = torch.ops.quantized_decomposed
        by = (self.input_scale, self.input_zero, 0, 255, torch.uint8)
        x = ops.dequantize_per_tensor(ops.quantize_per_tensor(x, *by), *by)
        weight = ops.dequantize_per_channel(
            self.weight, self.scale, self.zero, self.axis, *self.stored
        )
        if self.conv is not None:
            return F.conv2d(x, weight, self.bias, *self.conv)
        x = x @ weight
        return x if self.bias is None else x + self.bias
