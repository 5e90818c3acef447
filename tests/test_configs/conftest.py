import pytest


@pytest.fixture(autouse=True)
def plain_dumps(monkeypatch):
    """Leave out YAPF, which lays out the config six times in a run of two steps."""
    monkeypatch.setattr(
        'mmengine.config.config.FormatCode', lambda text, **_: (text, True)
    )
