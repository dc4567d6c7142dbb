"""Plots as Vega-Lite charts: what each shows, its colours, and how one becomes an image."""
