"""A client's session: what is read from it, who it is, and what is kept of its transaction; mail/dialog.py leads it."""
