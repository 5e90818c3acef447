"""Where this package's configs lie: in a checkout, or in an installed wheel."""

from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]


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
