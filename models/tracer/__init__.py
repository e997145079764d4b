"""What a decision owes to its training: exact traces of float and binary layers, bit errors too."""
