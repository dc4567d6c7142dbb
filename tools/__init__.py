"""Tools for those who develop lnbench; nothing here is installed with it."""
