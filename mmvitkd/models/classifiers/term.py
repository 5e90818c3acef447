import difflib
import logging
from collections.abc import Callable
from typing import Any, NamedTuple

from mmengine.logging import print_log
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmvitkd.models.utils import resample_tokens, resize_labels
from mmvitkd.registry import MODELS

from .partial_labels import zero_loss
from .tap import Feature, Grid, Tap

Part = Callable[[Tensor, Grid], tuple[Tensor, Grid]]
NONE_GIVEN: dict[str, dict] = {}  # unlike None, by which a config asks for no terms
REQUIRED = ('student', 'teacher', 'loss')
PARTS = ('neck', 'view')
TERM_KEYS = (*REQUIRED, *PARTS, 'through', 'query')


class TermSpec(NamedTuple):
    """A term of a config, read but not yet built."""

    name: str
    student: Tap
    teacher_name: str
    teacher: Tap
    neck: dict | None
    loss: dict
    through: tuple[str, ...] = ()
    query: str | None = None
    view: dict | None = None


def parse_term(name: str, cfg: Any, teachers: tuple[str, ...]) -> TermSpec:
    """Read ``dict(student=tap, teacher=tap, neck=None, view=None, loss=...)``.

    ``through`` names modules of the teacher that what the neck yields is run through,
    with gradient; ``query`` another term, whose result the neck gets.

    Args:
        name: The term's name; the log shows ``loss_<name>``.
        cfg: The term's config.
        teachers: Names of the teachers. A tap of one of several begins with its
            name: ``'conv:head'``.

    Raises:
        ValueError: If a key is unknown or missing, or the teacher is.
    """
    if not isinstance(name, str) or not name or '.' in name or _is_taken(name):
        raise ValueError(
            f'a term can not be named {name!r}: take letters, digits and _, such as '
            "'mimic0'; the log calls it loss_<name>"
        )
    if not isinstance(cfg, dict):
        raise ValueError(f"term '{name}' must be a dict, got {cfg!r}")
    unknown = sorted(set(cfg) - set(TERM_KEYS))
    missing = [key for key in REQUIRED if key not in cfg]
    if unknown or missing:
        raise ValueError(
            f"term '{name}' has the keys {TERM_KEYS}, of which {REQUIRED} must be "
            f'given; unknown: {unknown}, missing: {missing}'
        )
    for key in (*PARTS, 'loss'):
        part = cfg.get(key)
        if not isinstance(part, dict) and (key == 'loss' or part is not None):
            raise ValueError(
                f"term '{name}': {key} must be a dict with its type, such as "
                f"dict(type='KDLoss'), got {part!r}"
            )
    spec = cfg['teacher']
    spec = dict(spec) if isinstance(spec, dict) else {'path': spec}
    if not isinstance(spec.get('path', ''), str):
        raise ValueError(
            f"term '{name}': a teacher's tap names one module, got {cfg['teacher']!r}; "
            "only a student's may name several"
        )
    teacher, colon, path = str(spec.get('path', '')).rpartition(':')
    spec['path'] = path
    if not colon and len(teachers) == 1:
        teacher = teachers[0]
    if teacher not in teachers:
        raise ValueError(
            f"term '{name}': teacher='{cfg['teacher']}' names none of the teachers "
            f"{list(teachers)}; write 'name:path'"
        )
    try:
        taps = Tap.parse(cfg['student']), Tap.parse(spec)
    except ValueError as error:
        raise ValueError(f"term '{name}': {error}") from error
    through = cfg.get('through') or ()
    through = (through,) if isinstance(through, str) else tuple(through)
    sides = name, taps[0], teacher, taps[1], cfg.get('neck'), cfg['loss']
    return TermSpec(*sides, through, cfg.get('query'), cfg.get('view'))


def _is_taken(name: str) -> bool:
    """Whether torch has a method of that name where the terms are kept."""
    return hasattr(nn.ModuleDict, name)


