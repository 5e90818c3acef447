import numpy as np
import pytest
import torch
from mmengine import fileio
from mmengine.fileio import LocalBackend
from mmengine.logging import MessageHub

from mmvitkd.utils import load_checkpoint, weights_of

WEIGHTS = {'student.a': torch.ones(1), 'terms.b': torch.zeros(1)}


def test_reads_what_a_runner_writes(tmp_path):
    """Log buffers and NumPy scalars beside the weights are data, not code."""
    hub = MessageHub('test_reads_what_a_runner_writes')
    hub.update_scalar('train/loss', np.float64(0.5))
    hub.update_scalar('train/lr', 1e-3)
    hub.update_info('epoch', 3)
    state = {'state_dict': WEIGHTS, 'message_hub': hub.state_dict()}
    torch.save(state, tmp_path / 'c.pth')
    loaded = load_checkpoint(tmp_path / 'c.pth')
    assert loaded['message_hub']['log_scalars']['train/loss'].current() == 0.5


class Getattr:
    """A pickle that reaches for something else by the way of log buffers."""

    def __reduce__(self):
        return (getattr, (torch.Size, 'count'))


def test_getattr_is_for_log_buffers_alone(tmp_path):
    torch.save({'state_dict': WEIGHTS, 'meta': Getattr()}, tmp_path / 'c.pth')
    with pytest.raises(ValueError, match=r'would run code.*builtins\.getattr'):
        load_checkpoint(tmp_path / 'c.pth')


def test_prefix_is_taken_and_stripped():
    assert list(weights_of({'state_dict': WEIGHTS}, 'student.')) == ['a']
    assert list(weights_of({'model': WEIGHTS})) == list(WEIGHTS)
    assert list(weights_of({'module.a': torch.ones(1)})) == ['a']


def test_prefix_that_is_not_there():
    with pytest.raises(ValueError, match=r"begins with 'x\.'.*'student\.', 'terms\.'"):
        weights_of(WEIGHTS, 'x.')


def test_not_a_dict(tmp_path):
    torch.save([1, 2], tmp_path / 'list.pth')
    with pytest.raises(ValueError, match='holds a list, not a dict'):
        load_checkpoint(tmp_path / 'list.pth')


def test_other_addresses_are_mmengines(tmp_path):
    """Whatever MMEngine's file backends read is read."""

    class Shelf(LocalBackend):
        """Files of a folder under an address of its own."""

        def get(self, filepath: str) -> bytes:
            return super().get(tmp_path / filepath.removeprefix('shelf://'))

    fileio.register_backend('shelf', Shelf, prefixes='shelf', force=True)
    torch.save(WEIGHTS, tmp_path / 'c.pth')
    assert set(load_checkpoint('shelf://c.pth')) == set(WEIGHTS)
