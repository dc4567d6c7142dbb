"""What can be learnt from runs beyond their verdicts: what a check can tell apart, and how often the tool is right."""
