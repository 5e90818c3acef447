"""Whether bfloat16 without instructions for it is noticed, in real products."""

import os
import platform
import subprocess
import sys

import pytest
from mmengine.config import Config

from mmvitkd.engine.slow_bfloat16 import slow_bfloat16, uses_bfloat16

SAID = """
from mmvitkd.engine.slow_bfloat16 import slow_bfloat16
print(slow_bfloat16(True))
"""


@pytest.mark.slow
@pytest.mark.skipif(
    platform.machine() not in ('x86_64', 'AMD64'),
    reason='oneDNN has this switch on x86',
)
def test_emulated_bfloat16_is_said():
    """oneDNN is told that this CPU is of 2013: products take 100 times as long."""
    env = {**os.environ, 'ONEDNN_MAX_CPU_ISA': 'AVX2', 'CUDA_VISIBLE_DEVICES': ''}
    done = subprocess.run(
        [sys.executable, '-W', 'ignore', '-c', SAID],
        env=env,
        capture_output=True,
        text=True,
        check=True,
    )
    assert 'this CPU has no instructions for bfloat16' in done.stdout
    assert 'times as long as in float32. Leave out --amp' in done.stdout


def test_a_run_in_float32_is_not_asked():
    assert slow_bfloat16(False) == []


@pytest.mark.parametrize(
    ('wrapper', 'teacher', 'uses'),
    [
        ('mmvitkd.Bfloat16OptimWrapper', None, True),
        ('OptimWrapper', None, False),
        ('OptimWrapper', 'bfloat16', True),
        ('OptimWrapper', 'float32', False),
    ],
)
def test_what_uses_it(wrapper, teacher, uses):
    for model in (
        {'teacher': {'dtype': teacher}},
        {'teachers': {'one': {}, 'other': {'dtype': teacher}}},
    ):
        cfg = Config({'optim_wrapper': {'type': wrapper}, 'model': model})
        assert uses_bfloat16(cfg) == uses
