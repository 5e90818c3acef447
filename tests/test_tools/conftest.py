"""A report of small real runs, and a browser to look at it, for all tests of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.helpers import vit
from tests.test_tools.reports import train
from tests.test_tools.runs import run

if TYPE_CHECKING:
    from tests.test_tools.browser import Browser


@pytest.fixture(scope='session')
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A teacher, a student alone, and two seeds of one that learned from it."""
    folder = tmp_path_factory.mktemp('report')
    # with the drop path that config() gives the student of a distiller
    big, small = (
        {'_delete_': True, **vit(width, drop_path_rate=0.3)} for width in (24, 16)
    )
    teacher = train(folder, 'teacher', 'big', model=big)
    train(folder, 'alone', 'alone', model=small)
    for seed in (0, 1):
        train(
            folder,
            f'taught{seed}',
            f'taught/seed{seed}',
            **{
                'model.teacher.checkpoint': str(teacher / 'epoch_2.pth'),
                'randomness.seed': seed,
                # which makes no other run
                'default_hooks': {
                    'logger': {'type': 'LoggerHook', 'interval': 2 + seed}
                },
            },
        )
    return folder / 'runs'


@pytest.fixture(scope='session')
def report(runs: Path) -> Path:
    """The report of all of them, with its numbers beside it."""
    page = runs.parent / 'report.html'
    run('report', runs, '--out', page, '--csv', runs.parent / 'csv')
    return page


@pytest.fixture(scope='session')
def chromium() -> Iterator[Browser]:
    from tests.test_tools.browser import Browser  # which no other tests need

    with Browser() as browser:
        yield browser


@pytest.fixture
def browser(chromium: Browser, report: Path) -> Browser:
    """The page as it opens on a wide, light screen."""
    chromium.resize(1200, 800)
    chromium.prefer('light')
    chromium.open(report)
    if chromium.js('localStorage.length'):  # the theme that a test has chosen
        chromium.js('localStorage.clear()')
        chromium.open(report)
    return chromium
