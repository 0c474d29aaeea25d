"""Measuring mattes: metrics, the published protocols, evaluation runs and their reports."""
