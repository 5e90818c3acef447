"""Where this package's configs lie: in a checkout, or in an installed wheel."""

from pathlib import Path

from .errors import ConfigError
from .spelling import suggest

PACKAGE = Path(__file__).resolve().parents[1]
PREFIX = 'mmvitkd::'


def config_folders() -> list[Path]:
    """List the places, of which one is there: a wheel has one for each MIM."""
    return [
        PACKAGE.parent / 'configs',
        PACKAGE / '.mim' / 'configs',
        *PACKAGE.parent.glob('mmvitkd-*.dist-info/.mim/configs'),
    ]


def own_configs() -> Path:
    """Return the folder of the configs.

    Raises:
        FileNotFoundError: If the installation has none.
    """
    for folder in config_folders():
        if (folder / 'vitkd').is_dir():
            return folder
    raise FileNotFoundError(
        f'the configs of mmvitkd are in none of {[str(f) for f in config_folders()]}: '
        'install it anew'
    )


def find_own_config(name: str) -> Path:
    """Return the file of a config of this package.

    Args:
        name: From the folder of the configs on, such as ``digits/vitkd_digits.py``,
            with or without ``mmvitkd::`` before it.

    Raises:
        ConfigError: If there is none; the message has the nearest name.
    """
    folder = own_configs()
    name = name.removeprefix(PREFIX)
    files = sorted(f.relative_to(folder) for f in folder.rglob('*.py'))
    if Path(name) in files:
        return folder / name
    # those to run first, which have unique names
    files.sort(key=lambda file: '_base_' in file.parts)
    stem = name.rpartition('/')[2].removesuffix('.py')
    same = [file.as_posix() for file in files if file.stem == stem]
    hint = (
        f": did you mean '{same[0]}'?"
        if same
        else suggest(name, [file.as_posix() for file in files])
    )
    raise ConfigError(f"'{PREFIX}{name}': mmvitkd has no such config{hint}")
