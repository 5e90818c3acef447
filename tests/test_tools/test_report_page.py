"""The page of a report, in a real browser."""

import pytest

from tests.test_tools.browser import Browser

pytestmark = pytest.mark.slow

NEEDED = ['Summary', 'Curves', 'Attention', 'Distance', 'Examples', 'Settings']


PANELS = '[...document.querySelectorAll("[role=tabpanel]")]'
TABS = '[...document.querySelectorAll("[role=tab]")]'
SHOWN = f'{PANELS}.filter(panel => panel.offsetParent).map(panel => panel.id)'


def keys(browser: Browser) -> list[str]:
    return browser.js(f'{PANELS}.map(panel => panel.id)')


def test_opens_without_an_error_or_a_request(report, browser):
    assert not browser.seen('Runtime.exceptionThrown', 'Log.entryAdded')
    assert not browser.seen('Runtime.consoleAPICalled')
    loaded = {e['request']['url'] for e in browser.seen('Network.requestWillBeSent')}
    loaded = {url for url in loaded if not url.startswith('data:')}
    assert loaded == {report.as_uri()}
    assert (
        browser.js(f'{TABS}.map(tab => tab.textContent)')[: len(NEEDED) - 2]
        == (NEEDED[: len(NEEDED) - 2])
    )


def test_every_picture_loads_and_is_described(browser):
    pictures = drawings = 0
    for key in keys(browser):
        browser.click(f'#tab-{key}')
        found = browser.js(
            f'Promise.all([...document.querySelectorAll("#{key} img")].map(image =>'
            ' image.decode().then(() => [image.naturalWidth, image.clientWidth,'
            ' image.clientHeight, image.alt.length])))'
        )
        pictures += len(found)
        assert all(min(numbers) > 0 for numbers in found), key
        found = browser.js(
            f'[...document.querySelectorAll("#{key} svg")].map(svg =>'
            ' [svg.clientWidth, svg.clientHeight, svg.getBBox().width,'
            ' svg.getAttribute("aria-label").length])'
        )
        drawings += len(found)
        assert all(min(numbers) > 0 for numbers in found), key
    assert pictures >= 4
    assert drawings >= 12


def test_no_name_in_a_drawing_is_anothers(browser):
    """Else a figure would be cut, or get the marks, of one in another section."""
    ids = browser.js('[...document.querySelectorAll("[id]")].map(e => e.id)')
    assert len(ids) == len(set(ids))
    used = browser.js(
        '[...document.querySelectorAll("svg *")].flatMap(e => [...e.attributes])'
        '.flatMap(a => a.name == "xlink:href" ? [a.value] :'
        ' [...a.value.matchAll(/url\\(([^)]*)/g)].map(found => found[1]))'
        '.filter(name => !name.startsWith("data:"))'
    )
    assert len(used) > 20
    assert {name.removeprefix('#') for name in used} <= set(ids)


def test_a_figure_takes_on_the_theme(browser):
    """The page's own colours for what is black, grey and white on paper."""
    for scheme, ground in (('light', '#ffffff'), ('dark', '#1f2329')):
        browser.prefer(scheme)
        browser.click('#tab-curves')
        found = browser.js(
            '(() => { const look = e => getComputedStyle(e);'
            ' const card = document.querySelector("#curves .card");'
            ' const text = card.querySelector("text");'
            ' const page = card.querySelector("svg path");'
            ' return [look(card).backgroundColor, look(page).fill, look(text).fill,'
            ' look(card).color] })()'
        )
        rgb = ', '.join(str(int(ground[i : i + 2], 16)) for i in (1, 3, 5))
        assert found[0] == found[1] == f'rgb({rgb})'
        assert found[2] == found[3]


def test_tabs_by_mouse(browser):
    for key in keys(browser):
        browser.click(f'#tab-{key}')
        assert browser.js(SHOWN) == [key]
        assert browser.js(f'{TABS}.filter(t => t.ariaSelected == "true").length') == 1


