"""Between partway and what people have already: the standard library's server classes, generators, asyncore's shape.

Each file stands alone, imports what it adapts, and is imported by nobody but its user.
"""
