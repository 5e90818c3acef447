"""What ablate.py is made of: tables, runs, results."""
