"""The documentation site: built from the checkout, and looked at in a browser."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from sphinx.cmd.build import main as sphinx_build

from tests.test_tools.browser import Browser

ROOT = Path(__file__).resolve().parents[1]
# the site does not depend on the stack, so one of them builds it
pytestmark = pytest.mark.onedl_only


@pytest.fixture(scope='module')
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Warnings are errors; links and anchors that lead nowhere are warnings."""
    out = tmp_path_factory.mktemp('site')
    command = ['-W', '--keep-going', '-q', '-c', str(ROOT / 'docs'), str(ROOT)]
    assert sphinx_build([*command, str(out)]) == 0
    return out


def test_every_page_is_on_the_site(site):
    pages = {
        path.relative_to(ROOT).with_suffix('.html')
        for folder in ('configs', 'docs', 'results')
        for path in (ROOT / folder).rglob('*.md')
    }
    assert len(pages) > 80
    assert pages <= {path.relative_to(site) for path in site.rglob('*.html')}


def test_model_zoo_has_a_row_for_every_model_of_the_metafiles(site):
    page = (site / 'docs/model_zoo.html').read_text(encoding='utf-8')
    rows = [row.split('</tr>')[0] for row in page.split('<tr')]
    for path in yaml.safe_load((ROOT / 'model-index.yml').read_text())['Import']:
        for model in yaml.safe_load((ROOT / path).read_text())['Models']:
            link = f'_files/{model["Config"]}.txt'
            (row,) = (row for row in rows if f'"../{link}"' in row)
            assert (site / link).read_text() == (ROOT / model['Config']).read_text()
            for result in model.get('Results', []):
                for value in result['Metrics'].values():
                    assert f'>{value:.2f}<' in row


def test_model_zoo_shows_what_a_figure_was_bought_with(site):
    page = (site / 'docs/model_zoo.html').read_text(encoding='utf-8')
    tables = [part.split('</table>')[0] for part in page.split('<table')[1:]]
    (table,) = (t for t in tables if 'wide-last_deit-tiny' in t)
    head = [h.split('</p>')[0].split('<p>')[-1] for h in table.split('<th')[2:]]
    order = ['MACs, G', 'parameters, M', 'epochs', 'baseline top-1']
    assert [name for name in head if name in order] == order
    row = next(r for r in table.split('<tr') if 'wide-last_deit-tiny' in r)
    cells = [c.split('</p>')[0].split('<p>')[-1] for c in row.split('<td')[1:]]
    shown = dict(zip(head, cells, strict=True))
    assert [shown[name] for name in order] == ['1.55', '7.31', '300', '74.86']
    assert shown['top-1 (paper)'] == '78.23'


def test_no_second_file_of_a_configs_name(site):
    """MIM would refuse both, where the site is built in an editable checkout."""
    assert not list(site.rglob('*.py'))


def test_api_reference_shows_docstrings_and_equations(site):
    page = (site / 'docs/api/losses.html').read_text(encoding='utf-8')
    assert 'id="mmvitkd.models.losses.NKDLoss"' in page
    assert '<math' in page and '\\frac' not in page


@pytest.fixture(scope='module')
def phone() -> Iterator[Browser]:
    with Browser() as browser:
        browser.resize(390, 844, mobile=True)
        yield browser


@pytest.mark.parametrize(
    'page', ['docs/index', 'docs/model_zoo', 'docs/api/losses', 'results/methods']
)
def test_pages_fit_a_phone(site, phone, page):
    phone.open(site / f'{page}.html')
    assert phone.js('document.querySelector("h1").innerText')
    assert phone.js('document.documentElement.scrollWidth') == 390


def test_search_finds_a_method(site, phone):
    url = (site / 'search.html').resolve().as_uri()
    phone.call('Page.navigate', url=f'{url}?q=manifold')
    links = '[...document.querySelectorAll("#search-results a")].map(a => a.href)'
    for _ in range(100):
        found = phone.js(links)
        if found:
            break
        time.sleep(0.1)
    assert any('configs/manifold/README.html' in link for link in found)
    assert phone.js('document.documentElement.scrollWidth') == 390
