"""The method: its schedule and its sampling, and the interface that it asks ε of.

Symbols are the paper's. Nothing here reads or writes files.
"""
