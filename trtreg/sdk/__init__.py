"""The SDK for authors of TensorRT plugins: headers, build backend, and the face that Python calls."""
