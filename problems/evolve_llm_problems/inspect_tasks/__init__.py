"""Tasks of Inspect (inspect-ai): their data sets as problems, and their scorers as graders, by replay.

``loading`` finds a task and its samples; ``problems`` makes problems of them; ``replay`` has Inspect score a chain as
if its own model had written it; ``grader`` is what the grading pool calls. Inspect is imported when a task is loaded.
"""
