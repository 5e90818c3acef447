import torch
from mmpretrain.models.utils import ShiftWindowMSA
from mmpretrain.models.utils.attention import WindowMSA
from torch import Tensor, nn

from .weight_sharing import init_head_transform


class MiniWindowMSA(WindowMSA):
    """MMPretrain's attention in windows, with maps over heads around the softmax.

    The first one comes after the relative positions and before the mask of shifted
    windows. The maps are a block's own, where its weights may be shared.
    """

    identity_init: bool

    def set_up(self, owner: 'MiniWindowMSA | None', identity_init: bool) -> None:
        """Make MMPretrain's attention into one of this class, which it became.

        Args:
            owner: The attention whose relative positions it uses; None for its own.
            identity_init: As for ``MiniSwin``.
        """
        self._owner = (owner,)  # as an attribute it would be registered again
        self.identity_init = identity_init
        if owner is not None:
            del self.relative_position_bias_table, self.relative_position_index
        self.proj_l, self.proj_w = (
            nn.Linear(self.num_heads, self.num_heads) for _ in range(2)
        )

    @property
    def owner(self) -> 'MiniWindowMSA | None':
        """The attention that has the relative positions, if they are not its own."""
        return self._owner[0]

    def init_weights(self) -> None:
        """Begin relative positions as upstream, maps as ``identity_init`` says."""
        if self.owner is None:
            super().init_weights()
        for transform in (self.proj_l, self.proj_w):
            init_head_transform(transform, self.identity_init)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Map the tokens of windows.

        Args:
            x: ``(B * windows, N, C)``.
            mask: ``(windows, N, N)``, which is added to the logits. Defaults to None.

        Returns:
            ``(B * windows, N, C)``.
        """
        qkv = self.qkv(x).unflatten(2, (3, self.num_heads, -1))
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # (B * windows, heads, N, C / heads) each
        logits = self.scale * q @ k.transpose(-2, -1) + self.positions()
        logits = self.proj_l(logits.movedim(1, -1)).movedim(-1, 1)
        if mask is not None:
            logits = logits.unflatten(0, (-1, len(mask))) + mask[:, None]
            logits = logits.flatten(0, 1)
        weights = self.softmax(logits)  # (B * windows, heads, N, N)
        weights = self.proj_w(weights.movedim(1, -1)).movedim(-1, 1)
        x = (self.attn_drop(weights) @ v).transpose(1, 2).flatten(2)
        return self.proj_drop(self.proj(x))

    def positions(self) -> Tensor:
        """Return what the relative positions add to the logits, ``(heads, N, N)``."""
        source = self.owner or self
        return source.relative_position_bias_table[
            source.relative_position_index
        ].permute(2, 0, 1)


class AlwaysMaskedMSA(ShiftWindowMSA):
    """Windows with the mask of shifted ones, shifted or not."""

    @staticmethod
    def get_attn_mask(
        hw_shape: tuple[int, int],
        window_size: int,
        shift_size: int,
        device: torch.device | None = None,
    ) -> Tensor | None:
        """Return the mask ``(windows, N, N)``; None where there is one window."""
        if min(hw_shape) > window_size:
            shift_size = window_size // 2
        return ShiftWindowMSA.get_attn_mask(hw_shape, window_size, shift_size, device)
