"""What language models pick up from communities: adapt, prompt, sample, score, compare."""
