"""The one exception that is meant for the person at the keyboard."""


class UserError(Exception):
    """Something the user can mend: one line that says what was got, expected, and to do next."""
