"""Looking at runs in a browser: a local page over run directories, and the same page as one file.

What may be changed: the pages (``static/``, plain ES modules without a build) and what they are told
(``answers.py``). ``server.py`` and ``guard.py`` serve them; ``report.py`` writes the one file. Nothing here writes
to a run directory, and nothing here may be imported by a room below.
"""
