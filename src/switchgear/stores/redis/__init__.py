"""Circuits in Redis or Valkey."""
