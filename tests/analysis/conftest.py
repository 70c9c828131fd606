"""Puts this folder, where `studies` and `simulated` lie, on the path of the tests in its rooms."""
