"""Errors that are the user's to mend."""


class UserError(Exception):
    """One line: what was wrong, where, and what to do."""
