"""The documentation site: ``make docs`` builds it into ``build-docs/``.

The source folder is the repository itself, so that a link between two pages, from a
page to a picture, or to any other file is the same path here as on a code host. A file
that is no page (a config, a script) is copied into the site.
"""

import re
import sys
from pathlib import Path

from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / 'docs/_ext')]

project = 'mmvitkd'
copyright = 'the mmvitkd authors, Apache-2.0'
html_title = project

extensions = [
    'myst_parser',
    'sphinx.ext.autodoc',
    'sphinx.ext.napoleon',
    'sphinx_copybutton',
    'mathml',
    'model_zoo',
    'review_table',
    'text_files',
]
highlight_language = 'text'
root_doc = 'docs/index'
include_patterns = [
    'CHANGELOG.md',
    'configs/**/README.md',
    'docs/**.md',
    'results/**.md',
]
exclude_patterns = [
    '.*',
    'build*',
    'data',
    'mmvitkd',
    'mutants',
    'tests',
    'tools',
    'work_dirs',
]

myst_heading_anchors = 4
myst_enable_extensions = ['colon_fence']

autodoc_member_order = 'bysource'
autodoc_typehints = 'signature'
autodoc_typehints_format = 'short'
autodoc_default_options = {'members': True, 'show-inheritance': True}
napoleon_numpy_docstring = False
napoleon_use_ivar = True
add_module_names = False
python_use_unqualified_type_names = True
toc_object_entries_show_parents = 'hide'

# names of other packages can't be looked up without a network
nitpicky = True
nitpick_ignore_regex = [('py:.*', r'(?!mmvitkd).*')]

html_theme = 'furo'
html_math_renderer = 'mathml'
html_extra_path = ['_extra']
html_copy_source = False
copybutton_exclude = '.linenos, .gp, .go'


# below the overview of the results, which is plain Markdown
RESULTS = """
```{toctree}
:hidden:
:glob:

*
*/performance
*/*/performance
fashion-mnist/*
```
"""


def compose(app: Sphinx, page: str, source: list[str]) -> None:
    """Begin the site with the README; list the pages of results."""
    if page == root_doc:
        readme = ROOT / 'README.md'
        app.env.note_dependency(readme)
        text = readme.read_text(encoding='utf-8')
        text = re.sub(r'\]\((?!https?:|#)', '](../', text)
        source[0] = source[0].replace('<!-- README -->', text)
    if page == 'results/README':
        source[0] += RESULTS


def setup(app: Sphinx) -> None:
    app.connect('source-read', compose)
