"""Multiple choice: SuperGPQA, GPQA and MMLU-Pro, from the hub or from local files.

``listing`` takes a question apart into stem and options, shuffles them and writes them down again; ``sets`` knows
each set's columns. How an option is read out of a chain is ``evolve_llm.scheme.options``; how it is graded,
``evolve_llm.grading.text``.
"""
