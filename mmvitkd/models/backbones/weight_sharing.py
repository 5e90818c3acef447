"""One module's weights at several places of a model."""

from mmengine.model.weight_init import trunc_normal_
from torch import Tensor, nn


class SharedLinear(nn.Linear):
    """A linear layer with the weights of another one, which has them.

    So they stand once in the model, where their owner does: in checkpoints, averages,
    the optimiser and gradient buckets. Their gradient is the sum over the uses. A hook
    on either sees its own calls only.

    Args:
        owner: The layer that has the weights.
    """

    def __init__(self, owner: nn.Linear) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features = owner.in_features, owner.out_features
        self._owner = (owner,)  # as an attribute it would be registered again

    @property
    def owner(self) -> nn.Linear:
        """The layer that has the weights."""
        return self._owner[0]

    @property
    def weight(self) -> Tensor:  # type: ignore[override]
        """Of the owner, ``(C_out, C_in)``."""
        return self.owner.weight

    @property
    def bias(self) -> Tensor | None:  # type: ignore[override]
        """Of the owner, ``(C_out,)``."""
        return self.owner.bias


def share_linears(module: nn.Module, owner: nn.Module) -> None:
    """Give a module the linear layers of another one that is built alike."""
    for name, child in list(module.named_children()):
        theirs = owner.get_submodule(name)
        if isinstance(theirs, nn.Linear):
            setattr(module, name, SharedLinear(theirs))
        else:
            share_linears(child, theirs)


def init_head_transform(transform: nn.Linear | nn.Conv2d, identity: bool) -> None:
    """Begin a linear map over heads as the identity, or close to zero, as released."""
    weight = transform.weight.data
    if identity:
        nn.init.eye_(weight.flatten(1))
    else:
        trunc_normal_(weight, std=0.02)
    if transform.bias is not None:
        nn.init.zeros_(transform.bias)