def parse_terms(cfgs: Any, teachers: tuple[str, ...]) -> list[TermSpec]:
    """Read a distiller's terms.

    Args:
        cfgs: Terms by name; None for none, as a config says in words, also in the
            place of a single one.
        teachers: Names of the teachers.

    Raises:
        ValueError: If one can't be read, there are none, or no term taps a teacher.
    """
    cfgs = _require_terms(cfgs, bool(teachers))
    if cfgs and not teachers:
        raise ValueError(
            f'the terms {sorted(cfgs)} need a teacher: give teacher=dict(cfg=..., '
            'checkpoint=...)'
        )
    given = {name: cfg for name, cfg in cfgs.items() if cfg is not None}
    specs = [parse_term(name, cfg, teachers) for name, cfg in given.items()]
    for number, spec in enumerate(specs):
        before = [one.name for one in specs[:number]]
        if spec.query is not None and spec.query not in before:
            raise ValueError(
                f"term '{spec.name}': query='{spec.query}' must name a term before it, "
                f'of {before}'
            )
    tapped = {spec.teacher_name for spec in specs}
    unused = [name for name in teachers if name not in tapped]
    if specs and unused and len(given) == len(cfgs):
        raise ValueError(
            f"no term taps the teachers {unused}: tap one by 'name:path', or leave it "
            'out'
        )
    return specs


def _require_terms(terms: Any, taught: bool) -> dict[str, dict]:
    """Return the terms, none of them if the config says so in words.

    Raises:
        ValueError: If there are none without that, or they are no dict.
    """
    if terms is None or (terms is NONE_GIVEN and not taught):
        return {}
    if not isinstance(terms, dict):
        raise ValueError(
            f'terms must be a dict of terms by name, got {terms!r}; on the command '
            'line, model.terms=None takes them all away'
        )
    if not terms:
        raise ValueError(
            'a distiller without terms distils nothing: give terms=dict(name=dict('
            'student=..., teacher=..., loss=...)), or terms=None (model.terms=None on '
            'the command line) to train the student alone'
        )
    return terms


def taps_by_teacher(specs: list[TermSpec]) -> dict[str, list[Tap]]:
    """Return the taps of some terms by the teacher's name."""
    return {
        name: [spec.teacher for spec in specs if spec.teacher_name == name]
        for name in dict.fromkeys(spec.teacher_name for spec in specs)
    }


def with_queried(active: list[TermSpec], specs: list[TermSpec]) -> list[TermSpec]:
    """Add the terms whose results others need, in their order."""
    needed = {spec.name for spec in active}
    for spec in reversed(specs):  # a query is of a term before
        if spec.name in needed and spec.query is not None:
            needed.add(spec.query)
    return [spec for spec in specs if spec.name in needed]


