import math
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any

import torch
from mmengine.dist import all_reduce, get_world_size
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor, nn

from mmvitkd.models.classifiers.classes import is_multi_label
from mmvitkd.registry import HOOKS
from mmvitkd.utils.cli import unwrap

from .accuracy import (
    STUDENT,
    chance_warning,
    near_chance,
    rates,
    stored_logits,
    watch_logits,
)
from .term_watch import TermGradient, TermWatch

TASK = ''  # where a term has its name
LONGEST = 100  # steps from one look to the next, if nobody says another number
LOOKS = 20  # that a run has at least, if it has as many steps
ENOUGH = 10_000  # images after which a teacher's accuracy is known


@HOOKS.register_module()
class DistillationMonitorHook(Hook):
    """Log what every term does to the student, and warn when one goes wrong.

    In some steps it takes the gradient of each loss alone, at the parameters of one
    module of the student that lies below the taps, and logs by MMEngine's visualizer,
    so to whichever backends that has:

    - ``distill/loss/<term>`` and ``distill/grad_norm/<term>``, with the weights that
      training uses; ``distill/loss`` and ``distill/grad_norm`` of the student's own
      loss, the task;
    - ``distill/cosine/<term>``, between the gradients of term and task;
    - ``distill/accuracy/student`` and ``distill/accuracy/<teacher>`` on the batch as
      it is trained on, ``distill/agreement/<teacher>`` of the two. Of mixed labels
      the class of the largest share counts; without labels there is no accuracy, and
      of images with several classes neither. Segmentors' is that of pixels, on the grid
      of the logits; detectors and pose estimators have none.

    Over several processes they are those of the joint batch. Training is the same
    with and without it, bit by bit. FSDP, DeepSpeed and torch's reentrant activation
    checkpointing don't let gradients be taken apart, so there are no norms and
    cosines; with ``compile`` there is nothing. A look that fails is said and given up;
    it never ends training.

    Args:
        interval: Steps from one look to the next. Defaults to None: 100, or in shorter
            runs a twentieth of all steps, and the last step as well.
        module: Path of the student's module at whose parameters gradients are taken;
            ``''`` is the whole student. Defaults to None, the first convolution that
            is trained: of a ViT its patch embedding.

    Raises:
        ValueError: If ``interval`` is below 1. Before training: if the student has no
            such module, or nothing in it is trained.
    """

    def __init__(self, interval: int | None = None, module: str | None = None) -> None:
        if interval is not None and interval < 1:
            raise ValueError(f'interval must be at least 1, got {interval}')
        self.interval = interval
        self.module = module
        self._model: Any = None
        self._parameters: list[nn.Parameter] = []
        self._step: ExitStack | None = None
        self._values: dict[str, Tensor] = {}
        self._gradients: dict[str, Tensor] = {}
        self._failure: Exception | None = None
        self._batch = (0, 0)  # images and classes
        self._hits: dict[str, tuple[int, int]] = {}
        self._last = 0  # step

    def before_train(self, runner: Runner) -> None:
        """Find what is to be watched."""
        model: Any = unwrap(runner.model)
        self._model = None
        if not getattr(model, 'terms', None):
            runner.logger.info('DistillationMonitorHook: nothing is distilled')
            return
        path, self._parameters = shared_parameters(
            model.student, self.module, type(self).__name__
        )
        self._watch = TermWatch(f"'{path}'" if path else 'parameters')
        if runner.cfg.get('compile'):
            runner.logger.warning(
                'DistillationMonitorHook: a compiled step can not be looked into, so '
                'nothing is logged'
            )
            return
        self._model = model
        loop = runner.train_loop  # of a benchmark there is none
        self._last = 0 if loop is None else loop.max_iters
        if self.interval is not None and 0 < self._last < self.interval:
            runner.logger.warning(
                f'DistillationMonitorHook: interval={self.interval}, but the run has '
                f'{self._last} steps, so nothing is logged'
            )
        if not isinstance(runner, Runner):  # FlexibleRunner, whose strategies shard
            self._parameters = []
            runner.logger.warning(
                f'DistillationMonitorHook: {type(runner.strategy).__name__} does not '
                'let gradients be taken apart, so there are no norms and cosines'
            )

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None
    ) -> None:
        """Begin to look, if it is time."""
        if self._model is None or not self._is_time(runner.iter + 1):
            return
        self._step = ExitStack()
        logits = self._step.enter_context(watch_logits(self._model))
        # without it, small gradients are lost in float16
        scaler = getattr(runner.optim_wrapper, 'loss_scaler', None)
        scale = 1.0 if scaler is None else scaler.get_scale()
        observer = partial(self._observe, logits, scale)
        self._model.observers.append(observer)
        self._step.callback(self._model.observers.remove, observer)

    def _is_time(self, step: int) -> bool:
        if self.interval is not None:
            return step % self.interval == 0
        return step % default_interval(self._last) == 0 or step == self._last

    def _observe(
        self,
        logits: dict[str, Tensor],
        scale: float,
        losses: dict[str, Tensor],
        outputs: dict,
        target: Tensor | None,
    ) -> None:
        """Look at a step between its forward and its backward pass."""
        self._failure = None
        try:
            parts = split_losses(losses, list(self._model.terms))
            self._values = {tag('loss', n): loss.detach() for n, loss in parts.items()}
            if self._parameters:
                self._gradients = self._take_gradients(parts, scale)
            if is_multi_label(self._model.student):
                logits = {}  # no class of an image is the right one
            logits, target = self._model.task.rows(logits, target)
            if STUDENT in logits:
                images, classes = logits[STUDENT].shape
                self._batch = images * get_world_size(), classes
                logits = {**stored_logits(outputs, classes), **logits}
            self._values |= rates(logits, target)
        except Exception as error:  # whatever it is, training must go on
            self._failure = error

    def _take_gradients(
        self, parts: dict[str, Tensor], scale: float
    ) -> dict[str, Tensor]:
        # outside of autocast, as the backward pass
        with torch.autocast(self._parameters[0].device.type, enabled=False):
            return {
                name: gradient(loss * scale, self._parameters) / scale
                for name, loss in parts.items()
            }

    def _has_failed(self, runner: Runner) -> bool:
        """Leave out, in every process, what failed in one, and say so."""
        failed = torch.tensor(float(self._failure is not None))
        all_reduce(failed, 'max')
        if not failed:
            return False
        reason = 'in another process'
        if self._failure is not None:
            text = str(self._failure).partition('\n')[0]
            reason = f'{type(self._failure).__name__}: {text}'
        if 'use_reentrant' in reason:
            reason = (
                "the student's activations are checkpointed by torch's reentrant way "
                '(with_cp=True), which lets no gradients be taken apart; '
                'mmvitkd.ActivationCheckpointingHook in its place does'
            )
        if self._parameters:  # the most that can fail: the next look is without
            self._parameters = []
            left = 'norms and cosines of gradients are'
        else:
            self._model = None
            left = 'everything is'
        runner.logger.warning(
            f'DistillationMonitorHook: could not look into step {runner.iter + 1} '
            f'({reason}). Training goes on; {left} left out from here on'
        )
        self._gradients = {}
        return True

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: dict | None = None,
    ) -> None:
        """Log what was seen, and warn."""
        if self._step is None:
            return
        self._step.close()
        self._step = None
        if self._has_failed(runner):
            return
        values = {name: float(value) for name, value in joint(self._values).items()}
        # of a batch in which no pixel has a label there is no accuracy
        values = {n: value for n, value in values.items() if not math.isnan(value)}
        values |= compare(joint(self._gradients))
        self._gradients = {}
        step = runner.iter + 1
        runner.logger.info(f'Distillation [{step}]  {line(values)}')
        runner.visualizer.add_scalars(
            # 'iter' and the file as LoggerHook: Weights & Biases knows no other step
            {**{f'distill/{name}': v for name, v in values.items()}, 'iter': step},
            step=step,
            file_path=f'{runner.timestamp}.json',
        )
        for warning in (*self._of_terms(runner, values), *self._of_teachers(values)):
            runner.logger.warning(warning)

    def _of_terms(self, runner: Runner, values: dict[str, float]) -> list[str]:
        """Warn of terms whose gradients go wrong."""
        scalars = runner.message_hub.log_scalars
        found = {}
        for name in self._model.terms:
            if (norm := values.get(tag('grad_norm', name))) is not None:
                weight = scalars.get(f'train/weight_{name}')  # TermWeightHook's
                off = weight is not None and weight.current() == 0
                found[name] = TermGradient(norm, values.get(tag('cosine', name)), off)
        return self._watch.look(found, values.get(tag('grad_norm', TASK)))

    def _of_teachers(self, values: dict[str, float]) -> Iterator[str]:
        """Warn of teachers near chance, once, over all that was seen of them."""
        images, classes = self._batch
        for name in self._model.teachers:
            right = values.get(f'accuracy/{name}')
            hits, seen = self._hits.get(name, (0, 0))
            if right is None or seen >= ENOUGH:
                continue
            hits, seen = hits + round(right * images), seen + images
            if near_chance(hits, seen, classes):
                yield chance_warning(name, hits, seen, classes)
                seen = ENOUGH
            self._hits[name] = hits, seen


