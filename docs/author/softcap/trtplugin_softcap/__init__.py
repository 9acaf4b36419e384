"""SoftCap as a TensorRT plugin."""
