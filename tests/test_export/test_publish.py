"""``--push-to-hub``: the real client, and a stand-in of the hub that it speaks to."""

import pytest
import requests

from mmvitkd.export.publish import push, require_token
from mmvitkd.utils.errors import ConfigError
from tests.test_export.hub import running

CARD = '---\nlibrary_name: "timm"\n---\n\n# Student\n'


@pytest.fixture
def folder(tmp_path):
    """A folder like those that are exported; the weights are a large file."""
    out = tmp_path / 'student'
    out.mkdir()
    (out / 'README.md').write_text(CARD)
    (out / 'config.json').write_text('{"architecture": "vit_tiny_patch16_224"}')
    (out / 'model.safetensors').write_bytes(bytes(range(256)) * 5000)
    return out


def test_the_hub_gets_the_bytes_of_every_file(hub, folder):
    require_token('me/student')
    assert push(folder, 'me/student').startswith(f'{hub.url}/me/student')
    wanted = {file.name: file.read_bytes() for file in folder.iterdir()}
    assert hub.repos == {'me/student': wanted}
    # again, into one that is there: changed files take the place of the old
    (folder / 'config.json').write_text('{}')
    push(folder, 'me/student')
    assert hub.repos['me/student'] == {**wanted, 'config.json': b'{}'}


def refused(function, *args):
    with pytest.raises(ConfigError) as error:
        function(*args)
    assert '\n' not in str(error.value)
    return str(error.value)


def test_a_token_that_the_hub_refuses(hub, monkeypatch):
    """Before anything is exported."""
    monkeypatch.setenv('HF_TOKEN', 'hf_wrong')
    text = refused(require_token, 'me/student')
    assert text.startswith("--push-to-hub 'me/student': Invalid user token.")
    assert 'HF_TOKEN' in text


def test_a_repository_of_somebody_else(hub, folder):
    """A private one is not to be seen either."""
    text = refused(push, folder, 'other/secret')
    assert text.startswith(
        f"'{folder}' is written, but not published as 'other/secret'"
    )
    assert "You don't have the rights to create a model under other/secret" in text
    assert hub.repos == {}


def test_a_hub_that_is_not_there(hub, folder, monkeypatch):
    with running() as gone:
        pass
    monkeypatch.setattr('huggingface_hub.constants.ENDPOINT', gone.url)
    with pytest.raises(requests.ConnectionError):
        requests.get(gone.url, timeout=5)
    why = 'the hub can not be reached'
    assert refused(require_token, 'me/student') == f"--push-to-hub 'me/student': {why}"
    assert refused(push, folder, 'me/student').endswith(f"as 'me/student': {why}")
