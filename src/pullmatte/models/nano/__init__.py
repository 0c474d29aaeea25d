"""nano: the model that ships inside, MAM2 at pocket size."""
