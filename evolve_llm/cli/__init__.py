"""The command line: arguments in, tables and JSON out.

One module a command. May be changed for what is printed; what a number means is decided in ``analysis``.
"""
