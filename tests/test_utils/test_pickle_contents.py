"""Files that would run code: said what they are, and never run."""

import argparse
import io
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from mmvitkd.utils import load_checkpoint
from mmvitkd.utils.pickle_contents import read_contents

WEIGHTS = {'a.weight': torch.ones(2)}


class Call:
    """An object that is unpickled by calling a function."""

    def __init__(self, function: Any, *args: Any) -> None:
        self.reduced = function, args

    def __reduce__(self):
        return self.reduced


def calls(marker: Path) -> dict[str, Call]:
    """Ways to write a file when a pickle is loaded, by what a message must name."""
    command = f'touch {marker}'
    source = f'open({str(marker)!r}, "w").close()'
    return {
        'posix.system': Call(os.system, command),
        'builtins.exec': Call(exec, source),
        'builtins.eval': Call(eval, source),
        'subprocess.Popen': Call(subprocess.Popen, ['touch', str(marker)]),
        'subprocess.check_output': Call(subprocess.check_output, ['touch', marker]),
        'io.open': Call(open, str(marker), 'w'),
        'builtins.getattr': Call(getattr, torch.Size, 'count'),
    }


def save_old(obj: Any, file: Path) -> None:
    torch.save(obj, file, _use_new_zipfile_serialization=False)


def dump(protocol: int) -> Any:
    def save(obj: Any, file: Path) -> None:
        file.write_bytes(pickle.dumps(obj, protocol=protocol))

    return save


SAVES = {
    'torch': torch.save,
    'torch, old': save_old,
    **{f'pickle {protocol}': dump(protocol) for protocol in range(6)},
}


@pytest.mark.parametrize('save', SAVES.values(), ids=SAVES)
@pytest.mark.parametrize('whole', [True, False], ids=['whole', 'inside'])
def test_code_is_named_and_not_run(tmp_path, save, whole):
    marker = tmp_path / 'marker'
    for name, call in calls(marker).items():
        file = tmp_path / 'c.pth'
        save(call if whole else {'state_dict': WEIGHTS, 'meta': [call]}, file)
        with pytest.raises(ValueError, match='would run code') as error:
            load_checkpoint(file)
        assert name in str(error.value)
        assert 'Nothing in it was run' in str(error.value)
        assert 'weights_only=False' not in str(error.value)
        assert '\n' not in str(error.value)
    assert not marker.exists()


def test_the_files_would_do_it(tmp_path):
    """Else the tests above say nothing."""
    marker = tmp_path / 'marker'
    call = calls(marker)['posix.system']
    torch.save({'meta': call}, tmp_path / 'c.pth')
    torch.load(tmp_path / 'c.pth', weights_only=False)
    assert marker.exists()


def test_code_in_a_nested_file_is_found(tmp_path):
    """pickle.dump writes tensors as files of torch.save inside the pickle."""
    inner = io.BytesIO()
    torch.save(calls(tmp_path / 'marker')['posix.system'], inner)
    load = torch.storage._load_from_bytes
    dump(4)({'a': Call(load, inner.getvalue())}, tmp_path / 'c.pth')
    with pytest.raises(ValueError, match=r'would run code.*posix\.system'):
        load_checkpoint(tmp_path / 'c.pth')
    assert not (tmp_path / 'marker').exists()


def test_a_function_of_an_unknown_module_is_one():
    """By its name, since importing the module would run it."""
    pickled = b'cnot_there\nrebuild\n(tR.'
    file = io.BytesIO(pickled)
    assert read_contents(file).calls == ['not_there.rebuild']


@pytest.mark.parametrize('save', [torch.save, save_old], ids=['torch', 'torch, old'])
def test_ordinary_content_is_named_with_a_way_to_the_weights(
    tmp_path, save, monkeypatch
):
    file = tmp_path / 'c.pth'
    for held, name in (
        (argparse.Namespace(lr=1), 'argparse.Namespace'),
        (Path('x'), 'pathlib.PosixPath'),
        (nn.GELU(), 'torch.nn.modules.activation.GELU'),
    ):
        save({'model': WEIGHTS, 'args': held}, file)
        with pytest.raises(ValueError, match='holds more than weights') as error:
            load_checkpoint(file)
        assert name in str(error.value)
        assert 'TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD=1' in str(error.value)
        # what the message says to do does it
        command = str(error.value).split('python -c "')[1].split('"')[0]
        monkeypatch.chdir(tmp_path)
        exec(command)
        assert list(load_checkpoint('weights.pth')) == list(WEIGHTS)


def test_a_module_saved_whole_is_told_its_way_too(tmp_path):
    torch.save({'model': nn.Linear(1, 1)}, tmp_path / 'c.pth')
    with pytest.raises(ValueError, match=r"\['model'\]\.state_dict\(\)"):
        load_checkpoint(tmp_path / 'c.pth')


def test_pickled_weights_are_told_from_code(tmp_path, monkeypatch):
    dump(4)(WEIGHTS, tmp_path / 'c.pth')
    with pytest.raises(ValueError, match=r'as pickle\.dump writes them') as error:
        load_checkpoint(tmp_path / 'c.pth')
    command = str(error.value).split('python -c "')[1].split('"')[0]
    monkeypatch.chdir(tmp_path)
    exec(command)
    assert list(load_checkpoint('weights.pth')) == list(WEIGHTS)


def test_the_user_may_trust(tmp_path, monkeypatch):
    torch.save({'model': WEIGHTS, 'args': argparse.Namespace()}, tmp_path / 'c.pth')
    assert 'model' in load_checkpoint(tmp_path / 'c.pth', weights_only=False)
    monkeypatch.setenv('TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD', '1')
    assert 'model' in load_checkpoint(tmp_path / 'c.pth')
    with pytest.raises(ValueError, match='more than weights'):
        load_checkpoint(tmp_path / 'c.pth', weights_only=True)


@pytest.mark.parametrize(
    'content', [b'', b'x', b'\x80\x04', b'PK\x03\x04zzz', b'<html>', bytes(999)]
)
def test_other_bytes_are_no_weights(tmp_path, content):
    (tmp_path / 'c.pth').write_bytes(content)
    with pytest.raises(ValueError, match='damaged') as error:
        load_checkpoint(tmp_path / 'c.pth')
    assert 'weights_only' not in str(error.value)
    assert '\n' not in str(error.value)


def test_a_cut_off_file_is_damaged(tmp_path):
    torch.save(WEIGHTS, tmp_path / 'c.pth')
    whole = (tmp_path / 'c.pth').read_bytes()
    (tmp_path / 'c.pth').write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match='damaged'):
        load_checkpoint(tmp_path / 'c.pth')


def test_safetensors_without_their_package(tmp_path, monkeypatch):
    (tmp_path / 'c.safetensors').write_bytes(b'')
    monkeypatch.setitem(sys.modules, 'safetensors.torch', None)
    with pytest.raises(ValueError, match='pip install safetensors'):
        load_checkpoint(tmp_path / 'c.safetensors')
