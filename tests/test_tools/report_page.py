"""Parts of the report's page, found and used in a browser."""

from tests.test_tools.browser import Browser

PANELS = '[...document.querySelectorAll("[role=tabpanel]")]'


TABS = '[...document.querySelectorAll("[role=tab]")]'


SHOWN = f'{PANELS}.filter(panel => panel.offsetParent).map(panel => panel.id)'


def keys(browser: Browser) -> list[str]:
    return browser.js(f'{PANELS}.map(panel => panel.id)')


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
    const own = [...element.childNodes]
      .some(node => node.nodeType === 3 && node.textContent.trim());
    if (!own || !element.getClientRects().length) continue;
    if (['SCRIPT', 'STYLE', 'OPTION'].includes(element.tagName)) continue;
    const [a, b] = [channels(getComputedStyle(element).color), ground(element)]
      .map(luminance).sort((x, y) => y - x);
    found.push([(a + 0.05) / (b + 0.05), element.outerHTML.slice(0, 80)]);
  }
  return found;
})()
"""


def choose_theme(browser: Browser, theme: str) -> None:
    browser.js(
        f'document.getElementById("theme").value = "{theme}";'
        'document.getElementById("theme").dispatchEvent(new Event("change"))'
    )
