"""Images of given classes, by gradient descent on their pixels."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from mmpretrain.models import ClsDataPreprocessor
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmvitkd.models.classifiers.preprocessing import is_rgb, renormalise
from mmvitkd.utils.blocks import input_channels

from .terms import (
    agreement,
    intra_divergence,
    mean_norm,
    statistics_distance,
    total_variation,
)

FIRST = 10.0  # the weight of the first BatchNorm, the others' is 1
# pixels from 0 to 255, RGB
PIXELS = ClsDataPreprocessor(to_rgb=True)


@dataclass(frozen=True)
class Recipe:
    """How images are made.

    Args:
        size: ``(H, W)``.
        coarse_steps: At half of the size.
        steps: At the size.
        lr: Adam's, on normalised pixels.
        jitter: By how many pixels images are shifted at most, before every step.
        flip: Mirror them before every other step, at random.
        statistics: Weight of the BatchNorms' statistics.
        variation: Weight of the total variation.
        norm: Weight of the pixels' L2 norm.
        divergence: Weight of the likeness of images of a class.
        easy: The probability that the teacher must give an image's class for that.
        competition: Weight of the agreement with a student, where there is one.
    """

    size: tuple[int, int]
    coarse_steps: int
    steps: int
    lr: float
    jitter: int
    flip: bool
    statistics: float
    variation: float
    norm: float
    divergence: float
    easy: float
    competition: float


class Watched:
    """What is seen inside a teacher during a forward.

    Attributes:
        distances: Of every BatchNorm's input from its stored statistics.
        features: The input of the classifier's linear layer, ``(B, C)``.
    """

    def __init__(self) -> None:
        self.distances: list[Tensor] = []
        self.features: Tensor | None = None

    def keep_distance(self, module: Any, args: tuple) -> None:
        """Compare a BatchNorm's input with what it has stored."""
        distance = statistics_distance(args[0], module.running_mean, module.running_var)
        self.distances.append(distance)

    def keep_features(self, _: nn.Module, args: tuple) -> None:
        """Keep the input of a layer."""
        self.features = args[0]


