"""Frames to spectra: predictors, and the workers that feed them from the stream."""
