"""The bytes that a teacher's outputs on one image are stored as."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from .tap import KEYS, Feature, Grid, Tap


class CachedFeatureSpec(NamedTuple):
    """What is kept of a tap's value on one image.

    Logits become their largest log-probabilities in float16, with the classes' numbers
    and the mass of all others. Everything else is kept in float16 as it is.

    Args:
        tap: The teacher's.
        shape: Of the value, ``(K,)`` for logits, ``(N, C)`` for patch tokens.
        hw: Grid of patch tokens, else None.
        top_k: How many classes are kept; None if the values are no logits.
        teacher: Name of the teacher; None where a cache has but one.
    """

    tap: Tap
    shape: tuple[int, ...]
    hw: Grid | None = None
    top_k: int | None = None
    teacher: str | None = None

    @property
    def label(self) -> str:
        """The tap as a term names it, ``'name:path'`` where there are several."""
        return tap_label(self.teacher, self.tap)

    @property
    def has_tail(self) -> bool:
        """Whether classes are left out; else all are kept, in their own order."""
        return self.top_k is not None and self.top_k < self.shape[0]

    @property
    def fields(self) -> np.dtype:
        """The layout of one record's part."""
        if self.top_k is None:
            return np.dtype([('value', '<f2', self.shape)])
        kept = ('log_prob', '<f2', (self.top_k,))
        if not self.has_tail:
            return np.dtype([kept])
        number = '<u2' if self.shape[0] <= 2**16 else '<u4'
        return np.dtype(
            [kept, ('index', number, (self.top_k,)), ('log_tail', '<f2')],
        )

    def encode(self, feature: Feature) -> np.ndarray:
        """Turn a batch of values ``(B, ...)`` into records ``(B,)``.

        Raises:
            ValueError: If a value is too large for float16.
        """
        records = np.zeros(len(feature.value), self.fields)
        x = feature.value.detach().float().cpu()
        if self.top_k is None:
            records['value'] = _half(self.label, x)
            return records
        x = x.log_softmax(1)  # (B, K)
        if not self.has_tail:
            records['log_prob'] = _half(self.label, x)
            return records
        top, index = x.topk(self.top_k, 1)  # (B, k)
        tail = x.scatter(1, index, -torch.inf).logsumexp(1)  # (B,)
        for name, part in (('log_prob', top), ('log_tail', tail)):
            records[name] = _half(self.label, part)
        records['index'] = index.numpy()
        return records

    def decode(self, records: np.ndarray, device: torch.device) -> Feature:
        """Turn records ``(B,)`` into a batch of float32 values.

        Logits come back as log-probabilities ``(B, K)``; the classes that were not
        kept share their mass evenly.
        """
        if self.top_k is None:
            return Feature(_tensor(records['value'], device), self.hw)
        log_prob = _tensor(records['log_prob'], device)  # (B, k)
        if not self.has_tail:
            return Feature(log_prob, None)
        others = self.shape[0] - self.top_k
        each = _tensor(records['log_tail'], device)[:, None] - np.log(others)
        index = torch.from_numpy(records['index'].astype(np.int64))
        index = index.to(device, non_blocking=True)
        dense = each.repeat(1, self.shape[0])  # (B, K)
        return Feature(dense.scatter_(1, index, log_prob), None)

    def differs(self, record: np.ndarray, feature: Feature, tolerance: float) -> bool:
        """Whether one record ``(1,)`` is not the output ``(1, ...)``.

        Classes are compared by their numbers, since the last of the top k can change
        places with the next one.
        """
        if self.top_k is None:
            kept, fresh = _float(record['value']), feature.value
        else:
            kept, fresh = _float(record['log_prob']), feature.value.log_softmax(1)
        fresh = fresh.float().cpu()
        if self.has_tail:
            index = torch.from_numpy(record['index'].astype(np.int64))
            if int(index.max()) >= self.shape[0]:
                return True
            tail = fresh.scatter(1, index, -torch.inf).logsumexp(1, keepdim=True)
            fresh = torch.cat([fresh.gather(1, index), tail], 1)  # (1, k + 1)
            kept = torch.cat([kept, _float(record['log_tail'])[:, None]], 1)
        scale = float(fresh.abs().mean())
        return not torch.allclose(kept, fresh, rtol=tolerance, atol=tolerance * scale)

    def as_setting(self) -> dict[str, Any]:
        """As plain data, for a manifest."""
        teacher = {} if self.teacher is None else {'teacher': self.teacher}
        grid = self.tap.grid
        return {
            **teacher,
            **{key: getattr(self.tap, key) for key in KEYS},
            'grid': None if grid is None else list(grid),
            'shape': list(self.shape),
            'hw': None if self.hw is None else list(self.hw),
            'top_k': self.top_k,
        }

    @classmethod
    def of_setting(cls, setting: dict[str, Any]) -> 'CachedFeatureSpec':
        """Read what :meth:`as_setting` wrote."""
        hw = setting['hw']
        return cls(
            Tap(
                setting['path'],
                setting['tokens'],
                setting.get('grid'),
                setting.get('output'),
                setting.get('through'),
                setting.get('call'),
            ),
            tuple(setting['shape']),
            None if hw is None else (hw[0], hw[1]),
            setting['top_k'],
            setting.get('teacher'),
        )


def tap_label(teacher: str | None, tap: Tap) -> str:
    """Name a teacher's tap as a term does; None is a cache's only teacher."""
    return tap.path if teacher is None else f'{teacher}:{tap.path}'


def record_dtype(stored: Sequence[CachedFeatureSpec]) -> np.dtype:
    """The layout of a whole record: the augmentation's seed, the taps by number."""
    taps = [(str(number), tap.fields) for number, tap in enumerate(stored)]
    return np.dtype([('seed', '<u4'), *taps])


def _half(label: str, x: Tensor) -> np.ndarray:
    largest = torch.finfo(torch.float16).max
    if not bool((x.abs() <= largest).all()):
        raise ValueError(
            f"tap '{label}' yields {float(x.abs().max()):.3g} (or NaN), which "
            f'float16 (up to {largest:.0f}) can not hold: tap a module after a norm'
        )
    return x.half().numpy()


def _float(values: np.ndarray) -> Tensor:
    return torch.from_numpy(values.astype(np.float32))


def _tensor(values: np.ndarray, device: torch.device) -> Tensor:
    """Copy out of the records; half the bytes travel to a GPU."""
    copied = torch.from_numpy(values.copy())
    return copied.to(device, non_blocking=True).float()
