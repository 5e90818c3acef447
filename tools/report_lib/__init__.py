"""Parts of report.py: what runs hold, its sections, and the page they are laid on."""
