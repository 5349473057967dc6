"""The science: structures, descriptors, spectra and how well they agree."""
