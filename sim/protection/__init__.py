"""Protections."""
