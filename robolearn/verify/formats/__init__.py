"""Networks and properties that others wrote: ONNX and VNN-LIB."""
