"""Plugins for the tests of trtreg.testing and of the device headers."""
