"""Putting the OpenFX plugin, and the script for DaVinci Resolve, where their hosts look.

=============================  ========================================================
:mod:`mive.plugin.places`      the folders, for each system
:mod:`mive.plugin.sources`     where the plugin and the script come from
:mod:`mive.plugin.owned`       folders and files that MIVE installs, renews and removes
:mod:`mive.plugin.install`     what ``mive plugin install`` and ``uninstall`` do
:mod:`mive.plugin.doctor`      what stands in the way of the plugin
=============================  ========================================================
"""
