"""Parts of ``python -m mmvitkd latency``."""
