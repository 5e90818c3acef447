"""Work dirs read and laid out as one HTML page."""
