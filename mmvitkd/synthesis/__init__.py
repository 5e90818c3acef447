"""Images made of what a teacher with BatchNorm remembers of its own."""
