"""MIVE edits several things in a clip, each by its own words, and leaves every other pixel alone.

Importing this package is cheap: no torch, no media libraries. An edit is an
:class:`mive.request.EditRequest`.
"""

__version__ = "0.1.0"
