"""What users hold: numpy in, numpy out, no paths."""
