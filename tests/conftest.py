import time
from collections.abc import Iterator

import pytest
import torch
from mmengine.logging import MMLogger
from mmengine.registry import DefaultScope

START = time.monotonic()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--minutes``, for machines that end a run after a time."""
    parser.addoption(
        '--minutes', type=float, help='skip tests that would begin later than this'
    )


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what would begin too late."""
    minutes = item.config.getoption('minutes')
    if minutes is not None and time.monotonic() - START > 60 * minutes:
        pytest.skip(f'the {minutes:g} minutes of --minutes were over')


def leave_layout(patch: pytest.MonkeyPatch) -> None:
    """Leave configs as they are dumped: YAPF would lay each out six times in a run."""
    # one of MMEngine's stacks imports it at the top, the other when it needs it
    for module in ('mmengine.config.config', 'yapf.yapflib.yapf_api'):
        patch.setattr(
            f'{module}.FormatCode', lambda text, **_: (text, True), raising=False
        )


@pytest.fixture(autouse=True)
def quick_runs(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Leave out what costs more than the two steps of a shrunken run."""
    leave_layout(monkeypatch)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def no_scope_left_over() -> Iterator[None]:
    """Take away runners' default scopes, in which the next test would build: that of
    this test, and those of fixtures that outlive a test, with their module's last."""
    DefaultScope._instance_dict.clear()
    yield
    DefaultScope._instance_dict.clear()


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """What MMEngine logs; its loggers do not propagate."""
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    yield caplog
    logger.removeHandler(caplog.handler)
