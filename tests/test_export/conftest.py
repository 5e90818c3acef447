"""A hub that folders are published on, for all tests of that."""

import pytest

from tests.test_export.hub import TOKEN, running


@pytest.fixture
def hub(monkeypatch):
    """A hub, which the client takes for the one that it uploads to."""
    monkeypatch.setenv('HF_TOKEN', TOKEN)
    for name in ('no_proxy', 'NO_PROXY'):
        monkeypatch.setenv(name, '127.0.0.1')
    monkeypatch.setattr('huggingface_hub.constants.HF_HUB_OFFLINE', False)
    with running() as one:
        # what HF_ENDPOINT sets when the library is imported
        monkeypatch.setattr('huggingface_hub.constants.ENDPOINT', one.url)
        yield one
