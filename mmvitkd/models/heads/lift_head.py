from typing import Any

from mmpretrain.models import ClsHead
from torch import Tensor, nn

from mmvitkd.registry import MODELS

from ..utils import check_count

INIT = {'type': 'TruncNormal', 'layer': 'Linear', 'std': 0.02}


@MODELS.register_module()
class LiftClsHead(ClsHead):
    """A classifier on patch tokens that are lifted to the teacher's width: Lift, from
    `From Per-Image Low-Rank to Encoding Mismatch <https://arxiv.org/abs/2511.15572>`_.

    ``lift``, a linear layer without bias and a norm, maps every token; their mean is
    classified. A term taps ``head.lift``, and needs no neck: what projectors of other
    methods are thrown away for is kept here. No class token is read.

    Args:
        num_classes: How many there are.
        in_channels: The backbone's width. It yields maps ``(B, C, H, W)``, of a ViT by
            ``out_type='featmap', final_norm=False``.
        lift_channels: The teacher's width. Defaults to 384, CaiT-S24's.
        init_cfg: MMEngine's initialisation config. Defaults to truncated
            normal weights.
        **kwargs: As for ``ClsHead``.

    Raises:
        ValueError: If a number is not positive.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        *,
        lift_channels: int = 384,
        init_cfg: Any = INIT,
        **kwargs: Any,
    ) -> None:
        super().__init__(init_cfg=init_cfg, **kwargs)
        self.num_classes = check_count('num_classes', num_classes)
        self.in_channels = check_count('in_channels', in_channels)
        width = check_count('lift_channels', lift_channels)
        self.lift = nn.Sequential(
            nn.Linear(in_channels, width, bias=False), nn.LayerNorm(width)
        )
        self.fc = nn.Linear(width, num_classes)

    def pre_logits(self, feats: tuple[Tensor, ...]) -> Tensor:
        """Lift the last map ``(B, C, H, W)``, and return the tokens' mean, ``(B, D)``.

        Raises:
            ValueError: If it is no map.
        """
        x = feats[-1]
        if not isinstance(x, Tensor) or x.ndim != 4:
            shape = tuple(x.shape) if isinstance(x, Tensor) else type(x).__name__
            raise ValueError(
                f'LiftClsHead takes maps (B, C, H, W), got {shape}: set '
                "out_type='featmap' in the backbone"
            )
        return self.lift(x.flatten(2).transpose(1, 2)).mean(1)  # of (B, N, D)

    def forward(self, feats: tuple[Tensor, ...]) -> Tensor:
        """Return logits ``(B, K)``."""
        return self.fc(self.pre_logits(feats))
