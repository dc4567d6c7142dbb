"""Clocks, samplers, caches, memory and the machine itself. Nothing here has heard of an implementation."""
