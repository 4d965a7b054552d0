"""The engine: the worlds of the reference, bit for bit, as compiled code that steps many of them at once.

Importing this package loads nothing; `vector.py` is what users see.
"""
