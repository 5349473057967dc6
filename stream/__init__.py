"""Messages, broker, producers, result files: how frames travel and where spectra lie."""
