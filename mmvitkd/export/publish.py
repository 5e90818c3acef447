"""A folder of a student on the Hugging Face hub."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mmvitkd.utils.errors import ConfigError
from mmvitkd.utils.libraries import optional_libraries


def require_token(repo: str) -> None:
    """Refuse to begin without what publishing takes.

    Args:
        repo: ``OWNER/NAME``.

    Raises:
        ConfigError: If the name is none of a repository, or there is no token that the
            hub takes.
        ImportError: If the library is missing; the message says how to get it.
    """
    with optional_libraries():
        import huggingface_hub
        import huggingface_hub.errors
        import huggingface_hub.utils
    try:
        huggingface_hub.utils.validate_repo_id(repo)
    except huggingface_hub.errors.HFValidationError as error:
        raise ConfigError(f"--push-to-hub '{repo}': {error}") from error
    if huggingface_hub.get_token() is None:
        raise ConfigError(
            f"--push-to-hub '{repo}' needs a token of the hub: set HF_TOKEN, or log in "
            'by `hf auth login`'
        )
    with _in_a_line(f"--push-to-hub '{repo}'"):
        huggingface_hub.HfApi().whoami()


def push(folder: Path, repo: str) -> str:
    """Publish a folder.

    Args:
        folder: That was written.
        repo: ``OWNER/NAME``, which is made where it is not there.

    Returns:
        Its address.

    Raises:
        ConfigError: If the hub does not take it.
    """
    import huggingface_hub

    hub = huggingface_hub.HfApi()
    with _in_a_line(f"'{folder}' is written, but not published as '{repo}'"):
        hub.create_repo(repo, exist_ok=True)
        return str(hub.upload_folder(repo_id=repo, folder_path=folder))


@contextmanager
def _in_a_line(what: str) -> Iterator[None]:
    """Put what the hub refuses, or the network, into one line."""
    try:
        yield
    except Exception as error:  # of either, and of what reads its answers
        reason = getattr(error, 'server_message', None) or str(error)
        if 'Max retries exceeded' in reason:
            reason = 'the hub can not be reached'
        raise ConfigError(f'{what}: {" ".join(reason.split())[:300]}') from error
