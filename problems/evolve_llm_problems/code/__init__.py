"""Programs: LiveCodeBench, HumanEval and MBPP, and how what a model wrote is run and judged.

``sandboxed`` starts one sandbox a program; ``inside`` is what runs there and may import nothing but the standard
library. The right outputs never enter it: ``compare`` and ``judge`` stay outside. Imports ``evolve_llm``; nothing of
``evolve_llm_operators``.
"""
