"""Downloads from a real server on this machine."""

import hashlib
import io
import logging
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing import get_context
from pathlib import Path

import pytest
import torch
from mmengine.logging import MMLogger
from mmengine.runner import CheckpointLoader

from mmvitkd.models import Teacher
from mmvitkd.utils import load_checkpoint
from mmvitkd.utils.download import checksum_in, download
from tests.helpers import build, vit


class Handler(SimpleHTTPRequestHandler):
    """Serves a folder, and counts; a name with 'cut' in it breaks off."""

    def do_GET(self) -> None:
        self.server.asked.append(self.path)  # type: ignore[attr-defined]
        super().do_GET()

    def copyfile(self, source, outputfile) -> None:
        content = source.read()
        short = len(content) // 2 if 'cut' in self.path else len(content)
        outputfile.write(content[:short])

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ThreadingHTTPServer]:
    """A server of ``tmp_path/served``; its address is ``server.url``."""
    (tmp_path / 'served').mkdir()
    handler = partial(Handler, directory=str(tmp_path / 'served'))
    with ThreadingHTTPServer(('127.0.0.1', 0), handler) as served:
        served.asked = []
        served.url = f'http://127.0.0.1:{served.server_port}'
        thread = threading.Thread(target=served.serve_forever, args=(0.05,))
        thread.start()
        yield served
        served.shutdown()
        thread.join(timeout=10)


