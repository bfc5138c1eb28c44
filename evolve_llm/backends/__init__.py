"""Where completions come from; ``base.py`` is the contract.

One folder for an engine that needs several modules, one module for one that does not. May be changed for a new
engine or server. Imports ``nouns`` and ``scheme.registry``: a backend knows no operator, no grader and no run.
"""
