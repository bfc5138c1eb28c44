"""Experiment trackers: a plug-in kind. ``contract`` says what one is, and ``tracking`` carries some along a run."""
