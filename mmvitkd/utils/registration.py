"""What MMEngine's hub asks of a package whose models it builds."""

from importlib import import_module


def register_all_modules() -> None:
    """Import all that the registries of this package hold."""
    for name in ('datasets', 'engine', 'evaluation', 'models'):
        import_module(f'mmvitkd.{name}')
