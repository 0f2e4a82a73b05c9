"""Forecasters in processes of their own, and one that comes with Hourbook."""
