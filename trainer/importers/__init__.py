"""Models of other programs, turned into bundles."""