class DistillTerm(BaseModule):
    """One summand of the objective: two taps, an optional neck, a loss.

    With a view, the student runs once more for this term.

    Args:
        spec: The term as the config says it.
        student: What the student's tap yields, for its width.
        teacher: What the teacher's tap yields, for its width.
        part: ``part(x, hw) -> (x, hw)`` runs tokens through what the term's ``through``
            names. Defaults to None, of a term without.
        by_place: Whether a loss on logits gets those of every place, ``(B * N, K)``, of
            what yields a map of them. Defaults to False.

    Raises:
        ValueError: If a width is given wrong, the windows of the two sides hold other
            tokens, the loss needs a grid that the neck may change, or the neck takes no
            query, or not both sides.

    Attributes:
        name: The term's.
        query: Of the term whose result the neck gets, or None.
        part: As given.
        neck: The module between the student's tap and the loss, or None.
        view: The module by which the student looks again, or None.
        loss: ``loss(student, teacher, target=None, mask=None) -> scalar``; one whose
            ``takes_grid`` is True gets the tokens' grid as ``hw``, too, and one whose
            ``takes_mask_ratio`` is, the neck's ``mask_ratio`` or None.
    """

    def __init__(
        self,
        spec: TermSpec,
        student: Feature,
        teacher: Feature,
        part: Part | None = None,
        by_place: bool = False,
    ) -> None:
        super().__init__()
        _check_same_shift(student, teacher)
        self.neck: Any = None
        self.name, self.query, self.part = spec.name, spec.query, part
        self.by_place = by_place
        each = student.widths or (student.value.shape[-1],)
        if spec.neck is not None:
            in_channels: Any = list(each) if _takes_widths(spec.neck) else sum(each)
            widths = {
                'in_channels': in_channels,
                'out_channels': teacher.value.shape[-1],
            }
            for key, seen in widths.items():
                inner = key == 'out_channels' and part is not None  # that part's width
                if not inner and spec.neck.get(key, seen) != seen:
                    raise ValueError(
                        f"{key}={spec.neck[key]} but the models' width is {seen}: "
                        'leave it out, it is inferred'
                    )
            self.neck = _build({**widths, **spec.neck})
        self.view: Any = None
        if spec.view is not None:
            self.view = _build({'in_channels': each[0], **spec.view})
        self.loss: nn.Module = _build(spec.loss)
        self.two_sided = bool(getattr(self.neck, 'two_sided', False))
        if self.two_sided and getattr(self.loss, 'takes_grid', False):
            raise ValueError(
                f'{type(self.loss).__name__} needs the grid of the tokens, which the '
                f'two-sided neck {type(self.neck).__name__} may change: take another '
                'neck or loss'
            )
        if spec.query and not getattr(self.neck, 'takes_query', False):
            raise ValueError(
                f"query='{spec.query}' needs a neck that takes one, such as a "
                f'CrossAttentionProjector, got {type(self.neck).__name__}'
            )
        if part is not None and not self.two_sided:
            raise ValueError(
                f'through={[*spec.through]} needs a two-sided neck, such as a '
                f'CrossAttentionProjector, got {type(self.neck).__name__}'
            )
        unequal = student.hw and teacher.hw and student.hw != teacher.hw
        if unequal and not self.two_sided:
            print_log(
                f"term '{spec.name}': the teacher's {teacher.hw} grid is resampled to "
                f"the student's {student.hw}",
                logger='current',
                level=logging.WARNING,
            )

    def forward(
        self,
        student: Feature,
        teacher: Feature,
        target: Tensor | None,
        made: dict[str, Tensor] | None = None,
        hidden: Tensor | None = None,
    ) -> Tensor:
        """Return the term's scalar loss.

        Args:
            student: Of the student's tap.
            teacher: Of the teacher's tap. No gradient flows into it; it is resampled
                to the student's grid, unless the neck is two-sided.
            target: Labels ``(B,)`` or ``(B, K)``, if the samples have them; of every
                place ``(B, H, W)``, at any size, -1 for those that are left out.
            made: What the terms before have made of the student, by their names; this
                one's result is added. Defaults to None: no term queries another.
            hidden: Of a view, which patches it hid, ``(B, N)``. Defaults to None.

        Raises:
            ValueError: If a two-sided neck does not return both sides.
        """
        hw = student.hw
        teacher = teacher._replace(value=teacher.value.detach())
        if self.two_sided:
            x, y, mask = self._project(student, teacher, made or {})
        else:
            y = resample(teacher, hw)
            out = student.value if self.neck is None else self.neck(student.value, hw)
            x, mask = out if isinstance(out, tuple) else (out, None)
        if made is not None:
            made[self.name] = x
        mask = hidden if mask is None else mask
        extra = {'hw': hw} if getattr(self.loss, 'takes_grid', False) else {}
        if getattr(self.loss, 'takes_mask_ratio', False):
            extra['mask_ratio'] = getattr(self.neck, 'mask_ratio', None)
        # those on logits say whether classes exclude each other
        if self.by_place and x.ndim == y.ndim == 3 and hasattr(self.loss, 'exclusive'):
            x, y = x.flatten(0, 1), y.flatten(0, 1)  # (B * N, K)
            if target is not None:
                target = _labels_of_places(target, hw)
                seen = target >= 0
                if not seen.any():
                    return zero_loss(x)
                x, y, target = x[seen], y[seen], target[seen]
        return self.loss(x, y, target=target, mask=mask, **extra)

    def _project(
        self, student: Feature, teacher: Feature, made: dict[str, Tensor]
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Give both sides to the neck, and the student's to a part of the teacher."""
        extra = {} if self.query is None else {'query': made[self.query]}
        sides = student.value, student.hw, teacher.value, teacher.hw
        x, y, mask = _both_sides(self.neck(*sides, **extra), self.neck)
        if self.part is not None:
            grid: Any = getattr(self.neck, 'query_hw', None) or teacher.hw
            x, _ = self.part(x, grid)
        return x, y, mask


def _check_same_shift(student: Feature, teacher: Feature) -> None:
    """Refuse windows that hold other tokens on the two sides.

    Raises:
        ValueError: If both shifts are known, and differ.
    """
    shifts = student.shift, teacher.shift
    if None not in shifts and shifts[0] != shifts[1]:
        raise ValueError(
            f"the student's windows are shifted by {shifts[0]} and the teacher's by "
            f'{shifts[1]}, so they hold other tokens: tap blocks of the same shift; in '
            'Swin every second one is shifted, blocks.1, blocks.3, ...'
        )


def _both_sides(out: Any, neck: nn.Module) -> tuple[Tensor, Tensor, Tensor | None]:
    """Read what a two-sided neck returns; without a mask, None stands for it.

    Raises:
        ValueError: If it is not both sides.
    """
    if not isinstance(out, tuple) or len(out) not in (2, 3):
        got = f'{len(out)} of them' if isinstance(out, tuple) else type(out).__name__
        raise ValueError(
            f'the two-sided neck {type(neck).__name__} must return (student, teacher) '
            f'or (student, teacher, mask), got {got}'
        )
    return out[0], out[1], out[2] if len(out) == 3 else None


def _takes_widths(neck: dict) -> bool:
    """Whether a neck is to know the width of each module of the student's tap."""
    kind = neck.get('type')
    cls = MODELS.get(kind) if isinstance(kind, str) and kind else kind
    return bool(getattr(cls, 'takes_widths', False))


def _build(cfg: dict) -> nn.Module:
    """Build a neck or a loss.

    Raises:
        ValueError: If no class of that name is registered.
    """
    name = cfg.get('type')
    if isinstance(name, str) and (not name or MODELS.get(name) is None):
        near = difflib.get_close_matches(name.rpartition('.')[2], MODELS.module_dict)
        hint = f'; did you mean {near}?' if near else '.'
        raise ValueError(
            f"no class '{name}' is registered{hint} One of your own "
            "needs its import in the package's __init__.py, or the config's "
            'custom_imports'
        )
    return MODELS.build(cfg)


def resample(teacher: Feature, hw: Grid | None) -> Tensor:
    """Bring the teacher's patch tokens to the grid ``hw``, bilinearly.

    Returns:
        ``(B, H * W, C)``, or the value as it is when a side has no grid.
    """
    if hw is None or teacher.hw is None:
        return teacher.value
    return resample_tokens(teacher.value, teacher.hw, hw)


def _labels_of_places(labels: Tensor, hw: Grid | None) -> Tensor:
    """Give every place of a grid its label, ``(B, H, W)`` to ``(B * N,)``.

    Raises:
        ValueError: If there is no grid.
    """
    if hw is None:
        raise ValueError(
            'labels of places need a grid, which this tap has not: tap the map of '
            'logits, such as decode_head.conv_seg'
        )
    return resize_labels(labels, hw).flatten()
