"""Parts of cache_teacher.py."""