@pytest.fixture(autouse=True)
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty hub folder."""
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'torch'))
    monkeypatch.setenv('no_proxy', '*')
    return tmp_path / 'torch' / 'hub' / 'checkpoints'


def serve(folder: Path, path: str, weights: dict) -> bytes:
    """Put a checkpoint where the server finds it; return its bytes."""
    content = io.BytesIO()
    torch.save(weights, content)
    file = folder / 'served' / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content.getvalue())
    return content.getvalue()


def one(value: float) -> dict[str, torch.Tensor]:
    return {'a': torch.tensor([value])}


@pytest.mark.parametrize(
    'load', [load_checkpoint, CheckpointLoader.load_checkpoint], ids=['ours', 'theirs']
)
def test_files_of_one_name_from_two_places_are_two(tmp_path, server, load):
    for i, place in enumerate(('a', 'b')):
        serve(tmp_path, f'{place}/model.pth', one(i))
    for _ in range(2):
        for i, place in enumerate(('a', 'b')):
            assert load(f'{server.url}/{place}/model.pth')['a'] == i
    assert server.asked == ['/a/model.pth', '/b/model.pth']  # each once


def test_what_a_query_asks_for_is_a_file_of_its_own(tmp_path, server):
    serve(tmp_path, 'get', one(1))
    files = {download(f'{server.url}/get?file={name}') for name in 'ab'}
    assert len(files) == 2


def test_two_teachers_by_url_have_their_own_weights(tmp_path, server):
    for seed, place in enumerate(('a', 'b')):
        torch.manual_seed(seed)
        serve(tmp_path, f'{place}/model.pth', build(vit(16)).state_dict())
    states = []
    for place in ('a', 'b'):
        teacher = Teacher(cfg=vit(16), checkpoint=f'{server.url}/{place}/model.pth')
        teacher.load()
        states.append(teacher.model.state_dict())
        own = torch.load(tmp_path / 'served' / place / 'model.pth')
        assert all(torch.equal(own[key], states[-1][key]) for key in own)
    assert any(not torch.equal(states[0][key], states[1][key]) for key in states[0])


def test_checksum_of_the_name_is_verified(tmp_path, server, hub):
    content = serve(tmp_path, 'x', one(1))
    right = hashlib.sha256(content).hexdigest()[:8]
    for name, fits in ((f'm-{right}.pth', True), ('m-0123abcd.pth', False)):
        serve(tmp_path, name, one(1))
        if fits:
            assert load_checkpoint(f'{server.url}/{name}')['a'] == 1
            continue
        with pytest.raises(ValueError, match=f'begins with {right}, not 0123abcd'):
            load_checkpoint(f'{server.url}/{name}')
        assert not list(hub.rglob(name))
    assert not list(hub.rglob('*.part'))


def test_a_file_that_was_hurt_later_is_fetched_again(tmp_path, server):
    content = serve(tmp_path, 'x', one(1))
    name = f'm-{hashlib.sha256(content).hexdigest()[:16]}.pth'
    serve(tmp_path, name, one(1))
    download(f'{server.url}/{name}').write_bytes(b'other')
    assert load_checkpoint(f'{server.url}/{name}')['a'] == 1
    assert len(server.asked) == 2


def test_checksums_are_told_from_dates():
    assert checksum_in('deit_tiny_patch16_224-a1311bcf.pth') == 'a1311bcf'
    assert checksum_in('x_20221008-0f7c70cf.pth') == '0f7c70cf'
    assert checksum_in('x-0f7c70cf.pth.tar') == '0f7c70cf'
    assert checksum_in('x-' + 64 * 'a' + '.safetensors') == 64 * 'a'
    for name in ('model-20221008.pth', 'x-20230101123456.pth', 'model.pth', 'x-1k.pth'):
        assert checksum_in(name) is None


def test_what_the_user_placed_is_taken_if_its_checksum_proves_it(tmp_path, server, hub):
    hub.mkdir(parents=True)
    content = serve(tmp_path, 'x', one(1))
    name = f'm-{hashlib.sha256(content).hexdigest()[:8]}.pth'
    (hub / name).write_bytes(content)
    assert load_checkpoint(f'{server.url}/{name}')['a'] == 1
    assert server.asked == []
    # one of another content, or whose name proves nothing, is not
    for unproven in ('m-0123abcd.pth', 'model.pth'):
        (hub / unproven).write_bytes(content)
        with pytest.raises(ValueError, match='404') as error:
            load_checkpoint(f'{server.url}/{unproven}')
        told = f"'{hub / unproven}' may be another file of that name"
        assert (told in str(error.value)) is (unproven == 'model.pth')


def test_a_file_can_be_put_where_the_message_says(tmp_path, server):
    with pytest.raises(ValueError, match='put the file at') as error:
        load_checkpoint(f'{server.url}/gone.pth')
    place = Path(str(error.value).split("put the file at '")[1].split("'")[0])
    place.parent.mkdir(parents=True, exist_ok=True)
    torch.save(one(3), place)
    assert load_checkpoint(f'{server.url}/gone.pth')['a'] == 3


def test_a_download_that_breaks_off_is_not_kept(tmp_path, server, hub):
    serve(tmp_path, 'cut.pth', one(1))
    with pytest.raises(ValueError, match=r'the server sent \d+ of \d+ bytes'):
        load_checkpoint(f'{server.url}/cut.pth')
    assert not list(hub.rglob('*cut*')) and not list(hub.rglob('*.part'))


@pytest.mark.parametrize('url', ['http://127.0.0.1:9/m.pth', 'https:///m.pth'])
def test_no_server(url):
    with pytest.raises(ValueError, match="can't be downloaded"):
        load_checkpoint(url)


def test_a_hub_that_can_not_be_written(server, hub):
    """As where there is a file, which stops root as well as others."""
    hub.parent.mkdir(parents=True, exist_ok=True)
    hub.write_text('')
    with pytest.raises(ValueError, match='Not a directory|File exists'):
        load_checkpoint(f'{server.url}/m.pth')


def test_many_processes_download_once(tmp_path, server):
    serve(tmp_path, 'm.pth', one(1))
    url = f'{server.url}/m.pth'
    processes = [
        get_context('fork').Process(target=download, args=(url,)) for _ in '1234'
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=60)
    assert [process.exitcode for process in processes] == [0] * 4
    assert server.asked == ['/m.pth']


def test_the_log_says_which_file_is_used(tmp_path, server):
    serve(tmp_path, 'm.pth', one(1))
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    logger = MMLogger.get_current_instance()
    logger.addHandler(handler)
    file = download(f'{server.url}/m.pth')
    download(f'{server.url}/m.pth')
    logger.removeHandler(handler)
    told = f"'{server.url}/m.pth': "
    assert f"{told}downloaded to '{file}'" in stream.getvalue()
    assert f"{told}using '{file}', downloaded before" in stream.getvalue()
