"""Layers that round as INT8 does, while they are trained in float32."""

from typing import Any

import torch
import torch.nn.functional as F
from mmcv.cnn import Conv2d, Linear
from mmengine.logging import print_log
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmvitkd.utils.errors import ConfigError
from mmvitkd.utils.libraries import optional_libraries
from mmvitkd.utils.quantisers import QUANTISER

SMALLEST = torch.finfo(torch.float32).eps  # of scales
BITS = 8


class FakeQuantised(nn.Module):
    """What the quantised layers share.

    Attributes:
        weight_bits: Of the weights, in a symmetric range.
        frozen: Whether the range of the inputs stays as it is, in training too.
        input_quantiser: torchao's, which rounds the inputs to 8 bits by a scale for the
            tensor. It passes them on as they are until it has been trained.
    """

    weight: Tensor
    weight_bits: int
    frozen: bool
    input_quantiser: Any

    def weight_scale(self) -> Tensor:
        """Return the step of each output channel's weights, ``(C_out, )``."""
        largest = self.weight.detach().flatten(1).abs().amax(1)
        return (largest / self.largest_integer).clamp(min=SMALLEST)

    @property
    def largest_integer(self) -> int:
        """The largest that weights are rounded to; the smallest is its negative."""
        return 2 ** (self.weight_bits - 1) - 1

    def rounded_weight(self) -> Tensor:
        """Round the weights; the gradient passes."""
        scale = self.weight_scale()
        zero = torch.zeros_like(scale, dtype=torch.int32)
        most = self.largest_integer
        return torch.fake_quantize_per_channel_affine(
            self.weight, scale, zero, 0, -most, most
        )

    def rounded_input(self, x: Tensor) -> Tensor:
        """Round inputs, by a range that follows them in training.

        Raises:
            ConfigError: If they are not of float32.
        """
        if x.dtype != torch.float32:
            raise ConfigError(
                'model.quantisation: a quantised student is trained in float32, which '
                f'{x.dtype} can not stand in for: leave --amp and AmpOptimWrapper out'
            )
        quantiser = self.input_quantiser
        if self.training:
            quantiser.enable_fake_quant()
        quantiser.enable_observer(self.training and not self.frozen)
        return quantiser(x)


class FakeQuantisedLinear(FakeQuantised, nn.Linear):
    """A linear layer of INT8, in float32."""

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(..., C_in)`` to ``(..., C_out)``."""
        return F.linear(self.rounded_input(x), self.rounded_weight(), self.bias)


class FakeQuantisedConv2d(FakeQuantised, nn.Conv2d):
    """A convolution of INT8, in float32."""

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, C_in, H, W)`` to ``(B, C_out, H', W')``."""
        x = self.rounded_input(x)
        return self._conv_forward(x, self.rounded_weight(), self.bias)


# whose forward is torch's; mmcv's only mend what old releases of torch did wrong
QUANTISED: dict[type, type] = {
    nn.Linear: FakeQuantisedLinear,
    Linear: FakeQuantisedLinear,
    nn.Conv2d: FakeQuantisedConv2d,
    Conv2d: FakeQuantisedConv2d,
}


def quantise_layers(model: nn.Module, weight_bits: int = BITS) -> None:
    """Let a model's linear layers and convolutions round as INT8 does.

    Modules, parameters and their names stay; every such layer gets an
    ``input_quantiser``, whose range of the inputs is the moving average of their least
    and largest values in training (arXiv:1712.05877).

    Args:
        model: With LayerNorms.
        weight_bits: Of the weights, 2 to 8; of the first and the last layer always 8,
            as of all inputs. Defaults to 8.

    Raises:
        ConfigError: If it is out of range, or the model has BatchNorm.
        ImportError: If torchao is missing.
    """
    whole = isinstance(weight_bits, int) and not isinstance(weight_bits, bool)
    if not whole or not 2 <= weight_bits <= BITS:
        raise ConfigError(
            f'model.quantisation: weight_bits={weight_bits!r} must be one of 2 to 8'
        )
    for name, module in model.named_modules():
        if isinstance(module, _BatchNorm):
            raise ConfigError(
                f'model.quantisation: the student ({type(model).__name__}) has a '
                f"BatchNorm, '{name}', which would have to be merged into a quantised "
                'convolution, and that is not built: quantise it after training, by '
                'export --format onnx --int8'
            )
    layers: list[Any] = [m for m in model.modules() if type(m) in QUANTISED]
    for layer in layers:
        layer.__class__ = QUANTISED[type(layer)]  # as torch's parametrize does
        layer.weight_bits = BITS if layer in (layers[0], layers[-1]) else weight_bits
        layer.frozen = False
        layer.add_module(QUANTISER, _input_quantiser())
    print_log(f'{len(layers)} layers of the student are quantised', logger='current')


def fake_quantised(model: nn.Module) -> dict[str, FakeQuantised]:
    """List the quantised layers by their paths."""
    named = model.named_modules()
    return {path: m for path, m in named if isinstance(m, FakeQuantised)}


def _input_quantiser() -> nn.Module:
    with optional_libraries():
        from torchao.quantization.pt2e import (
            FusedMovingAvgObsFakeQuantize,
            MovingAverageMinMaxObserver,
        )
    quantiser = FusedMovingAvgObsFakeQuantize(
        MovingAverageMinMaxObserver,
        quant_min=0,
        quant_max=2**BITS - 1,
        dtype=torch.uint8,
        qscheme=torch.per_tensor_affine,
    )
    quantiser.disable_fake_quant()
    quantiser.disable_observer()
    return quantiser
