"""Circuits in PostgreSQL."""
