"""The problem sets that ship, and the graders that only they need. None is known to the engine by name."""
