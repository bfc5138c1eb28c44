"""What a preset becomes: operators with their declarations, templates, plans, and the one place that applies them.

May be changed for a new kind of operator or a new key of a preset. Imports ``nouns`` only: it neither calls a
model nor reads or writes a run.
"""
