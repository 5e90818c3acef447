"""Drawn figures as a part of the page, so that they take on its colours."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

from markupsafe import Markup

SVG, XLINK = 'http://www.w3.org/2000/svg', 'http://www.w3.org/1999/xlink'
# what style.py draws with, and what it is on the page
COLOURS = {
    '#000000': 'currentColor',
    '#666666': 'var(--faint)',
    '#ffffff': 'var(--figure)',
}
COLOUR = re.compile('|'.join(COLOURS))
REFERENCE = re.compile(r'(url\(|^)#([\w-]+)')
HREF = f'{{{XLINK}}}href'
REFERRING = ('style', 'clip-path', HREF)
LEFT_OUT = ('metadata', 'style')  # the page's own stylesheet has what is in it


def inline(file: Path, label: str, prefix: str) -> tuple[Markup, int]:
    """Read an SVG of matplotlib's for a page.

    Args:
        file: The SVG.
        label: For those who can't see it.
        prefix: Put before the names in it, which other figures of the page may have.

    Returns:
        An element, and its width in CSS pixels.
    """
    ElementTree.register_namespace('', SVG)
    ElementTree.register_namespace('xlink', XLINK)
    root = ElementTree.parse(file).getroot()
    width = float(root.attrib.pop('width').removesuffix('pt')) * 96 / 72
    del root.attrib['height']  # follows from the viewBox
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in [f'{{{SVG}}}{name}' for name in LEFT_OUT]:
                parent.remove(child)
    attributes = [element.attrib for element in root.iter()]
    used = {
        found[2]
        for one in attributes
        for key in REFERRING
        for found in REFERENCE.finditer(one.get(key, ''))
    }
    for one in attributes:
        if one.get('id') not in used:  # equal images have one name
            one.pop('id', None)
        one.update({k: _adapted(k, v, prefix) for k, v in one.items()})
    root.attrib.update(role='img', **{'aria-label': label})
    text = ElementTree.tostring(root, encoding='unicode')
    return Markup(text), round(width)


def _adapted(key: str, value: str, prefix: str) -> str:
    if key == 'id':
        return f'{prefix}-{value}'
    if key == 'style':
        value = COLOUR.sub(lambda found: COLOURS[found[0]], value)
    if key in REFERRING:
        value = REFERENCE.sub(rf'\g<1>#{prefix}-\g<2>', value)
    return value
