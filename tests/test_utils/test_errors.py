"""A library's error is no line for the user, wherever the library lies."""

import json
import sys
from pathlib import Path

import pytest

from mmvitkd.utils.errors import Refusal, readable_errors


def test_what_lies_in_a_virtual_environment_beside_the_script_is_a_library(monkeypatch):
    project = Path(json.__file__).parents[2]
    monkeypatch.setattr(sys, 'argv', [str(project / 'train.py')])
    with pytest.raises(json.JSONDecodeError), readable_errors():
        json.loads('{')


def test_what_is_beside_the_script_has_words_for_its_user(monkeypatch):
    monkeypatch.setattr(sys, 'argv', [str(Path(__file__).parent / 'train.py')])
    with pytest.raises(Refusal, match='a width of 0'), readable_errors():
        raise ValueError('a width of 0')
