"""Implementations of normalizations: the contract, the registry, the oracle, and one file per framework or library."""
