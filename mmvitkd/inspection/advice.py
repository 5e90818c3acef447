"""Which taps to use for a pair, by rules with numbers; a heuristic."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from mmvitkd.analysis import LinearCKA
from mmvitkd.analysis.rank import dimensions_for, effective_rank, variance_within
from mmvitkd.models.classifiers.tap import Feature

from .dynamics import Dynamics, DynamicsMeter
from .encoding import Encoding, EncodingMeter
from .images import Image
from .models import Captured, Model

SHALLOW = 3  # a layer is shallow in the first third of either model
MIMICKED = 2  # as many layers at most
CKA = 0.85  # at least, to be mimicked
HELD = 0.9  # of the variance, at least, that the student's width must hold
TOKENS = 4  # times the teacher's width, at least, or its rank is not to be judged
# the paper's weights, and the tokens x channels that they belong to
WEIGHTS = {'mimic': 3e-5, 'gen': 3e-6}
PAPERS = 196 * 384

RULES = f"""\
1. Mimic the first layers, {MIMICKED} at most and within the first third of either
   model, as long as the linear CKA to the student's layer is at least {CKA} and the
   student's width can hold at least {HELD:.0%} of the teacher's variance. The first
   that fails ends it.
2. Leave the layers between, whatever their CKA and rank are.
3. Never mimic the last layer, after the final norm. Generate it if the student's width
   can hold at least {HELD:.0%} of its variance; else leave it to the logits.
