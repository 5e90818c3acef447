import pytest


@pytest.fixture(autouse=True)
def plain_dumps(monkeypatch):
    """Leave out YAPF, which lays out the config six times in a run of two steps."""
    # one of MMEngine's stacks imports it at the top, the other when it needs it
    for module in ('mmengine.config.config', 'yapf.yapflib.yapf_api'):
        monkeypatch.setattr(
            f'{module}.FormatCode', lambda text, **_: (text, True), raising=False
        )
