"""What can be said of a finished run: metrics, intervals, population health, lineage, comparison of runs,
DEAP's logbook and history.

Pure functions over what ``record`` reads. May be changed for a new number or picture. Must not import ``engine``
or ``session``.
"""
