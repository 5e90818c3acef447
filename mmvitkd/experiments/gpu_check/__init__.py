"""Parts of ``python -m mmvitkd gpu-check``."""
