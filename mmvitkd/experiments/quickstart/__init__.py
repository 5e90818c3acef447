"""Parts of quickstart.py, and of tune_digits.py, which trains in the same way."""
