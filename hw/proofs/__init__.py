"""Formal proofs of the RTL, each beside mutants that it must refuse; docs/proofs.md says of what.

Functions are proved for all inputs at the widths of real layers: z3 steps the word-level model that
Yosys makes of a unit and compares it with a specification in Python. Handshakes are proved for
every behaviour of source and sink by property-directed reachability (ABC), mostly at small
parameters.
"""
