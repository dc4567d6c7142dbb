"""A run from suite to folder: which worker processes there are, what each is told, and what becomes of it."""
