import torch.nn.functional as F
from mmcv.cnn import ConvModule
from torch import Tensor, nn


class Involution(nn.Module):
    r"""A convolution whose kernel belongs to a place, and not to a channel.

    Of `Involution: Inverting the Inherence of Convolution for Visual Recognition
    <https://arxiv.org/abs/2103.06255>`_, equations 4 and 6:

    .. math::
        Y_{i,j,k} = \sum_{u,v} H_{i,j,u,v,\lceil kG/C \rceil} X_{i+u,j+v,k}, \quad
        H_{i,j} = W_1 \sigma(W_0 X_{i,j})

    :math:`G` groups of channels share a kernel each, which a place makes of its own
    channels; :math:`\sigma` is a batch norm and a ReLU.

    Args:
        channels: :math:`C`, of input and output.
        kernel_size: Odd. Defaults to 3.
        group_channels: :math:`C / G`. Defaults to the authors' 16.
        reduction: By which :math:`W_0` divides the channels. Defaults to their 4.
        stride: Of the places; a kernel is made of the mean of ``stride**2`` of them.
            Defaults to 1.

    Raises:
        ValueError: If the channels are no whole groups, or ``kernel_size`` is even.
    """

    def __init__(
        self,
        channels: int,
        kernel_size: int = 3,
        group_channels: int = 16,
        reduction: int = 4,
        stride: int = 1,
    ) -> None:
        super().__init__()
        if channels % group_channels or channels % reduction:
            raise ValueError(
                f'{channels} channels are no whole groups of {group_channels}, or not '
                f'divisible by {reduction}'
            )
        if kernel_size % 2 == 0:
            raise ValueError(f'kernel_size must be odd, such as 3, got {kernel_size}')
        self.kernel_size = kernel_size
        self.stride = stride
        self.groups = channels // group_channels
        hidden = channels // reduction
        # W_0 and W_1, under the names that published checkpoints have
        self.conv1 = ConvModule(channels, hidden, 1, norm_cfg={'type': 'BN'})
        self.conv2 = ConvModule(hidden, self.groups * kernel_size**2, 1, act_cfg=None)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, C, H, W)`` to the same, each side divided by the stride."""
        size, stride = self.kernel_size, self.stride
        means = x if stride == 1 else F.avg_pool2d(x, stride, ceil_mode=True)
        kernels = self.conv2(self.conv1(means))
        around = F.unfold(x, size, padding=size // 2, stride=stride)  # (B, C*K*K, H*W)
        around = around.unflatten(2, kernels.shape[2:])
        around = around.unflatten(1, (self.groups, -1, size**2))
        kernels = kernels.unflatten(1, (self.groups, 1, size**2))
        # both (B, groups, channels of one or 1, K * K, H, W)
        return (kernels * around).sum(3).flatten(1, 2)