class Inversion:
    """Turns a teacher around: from classes to images of them.

    Args:
        teacher: A frozen classifier with BatchNorm, in eval mode.
        preprocessor: How its pixels are normalised.
        recipe: How images are made.
        student: From images as the teacher takes them to a student's logits, for images
            on which the two disagree. Defaults to None.

    Raises:
        ValueError: If the teacher has no BatchNorm with stored statistics; or no linear
            layer for its classes, and images shall diverge.
    """

    def __init__(
        self,
        teacher: nn.Module,
        preprocessor: nn.Module,
        recipe: Recipe,
        student: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        self.teacher = teacher
        self.recipe = recipe
        self.student = student
        self.norms = batch_norms(teacher)
        self.channels = input_channels(teacher) or 3
        self.preprocessor = preprocessor
        # the steps are of one standard deviation, also where pixels stay from 0 to 255
        self.space = preprocessor
        if getattr(preprocessor, 'mean', None) is None:
            grey = [127.5] * self.channels
            self.space = ClsDataPreprocessor(
                mean=grey, std=grey, to_rgb=is_rgb(preprocessor)
            )
        self.device = next(teacher.parameters()).device
        self.classes = self._count_classes()
        linear = [
            module
            for module in teacher.modules()
            if isinstance(module, nn.Linear) and module.out_features == self.classes
        ]
        if recipe.divergence and not linear:
            raise ValueError(
                'the teacher has no linear layer for its classes, whose input could '
                'tell how alike images are: --divergence-weight 0 leaves that out'
            )
        self.linear = linear[-1] if linear else None

    @torch.no_grad()
    def _count_classes(self) -> int:
        """Ask about a blank image.

        Raises:
            ValueError: If there are no logits.
        """
        logits = self.ask(torch.zeros(1, self.channels, *self.recipe.size))
        if not isinstance(logits, Tensor) or logits.ndim != 2:
            raise ValueError('the teacher yields no logits (B, K)')
        return logits.shape[1]

    def ask(self, x: Tensor) -> Tensor:
        """Return the teacher's logits for images ``(B, C, H, W)`` of this space."""
        return self.teacher(self._prepare(x))

    def _prepare(self, x: Tensor) -> Tensor:
        """Normalise images of this space as the teacher's preprocessor does."""
        return renormalise(x.to(self.device), self.space, self.preprocessor)

    def make(
        self,
        labels: Tensor,
        generator: torch.Generator,
        tell: Callable[[], None] = lambda: None,
    ) -> Tensor:
        """Make an image for every label.

        Args:
            labels: ``(B,)``.
            generator: On the CPU; all that is random comes from it.
            tell: Called after every step.

        Returns:
            Pixels as bytes, ``(B, C, H, W)``, RGB.
        """
        stages = [(2, self.recipe.coarse_steps), (1, self.recipe.steps)]
        stages = [(scale, steps) for scale, steps in stages if steps]
        sizes = [[side // scale for side in self.recipe.size] for scale, _ in stages]
        shape = (len(labels), self.channels, *sizes[0])
        x = torch.randn(shape, generator=generator).to(self.device)
        labels = labels.to(self.device)
        for size, (scale, steps) in zip(sizes, stages, strict=True):
            if list(x.shape[2:]) != size:
                x = F.interpolate(x, size, mode='bilinear')
            x = self._descend(x, labels, steps, scale, generator, tell)
        pixels = renormalise(x, self.space, PIXELS)
        return pixels.round().clamp(0, 255).to(torch.uint8).cpu()

    def _descend(
        self,
        x: Tensor,
        labels: Tensor,
        steps: int,
        scale: int,
        generator: torch.Generator,
        tell: Callable[[], None],
    ) -> Tensor:
        """Change images ``(B, C, h, w)`` step by step, within black and white."""
        grey = torch.ones(1, self.channels, 1, 1)
        low, high = self.normalise(0 * grey), self.normalise(255 * grey)
        x = x.clamp(low, high).requires_grad_()
        optimizer = torch.optim.Adam([x], self.recipe.lr, betas=(0.5, 0.9))
        for _ in range(steps):
            loss = self.loss(self._augment(x, scale, generator), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            with torch.no_grad():
                x.clamp_(low, high)
            tell()
        return x.detach()

    def normalise(self, pixels: Tensor) -> Tensor:
        """Turn RGB pixels ``(B, C, H, W)`` from 0 to 255 into images of this space."""
        pixels = pixels.to(self.device, torch.float32)
        return renormalise(pixels, PIXELS, self.space)

    def _augment(self, x: Tensor, scale: int, generator: torch.Generator) -> Tensor:
        """Shift and mirror a batch; what leaves on one side comes in on the other."""
        reach = self.recipe.jitter // scale
        shift = torch.randint(-reach, reach + 1, (2,), generator=generator).tolist()
        x = x.roll(shift, dims=(2, 3))
        mirrored = torch.rand((), generator=generator) < 0.5
        return x.flip(3) if self.recipe.flip and mirrored else x

    def loss(self, x: Tensor, labels: Tensor) -> Tensor:
        """Sum up the terms of normalised images ``(B, C, H, W)``."""
        recipe = self.recipe
        with self._watch() as seen:
            logits = self.ask(x)
        loss = F.cross_entropy(logits, labels)
        loss = loss + recipe.variation * total_variation(x)
        loss = loss + recipe.norm * mean_norm(x)
        first, *others = seen.distances
        loss = loss + recipe.statistics * (FIRST * first + sum(others))
        easy = logits.softmax(1).gather(1, labels[:, None])[:, 0] >= recipe.easy
        if self.student is not None:
            answers = self.student(self._prepare(x))
            loss = loss + recipe.competition * agreement(answers, logits)
            easy = easy & (answers.argmax(1) == labels)
        if recipe.divergence and seen.features is not None:
            likeness = intra_divergence(seen.features, labels, easy)
            loss = loss + recipe.divergence * likeness
        return loss

    @contextmanager
    def _watch(self) -> Iterator[Watched]:
        """Look into the teacher's forwards inside."""
        seen = Watched()
        handles = [
            norm.register_forward_pre_hook(seen.keep_distance) for norm in self.norms
        ]
        if self.linear is not None:
            handles.append(self.linear.register_forward_pre_hook(seen.keep_features))
        try:
            yield seen
        finally:
            for handle in handles:
                handle.remove()


def batch_norms(teacher: nn.Module) -> list[nn.Module]:
    """List the BatchNorms that have stored statistics.

    Raises:
        ValueError: If there are none.
    """
    found: list[nn.Module] = [
        module
        for module in teacher.modules()
        if isinstance(module, _BatchNorm) and module.running_mean is not None
    ]
    if not found:
        inner = getattr(teacher, 'backbone', getattr(teacher, 'model', teacher))
        raise ValueError(
            f'the teacher ({type(inner).__name__}) has no BatchNorm, whose stored '
            'statistics tell what its images were like: take a convolutional teacher '
            'that has, such as a ResNet'
        )
    return found