def test_tabs_by_keyboard(browser):
    names = keys(browser)
    browser.js('document.getElementById("theme").focus()')
    browser.press('Tab')
    focused = 'document.activeElement.id'
    assert browser.js(focused) == f'tab-{names[0]}'
    for key, place in (
        ('ArrowRight', 1),
        ('ArrowRight', 2),
        ('ArrowLeft', 1),
        ('End', -1),
        ('ArrowRight', 0),
        ('ArrowLeft', -1),
        ('Home', 0),
    ):
        browser.press(key)
        assert browser.js(focused) == f'tab-{names[place]}'
        assert browser.js(SHOWN) == [names[place]]
    # one stop for all tabs, then the section itself
    browser.press('Tab')
    assert browser.js(focused) == names[0]


def test_a_tab_can_be_linked_to(report, browser):
    browser.click('#tab-settings')
    assert browser.js('location.hash') == '#settings'
    browser.call('Page.reload')
    browser.wait()
    assert browser.js(SHOWN) == ['settings']


HEADINGS = '[...document.querySelector("#summary thead tr").cells]'


def column(browser: Browser, name: str) -> list[str]:
    """The cells below a heading, from top to bottom."""
    return browser.js(
        f'{HEADINGS}.flatMap((heading, i) => heading.textContent != "{name}" ? [] :'
        ' [...heading.closest("table").tBodies[0].rows]'
        '   .map(row => row.cells[i].textContent))'
    )


def sorting(browser: Browser) -> dict[str, str]:
    found = browser.js(
        f'{HEADINGS}.map(heading => [heading.textContent, heading.ariaSort])'
    )
    return {name: order for name, order in found if order != 'none'}


def test_a_table_is_sorted_by_mouse_and_keyboard(browser):
    names = browser.js(f'{HEADINGS}.map(heading => heading.textContent)')

    def button(name: str) -> str:
        return f'#summary th:nth-child({names.index(name) + 1}) button'

    sizes = [int(text.replace(',', '')) for text in column(browser, 'parameters')]
    browser.click(button('parameters'))
    assert sorting(browser) == {'parameters': 'descending'}
    down = [int(text.replace(',', '')) for text in column(browser, 'parameters')]
    assert down == sorted(sizes, reverse=True) != sizes
    for key, order in ((' ', 'ascending'), ('Enter', 'descending')):
        browser.js(f'document.querySelector("{button("parameters")}").focus()')
        browser.press(key)
        assert sorting(browser) == {'parameters': order}
        now = [int(text.replace(',', '')) for text in column(browser, 'parameters')]
        assert now == sorted(sizes, reverse=order == 'descending')
    browser.click(button('run'))
    assert column(browser, 'run') == ['alone', 'big', 'taught']
    for _ in range(2):  # whatever the order, what is empty comes last
        browser.click(button('vs. baseline'))
        assert column(browser, 'vs. baseline')[1:] == ['', '']


def test_fits_a_phone(browser):
    browser.resize(390, 844, mobile=True)
    for key in keys(browser):
        browser.click(f'#tab-{key}')
        assert browser.js('document.documentElement.scrollWidth') == 390, key
        assert browser.js('innerWidth') == 390, key


HINTS = """
[...document.querySelectorAll('.scroll, .card')].filter(box => box.offsetParent)
  .map(box => [box.scrollWidth > box.clientWidth,
               box.previousElementSibling.className == 'hint'
               && box.previousElementSibling.offsetParent !== null])
"""


def test_what_is_cut_says_so(browser):
    """On a phone; where there is room for all nothing is said."""
    for width, some_are in ((390, True), (1200, False)):
        browser.resize(width, 844, mobile=some_are)
        browser.click('#tab-summary')
        found = browser.js(HINTS)
        for key in ('curves', 'attention', 'classes', 'examples'):
            browser.click(f'#tab-{key}')
            found += browser.js(HINTS)
        assert all(cut == said for cut, said in found)
        assert any(said for _, said in found) == some_are
        browser.click('#tab-summary')
        assert browser.js(HINTS)[0] == [some_are, some_are]


