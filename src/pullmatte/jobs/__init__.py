"""One piece of work from file to file, used by every front end."""
