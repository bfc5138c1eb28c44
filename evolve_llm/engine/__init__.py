"""The loop: populations that evolve side by side and share the permits of one backend.

``population.py`` holds the loop over generations, ``evolution.py`` starts one population a problem. May be
changed for how work is scheduled. Knows backends, graders and the store through their contracts alone; knows no
operator and no benchmark by name.
"""
