import shutil
from pathlib import Path
from typing import Any

import pytest

from mmvitkd.caching.cache import write_cache
from mmvitkd.caching.plan import Source, make_manifest, read_source
from tests.test_caching.small import CPU, settings


@pytest.fixture(scope='session')
def source(tmp_path_factory: pytest.TempPathFactory) -> Source:
    return read_source(settings(tmp_path_factory.mktemp('source')), None, CPU)


@pytest.fixture(scope='session')
def manifest(source: Source) -> dict[str, Any]:
    return make_manifest(source, 2, None, batch_size=2, shard_size=5)


@pytest.fixture(scope='session')
def written(source, manifest, tmp_path_factory) -> Path:
    """The cache: shards of four and two images."""
    out = tmp_path_factory.mktemp('written') / 'deep' / 'cache'
    write_cache(source, manifest, out)
    return out


@pytest.fixture
def out(written: Path, tmp_path: Path) -> Path:
    """A copy of it, to be hurt."""
    return shutil.copytree(written, tmp_path / 'cache')
