from mmpretrain.models import ClsHead
from torch import Tensor


class DistilledHead(ClsHead):
    """What lets a head of MMPretrain train its distillation part, which that refuses.

    Goes before MMPretrain's class among the bases. The labels teach ``head``, a term
    the part that ``extra`` names, and the mean of both predicts.
    """

    extra: str

    def forward(self, feats: tuple[Tensor, ...]) -> Tensor:
        """Return logits ``(B, K)``: in training the labels' head's, else the mean.

        Raises:
            ValueError: If nothing teaches the distillation head in training, which
                would stay as it began, and have a say in every prediction.
        """
        extra = getattr(self, self.extra, None)
        if extra is None or not self.training:
            return super().forward(feats)
        if not extra._forward_hooks:  # a tap is one
            raise ValueError(
                "the student's distillation head is taught by no term: let one tap it, "
                f"student='head.{self.extra}', teacher='head', or set "
                "distillation=False in the student's head"
            )
        features = self.pre_logits(feats)
        extra(features)  # for its tap
        return self.head(features)

    @classmethod
    def upstream(cls, cfg: dict) -> dict:
        """Name MMPretrain's own head, whose predictions are the same."""
        theirs = [k for k in cls.__mro__ if k.__module__.startswith('mmpretrain.')]
        return {**cfg, 'type': theirs[0].__name__}
