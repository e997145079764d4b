"""Studies: claims of the literature and of ours, trained, measured and judged; `stoic study`."""
