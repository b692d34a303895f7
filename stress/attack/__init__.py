"""Slow and hostile clients against any server, and beside them an honest one that tells what a user would see."""
