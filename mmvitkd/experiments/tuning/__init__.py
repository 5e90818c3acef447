"""Settings of a config, tried on the validation split: listed ones, or a search."""
