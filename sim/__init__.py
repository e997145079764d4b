"""What a stored bit means, what unreliable memory does to it, and what the network then answers."""
