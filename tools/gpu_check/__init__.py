"""The first hour on a new GPU: checks lnbench's CUDA side on a card, step by step, within a time limit."""
