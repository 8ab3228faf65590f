"""Composition: one command line, one machine or many, the tour."""
