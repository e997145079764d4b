"""Tolerance of bit errors, known without injecting any: margins, laws, certificates, importance."""
