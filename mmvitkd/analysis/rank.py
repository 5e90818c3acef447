"""How many dimensions a layer's features take."""

import torch
from torch import Tensor


class Covariance:
    """The covariance of features that come in batches.

    Batches are centred at the mean of the first one, since squares of a mean that is
    large against the spread would cost digits.
    """

    def __init__(self) -> None:
        self._count = 0
        self._centre: Tensor | None = None

    def update(self, features: Tensor) -> None:
        """Take a batch ``(..., C)``, one vector a token."""
        x = features.flatten(0, -2).double()  # (M, C)
        if self._centre is None:
            self._centre = x.mean(0)
            self._sum = torch.zeros_like(self._centre)
            self._squares = torch.zeros_like(torch.outer(self._sum, self._sum))
        x = x - self._centre
        self._count += len(x)
        self._sum += x.sum(0)
        self._squares += x.T @ x

    @property
    def count(self) -> int:
        """How many vectors there were."""
        return self._count

    def principal_variances(self) -> Tensor:
        """Return the variance along every principal axis, the largest first, ``(C,)``.

        Raises:
            ValueError: If there was no batch.
        """
        return _descending(self._moments()[0])

    def principal_moments(self) -> Tensor:
        """Return the mean squares along the principal axes of features as they are.

        That is the data-set PCA of `From Per-Image Low-Rank to Encoding Mismatch
        <https://arxiv.org/abs/2511.15572>`_, which does not centre; their sum is the
        mean square of a vector's length.

        Returns:
            ``(C,)``, the largest first.

        Raises:
            ValueError: If there was no batch.
        """
        covariance, mean = self._moments()
        return _descending(covariance + torch.outer(mean, mean))

    def _moments(self) -> tuple[Tensor, Tensor]:
        """Return the covariance and the mean."""
        if self._centre is None:
            raise ValueError('covariance of no features: call update first')
        mean = self._sum / self._count
        covariance = self._squares / self._count - torch.outer(mean, mean)
        return covariance, self._centre + mean


def _descending(matrix: Tensor) -> Tensor:
    """Return a covariance's eigenvalues, the largest first, on the CPU."""
    return torch.linalg.eigvalsh(matrix).flip(0).clamp(min=0).cpu()


def principal_variances(features: Tensor) -> Tensor:
    """Return the variance along every principal axis, the largest first.

    Args:
        features: ``(..., C)``, one vector a token; more of them than channels, or
            their number bounds the rank.

    Returns:
        ``(C,)`` in float64.
    """
    covariance = Covariance()
    covariance.update(features)
    return covariance.principal_variances()


def effective_rank(variances: Tensor) -> float:
    r"""Return the effective rank of `Roy and Vetterli (2007)
    <https://ieeexplore.ieee.org/document/7098875>`_.

    .. math::
        \exp\Big(-\sum_i p_i \ln p_i\Big), \quad p_i = \sigma_i / \sum_j \sigma_j

    The singular values :math:`\sigma` are those of the centred features, so the
    square roots of their variances: ``C`` where these are all equal, 1 where there is
    one direction alone.

    Args:
        variances: ``(C,)``, see :func:`principal_variances`.

    Returns:
        A number from 1 to ``C``; 0 where nothing varies.
    """
    sigma = variances.sqrt()
    total = sigma.sum()
    if total == 0:
        return 0.0
    return float(torch.special.entr(sigma / total).sum().exp())


def dimensions_for(variances: Tensor, share: float) -> int:
    """Return how many principal axes hold a share of the variance.

    Args:
        variances: ``(C,)``, the largest first.
        share: From 0 to 1, e.g. 0.99.

    Returns:
        The least such number; 0 where nothing varies.

    Raises:
        ValueError: If ``share`` is not between 0 and 1.
    """
    if not 0 <= share <= 1:
        raise ValueError(f'share must be in [0, 1], got {share}')
    within = torch.cat([variances.new_zeros(1), variances.cumsum(0)])  # of 0, 1, .. C
    # rounding must not ask for one axis more
    return int((within < share * within[-1] * (1 - 1e-12)).sum())


def image_dimensions(tokens: Tensor, share: float) -> Tensor:
    """Return how many dimensions hold a share of each image's energy.

    The sample-wise SVD of `From Per-Image Low-Rank to Encoding Mismatch
    <https://arxiv.org/abs/2511.15572>`_: tokens are not centred, and every image has
    axes of its own.

    Args:
        tokens: ``(B, N, C)``.
        share: From 0 to 1, e.g. 0.95.

    Returns:
        ``(B,)``, whole numbers of at most ``min(N, C)``.
    """
    energy = torch.linalg.svdvals(tokens.float()).square().double()
    return torch.tensor([dimensions_for(one, share) for one in energy.cpu()])


def variance_within(variances: Tensor, width: int) -> float:
    """Return the largest share of the variance that ``width`` dimensions can hold.

    What a linear layer makes of a student of that width lies in so many dimensions
    (and an offset), wherever the student's features are: one minus this share is the
    least relative squared error that mimicking can reach (Eckart and Young).

    Args:
        variances: The teacher's, ``(C,)``, the largest first.
        width: The student's.

    Returns:
        A number from 0 to 1; 1 where nothing varies.

    Raises:
        ValueError: If ``width`` is not above 0.
    """
    if width < 1:
        raise ValueError(f'width must be above 0, got {width}')
    total = float(variances.sum())
    return float(variances[:width].sum()) / total if total > 0 else 1.0
