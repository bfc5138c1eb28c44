"""What everything speaks of: problems, candidates, requests, verdicts, addresses, errors.

Plain data and pure functions. May be changed when the vocabulary changes; a new field of ``Candidate`` is known
to store, reader, export and contract suite by ``dataclasses.fields``. Imports nothing of the package outside
this folder.
"""
