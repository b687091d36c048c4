"""The script for DaVinci Resolve: current clip, dialog, render by ``mive``, new track at the same place.

It runs in Resolve's own Python, of 3.8 or newer, and imports the standard library only.

================================  ===========================================================
:mod:`mive_resolve.captions`      what the user writes, read strictly
:mod:`mive_resolve.form`          the dialog's fields, and the command that they stand for
:mod:`mive_resolve.shot`          the clip under the playhead, or why it cannot be edited
:mod:`mive_resolve.process`       ``mive render --bridge`` as a process
:mod:`mive_resolve.place`         the result onto the timeline
:mod:`mive_resolve.session`       one edit from form to timeline
:mod:`mive_resolve.dialog`        the window
:mod:`mive_resolve.menu`          where it begins
================================  ===========================================================
"""
