"""Writing a cache of teacher outputs; :class:`~mmvitkd.datasets.CachedDataset` and
:class:`~mmvitkd.models.CachedTeacher` read it."""