CONTRASTS = """
(() => {
  const channels = text => text.match(/[\\d.]+/g).map(Number);
  const luminance = rgb => rgb.slice(0, 3)
    .map(c => c / 255)
    .map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = element => {
    for (let e = element; e; e = e.parentElement) {
      const colour = channels(getComputedStyle(e).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const found = [];
  for (const element of document.querySelectorAll('body *')) {
    const drawn = element instanceof SVGElement;
    const own = [...element.childNodes]
      .some(node => node.nodeType === 3 && node.textContent.trim());
    if (!own || !element.getClientRects().length) continue;
    if (['SCRIPT', 'STYLE', 'OPTION'].includes(element.tagName)) continue;
    const look = getComputedStyle(element);
    const ink = channels(drawn ? look.fill : look.color);
    // numbers on coloured cells, which are the same in both themes
    if (['1,1,1', '254,254,254'].includes(ink.join())) continue;
    const [a, b] = [ink, ground(element)]
      .map(luminance).sort((x, y) => y - x);
    found.push([(a + 0.05) / (b + 0.05), element.outerHTML.slice(0, 80)]);
  }
  return found;
})()
"""


@pytest.mark.parametrize('chosen', ['by the system', 'by the switch'])
@pytest.mark.parametrize('scheme', ['light', 'dark'])
def test_text_stands_out(browser, scheme, chosen):
    """WCAG's 4.5 to 1, of everything that is written, in every section."""
    if chosen == 'by the system':
        browser.prefer(scheme)
    else:
        browser.prefer('light' if scheme == 'dark' else 'dark')
        choose_theme(browser, scheme)
    dark = browser.js('getComputedStyle(document.body).backgroundColor') != (
        'rgb(255, 255, 255)'
    )
    assert dark == (scheme == 'dark')
    for key in keys(browser):
        browser.click(f'#tab-{key}')
        found = browser.js(CONTRASTS)
        assert len(found) > 10
        assert min(found)[0] >= 4.5, min(found)


def choose_theme(browser: Browser, theme: str) -> None:
    browser.js(
        f'document.getElementById("theme").value = "{theme}";'
        'document.getElementById("theme").dispatchEvent(new Event("change"))'
    )


def test_the_theme_is_kept(report, browser):
    choose_theme(browser, 'dark')
    browser.open(report)
    assert browser.js('document.documentElement.dataset.theme') == 'dark'
    choose_theme(browser, 'auto')
    assert browser.js('document.documentElement.dataset.theme ?? ""') == ''


def test_focus_is_seen(browser):
    browser.js('document.getElementById("theme").focus()')
    for _ in range(6):
        browser.press('Tab')
        outline = browser.js(
            '(s => [s.outlineStyle, parseFloat(s.outlineWidth)])'
            '(getComputedStyle(document.activeElement))'
        )
        assert outline == ['solid', 3]


def test_without_scripts_everything_is_shown(report, browser):
    browser.call('Emulation.setScriptExecutionDisabled', value=True)
    try:
        browser.open(report)
        shown = browser.js(
            '[...document.querySelectorAll("section")].every(s => s.clientHeight > 0)'
        )
        tabs = browser.js('document.querySelector("[role=tablist]").clientHeight')
    finally:
        browser.call('Emulation.setScriptExecutionDisabled', value=False)
    assert shown
    assert tabs == 0


def test_numbers_in_the_page_are_the_files_beside_it(report, browser):
    names = [file.stem for file in (report.parent / 'csv').glob('*.csv')]
    assert {'summary', 'agreement', 'val-accuracy-top1'} <= set(names)
    for name in names:
        saved = name.replace('_', '-')
        link = f'document.querySelector("a[download=\'{saved}.csv\']").href'
        text = browser.js(f'fetch({link}).then(answer => answer.text())')
        assert text == (report.parent / 'csv' / f'{name}.csv').read_text()