4. Distil the logits by NKD if both have the same number of classes.
5. Weights: the paper's 3e-5 (mimic) and 3e-6 (generate), times
   196 x 384 / (tokens x teacher's width)."""

LIMITS = """\
A heuristic. Rules 1 to 3 are ViTKD's guidelines (tables 5 and 11 of arXiv:2209.02432:
mimic shallow layers, generate the last one); the thresholds are ours. What they have
been checked against are our tables 5 and 11 on digits (results/): layers 0 and 1
help there, at a CKA of 0.90 to 0.98; layers 5 and 6 do not, at 0.74 to 0.84. Under
table 11's teacher these reach 0.88, so there rule 2 alone keeps them out. The width
held 98 % of every layer of these teachers, so that threshold has not been tried, nor
has any on ImageNet. Generating the last layer was within the noise. On Fashion-MNIST
rules 2 and 3 do not hold: every layer helps, and mimicking the last by itself as much
as all of ViTKD's terms. CKA depends on the student: give one that was trained alone."""


@dataclass(frozen=True)
class Row:
    """A layer of the teacher beside one of the student.

    Args:
        teacher: Its path.
        student: Its path.
        rms: Root of the mean square of the teacher's numbers, to which the weight of a
            squared error belongs.
        cka: Between the two.
        rank: The teacher's effective rank.
        dims: The teacher's dimensions of 90 % of the variance.
        held: Share of the teacher's variance that the student's width can hold.
        use: ``'mimic'``, ``'gen'`` or ``''``.
        why: The rule and what it saw.
    """

    teacher: str
    student: str
    rms: float
    cka: float
    rank: float
    dims: int
    held: float
    use: str
    why: str


class Pair:
    """A teacher and a student, measured on images.

    Args:
        teacher: The wide one.
        student: The narrow one, trained alone.

    Raises:
        ValueError: If one of them has fewer than three blocks.
    """

    def __init__(self, teacher: Model, student: Model) -> None:
        self.teacher, self.student = teacher, student
        self._norms = [final_norm(model) for model in (teacher, student)]
        self._meter = DynamicsMeter()
        self._encoding = EncodingMeter()
        self._cka = LinearCKA()
        self.images = 0
        for role, model in (('teacher', teacher), ('student', student)):
            if len(model.blocks) < SHALLOW:
                raise ValueError(
                    f'the {role} has {len(model.blocks)} blocks: the rules tell '
                    f'shallow, middle and last layers apart, which takes {SHALLOW}'
                )

    def update(self, images: list[Image], outputs: list[Captured]) -> None:
        """Take a batch, and what teacher and student answer to it.

        Raises:
            ValueError: If a model's blocks differ in width or grid.
        """
        for role, answer in zip(('teacher', 'student'), outputs, strict=True):
            shapes = [layer.tokens.value.shape[1:] for layer in answer.layers]
            if len(set(shapes)) > 1:
                raise ValueError(
                    f"the {role}'s first block yields {tuple(shapes[0])} tokens and "
                    f'channels, its last {tuple(shapes[-1])}: the rules are of plain '
                    'ViTs, whose blocks are all alike, and can not judge stages'
                )
        teacher, student = (
            _layers(model, norm, answer)
            for model, norm, answer in zip(
                (self.teacher, self.student), self._norms, outputs, strict=True
            )
        )
        self._meter.update(teacher)
        self._encoding.update(teacher[len(self.teacher.blocks) - 1].value)
        self._cka.update([x.value for x in teacher], [x.value for x in student])
        self.images += len(images)

    def judge(self) -> list[Row]:
        """Apply the rules: a row for every block of the teacher, and its final norm.

        Raises:
            ValueError: If there were too few tokens to judge the rank by.
        """
        found = self._meter.compute()
        needed = TOKENS * self.teacher.width
        if found.tokens[0] < needed:
            images = -(-needed * self.images // found.tokens[0])
            raise ValueError(
                f'{found.tokens[0]} tokens are too few to judge the rank of '
                f'{self.teacher.width} channels: take --count {images} images or more'
            )
        cka = self._cka.compute()
        rows: list[Row] = []
        for i, j in self._matches():
            use, why = self._use(found, i, float(cka[i, j]), rows)
            rows.append(self._row(found, i, j, float(cka[i, j]), use, why))
        return rows

    def encoding(self) -> Encoding:
        """Tell what the tokens of the teacher's last block need."""
        return self._encoding.compute()

    def _matches(self) -> list[tuple[int, int]]:
        """Match the teacher's layers to the student's: the shallow ones one by one,
        the others by relative depth, the last ones."""
        theirs, ours = len(self.teacher.blocks), len(self.student.blocks)
        scale = (ours - 1) / (theirs - 1)
        shallow = min(theirs, ours) // SHALLOW
        inner = [(i, i if i < shallow else round(i * scale)) for i in range(theirs)]
        return [*inner, (theirs, ours)]

    def _use(
        self, found: Dynamics, i: int, cka: float, before: Sequence[Row]
    ) -> tuple[str, str]:
        held = variance_within(found.variances[i], self.student.width)
        holds = f'width {self.student.width} holds {held:.1%}'
        if i == len(self.teacher.blocks):
            return ('gen', f'3: {holds}') if held >= HELD else ('', f'3: {holds} only')
        depth = min(len(self.teacher.blocks), len(self.student.blocks))
        if i >= min(MIMICKED, depth // SHALLOW):
            return '', '2: not one of the first'
        if any(not row.use for row in before):
            return '', '1: one before it failed'
        if not cka >= CKA:  # or NaN, of a constant layer
            return '', f'1: CKA {cka:.2f} < {CKA}'
        if held < HELD:
            return '', f'1: {holds} only'
        return 'mimic', f'1: CKA {cka:.2f}, {holds}'

    def _row(
        self, found: Dynamics, i: int, j: int, cka: float, use: str, why: str
    ) -> Row:
        variances = found.variances[i]
        teacher, student = (
            norm or model.blocks[-1] if at == len(model.blocks) else model.blocks[at]
            for model, norm, at in zip(
                (self.teacher, self.student), self._norms, (i, j), strict=True
            )
        )
        return Row(
            teacher,
            student,
            rms=found.rms[i],
            cka=cka,
            rank=effective_rank(variances),
            dims=dimensions_for(variances, 0.9),
            held=variance_within(variances, self.student.width),
            use=use,
            why=why,
        )


def final_norm(model: Model) -> str | None:
    """Return the path of the norm after the last block, None if there is none."""
    after = False
    for path, module in model.classifier.named_modules():
        if path == model.blocks[-1]:
            after = True
        elif after and isinstance(module, nn.LayerNorm):
            inside = any(part.isdigit() for part in path.split('.'))
            if not inside and module.normalized_shape == (model.width,):
                return path
    return None


def _layers(model: Model, norm: str | None, answer: Captured) -> list[Feature]:
    """Return every block's tokens, and the last ones after the final norm."""
    layers = [layer.tokens for layer in answer.layers]
    last = layers[-1]
    if norm is not None:
        # token by token, so that it needs no forward of its own
        normed = model.classifier.get_submodule(norm)(last.value)
        last = Feature(normed, last.hw)
    return [*layers, last]


def warnings_of(pair: Pair, rows: list[Row]) -> list[str]:
    """Say what a user should know before spending GPU days."""
    width, found = pair.student.width, []
    if pair.teacher.width < width:
        found.append(
            f'The teacher ({pair.teacher.width} channels) is narrower than the student '
            f'({width}): its rank says nothing here.'
        )
    encoding = pair.encoding()
    if encoding.is_mismatch(width):
        found.append(
            f'Encoding mismatch: of {pair.teacher.blocks[-1]}, '
            f'{encoding.describe(width)} A last layer as wide as the teacher holds '
            'them: Lift or WideLast (configs/encoding_mismatch).'
        )
    lost = [row for row in rows if row.held < HELD]
    if lost:
        found.append(
            f'A width of {width} can not hold {HELD:.0%} of the variance of '
            f'{", ".join(row.teacher for row in lost)}: no linear layer brings back '
            f'the rest, up to {1 - min(row.held for row in lost):.0%}.'
        )
    wide = [row for row in rows if row.rank > width]
    if wide:
        found.append(
            f'The effective rank is beyond a width of {width} in {len(wide)} of '
            f'{len(rows)} layers; what no linear layer can bring back there is '
            f'{1 - max(row.held for row in wide):.1%} to '
            f'{1 - min(row.held for row in wide):.1%} of the variance.'
        )
    return found


def render_table(rows: list[Row]) -> str:
    """Write the rows as a markdown table, aligned to be read in a terminal."""
    head = [
        'teacher',
        'student',
        'RMS',
        'CKA',
        'effective rank',
        'dims of 90 %',
        'held',
    ]
    head += ['use', 'rule: why']
    names = {'mimic': 'mimic', 'gen': 'generate', '': ''}
    body = [
        [
            *(row.teacher, row.student, f'{row.rms:.3g}'),
            *(f'{row.cka:.2f}', f'{row.rank:.1f}'),
            *(str(row.dims), f'{row.held:.1%}', names[row.use], row.why),
        ]
        for row in rows
    ]
    widths = [max(map(len, column)) for column in zip(head, *body, strict=True)]
    lines = [head, ['-' * width for width in widths], *body]
    return '\n'.join(
        f'| {" | ".join(c.ljust(w) for c, w in zip(line, widths, strict=True))} |'
        for line in lines
    )


def terms_of(pair: Pair, rows: list[Row], logits: tuple[str, str] | None) -> dict:
    """Return the terms that the rows advise, ready for a config.

    Args:
        pair: The models.
        rows: Of :meth:`Pair.judge`.
        logits: Paths of the student's and the teacher's head, or None to leave them.
    """
    height, width = pair.student.grid
    scale = PAPERS / (height * width * pair.teacher.width)
    parts = {
        'mimic': ({'type': 'LinearProjector'}, 'ViTKDMimicLoss'),
        'gen': ({'type': 'ConvGenerativeProjector', 'mask_ratio': 0.5}, 'ViTKDGenLoss'),
    }
    terms: dict[str, dict] = {}
    for i, row in enumerate(rows):
        if row.use:
            neck, loss = parts[row.use]
            weight = float(f'{WEIGHTS[row.use] * scale:.2g}')
            terms[row.use if row.use == 'gen' else f'{row.use}{i}'] = {
                'student': row.student,
                'teacher': row.teacher,
                'neck': neck,
                'loss': {'type': loss, 'loss_weight': weight},
            }
    if logits is not None:
        terms['nkd'] = {
            'student': logits[0],
            'teacher': logits[1],
            'loss': {'type': 'NKDLoss', 'temperature': 1.0, 'gamma': 1.0},
        }
    return terms


def render_config(
    base: str, teacher: dict, terms: dict[str, dict], header: str, file: Path
) -> str:
    """Write a config that trains the student of ``base`` by the terms.

    Args:
        base: The student's config, a file or ``'mmpretrain::...'``.
        teacher: As the distiller takes it.
        terms: Likewise.
        header: Its first comment.
        file: Where it will lie, from which a path to ``base`` is taken.
    """
    if '::' not in base:
        base = Path(os.path.relpath(base, file.parent)).as_posix()
    lines = [f'# {line}' for line in header.splitlines()]
    lines += [
        f'_base_ = {base!r}',
        '',
        'model = dict(',
        '    _delete_=True,',
        "    type='mmvitkd.ViTKDDistiller',",
        '    student=_base_.model,',
        f'    teacher={_literal(teacher, 1)},',
        f'    terms={_literal(terms, 1)},',
        ')',
        '',
    ]
    return '\n'.join(lines)


def _literal(value: dict, depth: int) -> str:
    """Write nested dicts as Python, an entry a line where they hold dicts."""
    if not any(isinstance(item, dict) for item in value.values()):
        inner = ', '.join(f'{key}={item!r}' for key, item in value.items())
        return f'dict({inner})'
    pad = '    ' * (depth + 1)
    lines = ['dict(']
    for key, item in value.items():
        text = _literal(item, depth + 1) if isinstance(item, dict) else repr(item)
        lines.append(f'{pad}{key}={text},')
    return '\n'.join([*lines, '    ' * depth + ')'])
