"""Verdicts: extraction, canonical forms, graders, and the processes in which hostile text is judged.

May be changed for answers that are judged wrongly; every such change brings its pairs to tests/grading. Imports
``nouns`` and ``scheme.registry``: a grader knows no run and no model.
"""
