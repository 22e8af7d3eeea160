"""The model of a finished run for other tools: ONNX or torch.export, with the preprocessing that tensors can do."""
