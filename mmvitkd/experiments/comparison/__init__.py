"""Methods that are tuned by equal tries, and compared by one protocol."""
