"""A study: many schemes on the same problems, from one file to a table. Planned before it is run."""
