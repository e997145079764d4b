"""Results of all commands as figures and one self-contained HTML page."""
