"""Parts of draw_scenes.py and compare.py."""
