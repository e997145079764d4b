"""Checkpoint -> QONNX -> integer network -> memory images; the QONNX executor as a Device."""
