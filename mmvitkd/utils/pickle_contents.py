"""What a pickle would do when it is loaded, found out without loading it."""

import _compat_pickle  # what Python 2's names mean, which torch.save writes
import io
import pickle
import sys
import zipfile
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import IO, Any

MOST = 5  # pickles in a row: torch.save's old format has four before the tensors
MAGIC = 0x1950A86A20F9469CFC6C  # the first of them
NESTED = 'torch.storage._load_from_bytes'  # a file of torch.save inside a pickle
HISTORY = 'mmengine.logging.history_buffer.HistoryBuffer'
# what torch, NumPy and MMEngine put data together by
DATA = {
    *('_codecs.encode', 'builtins.getattr', HISTORY, NESTED),
    *('torch.Size', 'torch.device'),
    *(f'builtins.{name}' for name in ('bytearray', 'complex', 'range', 'set', 'slice')),
    *(f'copyreg.{name}' for name in ('__newobj__', '_reconstructor')),
    *('builtins.object', 'numpy.dtype', 'numpy.ndarray'),
    *(
        f'numpy.{core}.multiarray.{name}'
        for core in ('core', '_core')
        for name in ('_reconstruct', 'scalar')
    ),
}
REBUILDING = ('torch._utils._rebuild_', 'torch._tensor._rebuild_')
# modules by which a pickle acts on the machine, whatever it takes of them
ACTING = {
    *('asyncio', 'bdb', 'builtins', 'code', 'codeop', 'commands', 'ctypes', 'ftplib'),
    *('functools', 'http', 'importlib', 'marshal', 'multiprocessing', 'nt', 'operator'),
    *('os', 'pdb', 'pip', 'posix', 'pty', 'runpy', 'shutil', 'smtplib', 'socket'),
    *('subprocess', 'sys', 'tempfile', 'timeit', 'types', 'urllib', 'webbrowser'),
}


@dataclass
class PickleContents:
    """What a pickle names beside data.

    Args:
        calls: Functions that loading it would call, as ``module.name``.
        classes: Classes of the objects that it holds.
        weights: How the weights are taken out of what is loaded, as Python.
        plain: Whether it is a pickle that ``torch.save`` did not write.
    """

    calls: list[str] = field(default_factory=list)
    classes: list[str] = field(default_factory=list)
    weights: str = ''
    plain: bool = False

    def add_call(self, path: str) -> None:
        if path not in self.calls:
            self.calls.append(path)

    def add_nested(self, file: bytes) -> None:
        self.add_class('tensors as pickle.dump writes them')
        inner = read_contents(io.BytesIO(file))
        for path in inner.calls:
            self.add_call(path)
        for path in inner.classes:
            self.add_class(path)

    def add_class(self, path: str) -> None:
        if path not in self.classes:
            self.classes.append(path)


def read_contents(stream: IO[bytes]) -> PickleContents:
    """Look into a file of ``torch.save`` or ``pickle.dump``; nothing in it is run.

    What is damaged is looked into as far as it goes.
    """
    contents = PickleContents()
    is_archive, parts = _pickles(stream)
    for part in parts:
        try:
            for place in range(MOST):
                loaded = _Reader(part, contents).load()
                if place == 0 and not is_archive:
                    contents.plain = loaded != MAGIC
                contents.weights = contents.weights or _weights_in(loaded)
        except Exception:  # it need not be a pickle at all
            continue
    return contents


def _pickles(stream: IO[bytes]) -> tuple[bool, list[IO[bytes]]]:
    """List the pickles of a file: torch.save's archive has one beside the tensors.

    Returns:
        Whether it is an archive, and the pickles.
    """
    stream.seek(0)
    if not zipfile.is_zipfile(stream):
        stream.seek(0)
        return False, [stream]
    try:
        archive = zipfile.ZipFile(stream)
        names = [name for name in archive.namelist() if name.endswith('.pkl')]
        return True, [archive.open(name) for name in names]
    except (zipfile.BadZipFile, RuntimeError, OSError):
        return True, []


def _weights_in(loaded: Any) -> str:
    if isinstance(loaded, _Inert):  # a module was saved whole
        return '.state_dict()'
    if not isinstance(loaded, dict):
        return ''
    for key in ('state_dict', 'model', 'module'):
        if key in loaded:
            return f"['{key}']{_weights_in(loaded[key])}"
    return ''


class _Naming(type):
    """Of the classes that stand for a pickle's globals: notes which it calls."""

    path: str
    contents: PickleContents

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        if cls.path == NESTED and args and isinstance(args[0], bytes):
            cls.contents.add_nested(args[0])
        of_history = args and getattr(args[0], 'path', '') == HISTORY
        if _is_function(cls.path) and not of_history:
            cls.contents.add_call(cls.path)
        made: Any = cls
        return made.__new__(cls)


class _Inert(metaclass=_Naming):
    """Takes all that a pickle may do to an object, and does nothing."""

    path = ''
    contents = PickleContents()

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        return object.__new__(cls)

    def __call__(self, *args: Any) -> Any:
        return type(self)(*args)

    def _nothing(*args: Any) -> None:  # of the class or of an object
        pass

    __setstate__ = __setitem__ = append = extend = add = _nothing


class _Reader(pickle._Unpickler):
    """Reads a pickle with an inert class in the place of every global.

    It is the one in Python: a few bytes make the one in C take all memory.
    """

    def __init__(self, stream: IO[bytes], contents: PickleContents) -> None:
        super().__init__(stream, encoding='latin1')
        self.contents = contents

    def find_class(self, module: str, name: str) -> Any:
        names = _compat_pickle.NAME_MAPPING
        renamed = _compat_pickle.IMPORT_MAPPING.get(module, module), name
        module, name = names.get((module, name), renamed)
        path = f'{module}.{name}'
        if path == 'collections.OrderedDict':
            return OrderedDict
        if path in DATA or path.startswith(REBUILDING) or module == 'torch':
            pass
        elif module.split('.')[0] in ACTING:
            self.contents.add_call(path)
        elif not _is_function(path):
            self.contents.add_class(path)
        return _Naming(name, (_Inert,), {'path': path, 'contents': self.contents})

    def persistent_load(self, pid: Any) -> Any:
        if isinstance(pid, tuple) and pid[:1] == ('module',):  # the old format's
            return pid[1]
        return _Inert()  # a tensor's storage


def _is_function(path: str) -> bool:
    """Tell functions from classes, by what has been imported already or the name."""
    if path == 'builtins.getattr':
        return True
    if path in DATA or path.startswith(REBUILDING) or not path:
        return False
    module, name = path.rpartition('.')[::2]
    found = getattr(sys.modules.get(module), '__dict__', {}).get(name)
    return not (name[:1].isupper() if found is None else isinstance(found, type))
