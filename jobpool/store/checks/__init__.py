"""Checks of a whole deployment, one small module for each subject.

A new check is a coroutine that takes a `Look` and returns findings, and a line
in `CHECKS` of its subject's module; a new subject is a module here and a
line in `registry`. What it may do stands in `check.Check`.
"""
