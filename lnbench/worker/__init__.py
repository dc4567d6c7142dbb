"""One worker process: it builds, verifies and times the cases that it is told to, and reports events over a pipe."""
