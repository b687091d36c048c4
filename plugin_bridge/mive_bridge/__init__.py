"""The bridge between MIVE's OpenFX plugin and a render server: a process beside the host. Needs no torch.

plugin_bridge/LINK.md is its contract with the plugin. From the socket down:

===========================  ==========================================================
:mod:`mive_bridge.cli`       the program ``mive-bridge``
:mod:`mive_bridge.bridge`    listens, and ends when idle
:mod:`mive_bridge.talk`      one connection: requests in, answers out
:mod:`mive_bridge.edits`     all edits
:mod:`mive_bridge.rules`     when a frame is right
:mod:`mive_bridge.edit`      one edit, in memory and on disk
:mod:`mive_bridge.work`      brings one edit from collected frames to edited ones
:mod:`mive_bridge.frames`    edited frames on disk
:mod:`mive_bridge.servers`   connections to render servers
===========================  ==========================================================
"""
