"""A run folder: the journal is appended to and read here, and the files made from it are replaced whole."""
