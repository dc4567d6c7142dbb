"""Gates over runs: checks, baselines, and the tool's own rates. Each measures through the conductor and decides."""
