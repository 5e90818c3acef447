"""Libraries that a part of the package needs and an installation may lack."""

from collections.abc import Iterator
from contextlib import contextmanager

# what they are imported as, and what pip calls them; see the extras in pyproject.toml
LIBRARIES = {
    'PIL': 'pillow',
    'datasets': 'mmvitkd[readers]',
    'huggingface_hub': 'huggingface_hub',
    'jinja2': 'jinja2',
    'markupsafe': 'markupsafe',
    'matplotlib': 'matplotlib',
    'onnx': 'mmvitkd[export]',
    'onnxruntime': 'mmvitkd[export]',
    'onnxscript': 'mmvitkd[export]',
    'openvino': 'mmvitkd[export]',
    'optuna': 'optuna>=5',
    'pandas': 'pandas',
    'safetensors': 'mmvitkd[export]',
    'scipy': 'scipy>=1.15',
    'submitit': 'submitit',
    'tabulate': 'tabulate',
    'timm': 'timm',
    'torchao': 'mmvitkd[quantisation]',
    'transformers': 'transformers<5',
    'webdataset': 'mmvitkd[readers]',
}


@contextmanager
def optional_libraries() -> Iterator[None]:
    """Say of a library that is missing how to install it.

    Raises:
        ImportError: If one of :data:`LIBRARIES` is missing.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        name = (error.name or '').split('.')[0]
        if name not in LIBRARIES:
            raise
        raise ImportError(
            f"the library '{name}' is missing: python -m pip install "
            f"'{LIBRARIES[name]}'"
        ) from error
