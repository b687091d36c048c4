"""Workspace > Scripts > MIVE: edits the clip under the playhead. Needs nothing but Python 3.8 or newer."""

import sys

# "mive plugin install --resolve" writes here where the modules are.
FOLDER = ""

sys.path.insert(0, FOLDER)

from mive_resolve.menu import main  # noqa: E402

# Resolve gives its scripts these two.
main(globals().get("resolve"), globals().get("bmd"), FOLDER)
