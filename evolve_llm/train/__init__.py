"""From a finished run of a reference model to a training set, and from that to a model that aggregates better.

``dataset`` makes the training set. The pieces: ``source`` (the run), ``prompts`` (the very prompts of the run),
``groups`` (who stands in an aggregation prompt), ``split`` (who is for training), ``card`` and ``formats`` (the files).
"""
