"""Other people's programs that a run can be tied to. Each has a folder of its own and is imported when it is used."""
