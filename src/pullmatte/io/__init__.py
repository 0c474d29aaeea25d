"""The edge: files on one side, numpy arrays on the other; no torch and no models here."""
