"""Where frames and measured spectra come from: files, standard input, running dynamics."""
