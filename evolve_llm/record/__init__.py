"""The run on disk: the database, the files beside it, reading, export, regrading.

May be changed for what a run directory holds. Must not import ``engine`` or ``session``: a run can be read where
nothing can be run.
"""