def shared_parameters(
    student: nn.Module, path: str | None, whose: str
) -> tuple[str, list[nn.Parameter]]:
    """Find parameters that every term's gradient arrives at.

    Args:
        student: The student.
        path: Of a module; None for the first convolution that is trained, of a ViT its
            patch embedding.
        whose: The name of the hook, for messages.

    Returns:
        The module's path, and its parameters that are trained.

    Raises:
        ValueError: If the student has no such module, or nothing in it is trained.
    """
    modules = dict(student.named_modules())
    if path is None:
        convs = (n for n, m in modules.items() if isinstance(m, nn.Conv2d))
        path = next((name for name in convs if trained(modules[name])), '')
    elif path not in modules:
        raise ValueError(
            f"{whose}: the student has no module '{path}'; a ViT's "
            "are 'backbone.patch_embed', 'backbone.layers.0' and so on"
        )
    elif not trained(modules[path]):
        raise ValueError(
            f"{whose}: nothing is trained in '{path}': give the "
            "path of a student's module that is, below the taps"
        )
    return path, trained(modules[path])


def default_interval(steps: int) -> int:
    """Return the steps from one look to the next, in a run of so many."""
    return max(min(LONGEST, steps // LOOKS), 1)


def trained(module: nn.Module) -> list[nn.Parameter]:
    """List the parameters that are trained."""
    return [p for p in module.parameters() if p.requires_grad]


def tag(kind: str, name: str) -> str:
    """Name a value of a term, or of the task."""
    return f'{kind}/{name}' if name else kind


def split_losses(losses: dict[str, Any], terms: list[str]) -> dict[str, Tensor]:
    """Sum up the student's own losses, and list each term's.

    Returns:
        Scalars by the term's name; the task's, if it has a weight, under ``''``.
    """
    theirs = {f'loss_{name}': name for name in terms}
    own = [
        part.mean()
        for key, value in losses.items()
        if 'loss' in key and key not in theirs
        for part in (value if isinstance(value, (list, tuple)) else [value])
    ]
    task = {TASK: torch.stack(own).sum()} if own else {}
    return task | {name: losses[key] for key, name in theirs.items()}


def gradient(loss: Tensor, parameters: list[nn.Parameter]) -> Tensor:
    """Return a loss's gradient as one float32 vector ``(P,)``; the graph stays."""
    found: tuple[Tensor | None, ...] = (None,) * len(parameters)
    if loss.requires_grad:  # else what it looks at is frozen
        found = torch.autograd.grad(
            loss, parameters, retain_graph=True, allow_unused=True
        )
    # those that the loss does not reach count as zero
    pairs = zip(found, parameters, strict=True)
    parts = [torch.zeros_like(p) if g is None else g for g, p in pairs]
    return torch.cat([part.detach().flatten().float() for part in parts])


def joint(found: dict[str, Tensor]) -> dict[str, Tensor]:
    """Average tensors of one shape over all processes."""
    if not found:
        return {}
    together = torch.stack([value.float() for value in found.values()])
    all_reduce(together, 'mean')
    return dict(zip(found, together, strict=True))


def compare(gradients: dict[str, Tensor]) -> dict[str, float]:
    """Return the norms of gradients ``(P,)``, and the terms' cosines with the task's.

    What is not finite is left out, as the optimiser skips a step in which float16
    overflows. A cosine with zero is 0.
    """
    norms = {name: float(g.norm()) for name, g in gradients.items()}
    norms = {name: norm for name, norm in norms.items() if math.isfinite(norm)}
    values = {tag('grad_norm', name): norm for name, norm in norms.items()}
    for name in norms:
        if name != TASK and TASK in norms:
            units = (gradients[n] / max(norms[n], 1e-30) for n in (name, TASK))
            values[tag('cosine', name)] = float(torch.dot(*units))
    return values


def line(values: dict[str, float]) -> str:
    """Write the values of a step for the terminal, grouped by whose they are."""
    groups: dict[str, list[str]] = {}
    for key, value in values.items():
        kind, _, name = key.partition('/')
        text = f'{value:.1%}' if kind in ('accuracy', 'agreement') else f'{value:.4g}'
        groups.setdefault(name or 'task', []).append(f'{kind} {text}')
    return ' | '.join(f'{name}: {", ".join(g)}' for name, g in groups.items())
