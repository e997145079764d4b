"""PyTorch and Brevitas: data, binarized networks, training under faults, frozen checkpoints."""
