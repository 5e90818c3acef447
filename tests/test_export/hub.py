"""A stand-in of the Hugging Face hub, as far as a folder's upload asks for it.

The paths and answers are those that huggingface_hub 0.36 and its documentation have.
"""

import base64
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import yaml

TOKEN, USER = 'hf_right', 'me'
NO_FILE = {'error': 'Repository not found'}


class Hub(ThreadingHTTPServer):
    """Of one user, who has one token; holds the repositories' files."""

    def __init__(self) -> None:
        super().__init__(('127.0.0.1', 0), Handler)
        self.url = f'http://127.0.0.1:{self.server_port}'
        self.repos: dict[str, dict[str, bytes]] = {}
        self.large: dict[str, bytes] = {}  # by sha256

    def answer(self, path: str, token: str, body: bytes) -> tuple[int, Any]:
        """Answer a request by a status and what is sent as JSON."""
        if path.startswith('/large/'):  # signed addresses, without a token
            self.large[path.removeprefix('/large/')] = body
            return 200, {}
        if token != f'Bearer {TOKEN}':
            return 401, {'error': 'Invalid username or password.'}
        if path == '/api/whoami-v2':
            return 200, {'type': 'user', 'name': USER}
        if path == '/api/repos/create':
            return self.create(json.loads(body))
        if path == '/api/validate-yaml':
            content = json.loads(body)['content']
            told = yaml.safe_load(content.split('---')[1])
            return (200, {}) if 'library_name' in told else (400, {'errors': []})
        repo = path.removeprefix('/api/models/').removeprefix('/')
        repo = '/'.join(repo.split('/')[:2]).removesuffix('.git')
        if repo not in self.repos:
            return 404, NO_FILE
        if path.endswith('/preupload/main'):
            return 200, {'files': [mode(file) for file in json.loads(body)['files']]}
        if path.endswith('.git/info/lfs/objects/batch'):
            asked = json.loads(body)
            return 200, {
                'transfer': 'basic',
                'objects': [self.place(one) for one in asked['objects']],
            }
        assert path == f'/api/models/{repo}/commit/main', path
        self.commit(repo, [json.loads(line) for line in body.splitlines()])
        url = f'{self.url}/{repo}/commit/{"0" * 40}'
        return 200, {'commitUrl': url, 'commitOid': '0' * 40, 'success': True}

    def create(self, asked: dict[str, Any]) -> tuple[int, Any]:
        """Make a repository, of the user's own."""
        repo = f'{asked["organization"]}/{asked["name"]}'
        if asked['organization'] != USER:
            why = f"You don't have the rights to create a model under {repo}"
            return 403, {'error': why}
        if repo in self.repos:
            why = 'You already created this model repo'
            return 409, {'error': why, 'url': f'{self.url}/{repo}'}
        self.repos[repo] = {}
        return 200, {'url': f'{self.url}/{repo}'}

    def place(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Say where a large file shall go."""
        where = {'href': f'{self.url}/large/{asked["oid"]}', 'header': {}}
        return {**asked, 'actions': {'upload': where}}

    def commit(self, repo: str, lines: list[dict[str, Any]]) -> None:
        """Take the files of a commit, large ones from where they were put."""
        for line in lines:
            value = line['value']
            if line['key'] == 'file':
                self.repos[repo][value['path']] = base64.b64decode(value['content'])
            elif line['key'] == 'lfsFile':
                content = self.large[value['oid']]
                assert hashlib.sha256(content).hexdigest() == value['oid']
                self.repos[repo][value['path']] = content


def mode(file: dict[str, Any]) -> dict[str, Any]:
    """Say how a file shall come: weights as large ones."""
    large = file['path'].endswith('.safetensors')
    how = {'uploadMode': 'lfs' if large else 'regular', 'shouldIgnore': False}
    return {'path': file['path'], **how}


class Handler(BaseHTTPRequestHandler):
    """One request."""

    server: Hub
    protocol_version = 'HTTP/1.1'

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get('Content-Length') or 0))
        token = self.headers.get('Authorization', '')
        status, answer = self.server.answer(self.path, token, body)
        content = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header('Content-Type', 'application/json')
        self.send_header('Content-Length', str(len(content)))
        if answer is NO_FILE:
            self.send_header('X-Error-Code', 'RepoNotFound')
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_PUT = do_POST

    def log_message(self, *args: Any) -> None:
        """Say nothing."""


@contextmanager
def running() -> Iterator[Hub]:
    """Run one in this process."""
    hub = Hub()
    Thread(target=hub.serve_forever, daemon=True).start()
    try:
        yield hub
    finally:
        hub.shutdown()
        hub.server_close()
