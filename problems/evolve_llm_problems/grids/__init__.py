"""Grids of colours (ARC-AGI): the sets, how a grid is read out of a chain, and how it is graded.

``reading`` knows every way in which a grid may be written and nothing of ARC; ``tasks`` knows the files that
ARC comes in; ``arc`` makes problems of them; ``grader`` compares. Nothing here executes an answer.
"""
