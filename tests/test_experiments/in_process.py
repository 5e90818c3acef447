"""Commands of experiments, run without a start of their own."""

from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

from mmvitkd.commands import main
from tests.conftest import leave_layout


class Done(NamedTuple):
    """A command's exit status, and what it printed, errors included."""

    code: int
    said: str


def call(command: str, folder: Path, *args: Any, **env: str) -> Done:
    """Call a command in a folder; its runs are forks of this process."""
    threads = torch.get_num_threads()
    with (
        pytest.MonkeyPatch.context() as patch,
        redirect_stdout(StringIO()) as said,
        redirect_stderr(said),
    ):
        patch.chdir(folder)
        leave_layout(patch)
        # the first is set by the command, restored by this
        for name, value in {'CUDA_VISIBLE_DEVICES': '', **env}.items():
            patch.setenv(name, value)
        torch.set_num_threads(1)
        code = 0
        try:
            main(command, [str(arg) for arg in args])
        except SystemExit as end:
            code = end.code
        torch.set_num_threads(threads)
    return Done(code, said.getvalue())
