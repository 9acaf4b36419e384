"""Plugins in the registry as soon as a program imports TensorRT, without a line of trtreg in the program.

`on_path/_trtreg_autoload.py` watches for the import; `hook_files.py` puts it into an environment, and `launch.py` in
front of one program. When TensorRT arrives, `loading.py` loads what `policy.py` allows.
"""
