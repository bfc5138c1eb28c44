"""From what a person asks for to a run: everything is checked before the first token is spent.

``session.py`` resolves and starts a run, ``estimate.py`` says what it would cost, ``identity.py`` what makes two
runs one experiment. ``asking.py`` asks a finished run's model again about a sample of its children. The command line,
studies and ``evolve`` are its callers.
"""
