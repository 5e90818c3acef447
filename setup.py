"""The project's metadata is in pyproject.toml; here is what MIM needs.

``mim train mmvitkd CONFIG`` looks for configs and tools in a folder ``.mim``:
OpenMMLab's openmim inside the package, onedl-mim inside the ``.dist-info``.
Both get a copy at build time, so that the source tree never holds a second one
(an editable install is served from the source tree itself).
"""

import shutil
import tempfile
from pathlib import Path

from setuptools import setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent


# of use in a checkout only
LEFT_OUT = ('__pycache__', 'setup_env.sh', 'run_tests.sh', 'quickstart.sh')


def copy_mim_files(target: Path) -> None:
    ignore = shutil.ignore_patterns(*LEFT_OUT)
    for folder in ('configs', 'tools'):
        shutil.copytree(ROOT / folder, target / folder, ignore=ignore)
    shutil.copy(ROOT / 'model-index.yml', target)


class BuildPy(build_py):
    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            copy_mim_files(Path(self.build_lib, 'mmvitkd', '.mim'))


class BdistWheel(bdist_wheel):
    def write_wheelfile(self, wheelfile_base: str, *args: str) -> None:
        super().write_wheelfile(wheelfile_base, *args)
        # an editable wheel passes a folder of its own
        if Path(wheelfile_base).parent == Path(self.bdist_dir):
            copy_mim_files(Path(wheelfile_base, '.mim'))


# A build folder left in the source tree would be a second copy of every config,
# which MIM refuses.
with tempfile.TemporaryDirectory() as build_base:
    setup(
        cmdclass={'build_py': BuildPy, 'bdist_wheel': BdistWheel},
        options={'build': {'build_base': build_base}},
    )
