"""Putting the OpenFX plugin, and the script for DaVinci Resolve, where their hosts look.

============================  ========================================================
:mod:`mive.install.places`     the folders, for each system
:mod:`mive.install.sources`    where the plugin and the script come from
:mod:`mive.install.owned`      folders and files that MIVE installs, renews and removes
:mod:`mive.install.plugin`     what ``mive plugin install`` and ``uninstall`` do
:mod:`mive.install.doctor`     what stands in the way of the plugin
============================  ========================================================
"""
