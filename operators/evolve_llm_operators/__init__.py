"""The operators that ship. Each is a plain function; none is known to the engine by name."""
