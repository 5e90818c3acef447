"""A teacher and students on digits, from nothing to a table, a figure and a report."""
