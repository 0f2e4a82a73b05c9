"""What becomes of details that grow old: archived, found again, or gone by rule."""
