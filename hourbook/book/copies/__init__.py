"""Books outside their home: backed up, restored, cut back, opened where they lie."""
