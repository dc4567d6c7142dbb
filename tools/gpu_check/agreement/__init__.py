"""lnbench's CUDA clock, memory and energy beside those of other tools."""
