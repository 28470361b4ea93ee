"""Models on both hosts: what their outputs mean (heads), and how they are computed (onnxruntime)."""
