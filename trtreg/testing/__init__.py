"""For the tests of a plugin package: run its kernels on the CPU and on a GPU, compare, export, measure.

===============  ===================================================================================================
``compare``      ``assert_close``: one rounding to the type, and float32 arithmetic before it
``deform_conv``  configurations of the deformable convolutions, their oracle, and how far a result may be from it
``host``         ``HostPlugin``: the kernels as C++ on the CPU, under the address sanitizer
``device``       ``DevicePlugin``: the installed library on a GPU, in guarded memory; graphs, alignment, large sizes
``export``       from a PyTorch module or a hand-made node to a TensorRT engine that has the plugin in it
``sanitizer``    requests to the installed library on a GPU, under compute-sanitizer
``peer``         times of two sides in one run, as CUDA graphs over inputs beyond the L2 cache
===============  ===================================================================================================

``HostPlugin`` and ``DevicePlugin`` have the same ``run``, so that a case is written once. The modules import PyTorch,
NumPy, ONNX and pytest; importing ``trtreg.testing`` itself imports nothing.
"""
