"""The studio: a local server with one page, and what it keeps on disk."""
