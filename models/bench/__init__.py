"""`make bench-campaign`: the kit beside torch, PyTorchFI and MRFI on the same networks."""
