"""Links to configs, metafiles and scripts open them as text.

Sphinx would copy each under its own name, to be downloaded. A second file of a config's
name below the checkout is refused by MIM, so the copies end in ``.txt``.
"""

import posixpath
import shutil
from pathlib import Path

from docutils import nodes
from sphinx.addnodes import download_reference
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

SUFFIXES = ('.py', '.sh', '.txt', '.yml')


def leave_out(app: Sphinx, env: BuildEnvironment) -> None:
    for file in [file for file in env.dlfiles if file.suffix in SUFFIXES]:
        del env.dlfiles[file]


def link(app: Sphinx, doctree: nodes.document, page: str) -> None:
    here = posixpath.dirname(app.builder.get_target_uri(page))
    for node in list(doctree.findall(download_reference)):
        file, path = app.env.relfn2path(node['reftarget'], page)
        if Path(file).suffix in SUFFIXES:
            copy = f'_files/{Path(file).as_posix()}.txt'
            target = Path(app.outdir, copy)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
            uri = posixpath.relpath(copy, here)
            node.replace_self(nodes.reference('', '', *node.children, refuri=uri))


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect('env-updated', leave_out)
    app.connect('doctree-resolved', link)
    return {'parallel_read_safe': True}
