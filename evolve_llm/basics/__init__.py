"""Small tools that know nothing of evolution: nearest names, files that appear whole, work shared by who waits.

May be changed when two rooms need the same tool. Imports ``nouns`` alone, for its errors.
"""
